#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod backoff;
mod client;
mod error;
mod filter;
mod follow;
mod list;
mod pod;
mod request;
mod sse;
mod stream;
mod tls;
mod token;
mod wait;

pub use client::{Client, ClientBuilder};
pub use error::{EventError, FollowError, RequestError, SetupError, TokenError, WaitError};
pub use filter::{Filter, Layers};
pub use follow::{Cursor, CursorError, FollowEvent, Position, Start};
pub use pod::PodFollowEvent;
pub use wait::{Target, Until};
