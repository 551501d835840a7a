//! The operating system's monotone clock, in nanoseconds since a point that it chooses.
//!
//! A platform offers two looks: `now_ns`, exact, and `tick_ns`, which is cheap and shows when the system last looked
//! itself: some milliseconds ago, and never later than `now_ns` would say.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::{now_ns, tick_ns};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(super) use other::{now_ns, tick_ns};
