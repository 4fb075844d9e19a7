//! The types that people and programs read, as TypeScript.

use ts_rs::{Config, TS};

use super::v1;

/// One module with each type, to be generated and committed: what it says of a word is what this
/// version knows, and a later server may say others.
#[must_use]
pub fn document() -> String {
    // A byte count is below 2^53 on any disk, and JSON has no other numbers.
    let config = Config::new().with_large_int("number");
    let mut module = String::from(
        "// Generated from pulltrace-core by `cargo run -p pulltrace-core --all-features \
         --example generate`. Do not edit.\n//\n// Within version 1 fields and words are only added: \
         a server may say more than this.\n",
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

fn declare<T: TS>(module: &mut String, config: &Config) {
    module.push('\n');
    let mut in_code = false;
    for line in T::docs().unwrap_or_default().lines() {
        // The code of Rust's documentation is none of TypeScript's.
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
