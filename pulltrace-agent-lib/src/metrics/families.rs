//! The metric families, by OpenTelemetry: calls are recorded when they are over, all else is asked at each
//! scrape.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use pulltrace_core::Anomaly;

use crate::monitor::{Monitor, Vitals};
use crate::source::containerd::{Call, Stats, methods};

/// Takes a number and its labels.
type Observe<'a> = &'a mut dyn FnMut(u64, &[KeyValue]);

/// Seconds of a call: containerd answers most within a millisecond, and 2 s is the deadline. Few, since each
/// is a series for each method on each node.
const SECONDS: [f64; 5] = [0.001, 0.01, 0.1, 0.5, 2.0];

/// The errors whose series are there before the first, so that a rate sees it.
const FIRST_ERRORS: [&str; 2] = ["unavailable", "deadline"];

/// What Prometheus reads of an agent.
///
/// Each label has a closed set of values, and none names a node, an image or a registry.
///
/// ```
/// use pulltrace_agent_lib::metrics::Metrics;
/// use pulltrace_agent_lib::source::containerd::Containerd;
///
/// let metrics = Metrics::new("0.1.0", "0123456789ab")?;
/// let source = Containerd::builder("worker-1".parse()?).on_call(metrics.on_call());
/// assert!(metrics.text()?.contains("pulltrace_agent_build_info"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Without it nothing is exported any more.
    _provider: SdkMeterProvider,
    meter: Meter,
    duration: Histogram<f64>,
    errors: Counter<u64>,
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
    /// Families of nothing yet, but for what was built.
    ///
    /// # Errors
    /// Where the exporter cannot be set up.
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
            .with_description("1, with what was built as labels")
            .with_callback(move |gauge| gauge.observe(1, &build))
            .build();
        let duration = meter
            .f64_histogram("pulltrace_agent_runtime_rpc_duration")
            .with_unit("s")
            .with_description("How long calls to containerd took")
            .with_boundaries(SECONDS.to_vec())
            .build();
        let errors = meter
            .u64_counter("pulltrace_agent_runtime_rpc_errors")
            .with_description("Calls to containerd that failed, by the word of the gRPC status")
            .build();
        for method in methods() {
            for code in FIRST_ERRORS {
                errors.add(0, &failed(method, code));
            }
        }
        Ok(Self {
            registry,
            _provider: provider,
            meter,
            duration,
            errors,
        })
    }

    /// Takes calls, for [`Builder::on_call`](crate::source::containerd::Builder::on_call).
    pub fn on_call(&self) -> impl Fn(&Call) + Send + Sync + 'static {
        let (duration, errors) = (self.duration.clone(), self.errors.clone());
        move |call| {
            if let Some(took) = call.took {
                duration.record(took.as_secs_f64(), &[KeyValue::new("method", call.method)]);
            }
            if let Some(code) = call.error {
                errors.add(1, &failed(call.method, code));
            }
        }
    }

    /// Shows what a source counts, by
    /// [`Containerd::stats_reader`](crate::source::containerd::Containerd::stats_reader).
    pub fn watch_source(&self, stats: impl Fn() -> Stats + Send + Sync + 'static) {
        let stats = Arc::new(stats);
        let read = Arc::clone(&stats);
        self.counter(
            "pulltrace_agent_runtime_connections",
            "How often containerd was there: for the first time, or again",
            move |observe| observe(read().connections, &[]),
        );
        let read = Arc::clone(&stats);
        self.counter(
            "pulltrace_agent_polls",
            "Rounds of listing",
            move |observe| {
                let stats = read();
                observe(stats.polls, &[KeyValue::new("result", "ok")]);
                observe(stats.failed_polls, &[KeyValue::new("result", "failed")]);
            },
        );
        self.counter(
            "pulltrace_agent_runtime_dropped",
            "What of containerd was not looked at because a bound was reached, or made no sense",
            move |observe| {
                let stats = stats();
                for (what, number) in [
                    ("event", stats.dropped_events),
                    ("question", stats.refused_queries),
                    ("listed", stats.left_out),
                ] {
                    observe(number, &[KeyValue::new("what", what)]);
                }
            },
        );
    }

    /// Shows what a collector does.
    pub fn watch(&self, monitor: &Monitor) {
        self.gauges(monitor);
        let counter = |name, what, get: fn(&Vitals, Observe<'_>)| {
            let monitor = monitor.clone();
            self.counter(name, what, move |observe| get(&monitor.vitals(), observe));
        };
        counter(
            "pulltrace_agent_reports",
            "Reports to the server",
            |vitals, observe| {
                observe(vitals.reports, &[KeyValue::new("result", "delivered")]);
                observe(vitals.failed_reports, &[KeyValue::new("result", "failed")]);
            },
        );
        counter(
            "pulltrace_agent_observations",
            "What the source said that it saw",
            |vitals, observe| observe(vitals.observations, &[]),
        );
        counter(
            "pulltrace_agent_anomalies",
            "What the source said that cannot be true",
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
            "What was left out or let go before its time because a bound was reached",
            |vitals, observe| {
                for (what, number) in [
                    ("live_pull", vitals.counters.refused),
                    ("ended_pull", vitals.counters.evicted),
                    ("end_untold", vitals.ends_lost),
                ] {
                    observe(number, &[KeyValue::new("what", what)]);
                }
            },
        );
    }

    fn gauges(&self, monitor: &Monitor) {
        let read = monitor.clone();
        self.meter
            .u64_observable_gauge("pulltrace_agent_pulls_in_progress")
            .with_description("Pulls of this node that are going on")
            .with_callback(move |gauge| {
                let vitals = read.vitals();
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
            .with_description("1 while containerd is there, else 0")
            .with_callback(move |gauge| gauge.observe(u64::from(read.vitals().sees), &[]))
            .build();
        let read = monitor.clone();
        self.meter
            .f64_observable_gauge("pulltrace_agent_poll_interval")
            .with_unit("s")
            .with_description(
                "How long it waits before it looks again; none while containerd is away",
            )
            .with_callback(move |gauge| {
                if let Some(interval) = read.vitals().interval {
                    gauge.observe(interval.as_secs_f64(), &[]);
                }
            })
            .build();
    }

    /// A number that only grows, asked at each scrape.
    fn counter(
        &self,
        name: &'static str,
        what: &'static str,
        ask: impl Fn(Observe<'_>) + Send + Sync + 'static,
    ) {
        self.meter
            .u64_observable_counter(name)
            .with_description(what)
            .with_callback(move |counter| {
                ask(&mut |number, labels| counter.observe(number, labels));
            })
            .build();
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

fn failed(method: &'static str, code: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("method", method), KeyValue::new("code", code)]
}
