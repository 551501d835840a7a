//! What is said about a socket in the ring, whether there is one or not.
#![cfg_attr(
    not(all(feature = "io-uring", target_os = "linux")),
    allow(dead_code, reason = "there is no ring to say it")
)]

use std::io;

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Await {
    /// That it is worth trying.
    Readiness,
    /// Bytes, which may be received for him.
    Bytes,
}

/// What becomes of bytes that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// They leave.
    Out,
    /// They stay.
    Peek,
}

/// What a read found in the inbox.
#[derive(Debug)]
pub(crate) enum Taken {
    /// So many bytes, or the end of the stream, or an error; and whether the inbox is empty now.
    Got(io::Result<usize>, bool),
    /// Nothing yet: a receive is under way.
    Nothing,
    /// Nothing, and nothing is under way: ask the socket.
    Ask,
}

/// Whether a call on the descriptor may read from it.
#[derive(Debug)]
pub(crate) enum Quiet {
    /// Nothing is received for the socket.
    Yes,
    /// Soon: the receive is being cancelled.
    Soon,
}
