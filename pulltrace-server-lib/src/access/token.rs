//! A token that agents or readers must bring: given, or read from a file again and again.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// The longest file that is read.
const MAX_FILE: usize = 64 * 1024;

/// The most tokens of one file.
const MAX_TOKENS: usize = 16;

/// What opens a door: one of several tokens, so that they can be changed one after another.
pub(super) struct Token {
    file: Option<PathBuf>,
    accepted: RwLock<Vec<String>>,
}

/// A token that cannot be used. A retry helps once the file is as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file is not there, or may not be read.
    #[error("cannot read the token file `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no token in it, or none that a header can carry.
    #[error("the token file `{}` must have one to {MAX_TOKENS} lines, each of visible ASCII characters without blanks", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
    },
    /// The value is empty, or no header can carry it.
    #[error("a token must be of visible ASCII characters without blanks, and at least one")]
    Value,
}

impl Token {
    pub(super) fn value(token: &str) -> Result<Self, TokenError> {
        let accepted = usable(token).ok_or(TokenError::Value)?;
        Ok(Self {
            file: None,
            accepted: RwLock::new(accepted),
        })
    }

    pub(super) fn file(path: PathBuf) -> Result<Self, TokenError> {
        let accepted = read(&path)?;
        Ok(Self {
            file: Some(path),
            accepted: RwLock::new(accepted),
        })
    }

    /// Reads the file again; after an error the tokens stay as they were.
    pub(super) fn reload(&self) -> Result<(), TokenError> {
        if let Some(path) = &self.file {
            let accepted = read(path)?;
            *self
                .accepted
                .write()
                .unwrap_or_else(PoisonError::into_inner) = accepted;
        }
        Ok(())
    }

    pub(super) fn opens(&self, brought: &str) -> bool {
        let accepted = self.accepted.read().unwrap_or_else(PoisonError::into_inner);
        // Each is compared, so that the time does not tell which of them it was.
        accepted
            .iter()
            .fold(false, |open, token| open | same(token, brought))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<String>, TokenError> {
    use std::io::Read as _;
    let failed = |source| TokenError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_FILE as u64)
        .read_to_string(&mut text)
        .map_err(failed)?;
    usable(&text).ok_or_else(|| TokenError::Content {
        path: path.to_owned(),
    })
}

fn usable(text: &str) -> Option<Vec<String>> {
    let tokens: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    let sound = |token: &String| token.bytes().all(|byte| byte.is_ascii_graphic());
    ((1..=MAX_TOKENS).contains(&tokens.len()) && tokens.iter().all(sound)).then_some(tokens)
}

/// Whether they are equal, in a time that depends on their lengths only.
fn same(a: &str, b: &str) -> bool {
    let differ = |sum: u8, (x, y): (u8, u8)| std::hint::black_box(sum | (x ^ y));
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_token_opens() {
        let token = Token::value("secret").unwrap();
        assert!(token.opens("secret"));
        for wrong in ["", "secre", "secret ", "Secret", "secretsecret"] {
            assert!(!token.opens(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_file_may_hold_the_old_token_beside_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "old\nnew\n").unwrap();
        let token = Token::file(path.clone()).unwrap();
        assert!(token.opens("old") && token.opens("new"));
        std::fs::write(&path, "new\n").unwrap();
        token.reload().unwrap();
        assert!(token.opens("new") && !token.opens("old"));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(token.reload(), Err(TokenError::Content { .. })));
        assert!(token.opens("new"), "an unusable file changes nothing");
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        for text in ["", " ", "a b", "é", "a\u{7}"] {
            assert!(
                matches!(Token::value(text), Err(TokenError::Value)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        assert!(!format!("{:?}", Token::value("secret").unwrap()).contains("secret"));
    }
}
