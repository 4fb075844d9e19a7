//! Sources of pods and events.
