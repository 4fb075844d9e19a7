//! Draws lines in place below the existing output of the terminal, and writes log lines above them.
//! Uses neither the alternate screen nor raw mode, so Ctrl-C works.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::live::Size;
use super::text::{Line, Style};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// Synchronized updates: terminals that support them never show a partial frame, others ignore
/// them.
const BEGIN_FRAME: &str = "\x1b[?2026h";
const END_FRAME: &str = "\x1b[?2026l";
const ERASE_LINE: &str = "\x1b[2K";
const ERASE_BELOW: &str = "\x1b[J";

/// Set while the cursor is hidden.
static CURSOR_HIDDEN: AtomicBool = AtomicBool::new(false);

/// Shows the cursor if it was hidden. The last frame stays.
pub(crate) fn restore() {
    if CURSOR_HIDDEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        // Erases the `^C` that the terminal echoed. A closed terminal needs no cursor.
        let text = format!("\r{ERASE_LINE}{SHOW_CURSOR}");
        let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// A drawing area on the terminal, shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Screen(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    style: Style,
    /// The last frame, drawn again below each log line.
    shown: Vec<Line>,
}

/// Returns the size of the terminal without the line of the cursor; 80x24 if unknown.
fn size() -> Size {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())
        .map_or((80, 24), |(width, height)| (width.0, height.0));
    Size { width: width.into(), height: usize::from(height).saturating_sub(1) }
}

impl Screen {
    /// Starts drawing on standard output.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub(crate) fn start(style: Style) -> io::Result<Self> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            hook(info);
        }));
        CURSOR_HIDDEN.store(true, Ordering::SeqCst);
        io::stdout().write_all(HIDE_CURSOR.as_bytes())?;
        Ok(Self(Arc::new(Mutex::new(Inner { style, shown: Vec::new() }))))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the last frame with the output of `view` for the size of the terminal.
    ///
    /// # Errors
    /// Returns an error if the terminal is closed.
    pub(crate) fn draw(&self, view: impl FnOnce(Size, Style) -> Vec<Line>) -> io::Result<()> {
        let mut inner = self.inner();
        let size = size();
        let lines = view(size, inner.style);
        let frame = frame(&inner.shown, &lines, size.width, inner.style);
        inner.shown = lines;
        let mut out = io::stdout().lock();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }

    /// Writes a log line to standard error; if that is a terminal, above the frame.
    fn log(&self, line: &[u8]) -> io::Result<()> {
        if !io::stderr().is_terminal() {
            return io::stderr().write_all(line);
        }
        let inner = self.inner();
        let width = size().width;
        let mut out = io::stdout().lock();
        out.write_all(frame(&inner.shown, &[], width, inner.style).as_bytes())?;
        out.flush()?;
        io::stderr().write_all(line)?;
        out.write_all(frame(&[], &inner.shown, width, inner.style).as_bytes())?;
        out.flush()
    }
}

impl Write for Screen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.log(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the output that replaces `before` with `lines` on a terminal of this width.
fn frame(before: &[Line], lines: &[Line], width: usize, style: Style) -> String {
    let mut out = String::from(BEGIN_FRAME);
    // A terminal that became narrower has wrapped the old lines.
    let rows: usize = before.iter().map(|line| line.width().div_ceil(width.max(1)).max(1)).sum();
    if rows > 0 {
        let _infallible = write!(out, "\x1b[{rows}A");
    }
    for line in lines {
        // Erased first: after a full line the cursor is still on its last cell.
        out.push('\r');
        out.push_str(ERASE_LINE);
        out.push_str(&line.render(style));
        out.push_str("\r\n");
    }
    out.push('\r');
    out.push_str(ERASE_BELOW);
    out.push_str(END_FRAME);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::text::Tone;

    const STYLE: Style = Style { colour: false, unicode: true };

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts
            .iter()
            .map(|text| {
                let mut line = Line::default();
                line.push(text, Tone::Plain);
                line
            })
            .collect()
    }

    /// Applies a frame to a simulated terminal.
    fn apply_frame(screen: &mut Vec<String>, row: &mut usize, frame: &str) {
        let mut rest = frame;
        while let Some(c) = rest.chars().next() {
            if let Some(tail) = rest.strip_prefix("\x1b[") {
                let end = tail.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                let (number, command) = (tail.get(..end).unwrap(), tail.get(end..=end).unwrap());
                match command {
                    "A" => *row -= number.parse::<usize>().unwrap(),
                    "J" => screen.truncate(*row),
                    "K" => screen.resize((*row).max(screen.len()), String::new()),
                    "h" | "l" => {}
                    other => panic!("an unknown command: {other}"),
                }
                if command == "K" && *row < screen.len() {
                    screen[*row].clear();
                }
                rest = tail.get(end + 1..).unwrap();
                continue;
            }
            match c {
                '\n' => *row += 1,
                '\r' => {}
                c => {
                    screen.resize((*row + 1).max(screen.len()), String::new());
                    screen[*row].push(c);
                }
            }
            rest = rest.get(c.len_utf8()..).unwrap();
        }
    }

    #[test]
    fn frame_replaces_previous_frame() {
        let (mut screen, mut row) = (vec!["$ pulltrace watch".to_owned()], 1);
        let frames: [&[&str]; 4] = [&["a", "b", "c"], &["d"], &["e", "f"], &[]];
        let mut before = Vec::new();
        for texts in frames {
            let now = lines(texts);
            apply_frame(&mut screen, &mut row, &frame(&before, &now, 80, STYLE));
            assert_eq!(screen.get(1..).unwrap(), texts);
            assert_eq!(row, 1 + texts.len());
            before = now;
        }
        assert_eq!(screen[0], "$ pulltrace watch");
    }

    #[test]
    fn frame_erases_lines_wrapped_by_narrower_terminal() {
        let text = frame(&lines(&["1234567890", "", "123"]), &[], 4, STYLE);
        assert!(text.contains("\x1b[5A"), "{text:?}");
    }
}
