//! Benchmarks of wakeline beside its peers, in the same run.
//!
//! The echo: `benches/echo.rs` is the criterion bench; `src/bin/echo_numbers` measures the figures that are quoted. Both run
//! what is here: one [request] that everybody sends and checks, one measured [run], and the contestants.
//!
//! The system's sockets: `src/bin/os_numbers` measures servers under [load](load) from another process.
//!
//! The runtime: `src/bin/runtime_numbers` measures its [rows](runtime_rows), each written once for all
//! [contestants](contestant).
//!
//! The transport: `src/bin/transport_numbers` measures its [work](transport) on both networks and by smoltcp's bare loop.

pub mod child;
pub mod command_line;
pub mod contestant;
pub mod crowd;
pub mod emulated_echo;
pub mod load;
pub mod memory;
pub mod os_echo;
pub mod request;
pub mod row;
pub mod run;
pub mod runtime_rows;
pub mod samples;
pub mod signal;
pub mod smoltcp_loop;
pub mod stream;
pub mod tasks;
pub mod transport;
