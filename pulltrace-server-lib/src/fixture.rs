//! Reports as agents send them, for tests.

use std::time::Duration;

use pulltrace_core::wire::check::{AnyReport, parse};
use pulltrace_core::{Mono, NodeTime, PullId};
use serde_json::{Value, json};

use crate::clock::ServerNow;

/// Second 0 of the tests.
const START: i64 = 1_764_000_000;

/// Returns a test second as a time without nanoseconds.
pub(crate) fn time(second: i64) -> NodeTime {
    NodeTime::from_unix(START + second, 0)
}

/// Returns a test second on the server's clocks.
pub(crate) fn now(second: i64) -> ServerNow {
    ServerNow { mono: Mono(Duration::from_secs(second.unsigned_abs())), at: time(second) }
}

/// Returns the pull id of a lease.
pub(crate) fn id(node: &str, lease: u32) -> PullId {
    format!("lease~{node}~k8s.io~{lease}~0").parse().unwrap()
}

pub(crate) fn digest(number: u32) -> String {
    format!("sha256:{number:064x}")
}

/// Builds a report of agent `a`: full and empty at first, sent and received at `second`.
pub(crate) struct ReportBuilder {
    pub(crate) body: Value,
    second: i64,
}

impl ReportBuilder {
    pub(crate) fn new(node: &str, sequence: u64, second: i64) -> Self {
        let body = json!({
            "schemaVersion": "v1", "nodeName": node, "timestamp": time(second).to_string(),
            "sequence": sequence, "full": true, "images": [], "pulls": [],
            "agent": {"version": "0.1.0", "instance": "a", "startedAt": time(-1_000).to_string(),
                      "intervalMs": 1_000},
            "node": {"runtimeVersion": "containerd 2.4.2"},
        });
        Self { body, second }
    }

    /// Makes it a report of changes only.
    pub(crate) fn partial(mut self) -> Self {
        self.body["full"] = json!(false);
        self
    }

    /// Sets the agent's instance and start time.
    pub(crate) fn reported_by(mut self, instance: &str, started: i64) -> Self {
        self.body["agent"]["instance"] = json!(instance);
        self.body["agent"]["startedAt"] = json!(time(started).to_string());
        self
    }

    /// Sets the time on the node's clock.
    pub(crate) fn sent_at(mut self, second: i64) -> Self {
        self.body["timestamp"] = json!(time(second).to_string());
        self
    }

    /// Adds an image with layers of 100 bytes each.
    pub(crate) fn image(mut self, root: u32, layers: &[u32]) -> Self {
        let layer = |layer: &u32| {
            json!({"digest": digest(*layer), "size": 100,
                   "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"})
        };
        let layers: Vec<Value> = layers.iter().map(layer).collect();
        push(
            &mut self.body["images"],
            json!({"rootDigest": digest(root), "manifestDigests": [digest(root)], "layers": layers}),
        );
        self
    }

    /// Adds a pull without a known manifest.
    pub(crate) fn resolving(self, lease: u32) -> Self {
        self.pull(lease, &json!({"phase": "resolving"}))
    }

    /// Adds a pull with the downloaded bytes of each layer, out of 100.
    pub(crate) fn downloading(self, lease: u32, root: u32, bytes: &[u64]) -> Self {
        let sum: u64 = bytes.iter().sum();
        let total = 100 * bytes.len() as u64;
        let percent = 80.0 * sum as f64 / total as f64;
        let layers = bytes.iter().enumerate();
        let layers = layers.map(|(index, bytes)| match *bytes {
            0 => json!([index, 0, "waiting"]),
            100 => json!([index, 100, "downloaded", {"startedMs": 10}]),
            bytes => json!([index, bytes, "downloading", {"startedMs": 10, "bytesPerSec": 5.0}]),
        });
        let layers: Vec<Value> = layers.collect();
        self.pull(
            lease,
            &json!({"phase": "downloading", "image": digest(root), "rootDigest": digest(root),
                   "percent": percent, "downloadedBytes": sum, "toExtractBytes": total,
                   "bytesPerSec": 5.0, "downloadingAt": time(1).to_string(), "layers": layers}),
        )
    }

    /// Adds a pull that ended at `second`.
    pub(crate) fn ended(self, lease: u32, phase: &str, second: i64) -> Self {
        self.pull(lease, &json!({"phase": phase, "completedAt": time(second).to_string()}))
    }

    /// Adds a pull of an image with two layers of 100 bytes, completed at `second`.
    pub(crate) fn completed(self, lease: u32, root: u32, second: i64) -> Self {
        let layers = json!([[0, 100, "complete", {"startedMs": 10}], [1, 100, "cached"]]);
        self.pull(
            lease,
            &json!({"phase": "completed", "image": digest(root), "rootDigest": digest(root),
                   "percent": 100.0, "cachedBytes": 100, "downloadedBytes": 100,
                   "toExtractBytes": 100, "extractedBytes": 100,
                   "downloadingAt": time(1).to_string(), "extractingAt": time(2).to_string(),
                   "completedAt": time(second).to_string(), "layers": layers}),
        )
    }

    /// Adds a pull from docker.io that started at second 0, with these fields.
    pub(crate) fn pull(mut self, lease: u32, fields: &Value) -> Self {
        let node = self.body["nodeName"].as_str().unwrap();
        let mut pull = json!({"id": id(node, lease).to_string(), "startedAt": time(0).to_string(),
                              "repository": "docker.io/library/nginx"});
        for (name, value) in fields.as_object().unwrap() {
            pull[name] = value.clone();
        }
        push(&mut self.body["pulls"], pull);
        self
    }

    /// Returns the checked report and the time it is received.
    pub(crate) fn build(&self) -> (AnyReport, ServerNow) {
        let report = parse(self.body.to_string().as_bytes()).unwrap();
        (report, now(self.second))
    }
}

fn push(list: &mut Value, value: Value) {
    list.as_array_mut().unwrap().push(value);
}
