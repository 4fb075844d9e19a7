//! What differed, as a table: a line per scenario, a column per kind of node.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use crate::play::Verdict;

#[derive(Clone, Debug, Default)]
pub(crate) struct Table(Arc<Mutex<Cells>>);

#[derive(Debug, Default)]
struct Cells {
    columns: Vec<String>,
    /// The scenarios in their order.
    lines: Vec<&'static str>,
    cells: BTreeMap<(&'static str, String), usize>,
    /// How many seconds durations are from the kubelet's.
    apart: Vec<f64>,
}

impl Table {
    /// Takes a column, and returns what there is to read of what differs.
    pub(crate) fn take(&self, column: &str, verdicts: Vec<Verdict>) -> String {
        let mut table = self.0.lock().expect("no panic");
        table.columns.push(column.to_owned());
        let mut text = String::new();
        for verdict in verdicts {
            let Verdict {
                scenario,
                differences,
                apart,
                story,
            } = verdict;
            table.apart.extend(apart);
            if !table.lines.contains(&scenario) {
                table.lines.push(scenario);
            }
            let key = (scenario, column.to_owned());
            table.cells.insert(key, differences.len());
            if !differences.is_empty() {
                let (differences, story) = (differences.join("\n  "), story.join("\n    "));
                writeln!(text, "{scenario}\n  {differences}\n    {story}").expect("a String");
            }
        }
        text
    }

    pub(crate) fn print(&self) {
        let table = self.0.lock().expect("no panic");
        if table.columns.is_empty() {
            return;
        }
        let mut text = format!("{:24}", "");
        for column in &table.columns {
            write!(text, "{column:>16}").expect("a String");
        }
        for line in &table.lines {
            write!(text, "\n{line:24}").expect("a String");
            for column in &table.columns {
                let cell = match table.cells.get(&(*line, column.clone())) {
                    None => "-".to_owned(),
                    Some(0) => "ok".to_owned(),
                    Some(count) => format!("{count} differ"),
                };
                write!(text, "{cell:>16}").expect("a String");
            }
        }
        let (count, most) = (
            table.apart.len(),
            table.apart.iter().copied().fold(0.0, f64::max),
        );
        write!(
            text,
            "\n{count} pulls took us as long as the kubelet, but for at most {most:.2} s"
        )
        .expect("a String");
        // Where nobody reads it any more, nobody misses it.
        drop(writeln!(std::io::stdout(), "{text}"));
    }
}
