//! The demo's own options; what is none of them is `pulltrace watch`'s.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Args {
    /// For how long; until Ctrl-C when `None`.
    pub(crate) time: Option<Duration>,
    /// A version of containerd; the best there is when `None`.
    pub(crate) containerd: Option<String>,
    pub(crate) seed: u64,
    pub(crate) brief: bool,
    pub(crate) replay: bool,
    /// With pods: a kubelet pulls, and an API server knows for whom.
    pub(crate) kubernetes: bool,
    /// Where the page is; a usual or a free port when `None`.
    pub(crate) port: Option<u16>,
    /// Where to record to, in place of watching.
    pub(crate) record: Option<PathBuf>,
    pub(crate) help: bool,
    /// Flags for `pulltrace watch`.
    pub(crate) watch: Vec<OsString>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            time: None,
            containerd: None,
            seed: 1,
            brief: false,
            replay: false,
            kubernetes: false,
            port: None,
            record: None,
            help: false,
            watch: Vec::new(),
        }
    }
}

/// Reads the arguments after the program's name; an error is one line.
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
            _ => Err(format!("{flag} needs a value: {accepted}")),
        };
        match flag {
            "--seconds" => {
                let accepted = "a number of seconds of at least 1, like 60";
                let seconds = number(flag, &value(accepted)?, accepted)?;
                if seconds == 0 {
                    return Err(format!("--seconds is 0: accepted is {accepted}"));
                }
                out.time = Some(Duration::from_secs(seconds));
            }
            "--seed" => {
                let accepted = "a whole number, like 7";
                out.seed = number(flag, &value(accepted)?, accepted)?;
            }
            "--containerd" => {
                let version = value("a version, like 2.4")?;
                out.containerd = Some(minor(&version.to_string_lossy()));
            }
            "--port" => {
                let accepted = "a port, like 8080";
                let port = number(flag, &value(accepted)?, accepted)?;
                let port = u16::try_from(port);
                out.port = Some(port.map_err(|_| format!("--port: accepted is {accepted}"))?);
            }
            "--record" => out.record = Some(value("a file to write to")?.into()),
            "--brief" => out.brief = true,
            "--replay" => out.replay = true,
            "--kubernetes" => out.kubernetes = true,
            "--help" | "-h" => out.help = true,
            "--socket" | "--namespace" | "--server" => {
                return Err(format!(
                    "{flag} is not for the demo, which has a containerd and a server of its own: \
                     use `pulltrace watch {flag} …` for others"
                ));
            }
            _ => out.watch.push(arg),
        }
    }
    if out.replay && (out.record.is_some() || out.brief || out.containerd.is_some()) {
        return Err("--replay goes with neither --record nor --brief nor --containerd".into());
    }
    if out.kubernetes && (out.replay || out.record.is_some() || out.brief) {
        return Err("--kubernetes goes with neither --replay nor --record nor --brief".into());
    }
    Ok(out)
}

/// `2.4` of `v2.4.2`: there is one patch of each.
fn minor(version: &str) -> String {
    let version = version.trim_start_matches('v');
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn number(flag: &str, value: &OsString, accepted: &str) -> Result<u64, String> {
    value
        .to_str()
        .and_then(|text| text.parse::<u32>().ok())
        .map(u64::from)
        .ok_or_else(|| format!("{flag} is {value:?}: accepted is {accepted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn own_options_are_taken_and_the_rest_is_handed_on() {
        let args = read("--output json --seconds 5 --layers all --seed=3 --containerd v1.6.20");
        let expected = Args {
            time: Some(Duration::from_secs(5)),
            seed: 3,
            containerd: Some("1.6".into()),
            watch: ["--output", "json", "--layers", "all"]
                .map(Into::into)
                .into(),
            ..Args::default()
        };
        assert_eq!(args, Ok(expected));
        assert_eq!(read(""), Ok(Args::default()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_is_accepted() {
        for (line, text) in [
            ("--seconds", "--seconds needs a value"),
            ("--seconds=", "--seconds needs a value"),
            ("--seconds 0", "--seconds is 0: accepted is"),
            ("--seconds -1", "--seconds is \"-1\": accepted is"),
            ("--seed x", "--seed is \"x\": accepted is"),
            ("--port 70000", "--port: accepted is a port"),
            ("--server http://x", "--server is not for the demo"),
            ("--socket /run/x", "--socket is not for the demo"),
            ("--namespace=default", "--namespace is not for the demo"),
            ("--replay --brief", "--replay goes with neither"),
            ("--kubernetes --brief", "--kubernetes goes with neither"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.starts_with(text), "{line}: {error}");
        }
    }
}
