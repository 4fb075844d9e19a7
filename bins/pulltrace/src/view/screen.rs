//! The rim: draws lines in place below what the terminal shows already, and lets log lines pass above
//! them. The terminal stays as it is: no alternate screen, no raw mode, and Ctrl-C works.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::live::Size;
use super::text::{Line, Style};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// Between these a terminal that knows them shows nothing half-drawn; others ignore them.
const BEGIN_FRAME: &str = "\x1b[?2026h";
const END_FRAME: &str = "\x1b[?2026l";
const ERASE_LINE: &str = "\x1b[2K";
const ERASE_BELOW: &str = "\x1b[J";

/// Whether the cursor was taken from a terminal.
static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Gives the cursor back, where it was taken. What is drawn stays.
pub(crate) fn restore() {
    if HIDDEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        // What the terminal echoed of Ctrl-C goes. One that is gone needs no cursor.
        let text = format!("\r{ERASE_LINE}{SHOW_CURSOR}");
        let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// A place on a terminal; clones draw to the same.
#[derive(Clone, Debug)]
pub(crate) struct Screen(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    style: Style,
    /// What is drawn, and is to be drawn again below a log line.
    shown: Vec<Line>,
}

/// The terminal's size less the line where the cursor waits; 80x24 where it does not say.
fn size() -> Size {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())
        .map_or((80, 24), |(width, height)| (width.0, height.0));
    Size {
        width: width.into(),
        height: usize::from(height).saturating_sub(1),
    }
}

impl Screen {
    /// Begins to draw on standard output.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub(crate) fn begin(style: Style) -> io::Result<Self> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            hook(info);
        }));
        HIDDEN.store(true, Ordering::SeqCst);
        io::stdout().write_all(HIDE_CURSOR.as_bytes())?;
        Ok(Self(Arc::new(Mutex::new(Inner {
            style,
            shown: Vec::new(),
        }))))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws what `view` makes of the terminal's size in place of what was drawn before.
    ///
    /// # Errors
    /// Where the terminal is gone.
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

    /// Writes a log line to standard error; where that is a terminal, above what is drawn.
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

/// What to send so that `lines` stand where `before` stood, on a terminal that is `width` cells wide now.
fn frame(before: &[Line], lines: &[Line], width: usize, style: Style) -> String {
    let mut out = String::from(BEGIN_FRAME);
    // A terminal that became narrower has broken the old lines.
    let rows: usize = before
        .iter()
        .map(|line| line.width().div_ceil(width.max(1)).max(1))
        .sum();
    if rows > 0 {
        let _infallible = write!(out, "\x1b[{rows}A");
    }
    for line in lines {
        // Erased first: behind a full line the cursor still stands on its last cell.
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

    const STYLE: Style = Style {
        colour: false,
        unicode: true,
    };

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

    /// A terminal of `height` rows that knows what a frame sends.
    fn play(screen: &mut Vec<String>, row: &mut usize, frame: &str) {
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
    fn each_frame_stands_where_the_one_before_stood() {
        let (mut screen, mut row) = (vec!["$ pulltrace watch".to_owned()], 1);
        let frames: [&[&str]; 4] = [&["a", "b", "c"], &["d"], &["e", "f"], &[]];
        let mut before = Vec::new();
        for texts in frames {
            let now = lines(texts);
            play(&mut screen, &mut row, &frame(&before, &now, 80, STYLE));
            assert_eq!(screen.get(1..).unwrap(), texts);
            assert_eq!(row, 1 + texts.len());
            before = now;
        }
        assert_eq!(screen[0], "$ pulltrace watch");
    }

    #[test]
    fn lines_that_a_narrower_terminal_broke_are_all_taken_back() {
        let text = frame(&lines(&["1234567890", "", "123"]), &[], 4, STYLE);
        assert!(text.contains("\x1b[5A"), "{text:?}");
    }
}
