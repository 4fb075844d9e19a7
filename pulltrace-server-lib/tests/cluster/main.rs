//! Sources of pods and events: what every one must keep, and what one of an API server does in trouble.

mod api;
mod connect;
mod kube;
mod scripted;
