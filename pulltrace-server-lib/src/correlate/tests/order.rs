//! The order in which messages arrive does not affect the final result.
//!
//! A simulated kubelet announces the images of pods and pulls them, serially or in parallel; some
//! pulls fail and are retried. The agent, the kubelet and the pods send one stream of messages
//! each. The streams are interleaved at random, and some messages are sent twice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use pulltrace_core::{Links, Pull, PullId};

use super::world::{
    World, at, completed, failed, failed_event, kubelet_event, lease, pod, pulled_event, resolved,
    running, waiting,
};
use crate::change::ImageState;
use crate::cluster::{Pod, PullEvent};

const IMAGES: [(&str, &str, char); 4] = [
    ("registry.test/shop/app:1", "registry.test/shop/app", 'a'),
    ("registry.test/shop/app:2", "registry.test/shop/app", 'b'),
    ("registry.test/shop/db:1", "registry.test/shop/db", 'c'),
    ("registry.test/tools/x:9", "registry.test/tools/x", 'd'),
];

#[derive(Clone, Debug)]
struct PlannedPull {
    image: usize,
    announced: f64,
    duration: f64,
    /// Failed attempts before the successful one.
    failures: u32,
}

#[derive(Clone, Debug)]
enum Message {
    Pull(Box<Pull>),
    Event(PullEvent),
    Pod(Pod),
}

fn planned_pulls() -> impl Strategy<Value = Vec<PlannedPull>> {
    let wish = (0..IMAGES.len(), 0_u32..40, 1_u32..60, 0_u32..3).prop_map(
        |(image, announced, takes, failures)| PlannedPull {
            image,
            announced: f64::from(announced) / 4.0 + 1.0,
            duration: f64::from(takes) / 4.0,
            failures,
        },
    );
    prop::collection::vec(wish, 1..5)
}

/// The pod, image and attempt of each pull.
type GroundTruth = BTreeMap<PullId, (String, &'static str, u32)>;

/// Returns the three streams, each in its order, and the expected result.
fn simulate(plan: &[PlannedPull], serial: bool, pods: bool) -> ([Vec<Message>; 3], GroundTruth) {
    let mut truth = GroundTruth::new();
    let mut streams: [Vec<(f64, Message)>; 3] = Default::default();
    let mut free_at = 0.0_f64;
    let mut number = 0;
    let mut first_failure = BTreeMap::new();
    // Announced pulls, by the time of the announcement.
    let mut queue: Vec<(f64, usize, u32)> =
        plan.iter().enumerate().map(|(pod, wish)| (wish.announced, pod, 1)).collect();
    while !queue.is_empty() {
        queue.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (announced, index, attempt) = queue.remove(0);
        let planned = &plan[index];
        let (image, repository, root) = IMAGES[planned.image];
        let name = format!("pod-{index}");
        let message = format!("Pulling image \"{image}\"");
        let times = (planned.announced, announced, attempt);
        let mut event = kubelet_event(&name, "app", "Pulling", &message, times);
        // client-go encodes the exact time in the name of the object.
        event.first_seen = at(planned.announced + 0.001);
        streams[1].push((announced, Message::Event(event)));
        let start = if serial { announced.max(free_at) } else { announced } + 0.05;
        let end = start + planned.duration;
        free_at = end + 0.01;
        number += 1;
        let unresolved = lease(number, start);
        truth.insert(unresolved.id.clone(), (name.clone(), image, attempt));
        let known = resolved(unresolved.clone(), repository, root);
        streams[0].push((start, Message::Pull(Box::new(unresolved))));
        streams[0].push((start + 0.02, Message::Pull(Box::new(known.clone()))));
        if attempt <= planned.failures {
            streams[0].push((end, Message::Pull(Box::new(failed(known, end)))));
            let text = "unexpected status code https://registry.test/v2/x: 503 Service Unavailable";
            let first = *first_failure.entry(index).or_insert(end + 0.02);
            let times = (first, end + 0.02, attempt);
            streams[1]
                .push((end + 0.02, Message::Event(failed_event(&name, "app", image, text, times))));
            queue.push((end + 10.0 * f64::from(attempt) + 1.0, index, attempt + 1));
        } else {
            streams[0].push((end, Message::Pull(Box::new(completed(known, end, &[image])))));
            let took = ((end - start) * 1_000.0).round() / 1_000.0;
            let all = ((end - announced) * 1_000.0).round() / 1_000.0;
            streams[1].push((
                end + 0.02,
                Message::Event(pulled_event(&name, "app", image, end + 0.02, took, all)),
            ));
            if pods {
                streams[2].push((
                    end + 0.5,
                    Message::Pod(pod(&name, vec![running("app", image, end + 0.3)])),
                ));
            }
        }
    }
    if pods {
        for (index, wish) in plan.iter().enumerate() {
            let wanted = vec![waiting("app", IMAGES[wish.image].0)];
            streams[2].push((0.5, Message::Pod(pod(&format!("pod-{index}"), wanted))));
        }
    }
    let streams = streams.map(|mut stream| {
        stream.sort_by(|a, b| a.0.total_cmp(&b.0));
        stream.into_iter().map(|(_, told)| told).collect()
    });
    (streams, truth)
}

fn deliver(world: &mut World, message: &Message) {
    match message {
        Message::Pull(pull) => world.report_pull(pull),
        Message::Event(event) => world.emit_event(event.clone()),
        Message::Pod(pod) => world.update_pod(pod.clone()),
    }
}

type FinalState =
    (BTreeMap<PullId, (String, Option<String>, Links)>, BTreeMap<String, Vec<ImageState>>);

/// Returns the visible state after all messages, once time has passed.
fn final_state(mut world: World) -> FinalState {
    world.advance(45);
    let rows = world.rows.iter().map(|(id, (pull, links))| {
        let reason = pull.failure.as_ref().map(|failure| failure.reason.to_string());
        (id.clone(), (pull.phase.to_string(), reason, (**links).clone()))
    });
    let pods = world.pods.iter().map(|(uid, view)| {
        let states = view.images.iter().map(|image| image.state);
        (uid.clone(), states.collect())
    });
    (rows.collect(), pods.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_message_order_gives_same_result(
        wishes in planned_pulls(),
        serial: bool,
        pods: bool,
        order in prop::collection::vec((0_usize..3, any::<bool>()), 0..80),
        listed: bool,
    ) {
        let (streams, truth) = simulate(&wishes, serial, pods);
        let mut straight = World::new();
        for told in streams.iter().flatten() {
            deliver(&mut straight, told);
        }
        let mut mixed = World::new();
        let mut left = streams.clone().map(std::collections::VecDeque::from);
        // An initial list is sorted by object name, not by time.
        if listed {
            left[1].make_contiguous().reverse();
        }
        for (which, twice) in order {
            if let Some(told) = left[which].pop_front() {
                deliver(&mut mixed, &told);
                if twice {
                    deliver(&mut mixed, &told);
                }
            }
        }
        for told in left.into_iter().flatten() {
            deliver(&mut mixed, &told);
        }
        let (straight, mixed) = (final_state(straight), final_state(mixed));
        prop_assert_eq!(&straight, &mixed);
        // The result must match the simulation.
        for (id, (phase, reason, links)) in straight.0 {
            prop_assert!(truth.contains_key(&id), "unexpected row: {id} {phase}");
            let (pod, image, attempt) = &truth[&id];
            let said = |name: &str| links.pods.iter().any(|(w, _)| w.pod.name.as_str() == name);
            // Repeats have a resolution of one second, so two pods with the same image may be
            // swapped.
            prop_assert!(said(pod) || *attempt > 1, "{id} is not linked to {pod}: {:?}", links);
            prop_assert!(!links.pods.is_empty());
            for (waiter, _) in &links.pods {
                prop_assert_eq!(&waiter.image.to_string(), image);
            }
            if phase == "failed" {
                prop_assert_eq!(reason.as_deref(), Some("registry_error"));
            }
        }
    }
}
