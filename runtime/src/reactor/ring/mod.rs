//! Receiving by completions: an io_uring beside the poller.
//!
//! With a [`Ring`] the driver sleeps in `io_uring_enter`. What is registered as a stream or a listener is watched by requests in the
//! ring; everything else stays with the poller, whose own descriptor is one more thing that the ring polls. Without the feature
//! `io-uring`, or where there is no io_uring, a `Ring` is a type without a value.
//!
//! # A socket's requests
//! Nothing is in flight for a socket until somebody would have to wait:
//! ```text
//!             waits for readiness: poll, once
//!   quiet ------------------------------------> told: quiet again
//!     |  ^
//!     |  | it ends: the stream is over, it was cancelled, no buffer was free
//!     |  +--------------------------------+
//!     |        waits for bytes: receive, again and again
//!     +-----------------------------------+---> bytes join the inbox
//! ```
//! While a receive is in flight, bytes are read from the inbox only, so that they keep their order. Without one, who reads asks the
//! socket itself: that is what happens after each end of a receive, when more comes than the inbox may hold, and where a call that
//! the ring does not know reads from the descriptor, for whom receiving stops for good.

#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod buffers;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod inbox;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod kernel;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod uring;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub use uring::Descriptor;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(crate) use uring::{Done, Ring, Socket};

#[cfg(not(all(feature = "io-uring", target_os = "linux")))]
mod none;
#[cfg(not(all(feature = "io-uring", target_os = "linux")))]
pub use none::Descriptor;
#[cfg(not(all(feature = "io-uring", target_os = "linux")))]
pub(crate) use none::{Done, Ring, Socket};

mod terms;
pub(crate) use terms::{Await, Quiet, Take, Taken};
