//! The model of an image pull.
