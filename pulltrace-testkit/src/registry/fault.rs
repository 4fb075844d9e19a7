//! The faults: which are set, and what they mean for the next bytes.
//! Sending is not done here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::log::Request;
use super::{Address, lock};
use crate::clock;
use crate::wait::{self, TimedOut};

/// How often a fault strikes before it is used up.
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

/// An answer that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(super) status: u16,
    pub(super) times: Times,
    pub(super) headers: Vec<(String, String)>,
}

impl Refusal {
    /// Refuses with this status until it is cleared.
    ///
    /// # Panics
    /// When `status` is no HTTP status (100 … 999).
    #[must_use]
    pub fn status(status: u16) -> Self {
        assert!((100..1000).contains(&status), "{status} is no HTTP status");
        Self {
            status,
            times: Times::Always,
            headers: Vec::new(),
        }
    }

    /// Refuses so often, then answers.
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

/// Holds transfers back until it is released or dropped.
#[derive(Debug)]
#[must_use = "a gate that is dropped is open"]
pub struct Gate {
    valve: Arc<Valve>,
    what: String,
}

#[derive(Debug)]
struct Valve {
    released: watch::Sender<bool>,
    reached: AtomicU64,
}

impl Valve {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            released: watch::Sender::new(false),
            reached: AtomicU64::new(0),
        })
    }
}

impl Gate {
    /// Lets everything pass, now and later.
    pub fn release(&self) {
        self.valve.released.send_replace(true);
    }

    /// How many answers have come to stand at this gate so far.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.valve.reached.load(Ordering::SeqCst)
    }

    /// Waits until an answer stands at this gate; all bytes before it have
    /// then been handed to the network.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn await_reached(&self, deadline: Duration) -> Result<(), TimedOut> {
        let what = format!("a transfer came to stand at {}", self.what);
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
    Throttle(Arc<Pace>),
    Cut { at: u64, left: Option<u32> },
    Corrupt { at: u64 },
    Refuse { refusal: Refusal, left: Option<u32> },
}

#[derive(Debug)]
struct Fault {
    address: Address,
    effect: Effect,
}

/// All faults that are set, in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Faults {
    set: Mutex<Vec<Fault>>,
}

/// What the faults say about the byte at an offset.
pub(super) enum Next {
    /// Wait at this gate, then ask again.
    Wait(Standing),
    /// Drop the connection.
    Cut,
    /// Send up to this many bytes, at the pace of all of these.
    Send { max: u64, paces: Vec<Arc<Pace>> },
}

/// One answer that waits at a gate.
#[derive(Debug)]
pub(super) struct Standing(Arc<Valve>);

impl Standing {
    /// Waits for the gate. Call it when all bytes before it are sent.
    pub(super) async fn wait(self) {
        self.0.reached.fetch_add(1, Ordering::SeqCst);
        let mut released = self.0.released.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let open = released.wait_for(|open| *open).await;
        debug_assert!(open.is_ok(), "the gate's sender is gone");
    }
}

impl Faults {
    pub(super) fn hold(&self, address: Address, at: u64) -> Gate {
        let valve = Valve::new();
        let gate = Gate {
            valve: Arc::clone(&valve),
            what: format!("byte {at} of {address}"),
        };
        self.add(address, Effect::Hold { at, valve });
        gate
    }

    pub(super) fn silent(&self, address: Address) -> Gate {
        let valve = Valve::new();
        let gate = Gate {
            valve: Arc::clone(&valve),
            what: format!("the silence about {address}"),
        };
        self.add(address, Effect::Silent { valve });
        gate
    }

    pub(super) fn throttle(&self, address: &Address, rate: Option<u64>) {
        let mut set = lock(&self.set);
        let pace = set.iter().find_map(|fault| match &fault.effect {
            Effect::Throttle(pace) if fault.address == *address => Some(pace),
            _ => None,
        });
        match pace {
            Some(pace) => {
                pace.rate.send_replace(rate);
            }
            None => set.push(Fault {
                address: address.clone(),
                effect: Effect::Throttle(Arc::new(Pace::new(rate))),
            }),
        }
    }

    pub(super) fn cut(&self, address: Address, at: u64, times: Times) {
        let left = times.count();
        self.add(address, Effect::Cut { at, left });
    }

    pub(super) fn corrupt(&self, address: Address, at: u64) {
        self.add(address, Effect::Corrupt { at });
    }

    pub(super) fn refuse(&self, address: Address, refusal: Refusal) {
        let left = refusal.times.count();
        self.add(address, Effect::Refuse { refusal, left });
    }

    pub(super) fn clear(&self, which: impl Fn(&Address) -> bool) {
        lock(&self.set).retain(|fault| {
            if !which(&fault.address) {
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

    fn add(&self, address: Address, effect: Effect) {
        lock(&self.set).push(Fault { address, effect });
    }

    /// The silence that this request runs into.
    pub(super) fn silence(&self, request: &Request) -> Option<Standing> {
        lock(&self.set)
            .iter()
            .find_map(|fault| match &fault.effect {
                Effect::Silent { valve }
                    if !*valve.released.borrow() && fault.address.matches(request) =>
                {
                    Some(Standing(Arc::clone(valve)))
                }
                _ => None,
            })
    }

    /// The refusal that this request runs into; it counts as used.
    pub(super) fn refusal(&self, request: &Request) -> Option<Refusal> {
        lock(&self.set)
            .iter_mut()
            .filter(|fault| fault.address.matches(request))
            .find_map(|fault| match &mut fault.effect {
                Effect::Refuse { refusal, left } => take(left).then(|| refusal.clone()),
                _ => None,
            })
    }

    /// What to do at byte `offset` of the answer to `request`.
    pub(super) fn next(&self, request: &Request, offset: u64) -> Next {
        let mut max = u64::MAX;
        let mut paces = Vec::new();
        let mut set = lock(&self.set);
        for fault in set
            .iter_mut()
            .filter(|fault| fault.address.matches(request))
        {
            match &mut fault.effect {
                Effect::Hold { at, valve } => {
                    if *valve.released.borrow() {
                        continue;
                    }
                    if *at <= offset {
                        return Next::Wait(Standing(Arc::clone(valve)));
                    }
                    max = max.min(*at - offset);
                }
                Effect::Cut { at, left } => {
                    if *left == Some(0) {
                        continue;
                    }
                    if *at > offset {
                        max = max.min(*at - offset);
                    } else if take(left) {
                        return Next::Cut;
                    }
                }
                Effect::Throttle(pace) => paces.push(Arc::clone(pace)),
                Effect::Silent { .. } | Effect::Corrupt { .. } | Effect::Refuse { .. } => {}
            }
        }
        Next::Send { max, paces }
    }

    /// Flips the bits of what must arrive corrupt; `data` stands at `offset`.
    pub(super) fn corrupt_bytes(&self, request: &Request, offset: u64, data: &mut [u8]) {
        for fault in lock(&self.set).iter() {
            if let Effect::Corrupt { at } = fault.effect
                && fault.address.matches(request)
                && let Some(index) = at.checked_sub(offset)
                && let Some(byte) = usize::try_from(index).ok().and_then(|i| data.get_mut(i))
            {
                *byte = !*byte;
            }
        }
    }

    /// Whether [`Faults::corrupt_bytes`] would change something.
    pub(super) fn corrupts(&self, request: &Request, offset: u64, len: usize) -> bool {
        lock(&self.set).iter().any(|fault| {
            matches!(fault.effect, Effect::Corrupt { at }
                if at >= offset && at - offset < len as u64 && fault.address.matches(request))
        })
    }
}

/// Uses up one of `left`; `false` when none is left.
fn take(left: &mut Option<u32>) -> bool {
    match left {
        None => true,
        Some(0) => false,
        Some(n) => {
            *n -= 1;
            true
        }
    }
}

/// A limit of bytes per second that several transfers share.
#[derive(Debug)]
pub(super) struct Pace {
    rate: watch::Sender<Option<u64>>,
    /// When the bytes that were let through so far are paid for.
    paid: Mutex<Instant>,
}

/// A transfer waits about this long for each piece, so that a new rate is
/// felt soon.
const PIECE: Duration = Duration::from_millis(25);

impl Pace {
    fn new(rate: Option<u64>) -> Self {
        Self {
            rate: watch::Sender::new(rate),
            paid: Mutex::new(clock::now()),
        }
    }

    /// How many bytes to send as one piece.
    pub(super) fn piece(&self) -> u64 {
        match *self.rate.borrow() {
            None => u64::MAX,
            Some(rate) => {
                (rate / u64::try_from(1000 / PIECE.as_millis()).expect("a small number")).max(1)
            }
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
                    // The sender lives in `self`, so this cannot fail.
                    let alive = changed.changed().await;
                    debug_assert!(alive.is_ok(), "the limit's sender is gone");
                }
                Some(rate) => {
                    let until = {
                        let mut paid = lock(&self.paid);
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
