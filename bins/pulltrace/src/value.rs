//! Texts of flags and environment variables into values. Each error says what is accepted.

use std::time::Duration;

use pulltrace_agent_lib::source::containerd::replay::Speed;

/// A duration as Go writes it: `300ms`, `1.5s`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const ACCEPTED: &str = "no duration; accepted are numbers with the units ms, s, m and h, like 500ms, 1.5s or 1h30m";
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(
            rest.find(|c: char| !c.is_ascii_digit() && c != '.')
                .ok_or(ACCEPTED)?,
        );
        let (unit, tail) = tail.split_at(
            tail.find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(tail.len()),
        );
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(ACCEPTED.to_owned()),
        };
        total += number.parse::<f64>().map_err(|_| ACCEPTED)? * seconds;
        rest = tail;
    }
    // The longest that Go has.
    if text.is_empty() || !(0.0..=9.2e9).contains(&total) {
        return Err(ACCEPTED.to_owned());
    }
    Duration::try_from_secs_f64(total).map_err(|_| ACCEPTED.to_owned())
}

/// A duration that is not zero.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("no time at all; accepted is more than 0s".to_owned()),
        duration => Ok(duration),
    }
}

/// How fast to replay: `1`, `10`, `0.5`; `max` or `0` without any wait.
pub(crate) fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::FASTEST);
    }
    match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
        Ok(0.0) => Some(Speed::FASTEST),
        Ok(factor) => Speed::times(factor),
        Err(_) => None,
    }
    .ok_or_else(|| {
        "no speed; accepted are `max`, `0` (the same), and positive numbers like 1, 10 or 0.5"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("1.5s", 1_500),
            (".5s", 500),
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("1h2m3s4ms", 3_723_004),
        ] {
            let read = duration(text).unwrap();
            assert_eq!(read.as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "5d",
            "-1s",
            "1.2.3s",
            "1e9s",
            "99999999h",
            "1s1",
            "∞s",
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains("accepted"), "{text}: {error}");
        }
        assert!(time("0s").is_err());
    }

    #[test]
    fn speeds_are_read() {
        assert_eq!(speed("max").unwrap(), Speed::FASTEST);
        assert_eq!(speed("0").unwrap(), Speed::FASTEST);
        assert_eq!(speed("1").unwrap(), Speed::REAL);
        assert_eq!(speed("2.5x").unwrap(), Speed::times(2.5).unwrap());
        for text in ["", "-1", "NaN", "inf", "fast", "1x1"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
