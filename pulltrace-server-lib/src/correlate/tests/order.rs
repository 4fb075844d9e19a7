//! In whatever order things are heard, the same is found in the end.
