//! Interrupts as a CPU sees them: lines and who takes them, timers, softirqs, and the word that says who polls.
//!
//! What a device raises and what a CPU runs meet here, so both import it, and it knows neither: no frame, no host.

pub(crate) mod controller;
pub(crate) mod hrtimer;
pub(crate) mod line;
pub(crate) mod napi;
pub(crate) mod softirq;

#[cfg(all(test, loom))]
mod loom_tests;
