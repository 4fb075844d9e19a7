//! Texts of flags into values that only this program has. Each error says what is accepted.

use pulltrace_agent_lib::source::containerd::replay::Speed;

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
