//! Texts of flags into values that only this program has. Each error says what is accepted.

use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_client::{Client, SetupError};
use pulltrace_core::wire::v1::Phase;

/// The URL of a server.
pub(crate) fn server(text: &str) -> Result<String, String> {
    match Client::builder(text).build() {
        Err(error @ SetupError::Url(_)) => Err(error.to_string()),
        // What else is wrong is not the URL.
        Ok(_) | Err(_) => Ok(text.to_owned()),
    }
}

/// A phase, by its word.
pub(crate) fn phase(text: &str) -> Result<Phase, String> {
    match serde_json::from_value(text.into()) {
        Ok(Phase::Other) | Err(_) => Err(
            "no phase; accepted are queued, resolving, downloading, extracting, completed, failed, cancelled, unknown"
                .to_owned(),
        ),
        Ok(phase) => Ok(phase),
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
    fn phases_are_words() {
        assert_eq!(phase("failed"), Ok(Phase::Failed));
        for text in ["", "other", "dreaming", "Failed"] {
            assert!(phase(text).unwrap_err().contains("accepted"), "{text}");
        }
    }

    #[test]
    fn a_server_has_a_url() {
        for good in ["http://localhost:8080", "https://x.example/pulltrace/"] {
            assert_eq!(server(good), Ok(good.to_owned()));
        }
        let error = server("localhost:8080").unwrap_err();
        assert!(error.contains("http://HOST:PORT"), "{error}");
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
