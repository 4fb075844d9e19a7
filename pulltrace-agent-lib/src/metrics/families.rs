//! The metric families, built with OpenTelemetry.
//!
//! Calls are recorded when they finish; everything else is read at each scrape.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use pulltrace_core::Anomaly;

use crate::monitor::{CollectorStats, Monitor};
use crate::source::containerd::{Call, SourceStats, methods};

/// Records a value with its labels.
type Observe<'a> = &'a mut dyn FnMut(u64, &[KeyValue]);

/// Histogram buckets in seconds. containerd answers most calls within 1 ms, and calls time out
/// after 2 s. There are few buckets because each is a series per method and node.
const DURATION_BUCKETS: [f64; 5] = [0.001, 0.01, 0.1, 0.5, 2.0];

/// Error codes that are exported as 0 before their first occurrence, so that `rate` sees it.
const INITIAL_ERROR_CODES: [&str; 2] = ["unavailable", "deadline"];

/// The agent's metrics for Prometheus.
///
/// Every label has a fixed set of values; none contains the name of a node, an image or a registry.
///
/// ```
/// use pulltrace_agent_lib::metrics::Metrics;
/// use pulltrace_agent_lib::source::containerd::Containerd;
///
/// let metrics = Metrics::new("0.1.0", "0123456789ab")?;
/// let source = Containerd::builder("worker-1".parse()?).on_call(metrics.on_call());
/// assert!(metrics.encode()?.contains("pulltrace_agent_build_info"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Dropping the provider would stop the export.
    _provider: SdkMeterProvider,
    meter: Meter,
    duration: Histogram<f64>,
    errors: Counter<u64>,
}

/// A failure to set up or encode the metrics. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The exporter could not be created.
    #[error("failed to set up metrics")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The metrics could not be encoded as text.
    #[error("failed to encode metrics")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Metrics {
    /// Creates the metrics with build information. Sources and collectors are registered
    /// separately.
    ///
    /// # Errors
    /// Returns an error if the exporter cannot be created.
    pub fn new(version: &str, revision: &str) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| MetricsError::Setup(error.into()))?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("pulltrace-agent");
        let build = [
            KeyValue::new("version", version.to_owned()),
            KeyValue::new("revision", revision.to_owned()),
        ];
        meter
            .u64_observable_gauge("pulltrace_agent_build_info")
            .with_description("Build information of the agent, always 1")
            .with_callback(move |gauge| gauge.observe(1, &build))
            .build();
        let duration = meter
            .f64_histogram("pulltrace_agent_runtime_rpc_duration")
            .with_unit("s")
            .with_description("Duration of calls to containerd")
            .with_boundaries(DURATION_BUCKETS.to_vec())
            .build();
        let errors = meter
            .u64_counter("pulltrace_agent_runtime_rpc_errors")
            .with_description("Failed calls to containerd, by gRPC status")
            .build();
        for method in methods() {
            for code in INITIAL_ERROR_CODES {
                errors.add(0, &error_labels(method, code));
            }
        }
        Ok(Self { registry, _provider: provider, meter, duration, errors })
    }

    /// Returns a callback for [`Builder::on_call`](crate::source::containerd::Builder::on_call)
    /// that records calls.
    pub fn on_call(&self) -> impl Fn(&Call) + Send + Sync + 'static {
        let (duration, errors) = (self.duration.clone(), self.errors.clone());
        move |call| {
            if let Some(took) = call.duration {
                duration.record(took.as_secs_f64(), &[KeyValue::new("method", call.method)]);
            }
            if let Some(code) = call.error {
                errors.add(1, &error_labels(call.method, code));
            }
        }
    }

    /// Exports the statistics of a source, read through
    /// [`Containerd::stats_reader`](crate::source::containerd::Containerd::stats_reader).
    pub fn register_source(&self, stats: impl Fn() -> SourceStats + Send + Sync + 'static) {
        let stats = Arc::new(stats);
        let read = Arc::clone(&stats);
        self.register_counter(
            "pulltrace_agent_runtime_connections",
            "Connections to containerd, including reconnects",
            move |observe| observe(read().connections, &[]),
        );
        let read = Arc::clone(&stats);
        self.register_counter("pulltrace_agent_polls", "Polls of containerd", move |observe| {
            let stats = read();
            observe(stats.polls, &[KeyValue::new("result", "success")]);
            observe(stats.failed_polls, &[KeyValue::new("result", "failed")]);
        });
        self.register_counter(
            "pulltrace_agent_runtime_dropped",
            "Events, queries and list items of containerd dropped because they exceeded a limit or were invalid",
            move |observe| {
                let stats = stats();
                for (kind, number) in [
                    ("event", stats.dropped_events),
                    ("query", stats.dropped_queries),
                    ("list_item", stats.skipped_items),
                ] {
                    observe(number, &[KeyValue::new("kind", kind)]);
                }
            },
        );
    }

    /// Exports the statistics of a collector.
    pub fn register_collector(&self, monitor: &Monitor) {
        self.register_gauges(monitor);
        let counter = |name, help, get: fn(&CollectorStats, Observe<'_>)| {
            let monitor = monitor.clone();
            self.register_counter(name, help, move |observe| get(&monitor.stats(), observe));
        };
        counter("pulltrace_agent_reports", "Reports to the server", |vitals, observe| {
            observe(vitals.reports, &[KeyValue::new("result", "delivered")]);
            observe(vitals.failed_reports, &[KeyValue::new("result", "failed")]);
        });
        counter("pulltrace_agent_observations", "Observations of the source", |vitals, observe| {
            observe(vitals.observations, &[])
        });
        counter(
            "pulltrace_agent_anomalies",
            "Contradictory or invalid input from the source",
            |vitals, observe| {
                for anomaly in Anomaly::ALL {
                    let number = vitals.counters.anomalies.get(&anomaly);
                    let kind = KeyValue::new("kind", anomaly.as_str());
                    observe(number.copied().unwrap_or_default(), &[kind]);
                }
            },
        );
        counter(
            "pulltrace_agent_dropped",
            "Pulls and ends dropped because a limit was reached",
            |vitals, observe| {
                for (kind, number) in [
                    ("live_pull", vitals.counters.refused),
                    ("ended_pull", vitals.counters.evicted),
                    ("undelivered_end", vitals.ends_lost),
                ] {
                    observe(number, &[KeyValue::new("kind", kind)]);
                }
            },
        );
    }

    fn register_gauges(&self, monitor: &Monitor) {
        let read = monitor.clone();
        self.meter
            .u64_observable_gauge("pulltrace_agent_pulls_in_progress")
            .with_description("Pulls in progress on this node")
            .with_callback(move |gauge| {
                let vitals = read.stats();
                for (phase, number) in [
                    ("resolving", vitals.resolving),
                    ("downloading", vitals.downloading),
                    ("extracting", vitals.extracting),
                ] {
                    gauge.observe(number, &[KeyValue::new("phase", phase)]);
                }
            })
            .build();
        let read = monitor.clone();
        self.meter
            .u64_observable_gauge("pulltrace_agent_runtime_connected")
            .with_description("1 if containerd is connected, else 0")
            .with_callback(move |gauge| gauge.observe(u64::from(read.stats().connected), &[]))
            .build();
        let read = monitor.clone();
        self.meter
            .f64_observable_gauge("pulltrace_agent_poll_interval")
            .with_unit("s")
            .with_description("Current poll interval; absent while containerd is disconnected")
            .with_callback(move |gauge| {
                if let Some(interval) = read.stats().poll_interval {
                    gauge.observe(interval.as_secs_f64(), &[]);
                }
            })
            .build();
    }

    /// Registers a counter that is read at each scrape.
    fn register_counter(
        &self,
        name: &'static str,
        help: &'static str,
        observe_all: impl Fn(Observe<'_>) + Send + Sync + 'static,
    ) {
        self.meter
            .u64_observable_counter(name)
            .with_description(help)
            .with_callback(move |counter| {
                observe_all(&mut |number, labels| counter.observe(number, labels));
            })
            .build();
    }

    /// Encodes all families in the Prometheus text format.
    ///
    /// # Errors
    /// Returns an error if the metrics cannot be encoded.
    pub fn encode(&self) -> Result<String, MetricsError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| MetricsError::Encode(error.into()))
    }
}

fn error_labels(method: &'static str, code: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("method", method), KeyValue::new("code", code)]
}
