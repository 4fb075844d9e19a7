//! Observable metrics: gauges, and counters kept elsewhere, read at each scrape.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use pulltrace_core::NodeTime;

use super::counters::{HttpCounters, RejectReason};
use crate::change::PerPhase;
use crate::correlate::SourceHealth;
use crate::table::{SharedTable, Table};

pub(super) fn observe_fleet(meter: &Meter, shared: &SharedTable) {
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_pulls_in_progress")
        .with_description("Pulls in progress or queued")
        .with_callback(move |gauge| {
            let live = all.stats().live;
            let queued = ("queued", live.queued);
            for (phase, number) in [queued].into_iter().chain(by_phase(live)) {
                gauge.observe(number, &[KeyValue::new("phase", phase)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_pulls_stalled")
        .with_description("Pulls in progress that are stalled")
        .with_callback(move |gauge| {
            for (phase, number) in by_phase(all.stats().stalled) {
                gauge.observe(number, &[KeyValue::new("phase", phase)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_counter("pulltrace_stalls")
        .with_description("Stalls detected")
        .with_callback(move |counter| {
            for (phase, number) in by_phase(all.stats().counters.stalls) {
                counter.observe(number, &[KeyValue::new("phase", phase)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_agents_connected")
        .with_description("Nodes with a connected agent")
        .with_callback(move |gauge| {
            let fleet = all.stats();
            gauge.observe(fleet.nodes_live + fleet.nodes_conflict, &[]);
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_nodes")
        .with_description("Known nodes by state of their agent")
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
        .with_description("Unix time of the last report from each node's agent")
        .with_callback(move |gauge| {
            // OpenTelemetry exports at most 2,000 series and merges the rest into one.
            for (node, at) in all.read(last_report_times) {
                gauge.observe(at, &[KeyValue::new("node", node)]);
            }
        })
        .build();
    let all = shared.clone();
    meter
        .u64_observable_counter("pulltrace_dropped")
        .with_description("Items dropped or evicted early because of a limit")
        .with_callback(move |counter| {
            let fleet = all.stats();
            let counters = fleet.counters;
            for (kind, number) in [
                ("pod_image", fleet.correlate.demands_refused),
                ("live_pull", counters.live_refused),
                ("ended_pull", counters.ended_evicted),
                ("layer", counters.layers_evicted),
                ("image", counters.images_missing),
            ] {
                counter.observe(number, &[KeyValue::new("kind", kind)]);
            }
        })
        .build();
}

/// Health and counters of the Kubernetes sources.
pub(super) fn observe_cluster(meter: &Meter, shared: &SharedTable) {
    let gauge = |name: &'static str, what: &'static str, get: fn(&SharedTable) -> LabeledValues| {
        let shared = shared.clone();
        let gauge = meter.u64_observable_gauge(name).with_description(what);
        let observe = move |gauge: &dyn AsyncInstrument<u64>| observe_each(gauge, get(&shared));
        gauge.with_callback(observe).build()
    };
    let counter = |name: &'static str,
                   what: &'static str,
                   get: fn(&SharedTable) -> LabeledValues| {
        let shared = shared.clone();
        let counter = meter.u64_observable_counter(name).with_description(what);
        let observe = move |counter: &dyn AsyncInstrument<u64>| observe_each(counter, get(&shared));
        counter.with_callback(observe).build()
    };
    gauge(
        "pulltrace_kubernetes_source_up",
        "1 if the source receives updates; 0 if it fails, is still listing or is not configured",
        |shared| {
            let listening = shared.cluster_health();
            let up = |health: &SourceHealth| u64::from(health.is_live());
            ("resource", vec![("pods", up(&listening.pods)), ("events", up(&listening.events))])
        },
    );
    counter("pulltrace_kubernetes_updates", "Pod and event updates processed", |shared| {
        let stats = shared.stats().correlate;
        ("resource", vec![("pods", stats.pod_updates), ("events", stats.events)])
    });
    counter(
        "pulltrace_kubernetes_malformed_objects",
        "Pods and events that could not be parsed",
        |shared| {
            let stats = shared.stats().correlate;
            ("resource", vec![("pods", stats.pods_malformed), ("events", stats.events_malformed)])
        },
    );
    counter(
        "pulltrace_kubelet_duration_comparisons",
        "Pulls with a duration from the kubelet, by whether it is within 20 % or one second of the measured one",
        |shared| {
            let stats = shared.stats().correlate;
            let (matches, mismatches) = (stats.kubelet_agrees, stats.kubelet_disagrees);
            ("result", vec![("match", matches), ("mismatch", mismatches)])
        },
    );
    let all = shared.clone();
    meter
        .u64_observable_gauge("pulltrace_pods_waiting")
        .with_description("Pods waiting for a pull")
        .with_callback(move |gauge| gauge.observe(all.stats().correlate.pods_waiting, &[]))
        .build();
}

/// A label name, and the number for each label value.
type LabeledValues = (&'static str, Vec<(&'static str, u64)>);

fn observe_each(instrument: &dyn AsyncInstrument<u64>, (label, numbers): LabeledValues) {
    for (value, number) in numbers {
        instrument.observe(number, &[KeyValue::new(label, value)]);
    }
}

#[expect(clippy::cast_precision_loss, reason = "microsecond precision is sufficient")]
fn last_report_times(table: &Table) -> Vec<(String, f64)> {
    let seconds = |at: NodeTime| at.unix_nanos() as f64 / 1e9;
    let nodes = table.nodes().map(|node| &node.view);
    nodes.map(|view| (view.name.to_string(), seconds(view.last_report_at))).collect()
}

pub(super) fn observe_server(meter: &Meter, stats: &Arc<HttpCounters>) {
    let counter = |name: &'static str, what: &'static str, get: fn(&HttpCounters) -> u64| {
        let stats = Arc::clone(stats);
        meter
            .u64_observable_counter(name)
            .with_description(what)
            .with_callback(move |counter| counter.observe(get(&stats), &[]))
            .build()
    };
    counter("pulltrace_reports_accepted", "Accepted reports", |stats| stats.reports_accepted.get());
    counter(
        "pulltrace_sse_readers_stalled",
        "Stream readers disconnected because they stalled",
        |stats| stats.readers_cut_off.get(),
    );
    counter(
        "pulltrace_sse_readers_rejected",
        "Stream readers rejected because of the limit",
        |stats| stats.readers_refused.get(),
    );
    counter(
        "pulltrace_sse_readers_uncompressed",
        "Stream readers that accept gzip but got an uncompressed stream because of the limit",
        |stats| stats.readers_uncompressed.get(),
    );
    counter("pulltrace_connections_rejected", "Connections closed because of the limit", |stats| {
        stats.connections_refused.get()
    });
    let all = Arc::clone(stats);
    meter
        .u64_observable_counter("pulltrace_reports_rejected")
        .with_description("Rejected reports")
        .with_callback(move |counter| {
            for why in RejectReason::ALL {
                let reason = KeyValue::new("reason", why.as_str());
                counter.observe(all.rejected_by(why), &[reason]);
            }
        })
        .build();
    let all = Arc::clone(stats);
    meter
        .u64_observable_gauge("pulltrace_sse_readers")
        .with_description("Current stream readers")
        .with_callback(move |gauge| gauge.observe(all.readers.get(), &[]))
        .build();
}

fn by_phase(numbers: PerPhase) -> [(&'static str, u64); 3] {
    [
        ("resolving", numbers.resolving),
        ("downloading", numbers.downloading),
        ("extracting", numbers.extracting),
    ]
}
