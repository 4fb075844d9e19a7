//! The only module that reads the clock.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this is the crate's clock module")]
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Formats a duration: `0.4 s`, `12 s`, `5 min`, `3 min 07 s`.
pub(crate) fn format(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_short_for_all_lengths() {
        for (millis, text) in [
            (0, "0.0 s"),
            (449, "0.4 s"),
            (12_900, "12 s"),
            (119_999, "119 s"),
            (187_000, "3 min 07 s"),
            (300_000, "5 min"),
        ] {
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
    }
}
