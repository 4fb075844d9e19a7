//! The token by which the server knows the agent.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;

use super::error::{LONGEST_TOKEN as LONGEST, TokenError};

/// A token, and the file that it may change in.
pub(super) struct Token {
    text: String,
    file: Option<PathBuf>,
    /// The file could not be read the last time, and that was said.
    warned: bool,
}

impl Token {
    pub(super) fn fixed(text: &str) -> Result<Self, TokenError> {
        Ok(Self {
            text: checked(text)?,
            file: None,
            warned: false,
        })
    }

    /// The token that is in this file now, and later what is in it then.
    pub(super) fn in_file(path: PathBuf) -> Result<Self, TokenError> {
        Ok(Self {
            text: read(&path)?,
            file: Some(path),
            warned: false,
        })
    }

    /// Takes what the file holds now; where it cannot be read, the last that was read stands.
    ///
    /// It is read each time: a file that is swapped, as Kubernetes does it, may keep its time of change.
    pub(super) fn refresh(&mut self) {
        let Some(path) = &self.file else { return };
        match read(path) {
            Ok(text) => (self.text, self.warned) = (text, false),
            Err(error) if !self.warned => {
                self.warned = true;
                tracing::warn!(
                    target: "pulltrace::report",
                    error = &error as &(dyn std::error::Error + 'static),
                    "the token file cannot be used: going on with the token that was in it"
                );
            }
            Err(_) => {}
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// `Authorization: Bearer …`, never shown in a log.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.text)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn read(path: &Path) -> Result<String, TokenError> {
    let failed = |source: io::Error| TokenError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    // Line ends around the token are no part of it.
    let most = LONGEST as u64 + 16;
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| TokenError::Characters)?;
    if text.trim().is_empty() {
        return Err(TokenError::EmptyFile {
            path: path.to_owned(),
        });
    }
    checked(&text)
}

fn checked(text: &str) -> Result<String, TokenError> {
    let text = text.trim();
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > LONGEST || !visible {
        return Err(TokenError::Characters);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_visible_ascii() {
        assert_eq!(
            Token::fixed(" abc.DEF-1_2~+/=\n").unwrap().as_str(),
            "abc.DEF-1_2~+/="
        );
        for bad in ["", " \n", "a b", "a\nb", "tök", &"x".repeat(LONGEST + 1)] {
            assert!(Token::fixed(bad).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn a_header_hides_its_token() {
        let header = Token::fixed("sesame").unwrap().header().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer sesame");
        assert!(!format!("{header:?}").contains("sesame"));
    }
}
