//! The asynchronous sockets: one set of types over two networks.
//!
//! Each type is an enum inside; which arm it gets is decided where it is bound or connected, by the network that the task
//! stands on. The emulated arm pays the task's budget in [`budget`], the operating system's in its source.

pub(crate) mod budget;
mod convert;
#[cfg(any(feature = "tokio", feature = "hyper"))]
mod ecosystem;
pub(crate) mod options;
pub(crate) mod prepared;
mod ready;
pub(crate) mod resolve;
pub(crate) mod split;
pub(crate) mod tcp;
pub(crate) mod tcp_listener;
pub(crate) mod tcp_socket;
pub(crate) mod udp;
