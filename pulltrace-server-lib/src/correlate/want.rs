//! What one slot of one pod wants, and what its kubelet has said of that: as tries, each with its end.
//!
//! Facts are kept as they came, and what they mean is computed from them: so it does not matter in which
//! order they came, or how often.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Bytes, Failure, FailureReason, Mono, NodeName, NodeTime, PodRef, PodUid, PullId, Slot,
    WantedImage,
};

use super::fit::KUBELETS;

use crate::cluster::{KubeletWord, PullEvent, Seen, SlotKind};

/// The most objects of events that are kept of one want; the one that happened longest ago goes.
const MAX_OBJECTS: usize = 16;

/// The most repeats of one object whose times are kept.
const MAX_SEEN: usize = 8;

/// The most tries that are looked at, the latest.
const MAX_TRIES: usize = 8;

/// What wants an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) uid: PodUid,
    pub(super) slot: Slot,
    pub(super) image: WantedImage,
}

impl Key {
    /// The id of what was announced so; `None` where it was not.
    pub(super) fn announced(&self, node: &NodeName, one: &Try) -> Option<PullId> {
        Some(PullId::Announced {
            node: node.clone(),
            namespace: KUBELETS.parse().ok()?,
            pod: self.uid.clone(),
            slot: self.slot.clone(),
            at: one.at()?,
        })
    }
}

/// A slot of a pod that wants an image.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) pod: PodRef,
    /// What the pod says of it; `None` where only its kubelet did.
    pub(super) spec: Option<Spec>,
    heard: Vec<Object>,
    /// When something of it was last news.
    pub(super) news: Mono,
    /// When its last announcement was heard.
    pub(super) announced: Mono,
    /// Since when the pod is gone.
    pub(super) gone: Option<Mono>,
    /// Whether something was heard as it happened: what is listed may be long over.
    pub(super) live: bool,
}

/// What a pod says of one of its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// Its place in the kubelet's order.
    pub(super) order: usize,
    pub(super) name: Arc<str>,
    pub(super) kind: SlotKind,
    pub(super) seen: Seen,
    /// When the status last changed here.
    pub(super) since: Mono,
}

/// An object of an event, in its latest version.
#[derive(Clone, Debug)]
struct Object {
    name: Arc<str>,
    word: KubeletWord,
    count: u32,
    first: NodeTime,
    last: NodeTime,
    /// Which occurrence happened when, of those that were heard.
    seen: Vec<(u32, NodeTime)>,
}

/// The kubelet's first pause after a failed pull, which doubles up to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// When the kubelet tries again after this failure. The pause is known only about: it is taken by the
/// sync of a pod, which comes a little later.
pub(super) fn next_retry(at: Stamp, number: u32, failure: &Failure) -> Option<NodeTime> {
    let never = matches!(
        failure.reason,
        FailureReason::NeverPull | FailureReason::InvalidName
    );
    let doubled = 2_u32.saturating_pow(number.saturating_sub(1).min(10));
    let pause = BACK_OFF.0.saturating_mul(doubled).min(BACK_OFF.1);
    (!never).then(|| at.0.saturating_add(pause))
}

/// A time that a kubelet said: whole seconds are cut, so it was up to a second later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(pub(super) NodeTime);

impl Stamp {
    /// The latest that it can have been.
    pub(super) fn latest(self) -> NodeTime {
        if self.0.unix_nanos() % 1_000_000_000 == 0 {
            self.0.saturating_add(Duration::from_nanos(999_999_999))
        } else {
            self.0
        }
    }

    /// Its whole second.
    pub(super) fn second(self) -> i64 {
        self.0.unix_nanos().div_euclid(1_000_000_000)
    }
}

/// One try to get the image, as the kubelet told it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Try {
    /// When it was announced; `None` where that was not heard, or it never is.
    pub(super) announced: Option<Stamp>,
    /// How it ended; `None` while it goes on.
    pub(super) end: Option<(Stamp, End)>,
    /// 1 is the first since the image was last there.
    pub(super) number: u32,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// The kubelet pulled it.
    Pulled {
        took: Option<Duration>,
        with_waiting: Option<Duration>,
        size: Option<Bytes>,
    },
    /// It was there.
    Present,
    /// It could not be pulled, or may not.
    Failed(Failure),
}

impl Try {
    /// The time by which the try is known.
    pub(super) fn at(&self) -> Option<NodeTime> {
        let end = self.end.as_ref().map(|(at, _)| at.0);
        self.announced.map(|at| at.0).or(end)
    }

    pub(super) fn failure(&self) -> Option<(Stamp, &Failure)> {
        match &self.end {
            Some((at, End::Failed(failure))) => Some((*at, failure)),
            _ => None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.end.is_none()
    }
}

/// How it stands with a want.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// The kubelet has not come to it.
    Pending,
    /// It was announced, and goes on.
    Open(Try),
    /// The last try failed.
    Failed(Try),
    /// The image is there, or was.
    Present,
}

impl Want {
    pub(super) const fn new(pod: PodRef, now: Mono) -> Self {
        Self {
            pod,
            spec: None,
            heard: Vec::new(),
            news: now,
            announced: now,
            gone: None,
            live: false,
        }
    }

    /// Takes what its kubelet says. Whether it was news.
    pub(super) fn hear(&mut self, event: &PullEvent, live: bool, now: Mono) -> bool {
        self.live |= live;
        let known = self
            .heard
            .iter_mut()
            .find(|object| object.name == event.name);
        match known {
            Some(object) => {
                if (event.count, event.last) <= (object.count, object.last) {
                    return object.see(event.count, event.last);
                }
                (object.count, object.last) = (event.count, event.last);
                object.first = object.first.min(event.first);
                object.word = event.word.clone();
                object.see(event.count, event.last);
            }
            None => {
                self.heard.push(Object {
                    name: Arc::clone(&event.name),
                    word: event.word.clone(),
                    count: event.count.max(1),
                    first: event.first,
                    last: event.last.max(event.first),
                    seen: if event.count > 1 {
                        vec![(event.count, event.last)]
                    } else {
                        Vec::new()
                    },
                });
                self.heard
                    .sort_by(|a, b| (a.last, &a.name).cmp(&(b.last, &b.name)));
                if self.heard.len() > MAX_OBJECTS {
                    self.heard.remove(0);
                }
            }
        }
        self.news = now;
        if event.word == KubeletWord::Pulling {
            self.announced = now;
        }
        true
    }

    /// What was told of it by its kubelet, oldest first; at most the last eight tries.
    pub(super) fn tries(&self) -> Vec<Try> {
        let mut announced: Vec<Stamp> = self
            .of(|word| *word == KubeletWord::Pulling)
            .flat_map(Object::times)
            .map(Stamp)
            .collect();
        announced.sort_unstable();
        announced.dedup();
        let mut ends: Vec<(Stamp, End)> = self.heard.iter().flat_map(Object::ends).collect();
        ends.sort_by_key(|(at, _)| *at);
        if announced.is_empty() {
            let last = ends.pop().map(|end| Try {
                announced: None,
                end: Some(end),
                number: 1,
            });
            return last.into_iter().collect();
        }
        let skip = announced.len().saturating_sub(MAX_TRIES);
        let next = announced.iter().skip(1).map(Some).chain([None]);
        announced
            .iter()
            .zip(next)
            .skip(skip)
            .map(|(&at, next)| {
                let its = |end: &&(Stamp, End)| {
                    end.0.latest() >= at.0 && next.is_none_or(|next| end.0.second() < next.second())
                };
                Try {
                    announced: Some(at),
                    end: ends.iter().find(its).cloned(),
                    number: self.failures_before(at).saturating_add(1),
                }
            })
            .collect()
    }

    /// How it stands, by the last try and by the pod's status, which lags. A status counts against a try
    /// only once it has had `time` to follow.
    pub(super) fn standing(&self, tries: &[Try], now: Mono, time: Duration) -> Standing {
        let there = match &self.spec {
            Some(spec) => matches!(spec.seen, Seen::Present { .. }),
            None => false,
        };
        let late = |since: Mono| now.since(since) >= time;
        match tries.last() {
            Some(last) => match &last.end {
                Some((_, End::Pulled { .. } | End::Present)) => Standing::Present,
                Some((_, End::Failed(_))) if there && late(self.news) => Standing::Present,
                Some((_, End::Failed(_))) => Standing::Failed(last.clone()),
                None if there && late(self.announced) => Standing::Present,
                None => Standing::Open(last.clone()),
            },
            None if there => Standing::Present,
            None => Standing::Pending,
        }
    }

    /// Why this image could not be pulled, as the pod's status has it. Of an image volume the status of a
    /// container tells.
    pub(super) fn status_failure(&self, image: &WantedImage) -> Option<Failure> {
        let Seen::Waiting { reason, message } = &self.spec.as_ref()?.seen else {
            return None;
        };
        let known = match reason.as_deref()? {
            "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
                None
            }
            "ErrImageNeverPull" => Some(FailureReason::NeverPull),
            "InvalidImageName" => Some(FailureReason::InvalidName),
            "SignatureValidationFailed" => Some(FailureReason::Signature),
            _ => return None,
        };
        let message = message.as_deref().unwrap_or_default();
        let mut quoted = message.split('"').skip(1).step_by(2).peekable();
        if quoted.peek().is_some() && !quoted.any(|name| WantedImage::of(name) == *image) {
            return None;
        }
        let told = Failure::from_text(message);
        Some(match known {
            Some(reason) => Failure { reason, ..told },
            None => told,
        })
    }

    /// Whether nothing was heard of it but what its pod says.
    pub(super) const fn is_unheard(&self) -> bool {
        self.heard.is_empty()
    }

    fn of(&self, word: impl Fn(&KubeletWord) -> bool) -> impl Iterator<Item = &Object> {
        self.heard.iter().filter(move |object| word(&object.word))
    }

    /// How many tries failed since the image was last there, before this one was announced.
    fn failures_before(&self, at: Stamp) -> u32 {
        let there =
            |word: &KubeletWord| matches!(word, KubeletWord::Pulled { .. } | KubeletWord::Present);
        let seconds = self.of(there).flat_map(Object::times);
        let seconds = seconds.map(|time| Stamp(time).second());
        let success = seconds.filter(|second| *second < at.second()).max();
        let failed = self.of(|word| matches!(word, KubeletWord::Failed(f) if is_try(f)));
        failed
            .map(|object| {
                let before = object.before(at.second());
                let done = success.map_or(0, |second| object.before(second + 1));
                before.saturating_sub(done)
            })
            .sum()
    }
}

/// Whether this is how a try fails: of the others there is none.
fn is_try(failure: &Failure) -> bool {
    !matches!(
        failure.reason,
        FailureReason::NeverPull | FailureReason::InvalidName
    )
}

impl Object {
    /// Remembers when an occurrence happened. Whether that was news.
    fn see(&mut self, count: u32, last: NodeTime) -> bool {
        if count <= 1 || self.seen.contains(&(count, last)) {
            return false;
        }
        self.seen.push((count, last));
        self.seen.sort_unstable();
        if self.seen.len() > MAX_SEEN {
            self.seen.remove(0);
        }
        true
    }

    /// The times of the occurrences that are known.
    fn times(&self) -> impl Iterator<Item = NodeTime> + '_ {
        let later = self.seen.iter().map(|(_, at)| *at);
        std::iter::once(self.first).chain(later)
    }

    /// How often it happened before this second, as far as is known.
    fn before(&self, second: i64) -> u32 {
        let known = std::iter::once((1, self.first)).chain(self.seen.iter().copied());
        let at_or_after = known
            .filter(|(_, at)| Stamp(*at).second() >= second)
            .map(|(count, _)| count)
            .min();
        at_or_after.map_or(self.count, |count| count.saturating_sub(1))
    }

    /// The ends that it tells of.
    fn ends(&self) -> Vec<(Stamp, End)> {
        let end = match &self.word {
            KubeletWord::Pulling | KubeletWord::BackOff => return Vec::new(),
            KubeletWord::Pulled {
                took,
                with_waiting,
                size,
            } => End::Pulled {
                took: *took,
                with_waiting: *with_waiting,
                size: *size,
            },
            KubeletWord::Present => End::Present,
            // It is the same for ever, however often it is said.
            KubeletWord::Failed(failure) if !is_try(failure) => {
                return vec![(Stamp(self.first), End::Failed(failure.clone()))];
            }
            KubeletWord::Failed(failure) => End::Failed(failure.clone()),
        };
        self.times().map(|at| (Stamp(at), end.clone())).collect()
    }
}
