//! In whatever order things are heard, the same is found in the end.
//!
//! A kubelet is played: pods want images, it announces them, pulls one by one or all at once, some fail
//! and are tried again. What the agent, the kubelet and the pods say of that are three streams, each in
//! its order; they are told interleaved at random, some of it twice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use pulltrace_core::{Links, Pull, PullId};

use super::world::{
    World, at, completed, failed, fails, lease, pod, pulled, resolved, running, says, waiting,
};
use crate::cluster::{Pod, PullEvent};
use crate::correlate::ImageState;

const IMAGES: [(&str, &str, char); 4] = [
    ("registry.test/shop/app:1", "registry.test/shop/app", 'a'),
    ("registry.test/shop/app:2", "registry.test/shop/app", 'b'),
    ("registry.test/shop/db:1", "registry.test/shop/db", 'c'),
    ("registry.test/tools/x:9", "registry.test/tools/x", 'd'),
];

#[derive(Clone, Debug)]
struct Wish {
    image: usize,
    announced: f64,
    takes: f64,
    /// Tries that fail before the one that does not.
    failures: u32,
}

#[derive(Clone, Debug)]
enum Told {
    Pull(Box<Pull>),
    Event(PullEvent),
    Pod(Pod),
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = (0..IMAGES.len(), 0_u32..40, 1_u32..60, 0_u32..3).prop_map(
        |(image, announced, takes, failures)| Wish {
            image,
            announced: f64::from(announced) / 4.0 + 1.0,
            takes: f64::from(takes) / 4.0,
            failures,
        },
    );
    prop::collection::vec(wish, 1..5)
}

/// Of which pod and image each pull is, and which try.
type Truth = BTreeMap<PullId, (String, &'static str, u32)>;

/// What the three say, each in its order, and what is true.
fn play(wishes: &[Wish], serial: bool, pods: bool) -> ([Vec<Told>; 3], Truth) {
    let mut truth = Truth::new();
    let mut said: [Vec<(f64, Told)>; 3] = Default::default();
    let mut free = 0.0_f64;
    let mut number = 0;
    let mut first_failure = BTreeMap::new();
    // What is to be pulled next, by when it is announced.
    let mut queue: Vec<(f64, usize, u32)> = wishes
        .iter()
        .enumerate()
        .map(|(pod, wish)| (wish.announced, pod, 1))
        .collect();
    while !queue.is_empty() {
        queue.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (announced, index, attempt) = queue.remove(0);
        let wish = &wishes[index];
        let (image, repository, root) = IMAGES[wish.image];
        let name = format!("pod-{index}");
        let message = format!("Pulling image \"{image}\"");
        let times = (wish.announced, announced, attempt);
        let mut event = says(&name, "app", "Pulling", &message, times);
        // As client-go tells it in the object's name.
        event.first = at(wish.announced + 0.001);
        said[1].push((announced, Told::Event(event)));
        let start = if serial {
            announced.max(free)
        } else {
            announced
        } + 0.05;
        let end = start + wish.takes;
        free = end + 0.01;
        number += 1;
        let begun = lease(number, start);
        truth.insert(begun.id.clone(), (name.clone(), image, attempt));
        let known = resolved(begun.clone(), repository, root);
        said[0].push((start, Told::Pull(Box::new(begun))));
        said[0].push((start + 0.02, Told::Pull(Box::new(known.clone()))));
        if attempt <= wish.failures {
            said[0].push((end, Told::Pull(Box::new(failed(known, end)))));
            let text = "unexpected status code https://registry.test/v2/x: 503 Service Unavailable";
            let first = *first_failure.entry(index).or_insert(end + 0.02);
            let times = (first, end + 0.02, attempt);
            said[1].push((
                end + 0.02,
                Told::Event(fails(&name, "app", image, text, times)),
            ));
            queue.push((end + 10.0 * f64::from(attempt) + 1.0, index, attempt + 1));
        } else {
            said[0].push((end, Told::Pull(Box::new(completed(known, end, &[image])))));
            let took = ((end - start) * 1_000.0).round() / 1_000.0;
            let all = ((end - announced) * 1_000.0).round() / 1_000.0;
            said[1].push((
                end + 0.02,
                Told::Event(pulled(&name, "app", image, end + 0.02, took, all)),
            ));
            if pods {
                said[2].push((
                    end + 0.5,
                    Told::Pod(pod(&name, vec![running("app", image, end + 0.3)])),
                ));
            }
        }
    }
    if pods {
        for (index, wish) in wishes.iter().enumerate() {
            let wanted = vec![waiting("app", IMAGES[wish.image].0)];
            said[2].push((0.5, Told::Pod(pod(&format!("pod-{index}"), wanted))));
        }
    }
    let streams = said.map(|mut stream| {
        stream.sort_by(|a, b| a.0.total_cmp(&b.0));
        stream.into_iter().map(|(_, told)| told).collect()
    });
    (streams, truth)
}

fn tell(world: &mut World, told: &Told) {
    match told {
        Told::Pull(pull) => world.tell(pull),
        Told::Event(event) => world.hear(event.clone()),
        Told::Pod(pod) => world.apply(pod.clone()),
    }
}

type Found = (
    BTreeMap<PullId, (String, Option<String>, Links)>,
    BTreeMap<String, Vec<ImageState>>,
);

/// What is shown once all has been said, and time had its say.
fn found(mut world: World) -> Found {
    world.pass(45);
    let rows = world.rows.iter().map(|(id, (pull, links))| {
        let reason = pull
            .failure
            .as_ref()
            .map(|failure| failure.reason.to_string());
        (
            id.clone(),
            (pull.phase.to_string(), reason, (**links).clone()),
        )
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
    fn every_order_of_what_is_heard_ends_alike(
        wishes in wishes(),
        serial: bool,
        pods: bool,
        order in prop::collection::vec((0_usize..3, any::<bool>()), 0..80),
        listed: bool,
    ) {
        let (streams, truth) = play(&wishes, serial, pods);
        let mut straight = World::new();
        for told in streams.iter().flatten() {
            tell(&mut straight, told);
        }
        let mut mixed = World::new();
        let mut left = streams.clone().map(std::collections::VecDeque::from);
        // A list of events is in the order of their names, which is none.
        if listed {
            left[1].make_contiguous().reverse();
        }
        for (which, twice) in order {
            if let Some(told) = left[which].pop_front() {
                tell(&mut mixed, &told);
                if twice {
                    tell(&mut mixed, &told);
                }
            }
        }
        for told in left.into_iter().flatten() {
            tell(&mut mixed, &told);
        }
        let (straight, mixed) = (found(straight), found(mixed));
        prop_assert_eq!(&straight, &mixed);
        // What was played is what was found.
        for (id, (phase, reason, links)) in straight.0 {
            prop_assert!(truth.contains_key(&id), "a row that is no pull: {id} {phase}");
            let (pod, image, attempt) = &truth[&id];
            let said = |name: &str| links.pods.iter().any(|(w, _)| w.pod.name.as_str() == name);
            // A repeat is told by the second only: two pods that want one image may be taken for each other.
            prop_assert!(said(pod) || *attempt > 1, "{id} is {pod}'s: {:?}", links);
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
