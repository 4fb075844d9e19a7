//! The agent's bearer token.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;

use super::error::{LONGEST_TOKEN as LONGEST, TokenError};

/// A token and, optionally, the file it is reloaded from.
pub(super) struct Token {
    text: String,
    file: Option<PathBuf>,
    /// True if the last read failed and was logged.
    warned: bool,
}

impl Token {
    pub(super) fn from_text(text: &str) -> Result<Self, TokenError> {
        Ok(Self { text: validate(text)?, file: None, warned: false })
    }

    /// Reads the token from a file, which [`refresh`](Self::refresh) reads again.
    pub(super) fn from_file(path: PathBuf) -> Result<Self, TokenError> {
        Ok(Self { text: read_file(&path)?, file: Some(path), warned: false })
    }

    /// Reloads the token. If the file cannot be read, the previous token stays in use.
    ///
    /// The file is read every time: Kubernetes swaps it in a way that may keep its modification
    /// time.
    pub(super) fn refresh(&mut self) {
        let Some(path) = &self.file else { return };
        match read_file(path) {
            Ok(text) => (self.text, self.warned) = (text, false),
            Err(error) if !self.warned => {
                self.warned = true;
                tracing::warn!(
                    target: "pulltrace::report",
                    error = &error as &(dyn std::error::Error + 'static),
                    "failed to reload the token file; continuing with the previous token"
                );
            }
            Err(_) => {}
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the value of `Authorization`, marked as sensitive so that logs do not show it.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.text)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn read_file(path: &Path) -> Result<String, TokenError> {
    let failed = |source: io::Error| TokenError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // Leaves room for line ends around the token.
    let most = LONGEST as u64 + 16;
    File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| TokenError::Invalid)?;
    if text.trim().is_empty() {
        return Err(TokenError::EmptyFile { path: path.to_owned() });
    }
    validate(&text)
}

fn validate(text: &str) -> Result<String, TokenError> {
    let text = text.trim();
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > LONGEST || !visible {
        return Err(TokenError::Invalid);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_must_be_visible_ascii() {
        assert_eq!(Token::from_text(" abc.DEF-1_2~+/=\n").unwrap().as_str(), "abc.DEF-1_2~+/=");
        for bad in ["", " \n", "a b", "a\nb", "tök", &"x".repeat(LONGEST + 1)] {
            assert!(Token::from_text(bad).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn authorization_header_is_sensitive() {
        let header = Token::from_text("sesame").unwrap().authorization().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer sesame");
        assert!(!format!("{header:?}").contains("sesame"));
    }
}
