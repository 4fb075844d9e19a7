//! Error messages.

use std::error::Error;

/// Formats an error and its sources on one line: `error: source: source`. A source whose text is
/// already part of the line is left out.
///
/// ```
/// use pulltrace_core::error::error_chain;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("failed to read the token file")]
/// struct ReadToken(#[source] std::io::Error);
///
/// let error = ReadToken(std::io::Error::other("permission denied"));
/// assert_eq!(error_chain(&error), "failed to read the token file: permission denied");
/// ```
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let message = source.to_string();
        if !text.contains(&message) {
            text += ": ";
            text += &message;
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Box<Layer> {
        let (text, rest) = texts.split_first().expect("an error has a text");
        let source = (!rest.is_empty()).then(|| layers(rest));
        Box::new(Layer { text, source })
    }

    #[test]
    fn sources_follow_in_order() {
        assert_eq!(error_chain(&layers(&["a", "b", "c"])), "a: b: c");
    }

    #[test]
    fn repeated_text_is_left_out() {
        assert_eq!(
            error_chain(&layers(&["request failed: timeout", "timeout"])),
            "request failed: timeout"
        );
    }
}
