//! The executor half of wakeline.
#![cfg_attr(loom, allow(dead_code))]

mod atomic;
pub mod clock;
mod context;
pub mod coop;
mod driver;
mod handle;
pub mod io;
pub mod namespace;
pub mod park;
mod reactor;
pub mod rng;
mod runtime;
pub mod time;
mod timer;
pub mod wait_queue;

pub use handle::{Handle, JoinHandle};
pub use runtime::{Builder, Runtime, spawn};
