//! The metric families, by OpenTelemetry: what there is now is asked at each scrape (`observe`), what happened
//! is counted when it happens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use pulltrace_core::{FailureReason, Outcome};

use super::Stats;
use super::observe::{observe_cluster, observe_fleet, observe_server};
use crate::fleet::{Changes, Downloaded, Ended};
use crate::table::Shared;

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
        observe_cluster(&self.meter, shared);
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
        for reason in FailureReason::ALL {
            let reason = KeyValue::new("reason", reason.as_str());
            self.failures.add(0, &[registry(), reason]);
        }
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
            ("queued", ended.queued),
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
