//! Parsers for flags of this program. Errors state the expected format.

use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_client::{Client, SetupError};
use pulltrace_core::wire::v1::Phase;
use pulltrace_shell::error::with_help;

/// Parses the URL of a server.
pub(crate) fn server(text: &str) -> Result<String, String> {
    match Client::builder(text).build() {
        Err(error @ SetupError::Url(_)) => Err(with_help(error.to_string(), error.help())),
        // Other setup errors do not concern the URL.
        Ok(_) | Err(_) => Ok(text.to_owned()),
    }
}

/// Parses the name of a phase.
pub(crate) fn phase(text: &str) -> Result<Phase, String> {
    Phase::from_name(text).ok_or_else(|| {
        format!("invalid phase: expected {}", Phase::ALL.map(Phase::as_str).join(", "))
    })
}

/// Parses a replay speed: a factor such as `1`, `10` or `0.5`; `max` or `0` to not wait.
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
        "invalid speed: expected `max`, `0` (the same), or a positive number, e.g. 1, 10, 0.5"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_parses_known_names_only() {
        assert_eq!(phase("failed"), Ok(Phase::Failed));
        for text in ["", "other", "dreaming", "Failed"] {
            assert!(phase(text).unwrap_err().contains("expected"), "{text}");
        }
    }

    #[test]
    fn server_requires_http_url() {
        for good in ["http://localhost:8080", "https://x.example/pulltrace/"] {
            assert_eq!(server(good), Ok(good.to_owned()));
        }
        let error = server("localhost:8080").unwrap_err();
        assert!(error.contains("\nhelp: Use a URL such as "), "{error}");
    }

    #[test]
    fn speed_parses_factors_and_max() {
        assert_eq!(speed("max").unwrap(), Speed::FASTEST);
        assert_eq!(speed("0").unwrap(), Speed::FASTEST);
        assert_eq!(speed("1").unwrap(), Speed::REAL);
        assert_eq!(speed("2.5x").unwrap(), Speed::times(2.5).unwrap());
        for text in ["", "-1", "NaN", "inf", "fast", "1x1"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
