#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod backoff;
mod client;
mod error;
mod filter;
mod follow;
mod pod;
mod request;
mod sse;
mod tls;
mod token;
mod wait;

pub use client::{Client, ClientBuilder};
pub use error::{FollowError, RequestError, SetupError, TokenError, WaitError};
pub use filter::{Filter, Layers};
pub use follow::{Cursor, CursorError, EventError, FollowEvent, Position, Start};
pub use pod::PodFollowEvent;
pub use wait::{Target, Until};
