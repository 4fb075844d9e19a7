//! The demo's own options. All others are passed to `pulltrace watch`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The parsed arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Args {
    /// The duration; until Ctrl-C when `None`.
    pub(crate) duration: Option<Duration>,
    /// A version of containerd; the best available one when `None`.
    pub(crate) containerd: Option<String>,
    pub(crate) seed: u64,
    pub(crate) brief: bool,
    pub(crate) replay: bool,
    /// With pods: a kubelet pulls, and an API server knows which pods need the images.
    pub(crate) kubernetes: bool,
    /// The port of the page; the default port or a free one when `None`.
    pub(crate) port: Option<u16>,
    /// A file to record to instead of watching.
    pub(crate) record: Option<PathBuf>,
    pub(crate) help: bool,
    /// Flags for `pulltrace watch`.
    pub(crate) watch_flags: Vec<OsString>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            duration: None,
            containerd: None,
            seed: 1,
            brief: false,
            replay: false,
            kubernetes: false,
            port: None,
            record: None,
            help: false,
            watch_flags: Vec::new(),
        }
    }
}

/// Parses the arguments after the program's name. The error is one line.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let mut out = Args::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_str().unwrap_or_default();
        let (flag, attached) = match text.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(OsString::from(value))),
            _ => (text, None),
        };
        let mut value = |accepted: &str| match attached.clone().or_else(|| args.next()) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(format!("{flag} requires a value: {accepted}")),
        };
        match flag {
            "--seconds" => {
                let accepted = "a number of seconds from 1, such as 60";
                let seconds = parse_number(flag, &value(accepted)?, accepted)?;
                if seconds == 0 {
                    return Err(format!("invalid --seconds 0: expected {accepted}"));
                }
                out.duration = Some(Duration::from_secs(seconds));
            }
            "--seed" => {
                let accepted = "an integer, such as 7";
                out.seed = parse_number(flag, &value(accepted)?, accepted)?;
            }
            "--containerd" => {
                let version = value("a version, such as 2.4")?;
                out.containerd = Some(minor_version(&version.to_string_lossy()));
            }
            "--port" => {
                let accepted = "a port, such as 8080";
                let port = parse_number(flag, &value(accepted)?, accepted)?;
                let port = u16::try_from(port);
                out.port = Some(port.map_err(|_| format!("invalid --port: expected {accepted}"))?);
            }
            "--record" => out.record = Some(value("a file to write to")?.into()),
            "--brief" => out.brief = true,
            "--replay" => out.replay = true,
            "--kubernetes" => out.kubernetes = true,
            "--help" | "-h" => out.help = true,
            "--socket" | "--namespace" | "--server" => {
                return Err(format!(
                    "{flag} is not supported by the demo, which starts its own containerd and server: \
                     use `pulltrace watch {flag} …` for an existing one"
                ));
            }
            _ => out.watch_flags.push(arg),
        }
    }
    if out.replay && (out.record.is_some() || out.brief || out.containerd.is_some()) {
        return Err("--replay cannot be combined with --record, --brief or --containerd".into());
    }
    if out.kubernetes && (out.replay || out.record.is_some() || out.brief) {
        return Err("--kubernetes cannot be combined with --replay, --record or --brief".into());
    }
    Ok(out)
}

/// Turns `v2.4.2` into `2.4`: only one patch version of each is available.
fn minor_version(version: &str) -> String {
    let version = version.trim_start_matches('v');
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn parse_number(flag: &str, value: &OsString, accepted: &str) -> Result<u64, String> {
    value
        .to_str()
        .and_then(|text| text.parse::<u32>().ok())
        .map(u64::from)
        .ok_or_else(|| format!("invalid {flag} {value:?}: expected {accepted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn unknown_flags_are_passed_to_watch() {
        let args = read("--output json --seconds 5 --layers all --seed=3 --containerd v1.6.20");
        let expected = Args {
            duration: Some(Duration::from_secs(5)),
            seed: 3,
            containerd: Some("1.6".into()),
            watch_flags: ["--output", "json", "--layers", "all"].map(Into::into).into(),
            ..Args::default()
        };
        assert_eq!(args, Ok(expected));
        assert_eq!(read(""), Ok(Args::default()));
    }

    #[test]
    fn invalid_arguments_name_accepted_values() {
        for (line, text) in [
            ("--seconds", "--seconds requires a value"),
            ("--seconds=", "--seconds requires a value"),
            ("--seconds 0", "invalid --seconds 0: expected"),
            ("--seconds -1", "invalid --seconds \"-1\": expected"),
            ("--seed x", "invalid --seed \"x\": expected"),
            ("--port 70000", "invalid --port: expected a port"),
            ("--server http://x", "--server is not supported by the demo"),
            ("--socket /run/x", "--socket is not supported by the demo"),
            ("--namespace=default", "--namespace is not supported by the demo"),
            ("--replay --brief", "--replay cannot be combined with"),
            ("--kubernetes --brief", "--kubernetes cannot be combined with"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.starts_with(text), "{line}: {error}");
        }
    }
}
