//! The metric families, by OpenTelemetry: what there is now is asked at each scrape, what happened is
//! counted when it happens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use pulltrace_core::{FailureReason, NodeTime, Outcome};

use super::{Rejected, Stats};
use crate::fleet::{Changes, Downloaded, Ended, PerPhase, Stats as Fleet};
use crate::table::{Shared, Table};

/// Registries with a name of their own; those that come later are `other`.
const MAX_REGISTRIES: usize = 20;

/// Seconds, as the kubelet has them for its pulls.
const SECONDS: [f64; 18] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0,
    1200.0, 1800.0, 2700.0, 3600.0,
];

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

/// 1 MiB to 64 GiB.
const SIZES: [f64; 9] = [
    MIB,
    4.0 * MIB,
    16.0 * MIB,
    64.0 * MIB,
    256.0 * MIB,
    GIB,
    4.0 * GIB,
    16.0 * GIB,
    64.0 * GIB,
];

/// 64 KiB/s to 4 GiB/s.
const SPEEDS: [f64; 9] = [
    64.0 * KIB,
    256.0 * KIB,
    MIB,
    4.0 * MIB,
    16.0 * MIB,
    64.0 * MIB,
    256.0 * MIB,
    GIB,
    4.0 * GIB,
];

const OUTCOMES: [Outcome; 4] = [
    Outcome::Completed,
    Outcome::Failed,
    Outcome::Cancelled,
    Outcome::Unknown,
];

/// What Prometheus reads of a server.
///
/// Each label has a bounded set of values: words of the model, and the first 20 registries.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Without it nothing is exported any more.
    _provider: SdkMeterProvider,
    meter: Meter,
    counted: Counted,
}

/// Metrics that cannot be set up or written. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The exporter cannot be set up.
    #[error("metrics cannot be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The families cannot be written as text.
    #[error("metrics cannot be written")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Metrics {
    pub(crate) fn new(stats: &Arc<Stats>, revision: &str) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| MetricsError::Setup(error.into()))?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("pulltrace");
        observe_server(&meter, stats);
        let build = [
            KeyValue::new("version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("revision", revision.to_owned()),
        ];
        meter
            .u64_observable_gauge("pulltrace_build_info")
            .with_description("1, with what was built as labels")
            .with_callback(move |gauge| gauge.observe(1, &build))
            .build();
        Ok(Self {
            counted: Counted::new(&meter),
            meter,
            _provider: provider,
            registry,
        })
    }

    /// Shows what there is in the fleet, too.
    pub(crate) fn watch(&self, shared: &Shared) {
        observe_fleet(&self.meter, shared);
    }

    /// Counts what one step of the fleet brought.
    pub(crate) fn count(&self, changes: &Changes) {
        for ended in &changes.ended {
            self.counted.ended(ended);
        }
        for downloaded in &changes.downloaded {
            self.counted.downloaded(downloaded);
        }
    }

    /// All families in the text format of Prometheus.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn text(&self) -> Result<String, MetricsError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| MetricsError::Write(error.into()))
    }
}

fn observe_fleet(meter: &Meter, shared: &Shared) {
    let gauge = |name: &'static str, what: &'static str, get: fn(&Fleet) -> PerPhase| {
        let shared = shared.clone();
        meter
            .u64_observable_gauge(name)
            .with_description(what)
            .with_callback(move |gauge| {
                for (phase, number) in phases(get(&shared.stats())) {
                    gauge.observe(number, &[KeyValue::new("phase", phase)]);
                }
            })
            .build()
    };
    gauge(
        "pulltrace_pulls_in_progress",
        "Pulls that are going on",
        |fleet| fleet.live,
    );
    gauge(
        "pulltrace_pulls_stalled",
        "Pulls that should move and have not for long",
        |fleet| fleet.stalled,
    );
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
            let counters = all.stats().counters;
            for (what, number) in [
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

#[expect(clippy::cast_precision_loss, reason = "seconds, to the microsecond")]
fn last_reports(table: &Table) -> Vec<(String, f64)> {
    let seconds = |at: NodeTime| at.unix_nanos() as f64 / 1e9;
    let nodes = table.nodes().map(|node| &node.view);
    nodes
        .map(|view| (view.name.to_string(), seconds(view.last_report_at)))
        .collect()
}

fn observe_server(meter: &Meter, stats: &Arc<Stats>) {
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

/// What is counted when it happens.
#[derive(Debug)]
struct Counted {
    pulls: Counter<u64>,
    failures: Counter<u64>,
    duration: Histogram<f64>,
    phase_duration: Histogram<f64>,
    downloaded: Counter<u64>,
    wasted: Counter<u64>,
    restarts: Counter<u64>,
    layers: Counter<u64>,
    layer_bytes: Counter<u64>,
    throughput: Histogram<f64>,
    size: Histogram<f64>,
    registries: Mutex<BTreeSet<Arc<str>>>,
}

impl Counted {
    fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, what: &'static str| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(what)
                .build()
        };
        let histogram = |name: &'static str, unit, what, bounds: &[f64]| {
            let histogram = meter.f64_histogram(name).with_unit(unit);
            let histogram = histogram.with_description(what);
            histogram.with_boundaries(bounds.to_vec()).build()
        };
        let counted = Self {
            pulls: counter("pulltrace_pulls", "", "Pulls that ended"),
            failures: counter("pulltrace_pull_failures", "", "Pulls that failed"),
            duration: histogram(
                "pulltrace_pull_duration",
                "s",
                "From the start of a pull to its end",
                &SECONDS,
            ),
            phase_duration: histogram(
                "pulltrace_pull_phase_duration",
                "s",
                "How long pulls that ended were in each phase",
                &SECONDS,
            ),
            downloaded: counter(
                "pulltrace_downloaded",
                "By",
                "Bytes that came over the network",
            ),
            wasted: counter(
                "pulltrace_wasted",
                "By",
                "Bytes that came and had to be fetched again",
            ),
            restarts: counter(
                "pulltrace_layer_restarts",
                "",
                "Layers that began anew while they were fetched",
            ),
            layers: counter(
                "pulltrace_layers",
                "",
                "Layers of pulls that ended, fetched or there before",
            ),
            layer_bytes: counter(
                "pulltrace_layer",
                "By",
                "Compressed bytes of the layers of pulls that ended",
            ),
            throughput: histogram(
                "pulltrace_download_throughput",
                "By/s",
                "Bytes per second over the download of a pull",
                &SPEEDS,
            ),
            size: histogram(
                "pulltrace_image_size",
                "By",
                "What the images of pulls that ended weigh, compressed",
                &SIZES,
            ),
            registries: Mutex::default(),
        };
        counted.begin("other");
        for source in ["fetched", "reused"] {
            counted.layers.add(0, &[KeyValue::new("source", source)]);
            let source = KeyValue::new("source", source);
            counted.layer_bytes.add(0, &[source]);
        }
        counted
    }

    /// Each series of a registry is there from its first pull on, so that a rate sees the first one.
    fn begin(&self, registry: &str) {
        let registry = || KeyValue::new("registry", registry.to_owned());
        for outcome in OUTCOMES {
            let result = KeyValue::new("result", outcome.as_str());
            self.pulls.add(0, &[registry(), result]);
        }
        let reason = KeyValue::new("reason", FailureReason::Unexplained.as_str());
        self.failures.add(0, &[registry(), reason]);
        self.downloaded.add(0, &[registry()]);
        self.wasted.add(0, &[registry()]);
        self.restarts.add(0, &[registry()]);
    }

    fn ended(&self, ended: &Ended) {
        let registry = self.registry(ended.registry.as_ref());
        let result = KeyValue::new("result", ended.outcome.as_str());
        let labels = [registry.clone(), result];
        self.pulls.add(1, &labels);
        self.duration.record(ended.duration.as_secs_f64(), &labels);
        if let Some(reason) = &ended.reason {
            let reason = KeyValue::new("reason", reason.as_str());
            self.failures.add(1, &[registry.clone(), reason]);
        }
        for (phase, time) in [
            ("resolving", ended.resolving),
            ("downloading", ended.downloading),
            ("extracting", ended.extracting),
        ] {
            if let Some(time) = time {
                let phase = KeyValue::new("phase", phase);
                self.phase_duration.record(time.as_secs_f64(), &[phase]);
            }
        }
        for (source, layers, bytes) in [
            ("fetched", ended.layers_fetched, ended.downloaded),
            ("reused", ended.layers_reused, ended.cached),
        ] {
            let source = [KeyValue::new("source", source)];
            self.layers.add(layers, &source);
            self.layer_bytes.add(bytes.0, &source);
        }
        self.wasted
            .add(ended.wasted.0, std::slice::from_ref(&registry));
        if let Some(speed) = ended.throughput {
            self.throughput.record(speed.get(), &[registry]);
        }
        if let Some(size) = ended.size {
            self.size.record(real(size.0), &[]);
        }
    }

    fn downloaded(&self, downloaded: &Downloaded) {
        let registry = self.registry(downloaded.registry.as_ref());
        let registry = &[registry];
        self.downloaded.add(downloaded.bytes.0, registry);
        self.restarts.add(downloaded.restarts, registry);
    }

    /// The label of a registry. Hosts come from what people deploy, so their number is bounded.
    fn registry(&self, host: Option<&Arc<str>>) -> KeyValue {
        let host: Arc<str> = host.map_or_else(|| "unknown".into(), Arc::clone);
        let mut known = self
            .registries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let label = if known.contains(&host) {
            host
        } else if known.len() < MAX_REGISTRIES {
            known.insert(Arc::clone(&host));
            self.begin(&host);
            host
        } else {
            "other".into()
        };
        KeyValue::new("registry", StringValue::from(label))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes are bounded by 2^53 at the edge"
)]
const fn real(number: u64) -> f64 {
    number as f64
}
