//! How late a sleep on the futex may end.

#[cfg(target_os = "linux")]
mod prctl;
#[cfg(target_os = "linux")]
pub(crate) use prctl::let_this_thread_wake_in_time;

#[cfg(not(target_os = "linux"))]
mod none;
#[cfg(not(target_os = "linux"))]
pub(crate) use none::let_this_thread_wake_in_time;
