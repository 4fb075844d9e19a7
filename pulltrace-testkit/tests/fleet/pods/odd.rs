//! Pods and events that no kubelet would write, at a real API server: left out and counted, never a wrong link.

use jiff::SignedDuration;
use pulltrace_core::wire::v1::Outcome;
use pulltrace_testkit::clock;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;
use serde_json::{Value, json};

use super::kit::{Pod, PodScenario, Pods, links, pod_scenario};
use super::stream::get;
use crate::kit::{SOON, image_of};

pub(crate) const ALL: &[PodScenario] = &[pod_scenario!(
    what_no_kubelet_would_say_is_counted_and_links_nothing
)];

/// An event as the API server takes it; what `changes` name is so instead.
fn event(pods: &Pods, number: u32, pod: &Pod, reference: &str, changes: &Value) -> Value {
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

/// The value of a series of the server.
async fn counted(pods: &Pods, series: &str) -> Option<f64> {
    let log = pods.kit.server.log();
    let url = log.split("metrics=\"http://").nth(1)?.split('"').next()?;
    let text = get(url.strip_suffix("/metrics")?, "/metrics").await?;
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    value.parse().ok()
}

async fn what_no_kubelet_would_say_is_counted_and_links_nothing(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let long = "x".repeat(253);
    let far = (clock::wall() + SignedDuration::from_hours(24 * 400)).to_string();
    // Whose name is as long as a name may be; without a status; whose image is none.
    let mut web = pods.app("web", &reference).await;
    let bystander = pods.app(&long, "shop/other:1").await;
    let none =
        json!({"nodeName": "node-1", "containers": [{"name": "app", "image": "%%% :: no image"}]});
    pods.admin
        .pod(&pods.namespace, "nameless", none)
        .await
        .expect("a pod");

    // The API server refuses some of these; what it takes, the server gets.
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
        // Of an image and a pod that nobody pulls for.
        let event = event(&pods, number, &bystander, "shop/other:1", changes);
        match pods.admin.create(&path, &event).await {
            Ok(_) => taken += 1,
            Err(error) => assert!(error.code().is_some(), "{error}"),
        }
    }
    assert!(taken >= 10, "the API server takes {taken} of {}", odd.len());

    let pull = pods.pulls(&web, "app").await;
    pods.linked("shop/web", &[("web", "app")]).await;
    for row in pods.kit.list().await {
        let own = links(&row).iter().all(|(pod, _)| *pod == "web");
        let lease = row.id.starts_with("lease~");
        assert!(!lease || own, "{row:#?}");
    }
    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let row = pods.kit.ended("shop/web").await;
    assert_eq!(
        (row.outcome, links(&row)),
        (Some(Outcome::Completed), vec![("web", "app")])
    );
    let many = async || {
        let odd = counted(&pods, "pulltrace_kubernetes_odd_total{source=\"events\"}").await?;
        (odd >= 5.0).then_some(())
    };
    let many = wait::until("what was odd is counted", SOON, many).await;
    many.unwrap_or_else(|error| panic!("{error}; {}", pods.kit.logs()));
    pods
}
