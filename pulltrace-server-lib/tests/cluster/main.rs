//! Sources of pods and events: conformance, and failures of the API server sources.

mod api;
mod connect;
mod kube;
mod scripted;
