//! What was measured, and how it stands beside what was promised. Pure.

use std::fmt;
use std::time::Duration;

use crate::bare::Listed;

/// Who asks containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    Agent,
    Bare,
    /// Ten times as often.
    BareOften,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "containerd alone",
            Self::Agent => "pulltrace-agent",
            Self::Bare => "bare loop",
            Self::BareOften => "bare loop, ten times as often",
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) version: String,
    pub(crate) state: &'static str,
    pub(crate) who: Who,
    pub(crate) listed: Listed,
    pub(crate) took: Duration,
    pub(crate) polls: u64,
    pub(crate) calls: u64,
    /// Processor time of who asks.
    pub(crate) client: Option<Duration>,
    pub(crate) rss: Option<u64>,
    /// Processor time of containerd.
    pub(crate) containerd: Duration,
    /// The same with nobody asking.
    pub(crate) alone: Option<Duration>,
}

impl Row {
    /// From one poll to the next, on average.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let polls = u32::try_from(self.polls).ok().filter(|polls| *polls > 0)?;
        Some(self.took / polls)
    }

    fn share(&self, time: Duration) -> f64 {
        100.0 * time.as_secs_f64() / self.took.as_secs_f64()
    }

    /// Percent of a core that containerd spends more than alone; below zero
    /// where the difference is lost in the noise.
    fn added(&self) -> Option<f64> {
        Some(self.share(self.containerd) - self.share(self.alone?))
    }

    fn micros_per_poll(&self, percent: f64) -> Option<f64> {
        Some(percent / 100.0 * self.interval()?.as_secs_f64() * 1e6)
    }
}

/// A table in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| containerd | state | ingests, leases, resources | who asks | polls | every | calls | its CPU | a poll | its RSS | containerd's CPU | added | a poll |\n\
         |---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let percent = |value: Option<f64>| cell(value, |value| format!("{value:.3} %"));
        let micros = |value: Option<f64>| {
            cell(
                value.and_then(|value| row.micros_per_poll(value)),
                |value| format!("{value:.0} µs"),
            )
        };
        let own = row.client.map(|time| row.share(time));
        let Listed {
            ingests,
            leases,
            resources,
        } = row.listed;
        out += &format!(
            "| {} | {} | {ingests}, {leases}, {resources} | {} | {} | {} | {} | {} | {} | {} | {:.3} % | {} | {} |\n",
            row.version,
            row.state,
            row.who,
            row.polls,
            cell(row.interval(), |every| format!("{} ms", every.as_millis())),
            row.calls,
            percent(own),
            micros(own),
            cell(row.rss, |bytes| format!("{:.1} MiB", mib(bytes))),
            row.share(row.containerd),
            percent(row.added()),
            micros(row.added()),
        );
    }
    out
}

/// The agent's worst of all versions, beside the budgets and the peer.
pub(crate) fn beside(rows: &[Row], binary: u64) -> String {
    let worst = |idle: bool, figure: &dyn Fn(&Row) -> Option<f64>| {
        rows.iter()
            .filter(|row| row.who == Who::Agent && (row.state == "idle") == idle)
            .filter_map(figure)
            .fold(None, |worst: Option<f64>, value| {
                Some(worst.map_or(value, |worst| worst.max(value)))
            })
    };
    // What the agent's polls add by what one of them was seen to cost.
    let by_polls = |agent: &Row| {
        let often = rows.iter().find(|row| {
            row.who == Who::BareOften && (&row.version, row.state) == (&agent.version, agent.state)
        })?;
        let poll = often.micros_per_poll(often.added()?)? / 1e6;
        Some(100.0 * poll / agent.interval()?.as_secs_f64())
    };
    let own = |row: &Row| row.client.map(|time| row.share(time));
    let rss = |row: &Row| row.rss.map(mib);
    let percent = |value| cell(value, |value: f64| format!("{value:.3} %"));
    let memory = |value| cell(value, |value: f64| format!("{value:.1} MiB"));
    let lines = [
        (
            "agent's CPU, idle",
            percent(worst(true, &own)),
            "< 0.1 %",
            "0.083 %",
        ),
        (
            "agent's CPU, 10 × 20 layers",
            percent(worst(false, &own)),
            "< 1 %",
            "0.1 % (10 × 10)",
        ),
        (
            "agent's RSS, idle",
            memory(worst(true, &rss)),
            "< 12 MiB",
            "16–17 MiB",
        ),
        (
            "agent's RSS, 10 × 20 layers",
            memory(worst(false, &rss)),
            "< 20 MiB",
            "19 MiB (10 × 10)",
        ),
        (
            "added to containerd, idle",
            percent(worst(true, &Row::added)),
            "≤ 0.1 %",
            "0.11 %",
        ),
        (
            "added to containerd, 10 × 20 layers",
            percent(worst(false, &Row::added)),
            "≤ 1 %",
            "–",
        ),
        (
            "its polls alone, idle",
            percent(worst(true, &by_polls)),
            "≤ 0.1 %",
            "–",
        ),
        (
            "its polls alone, 10 × 20 layers",
            percent(worst(false, &by_polls)),
            "≤ 1 %",
            "–",
        ),
        (
            "binary",
            format!("{:.1} MiB", mib(binary)),
            "< 10 MiB",
            "14.4 MB",
        ),
    ];
    let mut out = String::from(
        "| | measured, the worst | budget | the Go pulltrace v0.1, on 1.6 |\n|---|--:|--:|--:|\n",
    );
    for (what, measured, budget, peer) in lines {
        out += &format!("| {what} | {measured} | {budget} | {peer} |\n");
    }
    out
}

fn cell<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: Who) -> Row {
        Row {
            version: "2.4".into(),
            state: "idle",
            who,
            listed: Listed::default(),
            took: Duration::from_secs(30),
            polls: 30,
            calls: 60,
            client: Some(Duration::from_millis(6)),
            rss: Some(9 << 20),
            containerd: Duration::from_millis(45),
            alone: Some(Duration::from_millis(15)),
        }
    }

    #[test]
    fn times_become_shares_and_costs_of_a_poll() {
        let table = table(&[row(Who::Agent)]);
        assert_eq!(
            table.lines().nth(2).unwrap(),
            "| 2.4 | idle | 0, 0, 0 | pulltrace-agent | 30 | 1000 ms | 60 | 0.020 % | 200 µs | 9.0 MiB | 0.150 % | 0.100 % | 1000 µs |"
        );
    }

    #[test]
    fn what_was_not_measured_has_no_figure() {
        let mut alone = row(Who::Nobody);
        (alone.client, alone.rss, alone.alone, alone.polls) = (None, None, None, 0);
        assert!(
            table(&[alone])
                .contains("| containerd alone | 0 | – | 60 | – | – | – | 0.150 % | – | – |")
        );
        assert!(beside(&[], 5 << 20).contains("| agent's CPU, idle | – | < 0.1 % |"));
    }

    #[test]
    fn the_cost_of_a_poll_is_taken_from_many() {
        let mut often = row(Who::BareOften);
        // 300 polls of 1 ms each, on the 15 ms of containerd's own.
        (often.polls, often.containerd) = (300, Duration::from_millis(315));
        let beside = beside(&[row(Who::Agent), often], 0);
        assert!(
            beside.contains("| its polls alone, idle | 0.100 % |"),
            "{beside}"
        );
    }

    #[test]
    fn only_the_agents_worst_stands_beside_the_budgets() {
        let mut worse = row(Who::Agent);
        worse.client = Some(Duration::from_millis(12));
        let mut bare = row(Who::Bare);
        bare.client = Some(Duration::from_secs(1));
        let beside = beside(&[row(Who::Agent), worse, bare], 5 << 20);
        assert!(
            beside.contains("| agent's CPU, idle | 0.040 % |"),
            "{beside}"
        );
        assert!(beside.contains("| binary | 5.0 MiB |"));
    }
}
