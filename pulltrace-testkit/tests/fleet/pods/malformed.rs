//! Malformed pods and events on a real API server: ignored and counted, never linked wrongly.

use jiff::SignedDuration;
use pulltrace_core::wire::v1::Outcome;
use pulltrace_testkit::clock;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;
use serde_json::{Value, json};

use super::kit::{Pod, PodKit, PodScenario, links, pod_scenario};
use super::stream::get;
use crate::kit::{TIMEOUT, image_of};

pub(crate) const ALL: &[PodScenario] =
    &[pod_scenario!(malformed_events_are_counted_and_link_nothing)];

/// Returns a valid event with these changes merged in.
fn event(pods: &PodKit, number: u32, pod: &Pod, reference: &str, changes: &Value) -> Value {
    let now = clock::wall();
    let stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let of = &pod.object["metadata"];
    let mut event = json!({
        "metadata": {"name": format!("odd.{number}"), "namespace": pods.namespace},
        "involvedObject": {
            "kind": "Pod", "apiVersion": "v1", "namespace": pods.namespace,
            "name": of["name"], "uid": of["uid"], "fieldPath": "spec.containers{app}",
        },
        "reason": "Pulling",
        "message": format!("Pulling image \"{reference}\""),
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": stamp, "lastTimestamp": stamp, "count": 1, "type": "Normal",
        "reportingComponent": "kubelet", "reportingInstance": "node-1",
    });
    merge(&mut event, changes);
    event
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, value) in changes {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}

/// Returns the value of a metric series of the server.
async fn metric_value(pods: &PodKit, series: &str) -> Option<f64> {
    let log = pods.kit.server.log();
    let url = log.split("metrics=\"http://").nth(1)?.split('"').next()?;
    let text = get(url.strip_suffix("/metrics")?, "/metrics").await?;
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    value.parse().ok()
}

async fn malformed_events_are_counted_and_link_nothing(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let long = "x".repeat(253);
    let far = (clock::wall() + SignedDuration::from_hours(24 * 400)).to_string();
    // A pod with a name of maximum length and without status, and one with an invalid image.
    let mut web = pods.create_app_pod("web", &reference).await;
    let bystander = pods.create_app_pod(&long, "shop/other:1").await;
    let none =
        json!({"nodeName": "node-1", "containers": [{"name": "app", "image": "%%% :: no image"}]});
    pods.admin.create_pod(&pods.namespace, "nameless", none).await.expect("a pod");

    // The API server rejects some of these; the server receives the others.
    let odd = [
        json!({"message": ""}),
        json!({"message": "Pulling image"}),
        json!({"message": "Pulling image \"\""}),
        json!({"message": "Pulling image \"%%% :: no image\""}),
        json!({"message": format!("Pulling image \"{}\"", "a/".repeat(400))}),
        json!({"message": "\u{1b}[31mPulling\u{0} image \"\u{202e}x\""}),
        json!({"involvedObject": {"kind": "", "name": "", "uid": ""}}),
        json!({"involvedObject": {"kind": "Node"}}),
        json!({"involvedObject": {"uid": ""}}),
        json!({"involvedObject": {"fieldPath": "spec.containers{"}}),
        json!({"involvedObject": {"fieldPath": "metadata.labels{app}"}}),
        json!({"involvedObject": {"fieldPath": "spec.containers{\u{e4}}"}}),
        json!({"involvedObject": {"name": &long, "uid": bystander.object["metadata"]["uid"]}, "source": {"host": "another"}}),
        json!({"firstTimestamp": far, "lastTimestamp": far}),
        json!({"firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:00:00Z"}),
        json!({"firstTimestamp": null, "lastTimestamp": null}),
        json!({"count": -5}),
        json!({"count": 2_147_483_647}),
        json!({"source": {"component": "", "host": ""}, "reportingComponent": "", "reportingInstance": ""}),
        json!({"source": {"component": "somebody"}}),
        json!({"source": {"host": "no node/\u{e4}"}}),
        json!({"reason": "Pulled", "message": "Successfully pulled image \"x\" in -3s (99999999999h including waiting). Image size: -1 bytes."}),
        json!({"reason": "Failed", "message": "Failed to pull image \"shop/other:1\": "}),
        json!({"reason": "InspectFailed", "message": "Failed to apply default image tag \"%%%\": couldn't parse image name"}),
        json!({"involvedObject": null}),
    ];
    let path = format!("/api/v1/namespaces/{}/events", pods.namespace);
    let mut taken = 0;
    for (number, changes) in (1..).zip(&odd) {
        // For a pod and an image that are never pulled.
        let event = event(&pods, number, &bystander, "shop/other:1", changes);
        match pods.admin.create(&path, &event).await {
            Ok(_) => taken += 1,
            Err(error) => assert!(error.code().is_some(), "{error}"),
        }
    }
    assert!(taken >= 10, "the API server accepted only {taken} of {}", odd.len());

    let pull = pods.announce_and_start(&web, "app").await;
    pods.wait_linked("shop/web", &[("web", "app")]).await;
    for row in pods.kit.list().await {
        let own = links(&row).iter().all(|(pod, _)| *pod == "web");
        let lease = row.id.starts_with("lease~");
        assert!(!lease || own, "{row:#?}");
    }
    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let row = pods.kit.wait_ended("shop/web").await;
    assert_eq!((row.outcome, links(&row)), (Some(Outcome::Completed), vec![("web", "app")]));
    let many = async || {
        let odd = metric_value(
            &pods,
            "pulltrace_kubernetes_malformed_objects_total{resource=\"events\"}",
        )
        .await?;
        (odd >= 5.0).then_some(())
    };
    let many = wait::until("malformed events are counted", TIMEOUT, many).await;
    many.unwrap_or_else(|error| panic!("{error}; {}", pods.kit.logs()));
    pods
}
