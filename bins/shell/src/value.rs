//! Texts of flags and environment variables into values. Each error says what is accepted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A duration as Go writes it: `300ms`, `1.5s`, `1h30m`.
///
/// # Errors
/// What is accepted, where it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
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
///
/// # Errors
/// What is accepted, where it is none.
pub fn time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("no time at all; accepted is more than 0s".to_owned()),
        duration => Ok(duration),
    }
}

/// An address to listen at, as Go writes it: `:8080` is that port of every address of this machine.
///
/// # Errors
/// What is accepted, where it is none.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let every = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(every, port)),
        None => text.parse().ok(),
    }
    .ok_or_else(|| {
        "no address; accepted are an IP address and a port, like 127.0.0.1:8080 or [::1]:8080, and \
         a port alone, like :8080"
            .to_owned()
    })
}

/// Where metrics are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    Off,
    At(SocketAddr),
}

/// An [`address`], or `off`.
///
/// # Errors
/// What is accepted, where it is neither.
pub fn metrics_address(text: &str) -> Result<MetricsAddress, String> {
    if text == "off" {
        return Ok(MetricsAddress::Off);
    }
    let address = address(text).map_err(|error| format!("{error}, and `off`"))?;
    Ok(MetricsAddress::At(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_can_be_off() {
        assert_eq!(metrics_address("off"), Ok(MetricsAddress::Off));
        let error = metrics_address("no").unwrap_err();
        assert!(
            error.contains("accepted") && error.contains("`off`"),
            "{error}"
        );
    }

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
    fn addresses_of_go_are_read() {
        for (text, read) in [
            (":8080", "[::]:8080"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:9090", "[::1]:9090"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), read);
        }
        for text in ["", ":", "8080", "localhost:80", ":65536", ":-1", "1.2.3.4"] {
            let error = address(text).unwrap_err();
            assert!(error.contains("accepted"), "{text}: {error}");
        }
    }
}
