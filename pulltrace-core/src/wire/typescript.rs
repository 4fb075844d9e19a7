//! The types of API responses in TypeScript, and the texts of failure reasons.

use ts_rs::{Config, TS};

use super::v1;
use crate::failure::FailureReason;

const HEADER: &str = "// Generated from pulltrace-core by `cargo run -p pulltrace-core --all-features --example generate`. Do not edit.\n";

/// Returns a module with all types. A generated copy is committed. The enums list the values that
/// this version knows; a newer server may send others.
#[must_use]
pub fn document() -> String {
    // TypeScript numbers are exact up to 2^53, more bytes than a disk has.
    let config = Config::new().with_large_int("number");
    let mut module = HEADER.to_owned();
    module.push_str(
        "//\n// Within version 1, fields and enum values are only added: newer servers may send more.\n",
    );
    declare::<v1::PullStatus>(&mut module, &config);
    declare::<v1::LayerStatus>(&mut module, &config);
    declare::<v1::Failure>(&mut module, &config);
    declare::<v1::WaitingOn>(&mut module, &config);
    declare::<v1::PodLink>(&mut module, &config);
    declare::<v1::KubeletTimes>(&mut module, &config);
    declare::<v1::PullEvent>(&mut module, &config);
    declare::<v1::Frame>(&mut module, &config);
    declare::<v1::PullMotion>(&mut module, &config);
    declare::<v1::PullList>(&mut module, &config);
    declare::<v1::NodeList>(&mut module, &config);
    declare::<v1::NodeStatus>(&mut module, &config);
    declare::<v1::ImageList>(&mut module, &config);
    declare::<v1::ImageStatus>(&mut module, &config);
    declare::<v1::PodList>(&mut module, &config);
    declare::<v1::ClusterStatus>(&mut module, &config);
    declare::<v1::PodStatus>(&mut module, &config);
    declare::<v1::PodImage>(&mut module, &config);
    declare::<v1::PodPulls>(&mut module, &config);
    declare::<v1::PodEnd>(&mut module, &config);
    declare::<v1::ServerStatus>(&mut module, &config);
    declare::<v1::Throughput>(&mut module, &config);
    declare::<v1::Problem>(&mut module, &config);
    declare::<v1::Phase>(&mut module, &config);
    declare::<v1::Outcome>(&mut module, &config);
    declare::<v1::LayerState>(&mut module, &config);
    declare::<v1::WaitingKind>(&mut module, &config);
    declare::<v1::LinkEvidence>(&mut module, &config);
    declare::<v1::SlotKind>(&mut module, &config);
    declare::<v1::ImageState>(&mut module, &config);
    declare::<v1::SourceState>(&mut module, &config);
    declare::<v1::PodEndReason>(&mut module, &config);
    declare::<v1::EtaBasis>(&mut module, &config);
    declare::<v1::FailureReason>(&mut module, &config);
    declare::<v1::NodeState>(&mut module, &config);
    declare::<v1::EventType>(&mut module, &config);
    module
}

/// Returns a module with the titles and hints of failure reasons. A generated copy is committed.
///
/// The page has the titles only, as the server sends the hints. Separate constants keep the hints
/// out of its bundle.
#[must_use]
pub fn failures() -> String {
    let mut module = format!("{HEADER}\nimport type {{ FailureReason }} from './wire';\n");
    let mut declare = |docs: &str, name: &str, text: fn(FailureReason) -> Option<&'static str>| {
        module.push_str(&format!(
            "\n/** {docs} */\nexport const {name}: Record<FailureReason, string | undefined> = {{\n"
        ));
        for reason in FailureReason::ALL {
            let text = text(reason).map_or("undefined".to_owned(), |text| format!("{text:?}"));
            module.push_str(&format!("  {}: {text},\n", reason.as_str()));
        }
        module.push_str("};\n");
    };
    declare("Titles in sentence case.", "FAILURE_TITLES", |reason| Some(reason.title()));
    declare("Advice that the server sends with a failure.", "FAILURE_HINTS", FailureReason::hint);
    module
}

fn declare<T: TS>(module: &mut String, config: &Config) {
    module.push('\n');
    let mut in_code = false;
    for line in T::docs().unwrap_or_default().lines() {
        // Skip the Rust code of the documentation.
        let fence = line.starts_with(" * ```");
        in_code ^= fence;
        if !in_code && !fence {
            module.push_str(line);
            module.push('\n');
        }
    }
    let declared = T::decl(config);
    match declared.strip_suffix(" };") {
        Some(fields) if fields.contains('\n') => {
            let mut lines = fields.lines().map(str::trim_end);
            module.push_str(&format!("export {}\n", lines.next().unwrap_or_default()));
            for line in lines {
                module.push_str(&format!("  {line}\n"));
            }
            module.push_str("};\n");
        }
        _ => module.push_str(&format!("export {declared}\n")),
    }
}
