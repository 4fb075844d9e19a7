//! What there is now, and what was counted elsewhere: asked at each scrape.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use pulltrace_core::NodeTime;

use super::{Rejected, Stats};
use crate::correlate::Heard;
use crate::fleet::PerPhase;
use crate::table::{Shared, Table};

pub(super) fn observe_fleet(meter: &Meter, shared: &Shared) {
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_pulls_in_progress")
        .with_description("Pulls that are going on, or are queued")
        .with_callback(move |gauge| {
            let live = all.stats().live;
            let queued = ("queued", live.queued);
            for (phase, number) in [queued].into_iter().chain(phases(live)) {
                gauge.observe(number, &[KeyValue::new("phase", phase)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_pulls_stalled")
        .with_description("Pulls that should move and have not for long")
        .with_callback(move |gauge| {
            for (phase, number) in phases(all.stats().stalled) {
                gauge.observe(number, &[KeyValue::new("phase", phase)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_counter("pulltrace_stalls")
        .with_description("Stalls that began")
        .with_callback(move |counter| {
            for (phase, number) in phases(all.stats().counters.stalls) {
                counter.observe(number, &[KeyValue::new("phase", phase)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_agents_connected")
        .with_description("Nodes whose agent is heard")
        .with_callback(move |gauge| {
            let fleet = all.stats();
            gauge.observe(fleet.nodes_live + fleet.nodes_conflict, &[]);
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_nodes")
        .with_description("Nodes that are known, by whether their agent is heard")
        .with_callback(move |gauge| {
            let fleet = all.stats();
            for (state, number) in [
                ("live", fleet.nodes_live),
                ("lost", fleet.nodes_lost),
                ("conflict", fleet.nodes_conflict),
            ] {
                gauge.observe(number, &[KeyValue::new("state", state)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .f64_observable_gauge("pulltrace_agent_last_report_timestamp")
        .with_unit("s")
        .with_description("When each node's agent was last heard, in seconds after 1970")
        .with_callback(move |gauge| {
            // OpenTelemetry shows 2,000 of them, and the rest as one.
            for (node, at) in all.read(last_reports) {
                gauge.observe(at, &[KeyValue::new("node", node)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_counter("pulltrace_dropped")
        .with_description("What was left out or let go before its time because a bound was reached")
        .with_callback(move |counter| {
            let fleet = all.stats();
            let counters = fleet.counters;
            for (what, number) in [
                ("pod_image", fleet.correlate.wants_refused),
                ("live_pull", counters.live_refused),
                ("ended_pull", counters.ended_evicted),
                ("layers", counters.layers_evicted),
                ("image", counters.images_missing),
            ] {
                counter.observe(number, &[KeyValue::new("what", what)]);
            }
        })
        .build();
}

/// What is heard of Kubernetes, and what it comes to.
pub(super) fn observe_cluster(meter: &Meter, shared: &Shared) {
    let gauge = |name: &'static str, what: &'static str, get: fn(&Shared) -> Sources| {
        let shared = shared.clone();
        let gauge = meter.u64_observable_gauge(name).with_description(what);
        let observe = move |gauge: &dyn AsyncInstrument<u64>| observe_each(gauge, get(&shared));
        gauge.with_callback(observe).build()
    };
    let counter = |name: &'static str, what: &'static str, get: fn(&Shared) -> Sources| {
        let shared = shared.clone();
        let counter = meter.u64_observable_counter(name).with_description(what);
        let observe = move |counter: &dyn AsyncInstrument<u64>| observe_each(counter, get(&shared));
        counter.with_callback(observe).build()
    };
    gauge(
        "pulltrace_kubernetes_source_up",
        "1 where a source says what changes; 0 where it has trouble, or there is none",
        |shared| {
            let listening = shared.listening();
            let up = |heard: &Heard| u64::from(heard.is_live());
            (
                "source",
                vec![
                    ("pods", up(&listening.pods)),
                    ("events", up(&listening.events)),
                ],
            )
        },
    );
    counter(
        "pulltrace_kubernetes_updates",
        "What a source said of a pod or an event, and was taken",
        |shared| {
            let known = shared.stats().correlate;
            (
                "source",
                vec![("pods", known.pods), ("events", known.events)],
            )
        },
    );
    counter(
        "pulltrace_kubernetes_odd",
        "What a source said and was not understood",
        |shared| {
            let known = shared.stats().correlate;
            (
                "source",
                vec![("pods", known.pods_odd), ("events", known.events_odd)],
            )
        },
    );
    counter(
        "pulltrace_kubelet_durations_compared",
        "Pulls whose time the kubelet told, by whether it is within 20 % or a second of ours",
        |shared| {
            let known = shared.stats().correlate;
            let (agrees, disagrees) = (known.kubelet_agrees, known.kubelet_disagrees);
            (
                "verdict",
                vec![("agrees", agrees), ("disagrees", disagrees)],
            )
        },
    );
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_pods_waiting_on_pull")
        .with_description("Pods that are known to wait for a pull")
        .with_callback(move |gauge| gauge.observe(all.stats().correlate.pods_waiting, &[]))
        .build();
}

/// The name of a label, and a number for each of its values.
type Sources = (&'static str, Vec<(&'static str, u64)>);

fn observe_each(instrument: &dyn AsyncInstrument<u64>, (label, numbers): Sources) {
    for (value, number) in numbers {
        instrument.observe(number, &[KeyValue::new(label, value)]);
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds, to the microsecond")]
fn last_reports(table: &Table) -> Vec<(String, f64)> {
    let seconds = |at: NodeTime| at.unix_nanos() as f64 / 1e9;
    let nodes = table.nodes().map(|node| &node.view);
    nodes
        .map(|view| (view.name.to_string(), seconds(view.last_report_at)))
        .collect()
}

pub(super) fn observe_server(meter: &Meter, stats: &Arc<Stats>) {
    let counter = |name: &'static str, what: &'static str, get: fn(&Stats) -> u64| {
        let stats = Arc::clone(stats);
        meter
            .u64_observable_counter(name)
            .with_description(what)
            .with_callback(move |counter| counter.observe(get(&stats), &[]))
            .build()
    };
    counter("pulltrace_reports", "Reports that were taken", |stats| {
        stats.reports.get()
    });
    counter(
        "pulltrace_sse_readers_cut_off",
        "Readers of the stream that did not read for too long",
        |stats| stats.readers_cut_off.get(),
    );
    counter(
        "pulltrace_sse_readers_refused",
        "Readers of the stream for whom there was no room",
        |stats| stats.readers_refused.get(),
    );
    counter(
        "pulltrace_sse_readers_unpacked",
        "Readers of the stream who take it packed, for whom there was no room to do that",
        |stats| stats.readers_unpacked.get(),
    );
    counter(
        "pulltrace_connections_refused",
        "Connections for which there was no room",
        |stats| stats.connections_refused.get(),
    );
    let all = Arc::clone(stats);
    meter
        .u64_observable_counter("pulltrace_reports_rejected")
        .with_description("Reports that were refused")
        .with_callback(move |counter| {
            for why in Rejected::ALL {
                let reason = KeyValue::new("reason", why.as_str());
                counter.observe(all.rejected(why), &[reason]);
            }
        })
        .build();
    let all = Arc::clone(stats);
    meter
        .u64_observable_gauge("pulltrace_sse_clients")
        .with_description("Readers of the stream")
        .with_callback(move |gauge| gauge.observe(all.readers.get(), &[]))
        .build();
}

fn phases(numbers: PerPhase) -> [(&'static str, u64); 3] {
    [
        ("resolving", numbers.resolving),
        ("downloading", numbers.downloading),
        ("extracting", numbers.extracting),
    ]
}
