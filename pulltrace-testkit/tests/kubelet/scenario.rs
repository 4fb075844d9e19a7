//! The scenarios: pods in a namespace each, with their own images.

use pulltrace_core::wire::v1::FailureReason;
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::kubernetes::Node;
use pulltrace_testkit::registry::{Refusal, Registry};
use serde_json::{Value, json};

/// Host names that the node resolves to the test kit's registry and to a closed port.
pub(crate) const REGISTRY: &str = "registry.test";
pub(crate) const REFUSED_REGISTRY: &str = "refused.test";

/// Download rate of an image, in bytes per second.
const BYTES_PER_SECOND: u64 = 1 << 19;

/// The goal of a scenario, after which it is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// All pods run.
    Runs,
    /// The kubelet has reported this many failures.
    Fails(usize),
    /// The pod is deleted during the pull, and the pull has ended.
    DeletedMidway,
    /// The image is pushed after the first failure, and the pod runs.
    PushedLater,
}

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) pods: Vec<(&'static str, Value)>,
    pub(crate) goal: Goal,
    /// Expected reason of failed attempts.
    pub(crate) expected_failure: Option<FailureReason>,
    /// Image that is pulled before the scenario starts.
    pub(crate) cached: Option<String>,
}

/// Pushes a throttled image of this size in bytes and returns its name.
fn push(registry: &Registry, name: &str, size: u64) -> String {
    push_image(registry, &format!("{name}:1"), size, Node::running_image)
}

fn push_image(registry: &Registry, name: &str, size: u64, of: fn(&[Layer]) -> Image) -> String {
    let layers = [(1, size * 3 / 4), (2, size - size * 3 / 4)];
    let layers = layers.map(|(which, size)| Layer::random(&format!("{name}-{which}"), size));
    for layer in &layers {
        registry.blob(layer.digest()).throttle(Some(BYTES_PER_SECOND));
    }
    let pushed = registry.push(name, &of(&layers));
    pushed.replacen(&registry.address().to_string(), REGISTRY, 1)
}

/// Pushes the image that is missing at first.
pub(crate) fn push_later(registry: &Registry) {
    push(registry, "then-found/later", mib(1));
}

fn container(name: &str, image: &str) -> Value {
    json!({"name": name, "image": image})
}

fn pod(containers: &[Value]) -> Value {
    json!({"containers": containers})
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// Returns all scenarios except those that need their own node.
pub(crate) fn all(registry: &Registry, volumes: bool) -> Vec<Scenario> {
    use FailureReason as Why;
    use Goal::{DeletedMidway, Fails, PushedLater, Runs};
    let image = |name: &str, size: u64| push(registry, name, size);
    let one = |image: &str| vec![("web", pod(&[container("app", image)]))];
    let scenario = |name, pods, until| Scenario {
        name,
        pods,
        goal: until,
        expected_failure: None,
        cached: None,
    };
    let failing = |name, image: &str, times, why| Scenario {
        expected_failure: Some(why),
        ..scenario(name, one(image), Fails(times))
    };
    let refusing = |name: &'static str, status, why| {
        let repository = format!("{name}/app");
        let manifests = registry.manifests().in_repository(&repository);
        manifests.refuse(Refusal::status(status));
        failing(name, &format!("{REGISTRY}/{repository}:1"), 2, why)
    };
    let both = |pods: [(&'static str, &str, &str); 2]| {
        let pods = pods.map(|(name, slot, image)| (name, pod(&[container(slot, image)])));
        pods.to_vec()
    };
    let policy = |image: &str, policy: &str| {
        let container = with(container("app", image), "imagePullPolicy", policy.into());
        vec![("web", pod(&[container]))]
    };
    let mut all = vec![
        scenario("normal", one(&image("normal/app", mib(3))), Runs),
        scenario(
            "two-pods-two-images",
            both([
                ("web", "app", &image("two-pods-two-images/app", mib(2))),
                ("db", "db", &image("two-pods-two-images/db", mib(1))),
            ]),
            Runs,
        ),
    ];
    let shared = image("two-pods-one-image/app", mib(2));
    let pods = both([("web-1", "app", &shared), ("web-2", "app", &shared)]);
    all.push(scenario("two-pods-one-image", pods, Runs));
    let containers = [("app", "two-containers/app"), ("db", "two-containers/db")];
    let containers = containers.map(|(slot, name)| container(slot, &image(name, mib(1))));
    all.push(scenario("two-containers", vec![("web", pod(&containers))], Runs));
    for (name, rule) in [("cached-ifnotpresent", "IfNotPresent"), ("cached-always", "Always")] {
        let cached = image(&format!("{name}/app"), mib(1));
        let pods = policy(&cached, rule);
        all.push(Scenario { cached: Some(cached), ..scenario(name, pods, Runs) });
    }
    let once = push_image(registry, "init-container/once:1", mib(1), Node::exiting_image);
    let spec = pod(&[container("app", &image("init-container/app", mib(1)))]);
    let spec = with(spec, "initContainers", json!([container("setup", &once)]));
    all.push(scenario("init-container", vec![("web", spec)], Runs));
    let side = container("proxy", &image("sidecar/side", mib(1)));
    let side = with(side, "restartPolicy", "Always".into());
    let spec = pod(&[container("app", &image("sidecar/app", mib(1)))]);
    let spec = with(spec, "initContainers", json!([side]));
    all.push(scenario("sidecar", vec![("web", spec)], Runs));
    all.extend([
        failing("not-found", "registry.test/not-found/none:1", 3, Why::NotFound),
        Scenario {
            expected_failure: Some(Why::NeverPull),
            ..scenario(
                "never-present",
                policy("registry.test/never-present/never:1", "Never"),
                Fails(1),
            )
        },
        failing("invalid-name", "registry.test/invalid-name/UPPER:1", 1, Why::InvalidName),
        failing(
            "connection-refused",
            "refused.test/connection-refused/app:1",
            2,
            Why::ConnectionRefused,
        ),
        refusing("unauthorized", 401, Why::Unauthorized),
        refusing("forbidden", 403, Why::Unauthorized),
        refusing("rate-limited", 429, Why::RateLimited),
        refusing("server-error", 500, Why::RegistryError),
        scenario(
            "deleted-while-pulling",
            one(&image("deleted-while-pulling/app", mib(2))),
            DeletedMidway,
        ),
        Scenario {
            expected_failure: Some(Why::NotFound),
            ..scenario("then-found", one("registry.test/then-found/later:1"), PushedLater)
        },
    ]);
    let named = push_image(registry, "digest/app", mib(1), Node::running_image);
    all.push(scenario("digest", one(&named), Runs));
    if volumes {
        let volume = |namespace: &str, model: &str| {
            let app = container("app", &image(&format!("{namespace}/app"), mib(1)));
            let mounts = json!([{"name": "model", "mountPath": "/model"}]);
            let spec = pod(&[with(app, "volumeMounts", mounts)]);
            let reference = json!({"reference": model, "pullPolicy": "IfNotPresent"});
            let volumes = json!([{"name": "model", "image": reference}]);
            vec![("web", with(spec, "volumes", volumes))]
        };
        let model = image("image-volume/model", mib(2));
        all.push(scenario("image-volume", volume("image-volume", &model), Runs));
        let none = "registry.test/image-volume-not-found/none:1";
        all.push(Scenario {
            expected_failure: Some(Why::NotFound),
            ..scenario("image-volume-not-found", volume("image-volume-not-found", none), Fails(2))
        });
    }
    all
}

/// Four images at once, more than the rate-limited kubelet may pull.
pub(crate) fn rate_limited(registry: &Registry) -> Vec<Scenario> {
    let pods = ["web-0", "web-1", "web-2", "web-3"].map(|name| {
        let image = push(registry, &format!("qps-exceeded/{name}"), mib(1));
        (name, pod(&[container("app", &image)]))
    });
    vec![Scenario {
        name: "qps-exceeded",
        pods: pods.to_vec(),
        goal: Goal::Runs,
        expected_failure: Some(FailureReason::KubeletQps),
        cached: None,
    }]
}
