//! What the tests, the demo and the benches of pulltrace run against: a local
//! registry, images with known numbers, a private containerd, the clients that
//! pull, and a real API server of Kubernetes.
//!
//! Unpublished. It knows nothing of the collector, so that it can judge it; its
//! programs (`src/bin`) bring the two together.
//!
//! # A scenario
//! ```no_run
//! use std::time::Duration;
//! use pulltrace_testkit::containerd::{Containerd, Options};
//! use pulltrace_testkit::image::{Image, Layer, mib};
//! use pulltrace_testkit::{need, registry::Registry};
//!
//! # async fn scenario() -> Result<(), Box<dyn std::error::Error>> {
//! let Some(binary) = need::or_skip(need::containerd("2.4")) else {
//!     return Ok(());
//! };
//! let containerd = Containerd::start(&binary, &Options::quick()).await?;
//! let registry = Registry::start()?;
//!
//! let base = Layer::random("base", mib(8));
//! let image = Image::builder()
//!     .layer(&base)
//!     .layer(&Layer::files("many", 2_000, 4_096))
//!     .build();
//! let reference = registry.push("app:1", &image);
//!
//! // The base stands at 5 MiB until the gate opens.
//! let gate = registry.blob(base.digest()).hold(mib(5));
//! let pull = containerd.cri().pull(&reference);
//! gate.await_reached(Duration::from_secs(10)).await?;
//! assert!(!pull.is_finished());
//!
//! gate.release();
//! let id = pull.outcome().await?;
//! assert_eq!(id, image.manifest().config.digest);
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

pub mod clock;
pub mod containerd;
pub mod cri;
pub mod ctr;
pub mod image;
pub mod kubernetes;
pub mod need;
pub mod proc;
pub mod program;
pub mod registry;
mod rpc;
pub mod truth;
pub mod wait;

pub use rpc::CallError;
