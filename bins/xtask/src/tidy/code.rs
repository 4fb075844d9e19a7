//! Rules about Rust files.

use super::finding::Finding;
use super::source::{Source, contains_word};

/// The maximum number of lines before the tests.
const MAX_LINES: usize = 500;
const MAX_MAIN_LINES: usize = 150;

pub(crate) fn starts_with_doc(source: &Source) -> Vec<Finding> {
    let first = source.text.lines().find(|line| !line.trim().is_empty());
    // A library may include its README instead.
    let is_doc = |line: &str| line.starts_with("//!") || line.starts_with("#![doc = include_str!(");
    if first.is_some_and(is_doc) {
        return Vec::new();
    }
    let what = "does not start with a `//!` comment that describes the file";
    vec![Finding::new(&source.path, Some(1), what)]
}

pub(crate) fn is_short(source: &Source) -> Vec<Finding> {
    longer_than(source, MAX_LINES)
}

pub(crate) fn main_is_short(source: &Source) -> Vec<Finding> {
    if source.path.ends_with("src/main.rs") {
        longer_than(source, MAX_MAIN_LINES)
    } else {
        Vec::new()
    }
}

fn longer_than(source: &Source, most: usize) -> Vec<Finding> {
    match source.lines_before_tests() {
        lines if lines > most => {
            vec![Finding::new(&source.path, None, format!("has {lines} lines before its tests"))]
        }
        _ => Vec::new(),
    }
}

/// Finds comments; clippy finds the macros. Split words keep the rule from matching this file.
pub(crate) fn has_no_unfinished_work(source: &Source) -> Vec<Finding> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let marker = |line: &str| words.iter().find(|word| contains_word(line, word)).copied();
    let lines = source.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            marker(line)
                .map(|word| Finding::new(&source.path, Some(index + 1), format!("`{word}`")))
        })
        .collect()
}

/// Finds code before the tests that contains one of these words.
fn without(source: &Source, words: &[&str]) -> Vec<Finding> {
    let found = |line: &str| words.iter().find(|word| contains_word(line, word)).copied();
    source
        .code()
        .filter_map(|(number, line)| {
            found(line)
                .map(|word| Finding::new(&source.path, Some(number), format!("uses `{word}`")))
        })
        .collect()
}

const CORE: &str = "pulltrace-core/src/";
const SERVER: &str = "pulltrace-server-lib/src/";
const AGENT: &str = "pulltrace-agent-lib/src/";

/// Clippy finds `now()`, and the rule on dependency trees finds an async runtime.
pub(crate) fn core_is_pure(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with(CORE) {
        return Vec::new();
    }
    let words = [
        "async",
        "std::net",
        "std::fs",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "elapsed()",
        // A braced import would hide the paths above from this rule.
        "std::{",
    ];
    without(source, &words)
}

pub(crate) fn model_is_plain(source: &Source) -> Vec<Finding> {
    let is_wire = |rest: &str| rest == "wire.rs" || rest.starts_with("wire/");
    match source.path.strip_prefix(CORE) {
        Some(rest) if !is_wire(rest) => without(source, &["serde", "Serialize", "Deserialize"]),
        _ => Vec::new(),
    }
}

/// The testkit is exempt: it has clients for containerd itself.
pub(crate) fn grpc_stays_inside(source: &Source) -> Vec<Finding> {
    let path = source.path.as_str();
    let client = "pulltrace-agent-lib/src/source/containerd/client";
    let ours = ["pulltrace-core/src/", "pulltrace-agent-lib/src/", "bins/", "examples/"];
    if path.starts_with(client) || !ours.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    without(source, &["tonic", "prost", "prost_types", "containerd_client"])
}

pub(crate) fn http_client_stays_inside(source: &Source) -> Vec<Finding> {
    let path = source.path.as_str();
    let ours = ["pulltrace-core/src/", "pulltrace-agent-lib/src/", "bins/"];
    let sink = "pulltrace-agent-lib/src/sink/http/";
    if path.starts_with(sink) || !ours.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    without(source, &["reqwest"])
}

/// Returns the library, agent or server, that contains the file, and the path in it.
fn library(source: &Source) -> Option<(&str, &str)> {
    let within = |library: &'static str| Some((library, source.path.strip_prefix(library)?));
    within(SERVER).or_else(|| within(AGENT))
}

pub(crate) fn http_server_stays_inside(source: &Source) -> Vec<Finding> {
    let Some((library, path)) = library(source) else {
        return Vec::new();
    };
    // The rest of the server must not depend on how it is queried. In the agent, only the metrics
    // serve HTTP.
    let (allowed, words): (&[&str], &[&str]) = if library == SERVER {
        let words = &["axum", "hyper", "tower", "rustls", "tokio_rustls"];
        // `cluster/kube` configures the TLS of its client.
        (&["http", "serve", "ui", "metrics", "cluster/kube"], words)
    } else {
        (&["metrics"], &["axum", "hyper", "hyper_util", "tower"])
    };
    if allowed.iter().any(|dir| path.starts_with(dir)) {
        return Vec::new();
    }
    without(source, words)
}

/// References to our own module `kube` are allowed everywhere.
pub(crate) fn kube_stays_inside(source: &Source) -> Vec<Finding> {
    let path = source.path.as_str();
    let allowed = ["cluster/kube/", "access/kube"].map(|dir| format!("{SERVER}{dir}"));
    let ours = [CORE, AGENT, SERVER, "pulltrace-client/src/", "bins/"];
    if allowed.iter().any(|dir| path.starts_with(dir.as_str()))
        || !ours.iter().any(|folder| path.starts_with(folder))
    {
        return Vec::new();
    }
    let used_word = |line: &str| {
        let line = line.replace("cluster::kube", "").replace("self::kube", "");
        let words = ["kube::", "kube_client", "kube_core", "k8s_openapi"];
        words.into_iter().find(|word| contains_word(&line, word))
    };
    source
        .code()
        .filter_map(|(number, line)| {
            let word = used_word(line)?;
            let what = format!("uses `{word}`");
            Some(Finding::new(&source.path, Some(number), what))
        })
        .collect()
}

pub(crate) fn telemetry_stays_inside(source: &Source) -> Vec<Finding> {
    match library(source) {
        Some((_, path)) if !path.starts_with("metrics") => {
            without(source, &["opentelemetry", "opentelemetry_sdk", "prometheus"])
        }
        _ => Vec::new(),
    }
}

/// Tests wait for conditions with the testkit's `wait` module. With tokio's paused time they may
/// sleep, because it advances at once.
pub(crate) fn tests_do_not_sleep(source: &Source) -> Vec<Finding> {
    let testkit = source.path.strip_prefix("pulltrace-testkit/src/");
    // These implement waiting and throttling.
    let may_sleep = |rest: &str| {
        ["wait.rs", "throttle.rs", "registry/fault.rs"].iter().any(|file| rest.ends_with(file))
    };
    let checked: Vec<(usize, &str)> = match testkit {
        Some(rest) if !may_sleep(rest) => source.code().chain(source.tests()).collect(),
        _ => source.tests().collect(),
    };
    let is_paused = |line: &str| line.contains("start_paused = true");
    // Helpers before the first test may be used by a test with paused time.
    let mut paused = checked.iter().any(|(_, line)| is_paused(line));
    let mut findings = Vec::new();
    for (number, line) in checked {
        if line.contains("#[test]") || line.contains("#[tokio::test") {
            paused = is_paused(line);
        }
        let blocks = line.contains("thread::sleep(") || line.contains("park_timeout(");
        let sleeps = line.contains("sleep(") || line.contains("sleep_until(");
        if blocks || (sleeps && !paused) {
            let what = "test code sleeps: wait for a condition, or pause tokio's time";
            findings.push(Finding::new(&source.path, Some(number), what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<Option<usize>> {
        rule(&Source::rust(path, text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn file_without_doc_is_found() {
        assert_eq!(lines(starts_with_doc, "a.rs", "use a;\n//! late\n"), [Some(1)]);
        assert_eq!(lines(starts_with_doc, "a.rs", ""), [Some(1)]);
        assert_eq!(lines(starts_with_doc, "a.rs", "#![forbid(unsafe_code)]\n"), [Some(1)]);
        assert_eq!(lines(starts_with_doc, "a.rs", "\n//! Doc.\n"), []);
        let page = "#![doc = include_str!(\"../README.md\")]\n";
        assert_eq!(lines(starts_with_doc, "a.rs", page), []);
    }

    #[test]
    fn long_file_is_found_without_counting_tests() {
        let with = |lines: usize, tests: usize| {
            format!(
                "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
                "x;\n".repeat(lines),
                "y;\n".repeat(tests)
            )
        };
        assert_eq!(lines(is_short, "a/src/b.rs", &with(500, 900)), []);
        assert_eq!(lines(is_short, "a/src/b.rs", &with(501, 0)), [None]);
        assert_eq!(lines(is_short, "a/tests/b.rs", &with(501, 0)), []);
        assert_eq!(lines(main_is_short, "a/src/main.rs", &with(151, 0)), [None]);
        assert_eq!(lines(main_is_short, "a/src/main.rs", &with(150, 9)), []);
        assert_eq!(lines(main_is_short, "a/src/other.rs", &with(151, 0)), []);
    }

    #[test]
    fn unfinished_work_is_found_in_comments() {
        let text = format!("//! x\n// {}: y\nmastodon()\n", concat!("TO", "DO"));
        assert_eq!(lines(has_no_unfinished_work, "a.rs", &text), [Some(2)]);
    }

    #[test]
    fn io_in_core_is_found() {
        let text = "//! std::io\nuse std::fs;\nasync fn f() {}\nlet x = time.elapsed();\n\
                    use std::{fs, io};\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}\n";
        assert_eq!(
            lines(core_is_pure, "pulltrace-core/src/pull.rs", text),
            [Some(2), Some(3), Some(4), Some(5)]
        );
        assert_eq!(lines(core_is_pure, "bins/pulltrace/src/main.rs", text), []);
    }

    #[test]
    fn serialisable_model_is_found_outside_wire() {
        let text = "//! x\n#[derive(Debug, Serialize)]\nstruct A;\n";
        assert_eq!(lines(model_is_plain, "pulltrace-core/src/pull.rs", text), [Some(2)]);
        assert_eq!(lines(model_is_plain, "pulltrace-core/src/wire/v1.rs", text), []);
    }

    #[test]
    fn http_client_is_found_outside_sink() {
        let text = "//! reqwest\nuse reqwest::Client;\n";
        let at = |path| lines(http_client_stays_inside, path, text);
        assert_eq!(at("pulltrace-agent-lib/src/collector/mod.rs"), [Some(2)]);
        assert_eq!(at("bins/pulltrace-agent/src/main.rs"), [Some(2)]);
        assert_eq!(at("pulltrace-agent-lib/src/sink/http/mod.rs"), []);
        assert_eq!(at("pulltrace-client/src/lib.rs"), []);
    }

    #[test]
    fn web_server_and_telemetry_are_found_outside_their_modules() {
        let text = "//! axum\nuse axum::Router;\nuse prometheus::Registry;\n";
        let web = |path: &str| lines(http_server_stays_inside, path, text);
        let telemetry = |path: &str| lines(telemetry_stays_inside, path, text);
        for path in ["fleet/mod.rs", "table/row.rs", "writer.rs", "access.rs"] {
            let path = format!("pulltrace-server-lib/src/{path}");
            assert_eq!(web(&path), [Some(2)]);
            assert_eq!(telemetry(&path), [Some(3)]);
        }
        for path in ["http/events.rs", "http.rs", "serve/tls.rs", "server.rs"] {
            assert_eq!(web(&format!("pulltrace-server-lib/src/{path}")), []);
        }
        assert_eq!(telemetry("pulltrace-server-lib/src/metrics/families.rs"), []);
        assert_eq!(web("examples/src/bin/mount_router.rs"), []);
        for path in ["monitor.rs", "collector/run.rs", "sink/http/mod.rs"] {
            let path = format!("pulltrace-agent-lib/src/{path}");
            assert_eq!(web(&path), [Some(2)]);
            assert_eq!(telemetry(&path), [Some(3)]);
        }
        for path in ["metrics/serve.rs", "metrics/families.rs"] {
            let path = format!("pulltrace-agent-lib/src/{path}");
            assert_eq!((web(&path), telemetry(&path)), (vec![], vec![]));
        }
    }

    #[test]
    fn kube_is_found_outside_its_modules() {
        let text = "//! kube::Client\npub mod kube;\nuse crate::cluster::kube::Config;\n\
                    use kube::Client;\nfn f(x: k8s_openapi::Pod) {}\n";
        let at = |path| lines(kube_stays_inside, path, text);
        assert_eq!(at("pulltrace-server-lib/src/cluster/mod.rs"), [Some(4), Some(5)]);
        assert_eq!(at("bins/pulltrace-server/src/main.rs"), [Some(4), Some(5)]);
        assert_eq!(at("pulltrace-server-lib/src/cluster/kube/pod.rs"), []);
        assert_eq!(at("pulltrace-server-lib/src/access/kube.rs"), []);
        assert_eq!(at("pulltrace-testkit/tests/kubernetes/sources.rs"), []);
    }

    #[test]
    fn grpc_is_found_outside_client() {
        let text = "//! tonic\nuse tonic::Status;\nfn f(x: prost_types::Any) {}\n";
        let at = |path| lines(grpc_stays_inside, path, text);
        assert_eq!(at("pulltrace-agent-lib/src/source/containerd/mod.rs"), [Some(2), Some(3)]);
        assert_eq!(at("bins/pulltrace/src/watch/mod.rs"), [Some(2), Some(3)]);
        assert_eq!(at("pulltrace-agent-lib/src/source/containerd/client.rs"), []);
        assert_eq!(at("pulltrace-agent-lib/src/source/containerd/client/events.rs"), []);
        assert_eq!(at("pulltrace-testkit/src/cri.rs"), []);
    }

    #[test]
    fn sleeping_test_is_found() {
        let text =
            "//! x\nsleep(1);\n#[cfg(test)]\nmod tests {\n  tokio::time::sleep(1).await;\n}\n";
        let at = |path| lines(tests_do_not_sleep, path, text);
        assert_eq!(at("pulltrace-agent-lib/src/collector/mod.rs"), [Some(5)]);
        assert_eq!(at("pulltrace-agent-lib/tests/it.rs"), [Some(2), Some(5)]);
        assert_eq!(at("pulltrace-testkit/src/registry.rs"), [Some(2), Some(5)]);
        assert_eq!(at("pulltrace-testkit/src/registry/throttle.rs"), [Some(5)]);
        assert_eq!(at("demo/src/main.rs"), [Some(5)]);
        let text = "sleep(1);\n#[tokio::test(start_paused = true)]\nsleep(1);\nthread::sleep(1);\n\
                    #[tokio::test]\nsleep_until(1);\n#[tokio::test(start_paused = true)]\nsleep(1);\n";
        let found = lines(tests_do_not_sleep, "pulltrace-agent-lib/tests/it.rs", text);
        assert_eq!(found, [Some(4), Some(6)]);
    }
}
