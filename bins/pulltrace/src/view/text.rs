//! Lines of styled text, and fitting them: widths, elision, bars.
//!
//! Independent of pulls. A character of East Asian scripts takes two cells, and a combining mark none.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};
use unicode_width::UnicodeWidthChar as _;

/// Capabilities of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Shows tones as colours.
    pub(crate) colour: bool,
    /// Shows characters beyond ASCII.
    pub(crate) unicode: bool,
}

/// The meaning of a piece of text, which determines its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Active,
    Good,
    Bad,
    Warning,
}

/// A piece of text in one tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    text: String,
    tone: Tone,
}

/// A line of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<Span>);

impl Line {
    /// Appends sanitized text.
    pub(crate) fn push(&mut self, text: &str, tone: Tone) -> &mut Self {
        self.0.push(Span { text: sanitize(text), tone });
        self
    }

    /// Appends spaces until the line is `column` cells wide.
    pub(crate) fn pad_to(&mut self, column: usize) -> &mut Self {
        let missing = column.saturating_sub(self.width());
        self.push(&" ".repeat(missing), Tone::Plain)
    }

    /// Appends another line.
    pub(crate) fn join(&mut self, other: Self) -> &mut Self {
        self.0.extend(other.0);
        self
    }

    /// Returns the width in cells.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|span| cells(&span.text)).sum()
    }

    /// Cuts the line to `width` cells and marks the cut with an ellipsis.
    pub(crate) fn cut(mut self, width: usize, style: Style) -> Self {
        if self.width() <= width {
            return self;
        }
        let mark = style.ellipsis();
        let mut room = width.saturating_sub(cells(mark));
        for span in &mut self.0 {
            let kept = prefix(&span.text, room);
            // A wide character that was cut in half leaves a cell, but nothing follows it.
            room = if kept.len() < span.text.len() { 0 } else { room - cells(kept) };
            span.text = kept.to_owned();
        }
        self.push(prefix(mark, width), Tone::Faint);
        self
    }

    /// Renders the line for a terminal, without trailing spaces.
    pub(crate) fn render(&self, style: Style) -> String {
        let mut out = String::new();
        let end = self
            .0
            .iter()
            .rposition(|span| !span.text.trim_end().is_empty())
            .map_or(0, |last| last + 1);
        for (index, span) in self.0.iter().take(end).enumerate() {
            let text = if index + 1 == end { span.text.trim_end() } else { &span.text };
            let ansi = span.tone.ansi();
            if style.colour && ansi != Ansi::new() {
                let _infallible = write!(out, "{ansi}{text}{ansi:#}");
            } else {
                out.push_str(text);
            }
        }
        out
    }
}

impl Style {
    pub(crate) const fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// Returns the separator between facts.
    pub(crate) const fn separator(self) -> &'static str {
        if self.unicode { " · " } else { " - " }
    }

    /// Returns a bar of `width` cells: unpacked, downloaded but not unpacked, missing.
    pub(crate) fn bar(self, width: usize, unpacked: f64, here: f64) -> Line {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a few cells"
        )]
        // Rounded down, so that only the last byte fills the last cell.
        let cells =
            |share: f64| ((share.clamp(0.0, 1.0) * width as f64).floor() as usize).min(width);
        let here = cells(here);
        let unpacked = cells(unpacked).min(here);
        let [full, half, none] = if self.unicode { ["█", "▓", "░"] } else { ["#", "=", "."] };
        let mut line = Line::default();
        line.push(&full.repeat(unpacked), Tone::Good)
            .push(&half.repeat(here - unpacked), Tone::Active)
            .push(&none.repeat(width - here), Tone::Faint);
        line
    }
}

impl Tone {
    const fn ansi(self) -> Ansi {
        match self {
            Self::Plain => Ansi::new(),
            Self::Strong => Ansi::new().bold(),
            Self::Faint => Ansi::new().dimmed(),
            Self::Active => AnsiColor::Blue.on_default(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
        }
    }
}

/// Returns the width of sanitized text in cells. Like terminals, it adds up the characters.
pub(crate) fn cells(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

fn cells_of(c: char) -> usize {
    c.width().unwrap_or_default()
}

/// Returns the longest start of a text that fits in this many cells, with all combining marks of its
/// last character.
fn prefix(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += cells_of(*c);
        used > width
    });
    end.map_or(text, |(end, _)| text.split_at(end).0)
}

/// Returns the longest end of a text that fits in this many cells, without combining marks of a
/// character before it.
fn suffix(text: &str, width: usize) -> &str {
    let mut used = 0;
    let fitting = text.char_indices().rev().take_while(|(_, c)| {
        used += cells_of(*c);
        used <= width
    });
    let start = fitting.filter(|(_, c)| cells_of(*c) > 0).last();
    start.map_or("", |(start, _)| text.split_at(start).1)
}

/// Replaces characters without a defined width, and invisible ones: texts of images and registries
/// may contain anything.
pub(crate) fn sanitize(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_whitespace() => ' ',
            c if c.width().is_none() || is_invisible(c) => '?',
            c => c,
        })
        .collect()
}

/// Reports whether a character joins, reorders or selects the form of others.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Shortens an image name to `width` cells. The part before the last component is cut first, from
/// its end: the last component with its tag or digest identifies the image.
pub(crate) fn elide(name: &str, width: usize, style: Style) -> String {
    let name = sanitize(name);
    if cells(&name) <= width {
        return name;
    }
    let mark = style.ellipsis();
    let tail = name.rfind('/').map_or(name.as_str(), |slash| name.split_at(slash).1);
    let room = width.saturating_sub(cells(tail) + cells(mark));
    if tail.len() < name.len() && room >= MIN_HEAD {
        return format!("{}{mark}{tail}", prefix(&name, room));
    }
    let last = tail.trim_start_matches('/');
    if cells(last) + cells(mark) < width && last.len() < name.len() {
        return format!("{mark}/{last}");
    }
    if cells(last) <= width {
        return last.to_owned();
    }
    // Even the last component is too long: keep its start, and its end with the tag.
    let Some(room) = width.checked_sub(cells(mark)) else {
        return prefix(mark, width).to_owned();
    };
    let back = room / 2;
    format!("{}{mark}{}", prefix(last, room - back), suffix(last, back))
}

/// A shorter part of a registry's name is useless.
const MIN_HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const UNICODE: Style = Style { colour: false, unicode: true };

    #[test]
    fn elide_keeps_last_component() {
        let name = "registry.example.com/team/group/app:1.2.3";
        for (width, text) in [
            (41, "registry.example.com/team/group/app:1.2.3"),
            (40, "registry.example.com/team/gro…/app:1.2.3"),
            (20, "registry.…/app:1.2.3"),
            (15, "regi…/app:1.2.3"),
            (14, "…/app:1.2.3"),
            (11, "…/app:1.2.3"),
            (10, "app:1.2.3"),
            (9, "app:1.2.3"),
            (8, "app:…2.3"),
            (1, "…"),
            (0, ""),
        ] {
            assert_eq!(elide(name, width, UNICODE), text);
            assert!(cells(text) <= width);
        }
        assert_eq!(elide("nginx", 5, UNICODE), "nginx");
        assert_eq!(elide("nginx-unprivileged", 9, UNICODE), "ngin…eged");
    }

    #[test]
    fn elide_fits_in_ascii() {
        let ascii = Style { unicode: false, ..UNICODE };
        for width in 0..60 {
            let text = elide("registry.example.com/team/group/app:1.2.3", width, ascii);
            assert!(text.len() <= width, "{text:?} in {width}");
            assert!(text.is_ascii());
        }
    }

    #[test]
    fn sanitize_replaces_control_and_invisible_characters() {
        assert_eq!(sanitize("a\x1b[2Jb\r\n\u{202e}日é\u{7f}"), "a?[2Jb  ?日é?");
        assert_eq!(sanitize("\u{200b}\u{feff}\u{fe0f}\u{2028}\u{e0041}"), "??? ?");
    }

    #[test]
    fn cells_of_wide_and_combining_characters() {
        for (text, width) in [
            ("ascii", 5),
            ("é", 1),
            ("e\u{301}", 1),
            ("日本語", 6),
            ("한국", 4),
            ("ﾊﾝｶｸ", 4),
            ("ｆｕｌｌ", 8),
            ("🐳", 2),
            ("ไม่", 2),
        ] {
            assert_eq!(cells(&sanitize(text)), width, "{text}");
            assert_eq!(sanitize(text), text);
        }
    }

    #[test]
    fn wide_text_is_cut_and_padded_by_cells() {
        let line = |text| {
            let mut line = Line::default();
            line.push(text, Tone::Plain);
            line
        };
        assert_eq!(line("日本").pad_to(6).push("|", Tone::Plain).render(UNICODE), "日本  |");
        assert_eq!(
            line("e\u{301}").pad_to(3).push("|", Tone::Plain).render(UNICODE),
            "e\u{301}  |"
        );
        for (width, text) in [(6, "日本語"), (5, "日本…"), (4, "日…"), (3, "日…"), (1, "…")]
        {
            let cut = line("日本語").cut(width, UNICODE);
            assert!(cut.width() <= width);
            assert_eq!(cut.render(UNICODE), text);
        }
        let mut two = line("日本");
        two.push("ab", Tone::Plain);
        assert_eq!(two.cut(4, UNICODE).render(UNICODE), "日…", "the second span is dropped");
        assert_eq!(line("e\u{301}e\u{301}e\u{301}").cut(2, UNICODE).render(UNICODE), "e\u{301}…");
    }

    #[test]
    fn wide_name_is_elided_by_cells() {
        for (width, text) in [
            (21, "レジストリ/チーム/app"),
            (16, "レジストリ/…/app"),
            (15, "レジストリ…/app"),
            (6, "…/app"),
        ] {
            assert_eq!(elide("レジストリ/チーム/app", width, UNICODE), text);
        }
        assert_eq!(elide("日本語日本語", 8, UNICODE), "日本…語");
        assert_eq!(elide("e\u{301}e\u{301}e\u{301}e\u{301}", 3, UNICODE), "e\u{301}…e\u{301}");
        for width in 0..12 {
            assert!(cells(&elide("日本/語日本語", width, UNICODE)) <= width, "{width}");
        }
    }

    #[test]
    fn bar_is_full_only_at_all_bytes() {
        let bar = |unpacked, here| UNICODE.bar(8, unpacked, here).render(UNICODE);
        assert_eq!(bar(0.0, 0.0), "░░░░░░░░");
        assert_eq!(bar(0.25, 0.5), "██▓▓░░░░");
        assert_eq!(bar(0.0, 0.999), "▓▓▓▓▓▓▓░");
        assert_eq!(bar(1.0, 1.0), "████████");
        assert_eq!(bar(9.0, f64::NAN), "░░░░░░░░");
    }

    #[test]
    fn cut_line_ends_with_ellipsis() {
        let line = |text| {
            let mut line = Line::default();
            line.push(text, Tone::Plain).push("tail", Tone::Bad);
            line
        };
        assert_eq!(line("head ").cut(9, UNICODE).render(UNICODE), "head tail");
        assert_eq!(line("head ").cut(7, UNICODE).render(UNICODE), "head t…");
        assert_eq!(line("head ").cut(0, UNICODE).render(UNICODE), "");
    }

    #[test]
    fn colours_are_rendered_only_when_enabled() {
        let mut line = Line::default();
        line.push("a", Tone::Plain).push("b", Tone::Bad).push("  ", Tone::Faint);
        assert_eq!(line.render(UNICODE), "ab");
        let colour = Style { colour: true, ..UNICODE };
        assert_eq!(line.render(colour), "a\x1b[31mb\x1b[0m");
    }
}
