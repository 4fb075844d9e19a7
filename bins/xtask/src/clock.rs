//! The one place that reads the clock: how long a stage took, for people.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the crate's clock module"
    )]
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// `0.4 s`, `12 s`, `3 min 07 s`.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_to_read() {
        for (millis, text) in [
            (0, "0.0 s"),
            (449, "0.4 s"),
            (12_900, "12 s"),
            (119_999, "119 s"),
            (187_000, "3 min 07 s"),
        ] {
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
    }
}
