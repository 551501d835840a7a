//! The transport's figures: each contestant does the same work through its own public face, and checks what arrives.

pub mod bulk;
pub mod datagrams;
pub mod idle;
pub mod queues;
pub mod short;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::io;

/// Keeps this process, and the threads that it will start, on one CPU: the last one, which has fewer interrupts.
///
/// # Errors
/// Those of `sched_setaffinity(2)`.
pub fn pin_to_one_cpu() -> io::Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let mut set = CpuSet::new();
    set.set(cpus - 1)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// What two sides have counted of the same thing.
fn same_count(what: &str, sent: u64, received: u64) -> io::Result<()> {
    if sent == received {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{sent} {what} were sent and {received} arrived")))
}
