//! Test fixtures for the tests, the demo and the benchmarks of pulltrace: a local registry, images
//! with known sizes, a private containerd, clients that pull, and a real Kubernetes API server.
//!
//! Not published. The library depends neither on the agent nor on the server, so that it can verify
//! them independently; only its tests use both.
//!
//! # Example
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
//! let containerd = Containerd::start(&binary, &Options::in_memory()).await?;
//! let registry = Registry::start()?;
//!
//! let base = Layer::random("base", mib(8));
//! let image = Image::builder()
//!     .layer(&base)
//!     .layer(&Layer::many_files("many", 2_000, 4_096))
//!     .build();
//! let reference = registry.push("app:1", &image);
//!
//! // The download of the base stops at 5 MiB until the gate is released.
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
pub mod image;
pub mod invariants;
pub mod kubernetes;
mod missing;
pub mod need;
pub mod proc;
pub mod program;
pub mod registry;
mod rpc;
pub mod wait;

pub use rpc::CallError;
