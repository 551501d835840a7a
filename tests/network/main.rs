//! The network as its users see it: one body of tests on both networks, and what only the emulated one can show.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod bad_input;
mod bad_links;
mod both;
mod capture;
mod closing;
mod completion;
mod completion_timeouts;
mod emulated;
mod fasync;
mod flood;
mod frames;
mod io_uring;
mod multiplex;
mod offloads;
mod options;
mod parity;
mod preemption;
mod readiness;
mod receive_path;
mod routing;
mod udp_options;
mod wake_trace;
