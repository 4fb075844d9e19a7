//! The token by which the server knows the reader.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use reqwest::header::HeaderValue;

use crate::error::TokenError;

/// The longest token; a token of Kubernetes has about 1,000 characters.
const LONGEST: usize = 16 << 10;

/// Where the token is.
#[derive(Clone)]
pub(crate) enum Token {
    Fixed(String),
    /// Read for each request: Kubernetes changes its tokens.
    File(PathBuf),
}

impl Token {
    /// `Authorization: Bearer …`, never shown in a log.
    pub(crate) fn header(&self) -> Result<HeaderValue, TokenError> {
        let text = match self {
            Self::Fixed(text) => text.clone(),
            Self::File(path) => read(path)?,
        };
        let text = text.trim();
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > LONGEST || !visible {
            return Err(TokenError::Characters);
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| TokenError::Characters)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn read(path: &PathBuf) -> Result<String, TokenError> {
    let mut text = String::new();
    // Line ends around the token are no part of it.
    File::open(path)
        .and_then(|file| file.take(LONGEST as u64 + 16).read_to_string(&mut text))
        .map_err(|source| TokenError::Read {
            path: path.clone(),
            source,
        })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_visible_ascii() {
        let header = |text: &str| Token::Fixed(text.to_owned()).header();
        assert_eq!(
            header(" abc.DEF-1_2~+/=\n").unwrap(),
            "Bearer abc.DEF-1_2~+/="
        );
        for bad in ["", " \n", "a b", "tök", &"x".repeat(LONGEST + 1)] {
            assert!(header(bad).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn a_token_that_changed_in_its_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = Token::File(path.clone());
        assert!(matches!(token.header(), Err(TokenError::Read { .. })));
        for text in ["one\n", "two\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(token.header().unwrap(), format!("Bearer {}", text.trim()));
        }
        assert!(!format!("{:?}", token.header()).contains("two"));
    }
}
