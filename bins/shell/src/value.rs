//! Parsers for flags and environment variables. Errors state the expected format.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use pulltrace_core::time::parse_go_duration;

/// Parses a duration in Go syntax, as [`parse_go_duration`] does: `300ms`, `1.5s`, `1h30m`.
///
/// # Errors
/// Returns the expected format if `text` is invalid.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_go_duration(text)
        .ok_or_else(|| "invalid duration: expected e.g. `500ms`, `1.5s`, `1h30m`".to_owned())
}

/// Parses a duration greater than zero.
///
/// # Errors
/// Returns the expected format if `text` is invalid.
pub fn time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("invalid duration: expected more than 0s".to_owned()),
        duration => Ok(duration),
    }
}

/// Parses a listen address in Go syntax: `:8080` is that port on all addresses.
///
/// # Errors
/// Returns the expected format if `text` is invalid.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let unspecified = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(unspecified, port)),
        None => text.parse().ok(),
    }
    .ok_or_else(|| {
        "invalid address: expected e.g. `127.0.0.1:8080`, `[::1]:8080`, `:8080`".to_owned()
    })
}

/// Address of the metrics endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    Off,
    At(SocketAddr),
}

/// Parses an [`address`], or `off`.
///
/// # Errors
/// Returns the expected format if `text` is invalid.
pub fn metrics_address(text: &str) -> Result<MetricsAddress, String> {
    if text == "off" {
        return Ok(MetricsAddress::Off);
    }
    let address = address(text).map_err(|error| format!("{error}, `off`"))?;
    Ok(MetricsAddress::At(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_address_accepts_off() {
        assert_eq!(metrics_address("off"), Ok(MetricsAddress::Off));
        let error = metrics_address("no").unwrap_err();
        assert!(error.contains("expected") && error.contains("`off`"), "{error}");
    }

    #[test]
    fn duration_parses_go_syntax() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        let error = duration("5 s").unwrap_err();
        assert!(error.contains("expected"), "{error}");
    }

    #[test]
    fn time_rejects_zero() {
        assert!(time("0s").is_err());
        assert_eq!(time("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn address_parses_go_syntax() {
        for (text, read) in
            [(":8080", "[::]:8080"), ("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:9090", "[::1]:9090")]
        {
            assert_eq!(address(text).unwrap().to_string(), read);
        }
        for text in ["", ":", "8080", "localhost:80", ":65536", ":-1", "1.2.3.4"] {
            let error = address(text).unwrap_err();
            assert!(error.contains("expected"), "{text}: {error}");
        }
    }
}
