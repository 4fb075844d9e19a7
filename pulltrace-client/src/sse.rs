//! Server-sent events out of bytes, as the HTML standard reads them; without I/O.
//!
//! What is longer than it may be is left out, and told: [`Sse::TooLong`].

use std::mem::take;
use std::time::Duration;

/// The longest line, in bytes: a pull of 1,000 layers has about half of it.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// The most bytes of one event's data, over all its lines.
pub(crate) const MAX_DATA: usize = 4 << 20;

/// What the bytes said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sse {
    /// An event, also one without data: it may still have an id.
    Event {
        /// Empty where it has no name.
        name: String,
        /// Where the reader is with it, if it says so.
        id: Option<String>,
        data: String,
    },
    /// After how long to come back.
    Retry(Duration),
    /// An event that was longer than it may be.
    TooLong,
}

/// Reads a stream from its first byte on, in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    /// The line is longer than it may be.
    cut: bool,
    /// The last byte was a CR: an LF behind it ends no other line.
    cr: bool,
    /// The first line is over.
    begun: bool,
    event: Event,
}

/// What the lines since the last empty one say.
#[derive(Debug, Default)]
struct Event {
    name: String,
    id: Option<String>,
    data: Option<String>,
    too_long: bool,
}

impl Parser {
    /// What is whole with these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Sse> {
        let mut said = Vec::new();
        let mut rest = bytes;
        if !rest.is_empty() && take(&mut self.cr) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, behind) = rest.split_at(end);
            self.append(line);
            self.end_line(&mut said);
            rest = match behind {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.append(rest);
        said
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > MAX_LINE {
            self.cut = true;
            self.line = Vec::new();
        }
        if !self.cut {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, said: &mut Vec<Sse>) {
        let line = take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if take(&mut self.cut) {
            self.event.too_long = true;
        } else if line.is_empty() {
            said.extend(take(&mut self.event).finish());
        } else {
            said.extend(self.event.field(&String::from_utf8_lossy(line)));
        }
    }
}

impl Event {
    fn field(&mut self, line: &str) -> Option<Sse> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.name),
            // An id with a NUL is none.
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                return value
                    .parse()
                    .ok()
                    .map(Duration::from_millis)
                    .map(Sse::Retry);
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
            // A comment has no name; others are of later versions.
            _ => {}
        }
        None
    }

    fn finish(self) -> Option<Sse> {
        if self.too_long {
            return Some(Sse::TooLong);
        }
        if self.data.is_none() && self.id.is_none() {
            return None;
        }
        let mut data = self.data.unwrap_or_default();
        // Each line but the last was followed by another.
        data.pop();
        Some(Sse::Event {
            name: self.name,
            id: self.id,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, id: Option<&str>, data: &str) -> Sse {
        Sse::Event {
            name: name.to_owned(),
            id: id.map(ToOwned::to_owned),
            data: data.to_owned(),
        }
    }

    fn read(text: &[u8]) -> Vec<Sse> {
        Parser::default().feed(text)
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = "\u{feff}: hello\nretry: 1500\n\ndata: a\n\nevent: ping\nid: e-7\ndata:{\"x\": 1}\n\n\
            data: one\ndata\ndata:  three\n\nid\ndata: y\n\nid: e-8\n\nevent: nothing\n\nlater: z\n\ndata: open";
        assert_eq!(
            read(text.as_bytes()),
            [
                Sse::Retry(Duration::from_millis(1500)),
                event("", None, "a"),
                event("ping", Some("e-7"), "{\"x\": 1}"),
                event("", None, "one\n\n three"),
                event("", Some(""), "y"),
                event("", Some("e-8"), ""),
            ]
        );
    }

    #[test]
    fn each_way_to_end_a_line_is_one() {
        let wanted = [event("a", None, "b\nc"), event("", None, "d")];
        for end in ["\n", "\r", "\r\n"] {
            let text = "event: a\ndata: b\ndata: c\n\ndata: d\n\n".replace('\n', end);
            assert_eq!(read(text.as_bytes()), wanted, "{end:?}");
        }
    }

    #[test]
    fn a_piece_without_bytes_changes_nothing() {
        let mut parser = Parser::default();
        let said = [&b"data: a\r"[..], b"", b"\ndata: b\r\n", b"", b"\r"];
        let said: Vec<Sse> = said.iter().flat_map(|piece| parser.feed(piece)).collect();
        assert_eq!(said, [event("", None, "a\nb")]);
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        let text = b"retry: soon\nid: a\0b\ndata: \xff\n\nretry: 99999999999999999999\n\n";
        assert_eq!(read(text), [event("", None, "\u{fffd}")]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut parser = Parser::default();
        for _ in 0..64 {
            assert_eq!(parser.feed(&[b'x'; 64 << 10]), []);
            assert!(parser.line.capacity() <= 2 * MAX_LINE);
        }
        assert_eq!(
            parser.feed(b"\n\ndata: a\n\n"),
            [Sse::TooLong, event("", None, "a")]
        );
    }

    #[test]
    fn an_event_without_end_takes_no_memory() {
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1 << 19));
        for _ in 0..64 {
            assert_eq!(parser.feed(line.as_bytes()), []);
        }
        let kept = parser.event.data.as_ref().map_or(0, String::len);
        assert!(kept <= MAX_DATA, "{kept}");
        assert_eq!(
            parser.feed(b"\ndata: a\n\n"),
            [Sse::TooLong, event("", None, "a")]
        );
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_pieces_are_cut(
            text in "\u{feff}?((data|event|id|retry|:|x)?[: ]{0,2}[a-z0-9é\0]{0,6}(\n|\r|\r\n)){0,24}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let whole = read(text.as_bytes());
            let mut bytewise = Parser::default();
            let one_by_one: Vec<Sse> = text.bytes().flat_map(|byte| bytewise.feed(&[byte])).collect();
            prop_assert_eq!(&one_by_one, &whole);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut parser, mut from, mut pieces) = (Parser::default(), 0, Vec::new());
            for cut in cuts {
                pieces.extend(parser.feed(&text.as_bytes()[from..cut]));
                from = cut;
            }
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(read(&bytes));
        }
    }
}
