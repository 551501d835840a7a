//! The executor half of wakeline.
#![cfg_attr(loom, allow(dead_code))]

mod atomic;
pub mod clock;
pub mod namespace;
pub mod park;
pub mod rng;
pub mod wait_queue;
