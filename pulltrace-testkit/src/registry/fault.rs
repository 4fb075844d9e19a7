//! The injected faults and their effect on the next bytes of a response. Does not send anything
//! itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::lock::lock;
use super::log::Request;
use super::matcher::RequestMatcher;
use crate::clock;
use crate::wait::{self, TimedOut};

/// The number of times that a fault applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Once,
    /// This many times.
    Times(u32),
    /// Until it is cleared.
    Always,
}

impl Times {
    fn count(self) -> Option<u32> {
        match self {
            Self::Once => Some(1),
            Self::Times(n) => Some(n),
            Self::Always => None,
        }
    }
}

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(super) status: u16,
    pub(super) times: Times,
    pub(super) headers: Vec<(String, String)>,
}

impl Refusal {
    /// Responds with this status until the fault is cleared.
    ///
    /// # Panics
    /// When `status` is outside of 100–999.
    #[must_use]
    pub fn status(status: u16) -> Self {
        assert!((100..1000).contains(&status), "invalid HTTP status {status}");
        Self { status, times: Times::Always, headers: Vec::new() }
    }

    /// Limits the number of error responses; later requests succeed.
    #[must_use]
    pub fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Adds a header, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Holds back responses until it is released or dropped.
#[derive(Debug)]
#[must_use = "dropping a gate releases it"]
pub struct Gate {
    valve: Arc<Valve>,
    description: String,
}

#[derive(Debug)]
struct Valve {
    released: watch::Sender<bool>,
    reached: AtomicU64,
}

impl Valve {
    fn new() -> Arc<Self> {
        Arc::new(Self { released: watch::Sender::new(false), reached: AtomicU64::new(0) })
    }
}

impl Gate {
    /// Lets all responses pass, now and in future.
    pub fn release(&self) {
        self.valve.released.send_replace(true);
    }

    /// The number of responses that have reached this gate so far.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.valve.reached.load(Ordering::SeqCst)
    }

    /// Waits until a response reaches this gate. All bytes before the gate have then been passed to
    /// the network.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn await_reached(&self, deadline: Duration) -> Result<(), TimedOut> {
        let what = format!("a response reached {}", self.description);
        wait::until(what, deadline, async || (self.reached() > 0).then_some(())).await
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.release();
    }
}

#[derive(Debug, Clone)]
enum Effect {
    Hold { at: u64, valve: Arc<Valve> },
    Silent { valve: Arc<Valve> },
    Throttle(Arc<RateLimiter>),
    Cut { at: u64, left: Option<u32> },
    Corrupt { at: u64 },
    Refuse { refusal: Refusal, left: Option<u32> },
}

#[derive(Debug)]
struct Fault {
    matcher: RequestMatcher,
    effect: Effect,
}

/// All active faults, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Faults {
    active: Mutex<Vec<Fault>>,
}

/// The action for the byte at an offset.
pub(super) enum NextAction {
    /// Wait at this gate, then ask again.
    Wait(GateWaiter),
    /// Drop the connection.
    Cut,
    /// Send up to `max` bytes, subject to all of these rate limits.
    Send { max: u64, limiters: Vec<Arc<RateLimiter>> },
}

/// A response that waits at a gate.
#[derive(Debug)]
pub(super) struct GateWaiter(Arc<Valve>);

impl GateWaiter {
    /// Waits until the gate is released. Call it only once all bytes before the gate have been
    /// sent.
    pub(super) async fn wait(self) {
        self.0.reached.fetch_add(1, Ordering::SeqCst);
        let mut released = self.0.released.subscribe();
        // Cannot fail: `self` keeps the sender alive.
        let open = released.wait_for(|open| *open).await;
        debug_assert!(open.is_ok(), "the gate's sender was dropped");
    }
}

impl Faults {
    pub(super) fn hold(&self, matcher: RequestMatcher, at: u64) -> Gate {
        let valve = Valve::new();
        let gate = Gate {
            valve: Arc::clone(&valve),
            description: format!("the gate at byte {at} of {matcher}"),
        };
        self.add(matcher, Effect::Hold { at, valve });
        gate
    }

    pub(super) fn silent(&self, matcher: RequestMatcher) -> Gate {
        let valve = Valve::new();
        let gate = Gate {
            valve: Arc::clone(&valve),
            description: format!("the gate before the response to {matcher}"),
        };
        self.add(matcher, Effect::Silent { valve });
        gate
    }

    pub(super) fn throttle(&self, matcher: &RequestMatcher, rate: Option<u64>) {
        let mut set = lock(&self.active);
        let pace = set.iter().find_map(|fault| match &fault.effect {
            Effect::Throttle(pace) if fault.matcher == *matcher => Some(pace),
            _ => None,
        });
        match pace {
            Some(pace) => {
                pace.rate.send_replace(rate);
            }
            None => set.push(Fault {
                matcher: matcher.clone(),
                effect: Effect::Throttle(Arc::new(RateLimiter::new(rate))),
            }),
        }
    }

    pub(super) fn cut(&self, matcher: RequestMatcher, at: u64, times: Times) {
        let left = times.count();
        self.add(matcher, Effect::Cut { at, left });
    }

    pub(super) fn corrupt(&self, matcher: RequestMatcher, at: u64) {
        self.add(matcher, Effect::Corrupt { at });
    }

    pub(super) fn refuse(&self, matcher: RequestMatcher, refusal: Refusal) {
        let left = refusal.times.count();
        self.add(matcher, Effect::Refuse { refusal, left });
    }

    pub(super) fn clear(&self, which: impl Fn(&RequestMatcher) -> bool) {
        lock(&self.active).retain(|fault| {
            if !which(&fault.matcher) {
                return true;
            }
            match &fault.effect {
                Effect::Hold { valve, .. } | Effect::Silent { valve } => {
                    valve.released.send_replace(true);
                }
                Effect::Throttle(pace) => {
                    pace.rate.send_replace(None);
                }
                Effect::Cut { .. } | Effect::Corrupt { .. } | Effect::Refuse { .. } => {}
            }
            false
        });
    }

    fn add(&self, matcher: RequestMatcher, effect: Effect) {
        lock(&self.active).push(Fault { matcher, effect });
    }

    /// Returns the unreleased [`super::Target::silent`] gate that matches the request.
    pub(super) fn silence_for(&self, request: &Request) -> Option<GateWaiter> {
        lock(&self.active).iter().find_map(|fault| match &fault.effect {
            Effect::Silent { valve }
                if !*valve.released.borrow() && fault.matcher.matches(request) =>
            {
                Some(GateWaiter(Arc::clone(valve)))
            }
            _ => None,
        })
    }

    /// Returns the error response that applies to the request, and counts it as used.
    pub(super) fn refusal_for(&self, request: &Request) -> Option<Refusal> {
        lock(&self.active).iter_mut().filter(|fault| fault.matcher.matches(request)).find_map(
            |fault| match &mut fault.effect {
                Effect::Refuse { refusal, left } => use_one(left).then(|| refusal.clone()),
                _ => None,
            },
        )
    }

    /// Returns the action for byte `offset` of the response to `request`.
    pub(super) fn next_action(&self, request: &Request, offset: u64) -> NextAction {
        let mut max = u64::MAX;
        let mut paces = Vec::new();
        let mut set = lock(&self.active);
        for fault in set.iter_mut().filter(|fault| fault.matcher.matches(request)) {
            match &mut fault.effect {
                Effect::Hold { at, valve } => {
                    if *valve.released.borrow() {
                        continue;
                    }
                    if *at <= offset {
                        return NextAction::Wait(GateWaiter(Arc::clone(valve)));
                    }
                    max = max.min(*at - offset);
                }
                Effect::Cut { at, left } => {
                    if *left == Some(0) {
                        continue;
                    }
                    if *at > offset {
                        max = max.min(*at - offset);
                    } else if use_one(left) {
                        return NextAction::Cut;
                    }
                }
                Effect::Throttle(pace) => paces.push(Arc::clone(pace)),
                Effect::Silent { .. } | Effect::Corrupt { .. } | Effect::Refuse { .. } => {}
            }
        }
        NextAction::Send { max, limiters: paces }
    }

    /// Flips all bits of the bytes to corrupt; `data` starts at `offset`.
    pub(super) fn corrupt_bytes(&self, request: &Request, offset: u64, data: &mut [u8]) {
        for fault in lock(&self.active).iter() {
            if let Effect::Corrupt { at } = fault.effect
                && fault.matcher.matches(request)
                && let Some(index) = at.checked_sub(offset)
                && let Some(byte) = usize::try_from(index).ok().and_then(|i| data.get_mut(i))
            {
                *byte = !*byte;
            }
        }
    }

    /// Reports whether [`Faults::corrupt_bytes`] would change anything.
    pub(super) fn would_corrupt(&self, request: &Request, offset: u64, len: usize) -> bool {
        lock(&self.active).iter().any(|fault| {
            matches!(fault.effect, Effect::Corrupt { at }
                if at >= offset && at - offset < len as u64 && fault.matcher.matches(request))
        })
    }
}

/// Decrements `left`; returns `false` if it is already 0.
fn use_one(left: &mut Option<u32>) -> bool {
    match left {
        None => true,
        Some(0) => false,
        Some(n) => {
            *n -= 1;
            true
        }
    }
}

/// A limit in bytes per second, shared by several transfers.
#[derive(Debug)]
pub(super) struct RateLimiter {
    rate: watch::Sender<Option<u64>>,
    /// The time at which all bytes admitted so far have been sent at the limited rate.
    available_at: Mutex<Instant>,
}

/// The time that one chunk takes at the limited rate, short enough for a new rate to take effect
/// soon.
const CHUNK_TIME: Duration = Duration::from_millis(25);

impl RateLimiter {
    fn new(rate: Option<u64>) -> Self {
        Self { rate: watch::Sender::new(rate), available_at: Mutex::new(clock::now()) }
    }

    /// The number of bytes to send in one chunk.
    pub(super) fn chunk_len(&self) -> u64 {
        match *self.rate.borrow() {
            None => u64::MAX,
            Some(rate) => (rate
                / u64::try_from(1000 / CHUNK_TIME.as_millis()).expect("a small number"))
            .max(1),
        }
    }

    /// Waits until `bytes` may be sent.
    pub(super) async fn admit(&self, bytes: u64) {
        let mut changed = self.rate.subscribe();
        loop {
            let rate = *changed.borrow_and_update();
            match rate {
                None => return,
                Some(0) => {
                    // Cannot fail: `self` keeps the sender alive.
                    let alive = changed.changed().await;
                    debug_assert!(alive.is_ok(), "the limit's sender was dropped");
                }
                Some(rate) => {
                    let until = {
                        let mut paid = lock(&self.available_at);
                        let price = Duration::from_secs_f64(bytes as f64 / rate as f64);
                        *paid = (*paid).max(clock::now()) + price;
                        *paid
                    };
                    tokio::time::sleep_until(until.into()).await;
                    return;
                }
            }
        }
    }
}
