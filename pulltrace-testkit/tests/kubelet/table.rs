//! Table of the differences from the kubelet: one row per scenario, one column per kind of node.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use crate::play::ScenarioResult;

#[derive(Clone, Debug, Default)]
pub(crate) struct ResultTable(Arc<Mutex<Cells>>);

#[derive(Debug, Default)]
struct Cells {
    columns: Vec<String>,
    /// The scenarios, in order of appearance.
    scenarios: Vec<&'static str>,
    cells: BTreeMap<(&'static str, String), usize>,
    /// Absolute differences between pulltrace's durations and the kubelet's, in seconds.
    deviations: Vec<f64>,
}

impl ResultTable {
    /// Adds a column and returns the details of its differences, with logs.
    pub(crate) fn add_column(&self, column: &str, results: Vec<ScenarioResult>) -> String {
        let mut table = self.0.lock().expect("lock is not poisoned");
        table.columns.push(column.to_owned());
        let mut text = String::new();
        for result in results {
            let ScenarioResult { scenario, differences, deviations: seconds, log: lines } = result;
            table.deviations.extend(seconds);
            if !table.scenarios.contains(&scenario) {
                table.scenarios.push(scenario);
            }
            let key = (scenario, column.to_owned());
            table.cells.insert(key, differences.len());
            if !differences.is_empty() {
                let (differences, lines) = (differences.join("\n  "), lines.join("\n    "));
                writeln!(text, "{scenario}\n  {differences}\n    {lines}")
                    .expect("write to a String");
            }
        }
        text
    }

    pub(crate) fn print(&self) {
        let table = self.0.lock().expect("lock is not poisoned");
        if table.columns.is_empty() {
            return;
        }
        let mut text = format!("{:24}", "");
        for column in &table.columns {
            write!(text, "{column:>16}").expect("write to a String");
        }
        for line in &table.scenarios {
            write!(text, "\n{line:24}").expect("write to a String");
            for column in &table.columns {
                let cell = match table.cells.get(&(*line, column.clone())) {
                    None => "-".to_owned(),
                    Some(0) => "ok".to_owned(),
                    Some(count) => format!("{count} differ"),
                };
                write!(text, "{cell:>16}").expect("write to a String");
            }
        }
        let (count, most) =
            (table.deviations.len(), table.deviations.iter().copied().fold(0.0, f64::max));
        write!(
            text,
            "\n{count} durations compared with the kubelet's; largest difference: {most:.2} s"
        )
        .expect("write to a String");
        // Ignore a failed write: `println!` would panic on a closed pipe.
        drop(writeln!(std::io::stdout(), "{text}"));
    }
}
