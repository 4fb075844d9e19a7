//! The display name of a cluster.

use std::fmt;
use std::str::FromStr;

/// Maximum length of a cluster name, in characters.
const MOST: usize = 63;

/// The display name of a cluster: 1 to 63 visible characters.
///
/// ```
/// use pulltrace_server_lib::ClusterName;
/// let name: ClusterName = " prod, Frankfurt ".parse()?;
/// assert_eq!(name.to_string(), "prod, Frankfurt");
/// assert!("prod\u{1b}[31m".parse::<ClusterName>().is_err());
/// # Ok::<(), pulltrace_server_lib::ClusterNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterName(String);

/// An invalid cluster name. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid cluster name: expected 1 to {MOST} visible characters")]
#[non_exhaustive]
pub struct ClusterNameError;

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let name = text.trim();
        let length = name.chars().take(MOST + 1).count();
        if (1..=MOST).contains(&length) && name.chars().all(is_visible) {
            Ok(Self(name.to_owned()))
        } else {
            Err(ClusterNameError)
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Returns whether a character is visible: no control characters, no bidirectional controls, no
/// zero-width characters.
fn is_visible(char: char) -> bool {
    let hidden = matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    );
    !char.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_name_accepts_only_visible_characters() {
        for name in ["a", "prod-eu-1", "Küche 7 (Test)", "東京", &"x".repeat(63)] {
            assert_eq!(name.parse::<ClusterName>().unwrap().to_string(), name);
        }
        let long = "ü".repeat(64);
        for text in ["", "  ", &long, "a\nb", "a\u{1b}[2J", "a\u{202e}b", "\u{200b}", "a\u{7f}"] {
            assert!(text.parse::<ClusterName>().is_err(), "{text:?}");
        }
    }
}
