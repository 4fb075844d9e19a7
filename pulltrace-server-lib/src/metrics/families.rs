//! Metric families, through OpenTelemetry: gauges are observed at each scrape (`observe`), events
//! are counted when they happen.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use pulltrace_core::{FailureReason, Outcome};

use super::counters::HttpCounters;
use super::observe::{observe_cluster, observe_fleet, observe_server};
use crate::change::{Changes, DownloadedBytes, EndedPull};
use crate::table::SharedTable;

/// Maximum number of registries with their own label value; later ones are counted as `other`.
const MAX_REGISTRIES: usize = 20;

/// Buckets in seconds, equal to those of the kubelet's image pull metric.
const DURATION_BUCKETS: [f64; 18] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0,
    1200.0, 1800.0, 2700.0, 3600.0,
];

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

/// 1 MiB to 64 GiB.
const SIZE_BUCKETS: [f64; 9] =
    [MIB, 4.0 * MIB, 16.0 * MIB, 64.0 * MIB, 256.0 * MIB, GIB, 4.0 * GIB, 16.0 * GIB, 64.0 * GIB];

/// 64 KiB/s to 4 GiB/s.
const THROUGHPUT_BUCKETS: [f64; 9] =
    [64.0 * KIB, 256.0 * KIB, MIB, 4.0 * MIB, 16.0 * MIB, 64.0 * MIB, 256.0 * MIB, GIB, 4.0 * GIB];

const OUTCOMES: [Outcome; 4] =
    [Outcome::Completed, Outcome::Failed, Outcome::Cancelled, Outcome::Unknown];

/// The Prometheus metrics of a server.
///
/// Every label has a bounded set of values: fixed words, and the first 20 registries.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Kept alive: dropping it stops the export.
    _provider: SdkMeterProvider,
    meter: Meter,
    events: EventMetrics,
}

/// A failure to set up or encode the metrics. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The exporter could not be set up.
    #[error("failed to set up metrics")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The families could not be encoded as text.
    #[error("failed to encode metrics")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Metrics {
    pub(crate) fn new(stats: &Arc<HttpCounters>, revision: &str) -> Result<Self, MetricsError> {
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
            .with_description("Build information; always 1")
            .with_callback(move |gauge| gauge.observe(1, &build))
            .build();
        Ok(Self { events: EventMetrics::new(&meter), meter, _provider: provider, registry })
    }

    /// Registers the observable metrics of the fleet and the cluster.
    pub(crate) fn observe(&self, shared: &SharedTable) {
        observe_fleet(&self.meter, shared);
        observe_cluster(&self.meter, shared);
    }

    /// Counts the events of one step of the fleet.
    pub(crate) fn record(&self, changes: &Changes) {
        for ended in &changes.ended {
            self.events.record_ended(ended);
        }
        for downloaded in &changes.downloaded {
            self.events.record_downloaded(downloaded);
        }
    }

    /// Encodes all families in the Prometheus text format.
    ///
    /// # Errors
    /// Fails if the families cannot be encoded.
    pub fn text(&self) -> Result<String, MetricsError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| MetricsError::Write(error.into()))
    }
}

/// Metrics that are counted when something happens.
#[derive(Debug)]
struct EventMetrics {
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

impl EventMetrics {
    fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(what).build()
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
                "Duration of pulls that ended",
                &DURATION_BUCKETS,
            ),
            phase_duration: histogram(
                "pulltrace_pull_phase_duration",
                "s",
                "Time in each phase of pulls that ended",
                &DURATION_BUCKETS,
            ),
            downloaded: counter("pulltrace_downloaded", "By", "Bytes downloaded over the network"),
            wasted: counter(
                "pulltrace_wasted",
                "By",
                "Downloaded bytes that had to be fetched again",
            ),
            restarts: counter(
                "pulltrace_layer_restarts",
                "",
                "Layer downloads that were restarted",
            ),
            layers: counter(
                "pulltrace_layers",
                "",
                "Layers of pulls that ended, fetched or reused",
            ),
            layer_bytes: counter(
                "pulltrace_layer",
                "By",
                "Compressed size of layers of pulls that ended",
            ),
            throughput: histogram(
                "pulltrace_download_throughput",
                "By/s",
                "Average download speed of a pull",
                &THROUGHPUT_BUCKETS,
            ),
            size: histogram(
                "pulltrace_image_size",
                "By",
                "Compressed size of images of pulls that ended",
                &SIZE_BUCKETS,
            ),
            registries: Mutex::default(),
        };
        counted.init_series("other");
        for source in ["fetched", "reused"] {
            counted.layers.add(0, &[KeyValue::new("source", source)]);
            let source = KeyValue::new("source", source);
            counted.layer_bytes.add(0, &[source]);
        }
        counted
    }

    /// Creates all series of a registry at zero with its first pull, so that `rate()` includes the
    /// first increment.
    fn init_series(&self, registry: &str) {
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

    fn record_ended(&self, ended: &EndedPull) {
        let registry = self.registry_label(ended.registry.as_ref());
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
        self.wasted.add(ended.wasted.0, std::slice::from_ref(&registry));
        if let Some(speed) = ended.throughput {
            self.throughput.record(speed.get(), &[registry]);
        }
        if let Some(size) = ended.size {
            self.size.record(to_f64(size.0), &[]);
        }
    }

    fn record_downloaded(&self, downloaded: &DownloadedBytes) {
        let registry = self.registry_label(downloaded.registry.as_ref());
        let registry = &[registry];
        self.downloaded.add(downloaded.bytes.0, registry);
        self.restarts.add(downloaded.restarts, registry);
    }

    /// The label of a registry. Hosts are taken from image names, so their number must be limited.
    fn registry_label(&self, host: Option<&Arc<str>>) -> KeyValue {
        let host: Arc<str> = host.map_or_else(|| "unknown".into(), Arc::clone);
        let mut known = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let label = if known.contains(&host) {
            host
        } else if known.len() < MAX_REGISTRIES {
            known.insert(Arc::clone(&host));
            self.init_series(&host);
            host
        } else {
            "other".into()
        };
        KeyValue::new("registry", StringValue::from(label))
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes above 2^53 are rejected on receipt")]
const fn to_f64(number: u64) -> f64 {
    number as f64
}
