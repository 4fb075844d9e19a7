//! A parser of server-sent events according to the HTML standard, without I/O.
//!
//! Events that exceed a limit are dropped and reported as [`SseItem::TooLong`].

use std::mem::take;
use std::time::Duration;

/// The maximum length of a line in bytes, about twice that of a pull with 1,000 layers.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// The maximum length of an event's data in bytes, over all its lines.
pub(crate) const MAX_DATA: usize = 4 << 20;

/// An item of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SseItem {
    /// An event. Events without data are included, as they may have an id.
    Event {
        /// Empty if the event has no name.
        name: String,
        /// The position in the stream, if the event has one.
        id: Option<String>,
        data: String,
    },
    /// The delay before a reconnect.
    Retry(Duration),
    /// An event that exceeded a limit.
    TooLong,
}

/// Parses a stream from its first byte, in chunks of any size.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    /// The line exceeds its limit.
    line_too_long: bool,
    /// The last byte was a CR; a following LF does not end another line.
    after_cr: bool,
    /// The first line has ended.
    started: bool,
    event: PendingEvent,
}

/// The fields since the last empty line.
#[derive(Debug, Default)]
struct PendingEvent {
    name: String,
    id: Option<String>,
    data: Option<String>,
    too_long: bool,
}

impl SseParser {
    /// Parses a chunk and returns the items it completes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<SseItem> {
        let mut items = Vec::new();
        let mut rest = bytes;
        if !rest.is_empty() && take(&mut self.after_cr) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, behind) = rest.split_at(end);
            self.append(line);
            self.end_line(&mut items);
            rest = match behind {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.append(rest);
        items
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > MAX_LINE {
            self.line_too_long = true;
            self.line = Vec::new();
        }
        if !self.line_too_long {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, items: &mut Vec<SseItem>) {
        let line = take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if take(&mut self.line_too_long) {
            self.event.too_long = true;
        } else if line.is_empty() {
            items.extend(take(&mut self.event).finish());
        } else {
            items.extend(self.event.apply_field(&String::from_utf8_lossy(line)));
        }
    }
}

impl PendingEvent {
    fn apply_field(&mut self, line: &str) -> Option<SseItem> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.name),
            // The standard ignores ids that contain NUL.
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                return value.parse().ok().map(Duration::from_millis).map(SseItem::Retry);
            }
            "data" => {
                let data = self.data.get_or_insert_default();
                if data.len() + value.len() >= MAX_DATA {
                    self.too_long = true;
                } else if !self.too_long {
                    data.push_str(value);
                    data.push('\n');
                }
            }
            // A comment has an empty name; other names are of later versions.
            _ => {}
        }
        None
    }

    fn finish(self) -> Option<SseItem> {
        if self.too_long {
            return Some(SseItem::TooLong);
        }
        if self.data.is_none() && self.id.is_none() {
            return None;
        }
        let mut data = self.data.unwrap_or_default();
        // The data ends with a line break, which is not part of it.
        data.pop();
        Some(SseItem::Event { name: self.name, id: self.id, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, id: Option<&str>, data: &str) -> SseItem {
        SseItem::Event {
            name: name.to_owned(),
            id: id.map(ToOwned::to_owned),
            data: data.to_owned(),
        }
    }

    fn read(text: &[u8]) -> Vec<SseItem> {
        SseParser::default().feed(text)
    }

    #[test]
    fn parser_follows_html_standard() {
        let text = "\u{feff}: hello\nretry: 1500\n\ndata: a\n\nevent: ping\nid: e-7\ndata:{\"x\": 1}\n\n\
            data: one\ndata\ndata:  three\n\nid\ndata: y\n\nid: e-8\n\nevent: nothing\n\nlater: z\n\ndata: open";
        assert_eq!(
            read(text.as_bytes()),
            [
                SseItem::Retry(Duration::from_millis(1500)),
                event("", None, "a"),
                event("ping", Some("e-7"), "{\"x\": 1}"),
                event("", None, "one\n\n three"),
                event("", Some(""), "y"),
                event("", Some("e-8"), ""),
            ]
        );
    }

    #[test]
    fn parser_accepts_every_line_ending() {
        let wanted = [event("a", None, "b\nc"), event("", None, "d")];
        for end in ["\n", "\r", "\r\n"] {
            let text = "event: a\ndata: b\ndata: c\n\ndata: d\n\n".replace('\n', end);
            assert_eq!(read(text.as_bytes()), wanted, "{end:?}");
        }
    }

    #[test]
    fn empty_chunk_changes_nothing() {
        let mut parser = SseParser::default();
        let chunks = [&b"data: a\r"[..], b"", b"\ndata: b\r\n", b"", b"\r"];
        let items: Vec<SseItem> = chunks.iter().flat_map(|piece| parser.feed(piece)).collect();
        assert_eq!(items, [event("", None, "a\nb")]);
    }

    #[test]
    fn invalid_fields_are_ignored() {
        let text = b"retry: soon\nid: a\0b\ndata: \xff\n\nretry: 99999999999999999999\n\n";
        assert_eq!(read(text), [event("", None, "\u{fffd}")]);
    }

    #[test]
    fn endless_line_uses_bounded_memory() {
        let mut parser = SseParser::default();
        for _ in 0..64 {
            assert_eq!(parser.feed(&[b'x'; 64 << 10]), []);
            assert!(parser.line.capacity() <= 2 * MAX_LINE);
        }
        assert_eq!(parser.feed(b"\n\ndata: a\n\n"), [SseItem::TooLong, event("", None, "a")]);
    }

    #[test]
    fn endless_event_uses_bounded_memory() {
        let mut parser = SseParser::default();
        let line = format!("data: {}\n", "x".repeat(1 << 19));
        for _ in 0..64 {
            assert_eq!(parser.feed(line.as_bytes()), []);
        }
        let kept = parser.event.data.as_ref().map_or(0, String::len);
        assert!(kept <= MAX_DATA, "{kept}");
        assert_eq!(parser.feed(b"\ndata: a\n\n"), [SseItem::TooLong, event("", None, "a")]);
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_matter(
            text in "\u{feff}?((data|event|id|retry|:|x)?[: ]{0,2}[a-z0-9é\0]{0,6}(\n|\r|\r\n)){0,24}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let whole = read(text.as_bytes());
            let mut bytewise = SseParser::default();
            let one_by_one: Vec<SseItem> = text.bytes().flat_map(|byte| bytewise.feed(&[byte])).collect();
            prop_assert_eq!(&one_by_one, &whole);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut parser, mut from, mut pieces) = (SseParser::default(), 0, Vec::new());
            for cut in cuts {
                pieces.extend(parser.feed(&text.as_bytes()[from..cut]));
                from = cut;
            }
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn parser_accepts_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(read(&bytes));
        }
    }
}
