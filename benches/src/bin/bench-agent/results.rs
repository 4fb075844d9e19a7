//! Formats the measurements and compares them to the budgets.

use std::fmt;
use std::time::Duration;

use pulltrace_benches::to_mib;

use crate::bare::PollCounts;

/// The client that polls containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    None,
    Agent,
    BareLoop,
    /// Ten times as often.
    FastBareLoop,
}

impl ClientKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "containerd alone",
            Self::Agent => "pulltrace-agent",
            Self::BareLoop => "bare loop",
            Self::FastBareLoop => "bare loop, 10× rate",
        }
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) version: String,
    pub(crate) state: &'static str,
    pub(crate) who: ClientKind,
    pub(crate) listed: PollCounts,
    pub(crate) took: Duration,
    pub(crate) polls: u64,
    pub(crate) calls: u64,
    /// CPU time of the client.
    pub(crate) client_cpu: Option<Duration>,
    pub(crate) rss: Option<u64>,
    /// CPU time of containerd.
    pub(crate) containerd_cpu: Duration,
    /// CPU time of containerd without a client.
    pub(crate) baseline_cpu: Option<Duration>,
}

impl Measurement {
    /// The average interval between polls.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let polls = u32::try_from(self.polls).ok().filter(|polls| *polls > 0)?;
        Some(self.took / polls)
    }

    fn percent_of_core(&self, time: Duration) -> f64 {
        100.0 * time.as_secs_f64() / self.took.as_secs_f64()
    }

    /// The CPU that containerd uses in excess of the baseline, in percent of a core. Negative if
    /// the difference is within the noise.
    fn added_percent(&self) -> Option<f64> {
        Some(self.percent_of_core(self.containerd_cpu) - self.percent_of_core(self.baseline_cpu?))
    }

    fn micros_per_poll(&self, percent: f64) -> Option<f64> {
        Some(percent / 100.0 * self.interval()?.as_secs_f64() * 1e6)
    }
}

/// Formats a Markdown table of all measurements.
pub(crate) fn table(rows: &[Measurement]) -> String {
    let mut out = String::from(
        "| containerd | state | ingests, leases, resources | client | polls | interval | calls | client CPU | per poll | client RSS | containerd CPU | added | per poll |\n\
         |---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let percent = |value: Option<f64>| cell(value, |value| format!("{value:.3} %"));
        let micros = |value: Option<f64>| {
            cell(value.and_then(|value| row.micros_per_poll(value)), |value| {
                format!("{value:.0} µs")
            })
        };
        let own = row.client_cpu.map(|time| row.percent_of_core(time));
        let PollCounts { ingests, leases, resources } = row.listed;
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
            cell(row.rss, |bytes| format!("{:.1} MiB", to_mib(bytes))),
            row.percent_of_core(row.containerd_cpu),
            percent(row.added_percent()),
            micros(row.added_percent()),
        );
    }
    out
}

/// Compares the agent's worst measurement over all versions to the budgets and to the Go
/// implementation.
pub(crate) fn budget_table(rows: &[Measurement], binary: u64) -> String {
    let worst = |idle: bool, figure: &dyn Fn(&Measurement) -> Option<f64>| {
        rows.iter()
            .filter(|row| row.who == ClientKind::Agent && (row.state == "idle") == idle)
            .filter_map(figure)
            .fold(None, |worst: Option<f64>, value| {
                Some(worst.map_or(value, |worst| worst.max(value)))
            })
    };
    // The agent's rate of polls times the cost of one poll, as measured with the fast loop.
    let by_polls = |agent: &Measurement| {
        let often = rows.iter().find(|row| {
            row.who == ClientKind::FastBareLoop
                && (&row.version, row.state) == (&agent.version, agent.state)
        })?;
        let poll = often.micros_per_poll(often.added_percent()?)? / 1e6;
        Some(100.0 * poll / agent.interval()?.as_secs_f64())
    };
    let own = |row: &Measurement| row.client_cpu.map(|time| row.percent_of_core(time));
    let rss = |row: &Measurement| row.rss.map(to_mib);
    let percent = |value| cell(value, |value: f64| format!("{value:.3} %"));
    let memory = |value| cell(value, |value: f64| format!("{value:.1} MiB"));
    let lines = [
        ("agent CPU, idle", percent(worst(true, &own)), "< 0.1 %", "0.083 %"),
        ("agent CPU, 10 × 20 layers", percent(worst(false, &own)), "< 1 %", "0.1 % (10 × 10)"),
        ("agent RSS, idle", memory(worst(true, &rss)), "< 12 MiB", "16–17 MiB"),
        ("agent RSS, 10 × 20 layers", memory(worst(false, &rss)), "< 20 MiB", "19 MiB (10 × 10)"),
        (
            "added to containerd, idle",
            percent(worst(true, &Measurement::added_percent)),
            "≤ 0.1 %",
            "0.11 %",
        ),
        (
            "added to containerd, 10 × 20 layers",
            percent(worst(false, &Measurement::added_percent)),
            "≤ 1 %",
            "–",
        ),
        ("added by polls, idle", percent(worst(true, &by_polls)), "≤ 0.1 %", "–"),
        ("added by polls, 10 × 20 layers", percent(worst(false, &by_polls)), "≤ 1 %", "–"),
        ("binary", format!("{:.1} MiB", to_mib(binary)), "< 10 MiB", "14.4 MB"),
    ];
    let mut out = String::from(
        "| | worst measured | budget | Go pulltrace v0.1, containerd 1.6 |\n|---|--:|--:|--:|\n",
    );
    for (what, measured, budget, peer) in lines {
        out += &format!("| {what} | {measured} | {budget} | {peer} |\n");
    }
    out
}

fn cell<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: ClientKind) -> Measurement {
        Measurement {
            version: "2.4".into(),
            state: "idle",
            who,
            listed: PollCounts::default(),
            took: Duration::from_secs(30),
            polls: 30,
            calls: 60,
            client_cpu: Some(Duration::from_millis(6)),
            rss: Some(9 << 20),
            containerd_cpu: Duration::from_millis(45),
            baseline_cpu: Some(Duration::from_millis(15)),
        }
    }

    #[test]
    fn table_shows_cpu_share_and_poll_cost() {
        let table = table(&[row(ClientKind::Agent)]);
        assert_eq!(
            table.lines().nth(2).unwrap(),
            "| 2.4 | idle | 0, 0, 0 | pulltrace-agent | 30 | 1000 ms | 60 | 0.020 % | 200 µs | 9.0 MiB | 0.150 % | 0.100 % | 1000 µs |"
        );
    }

    #[test]
    fn unmeasured_values_show_dash() {
        let mut alone = row(ClientKind::None);
        (alone.client_cpu, alone.rss, alone.baseline_cpu, alone.polls) = (None, None, None, 0);
        assert!(
            table(&[alone])
                .contains("| containerd alone | 0 | – | 60 | – | – | – | 0.150 % | – | – |")
        );
        assert!(budget_table(&[], 5 << 20).contains("| agent CPU, idle | – | < 0.1 % |"));
    }

    #[test]
    fn poll_cost_uses_fast_loop() {
        let mut often = row(ClientKind::FastBareLoop);
        // 300 polls of 1 ms each, in addition to containerd's own 15 ms.
        (often.polls, often.containerd_cpu) = (300, Duration::from_millis(315));
        let beside = budget_table(&[row(ClientKind::Agent), often], 0);
        assert!(beside.contains("| added by polls, idle | 0.100 % |"), "{beside}");
    }

    #[test]
    fn budget_table_shows_worst_agent_measurement() {
        let mut worse = row(ClientKind::Agent);
        worse.client_cpu = Some(Duration::from_millis(12));
        let mut bare = row(ClientKind::BareLoop);
        bare.client_cpu = Some(Duration::from_secs(1));
        let beside = budget_table(&[row(ClientKind::Agent), worse, bare], 5 << 20);
        assert!(beside.contains("| agent CPU, idle | 0.040 % |"), "{beside}");
        assert!(beside.contains("| binary | 5.0 MiB |"));
    }
}
