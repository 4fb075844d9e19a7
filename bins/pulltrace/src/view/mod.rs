//! What is shown of the pulls: on a terminal, as lines for a pipe, as JSON for programs.
//!
//! [`live`] and [`plain`] are functions of what is known and of the time that it was known at; only
//! [`screen`] draws.

#[cfg(test)]
mod fixture;
pub(crate) mod known;
pub(crate) mod live;
pub(crate) mod plain;
pub(crate) mod scene;
pub(crate) mod screen;
pub(crate) mod text;
pub(crate) mod words;

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, PoisonError};

use pulltrace_core::wire::v1::PullStatus;
use pulltrace_core::{NodeSums, NodeTime, Pull};

use crate::cli::{Output, ViewArgs};
use crate::error::Error;
use crate::source::Shared;
use live::Layers;
use plain::Plain;
use scene::Scene;
use screen::Screen;
use text::Style;

/// How pulls are shown.
#[derive(Debug)]
pub(crate) enum Form {
    /// Drawn in place.
    Live(Screen, Layers),
    /// As lines for people.
    Plain,
    /// As lines for programs.
    Json,
}

impl Form {
    /// As the flags say.
    pub(crate) fn choose(args: ViewArgs) -> Result<Self, Error> {
        let terminal = io::stdout().is_terminal();
        let draws = terminal && variable("TERM") != "dumb";
        let live = || {
            let style = Style {
                colour: colour_wanted(),
                unicode: unicode(),
            };
            let screen = Screen::begin(style).map_err(Error::Output)?;
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

/// Whether nobody said that colours are not wanted (<https://no-color.org>).
pub(crate) fn colour_wanted() -> bool {
    variable("NO_COLOR").is_empty() && variable("TERM") != "dumb"
}

/// Whether the locale has more than ASCII.
fn unicode() -> bool {
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

/// Shows a scene as it changes.
pub(crate) struct View {
    pub(crate) scene: Scene,
    sight: Shared,
    form: Form,
    plain: Plain,
    out: Box<dyn Write + Send>,
}

impl View {
    /// Lines go to `out`; what is drawn goes to the terminal.
    pub(crate) fn new(
        form: Form,
        scene: Scene,
        sight: Shared,
        out: impl Write + Send + 'static,
    ) -> Self {
        Self {
            scene,
            sight,
            form,
            plain: Plain::default(),
            out: Box::new(out),
        }
    }

    /// Takes what changed and shows it.
    pub(crate) fn show(
        &mut self,
        changed: &[Arc<Pull>],
        full: bool,
        sums: NodeSums,
        now: NodeTime,
    ) -> io::Result<()> {
        self.scene.take(changed, full, sums, now);
        match &self.form {
            Form::Live(..) => self.draw(),
            Form::Plain => {
                for line in self.plain.lines(changed, &self.scene) {
                    writeln!(self.out, "{line}")?;
                }
                self.out.flush()
            }
            Form::Json => {
                for pull in changed {
                    serde_json::to_writer(&mut self.out, &PullStatus::from(pull.as_ref()))?;
                    self.out.write_all(b"\n")?;
                }
                self.out.flush()
            }
        }
    }

    /// Draws again, where the view is drawn at all.
    pub(crate) fn draw(&mut self) -> io::Result<()> {
        let Form::Live(screen, layers) = &self.form else {
            return Ok(());
        };
        self.scene.sight = *self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        screen.draw(|size, style| live::render(&self.scene, *layers, size, style))
    }
}
