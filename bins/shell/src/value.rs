//! Parsers for flags and environment variables. Errors state the expected format.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Parses a duration in Go syntax: `300ms`, `1.5s`, `1h30m`.
///
/// # Errors
/// Returns the expected format if `text` is invalid.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ACCEPTED: &str = "invalid duration: expected e.g. `500ms`, `1.5s`, `1h30m`";
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, tail) =
            rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(ACCEPTED)?);
        let (unit, tail) = tail
            .split_at(tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len()));
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
    // Go's longest duration.
    if text.is_empty() || !(0.0..=9.2e9).contains(&total) {
        return Err(ACCEPTED.to_owned());
    }
    Duration::try_from_secs_f64(total).map_err(|_| ACCEPTED.to_owned())
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
    fn duration_rejects_invalid_text() {
        for text in ["", "5", "s", "5 s", "5d", "-1s", "1.2.3s", "1e9s", "99999999h", "1s1", "∞s"]
        {
            let error = duration(text).unwrap_err();
            assert!(error.contains("expected"), "{text}: {error}");
        }
        assert!(time("0s").is_err());
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
