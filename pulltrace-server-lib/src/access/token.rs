//! Tokens of agents or readers, given as a value or loaded from a file.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use subtle::{Choice, ConstantTimeEq as _};

/// Maximum number of bytes read from a token file.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// Maximum number of tokens in a file.
const MAX_TOKENS: usize = 16;

/// A set of accepted tokens. More than one is allowed, so that tokens can be rotated.
pub(super) struct TokenSet {
    file: Option<PathBuf>,
    accepted: RwLock<Vec<String>>,
}

/// An unusable token. A retry does not help until it is fixed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file does not exist or cannot be read.
    #[error("failed to read token file `{}`", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file contains no token, too many, or one that is invalid in a header.
    #[error("invalid token file `{}`: expected 1 to {MAX_TOKENS} lines of visible ASCII characters without spaces", path.display())]
    Content {
        /// The path of the file.
        path: PathBuf,
    },
    /// The token is empty or invalid in a header.
    #[error("invalid token: expected visible ASCII characters without spaces")]
    Value,
}

impl TokenSet {
    pub(super) fn from_value(token: &str) -> Result<Self, TokenError> {
        let accepted = parse_tokens(token).ok_or(TokenError::Value)?;
        Ok(Self { file: None, accepted: RwLock::new(accepted) })
    }

    pub(super) fn from_file(path: PathBuf) -> Result<Self, TokenError> {
        let accepted = read_tokens(&path)?;
        Ok(Self { file: Some(path), accepted: RwLock::new(accepted) })
    }

    /// Reloads the file; on error the current tokens are kept.
    pub(super) fn reload(&self) -> Result<(), TokenError> {
        if let Some(path) = &self.file {
            let accepted = read_tokens(path)?;
            *self.accepted.write().unwrap_or_else(PoisonError::into_inner) = accepted;
        }
        Ok(())
    }

    pub(super) fn accepts(&self, candidate: &str) -> bool {
        let accepted = self.accepted.read().unwrap_or_else(PoisonError::into_inner);
        // Compares all tokens in constant time, so that the time reveals neither which one matched
        // nor how much of it.
        let equal = |token: &String| token.as_bytes().ct_eq(candidate.as_bytes());
        accepted.iter().fold(Choice::from(0), |any, token| any | equal(token)).into()
    }
}

impl std::fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSet").field("file", &self.file).finish_non_exhaustive()
    }
}

fn read_tokens(path: &Path) -> Result<Vec<String>, TokenError> {
    use std::io::Read as _;
    let failed = |source| TokenError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES as u64).read_to_string(&mut text).map_err(failed)?;
    parse_tokens(&text).ok_or_else(|| TokenError::Content { path: path.to_owned() })
}

fn parse_tokens(text: &str) -> Option<Vec<String>> {
    let tokens: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    let sound = |token: &String| token.bytes().all(|byte| byte.is_ascii_graphic());
    ((1..=MAX_TOKENS).contains(&tokens.len()) && tokens.iter().all(sound)).then_some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_exact_token() {
        let token = TokenSet::from_value("secret").unwrap();
        assert!(token.accepts("secret"));
        for wrong in ["", "secre", "secret ", "Secret", "secretsecret"] {
            assert!(!token.accepts(wrong), "{wrong}");
        }
    }

    #[test]
    fn reload_supports_rotation_and_keeps_tokens_on_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "old\nnew\n").unwrap();
        let token = TokenSet::from_file(path.clone()).unwrap();
        assert!(token.accepts("old") && token.accepts("new"));
        std::fs::write(&path, "new\n").unwrap();
        token.reload().unwrap();
        assert!(token.accepts("new") && !token.accepts("old"));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(token.reload(), Err(TokenError::Content { .. })));
        assert!(token.accepts("new"), "an unusable file changes nothing");
    }

    #[test]
    fn from_value_rejects_tokens_invalid_in_headers() {
        for text in ["", " ", "a b", "é", "a\u{7}"] {
            assert!(matches!(TokenSet::from_value(text), Err(TokenError::Value)), "{text:?}");
        }
    }

    #[test]
    fn debug_output_hides_token() {
        assert!(!format!("{:?}", TokenSet::from_value("secret").unwrap()).contains("secret"));
    }
}
