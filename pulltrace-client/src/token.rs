//! The token that authenticates the client.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use reqwest::header::HeaderValue;

use crate::error::TokenError;

/// The maximum length. A Kubernetes token has about 1,000 characters.
const MAX_LENGTH: usize = 16 << 10;

/// The source of the token.
#[derive(Clone)]
pub(crate) enum Token {
    Fixed(String),
    /// Read for each request, as Kubernetes rotates tokens.
    File(PathBuf),
}

impl Token {
    /// Returns the value of the `Authorization` header, marked as sensitive so that it is not
    /// logged.
    pub(crate) fn header(&self) -> Result<HeaderValue, TokenError> {
        let text = match self {
            Self::Fixed(text) => text.clone(),
            Self::File(path) => read_file(path)?,
        };
        let text = text.trim();
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_LENGTH || !visible {
            return Err(TokenError::Invalid);
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| TokenError::Invalid)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn read_file(path: &PathBuf) -> Result<String, TokenError> {
    let mut text = String::new();
    // Leaves room for line breaks around the token.
    File::open(path)
        .and_then(|file| file.take(MAX_LENGTH as u64 + 16).read_to_string(&mut text))
        .map_err(|source| TokenError::Read { path: path.clone(), source })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_must_be_visible_ascii() {
        let header = |text: &str| Token::Fixed(text.to_owned()).header();
        assert_eq!(header(" abc.DEF-1_2~+/=\n").unwrap(), "Bearer abc.DEF-1_2~+/=");
        for bad in ["", " \n", "a b", "tök", &"x".repeat(MAX_LENGTH + 1)] {
            assert!(header(bad).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn token_file_is_reread_after_change() {
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
