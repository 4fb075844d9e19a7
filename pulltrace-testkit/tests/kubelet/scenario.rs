//! What pods want: each scenario in a namespace of its own, with images of its own.

use pulltrace_core::wire::v1::FailureReason;
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::kubernetes::Node;
use pulltrace_testkit::registry::{Refusal, Registry};
use serde_json::{Value, json};

/// By these names the node finds the testkit's registry, and nobody.
pub(crate) const REGISTRY: &str = "registry.test";
pub(crate) const NOBODY: &str = "refused.test";

/// How much of an image comes in a second.
const RATE: u64 = 1 << 19;

/// Until when a scenario is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// All its pods run.
    Runs,
    /// The kubelet has said so often that it failed.
    Fails(usize),
    /// Its pod is deleted while its image is pulled, and that pull is over.
    DeletedMidway,
    /// After the first failure its image is pushed, and the pod runs.
    FoundLater,
}

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) pods: Vec<(&'static str, Value)>,
    pub(crate) until: Until,
    /// Why its tries fail, where they do.
    pub(crate) fails: Option<FailureReason>,
    /// The image that is on the node before.
    pub(crate) cached: Option<String>,
}

/// Pushes an image of so many bytes, throttled, and returns its name.
fn push(registry: &Registry, name: &str, size: u64) -> String {
    pushed(registry, &format!("{name}:1"), size, Node::image)
}

fn pushed(registry: &Registry, name: &str, size: u64, of: fn(&[Layer]) -> Image) -> String {
    let layers = [(1, size * 3 / 4), (2, size - size * 3 / 4)];
    let layers = layers.map(|(which, size)| Layer::random(&format!("{name}-{which}"), size));
    for layer in &layers {
        registry.blob(layer.digest()).throttle(Some(RATE));
    }
    let pushed = registry.push(name, &of(&layers));
    pushed.replacen(&registry.address().to_string(), REGISTRY, 1)
}

/// What appears only later.
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

/// All but those that need a node of their own.
pub(crate) fn all(registry: &Registry, volumes: bool) -> Vec<Scenario> {
    use FailureReason as Why;
    use Until::{DeletedMidway, Fails, FoundLater, Runs};
    let image = |name: &str, size: u64| push(registry, name, size);
    let one = |image: &str| vec![("web", pod(&[container("app", image)]))];
    let scenario = |name, pods, until| Scenario {
        name,
        pods,
        until,
        fails: None,
        cached: None,
    };
    let failing = |name, image: &str, times, why| Scenario {
        fails: Some(why),
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
    all.push(scenario(
        "two-containers",
        vec![("web", pod(&containers))],
        Runs,
    ));
    for (name, rule) in [
        ("cached-ifnotpresent", "IfNotPresent"),
        ("cached-always", "Always"),
    ] {
        let cached = image(&format!("{name}/app"), mib(1));
        let pods = policy(&cached, rule);
        all.push(Scenario {
            cached: Some(cached),
            ..scenario(name, pods, Runs)
        });
    }
    let once = pushed(
        registry,
        "init-container/once:1",
        mib(1),
        Node::image_that_ends,
    );
    let spec = pod(&[container("app", &image("init-container/app", mib(1)))]);
    let spec = with(spec, "initContainers", json!([container("setup", &once)]));
    all.push(scenario("init-container", vec![("web", spec)], Runs));
    let side = container("proxy", &image("sidecar/side", mib(1)));
    let side = with(side, "restartPolicy", "Always".into());
    let spec = pod(&[container("app", &image("sidecar/app", mib(1)))]);
    let spec = with(spec, "initContainers", json!([side]));
    all.push(scenario("sidecar", vec![("web", spec)], Runs));
    all.extend([
        failing(
            "not-found",
            "registry.test/not-found/none:1",
            3,
            Why::NotFound,
        ),
        Scenario {
            fails: Some(Why::NeverPull),
            ..scenario(
                "never-present",
                policy("registry.test/never-present/never:1", "Never"),
                Fails(1),
            )
        },
        failing(
            "invalid-name",
            "registry.test/invalid-name/UPPER:1",
            1,
            Why::InvalidName,
        ),
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
            fails: Some(Why::NotFound),
            ..scenario(
                "then-found",
                one("registry.test/then-found/later:1"),
                FoundLater,
            )
        },
    ]);
    let named = pushed(registry, "digest/app", mib(1), Node::image);
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
        all.push(scenario(
            "image-volume",
            volume("image-volume", &model),
            Runs,
        ));
        let none = "registry.test/image-volume-not-found/none:1";
        all.push(Scenario {
            fails: Some(Why::NotFound),
            ..scenario(
                "image-volume-not-found",
                volume("image-volume-not-found", none),
                Fails(2),
            )
        });
    }
    all
}

/// Four images at once, for a kubelet that may begin one in two seconds.
pub(crate) fn too_many(registry: &Registry) -> Vec<Scenario> {
    let pods = ["web-0", "web-1", "web-2", "web-3"].map(|name| {
        let image = push(registry, &format!("qps-exceeded/{name}"), mib(1));
        (name, pod(&[container("app", &image)]))
    });
    vec![Scenario {
        name: "qps-exceeded",
        pods: pods.to_vec(),
        until: Until::Runs,
        fails: Some(FailureReason::KubeletQps),
        cached: None,
    }]
}
