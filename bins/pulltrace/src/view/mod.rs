//! Views of the pulls: drawn on a terminal, as lines for a pipe, or as JSON.
//!
//! [`live`] and [`plain`] are pure functions of a scene; only [`screen`] draws.

#[cfg(test)]
mod fixture;
pub(crate) mod format;
pub(crate) mod live;
pub(crate) mod plain;
pub(crate) mod pod_context;
pub(crate) mod scene;
pub(crate) mod screen;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pulltrace_core::wire::v1::PullStatus;
use pulltrace_core::{NodeTime, NodeTotals, Pull};

use crate::cli::{Output, ViewArgs};
use crate::error::Error;
use crate::source::SharedStatus;
use live::Layers;
use plain::PlainView;
use scene::Scene;
use screen::Screen;
use text::Style;

/// Maximum time between redraws, so that elapsed times advance.
pub(crate) const TICK: Duration = Duration::from_secs(1);

const DRAW_INTERVAL: Duration = Duration::from_millis(250);
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The selected output and its state.
#[derive(Debug)]
pub(crate) enum OutputMode {
    /// Updated in place.
    Live(Screen, Layers),
    /// Lines for people.
    Plain,
    /// JSON lines for programs.
    Json,
}

impl OutputMode {
    /// Returns the time between updates unless the user sets it.
    pub(crate) const fn default_interval(&self) -> Duration {
        match self {
            Self::Live(..) => DRAW_INTERVAL,
            Self::Plain | Self::Json => LINE_INTERVAL,
        }
    }

    /// Selects the mode from the flags.
    pub(crate) fn from_args(args: ViewArgs) -> Result<Self, Error> {
        let terminal = io::stdout().is_terminal();
        let draws = terminal && variable("TERM") != "dumb";
        let live = || {
            let style = Style { colour: use_colour(), unicode: supports_unicode() };
            let screen = Screen::start(style).map_err(Error::Output)?;
            Ok(Self::Live(screen, args.layers))
        };
        match args.output {
            Output::Json => Ok(Self::Json),
            Output::Plain => Ok(Self::Plain),
            Output::Live if !terminal => Err(Error::NoTerminal),
            Output::Live => live(),
            Output::Auto if draws => live(),
            Output::Auto => Ok(Self::Plain),
        }
    }

    pub(crate) const fn screen(&self) -> Option<&Screen> {
        match self {
            Self::Live(screen, _) => Some(screen),
            Self::Plain | Self::Json => None,
        }
    }
}

/// Reports whether colours are enabled (<https://no-color.org>).
pub(crate) fn use_colour() -> bool {
    variable("NO_COLOR").is_empty() && variable("TERM") != "dumb"
}

/// Reports whether the locale uses UTF-8.
fn supports_unicode() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .map(variable)
        .find(|value| !value.is_empty())
        .is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        })
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Shows a scene and its changes.
pub(crate) struct View {
    pub(crate) scene: Scene,
    status: SharedStatus,
    mode: OutputMode,
    plain: PlainView,
    out: Box<dyn Write + Send>,
}

impl View {
    /// Creates a view. Lines are written to `out`; the live view draws on the terminal.
    pub(crate) fn new(
        mode: OutputMode,
        scene: Scene,
        status: SharedStatus,
        out: impl Write + Send + 'static,
    ) -> Self {
        Self { scene, status, mode, plain: PlainView::default(), out: Box::new(out) }
    }

    /// Applies changes and shows them.
    pub(crate) fn show(
        &mut self,
        changed: &[Arc<Pull>],
        full: bool,
        sums: NodeTotals,
        now: NodeTime,
    ) -> io::Result<()> {
        self.scene.update(changed, full, sums, now);
        match &self.mode {
            OutputMode::Live(..) => self.draw(),
            OutputMode::Plain => {
                for line in self.plain.lines(changed, &self.scene) {
                    writeln!(self.out, "{line}")?;
                }
                self.out.flush()
            }
            OutputMode::Json => {
                for pull in changed {
                    serde_json::to_writer(&mut self.out, &PullStatus::from(pull.as_ref()))?;
                    self.out.write_all(b"\n")?;
                }
                self.out.flush()
            }
        }
    }

    /// Redraws a live view.
    pub(crate) fn draw(&mut self) -> io::Result<()> {
        let OutputMode::Live(screen, layers) = &self.mode else {
            return Ok(());
        };
        self.scene.status = *self.status.lock().unwrap_or_else(PoisonError::into_inner);
        screen.draw(|size, style| live::render(&self.scene, *layers, size, style))
    }
}
