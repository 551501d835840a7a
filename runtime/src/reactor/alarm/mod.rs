//! How the poller wakes in time: `epoll_wait` counts in milliseconds, and the kernel rounds long waits up.
//!
//! On Linux a timerfd among the polled descriptors does better: it is exact to the timer hardware, and since a deadline
//! that lies before the one that is wanted is left standing, a runtime whose deadlines only move away, as those of
//! timeouts do, pays no system call for them. Elsewhere (kqueue counts in nanoseconds) the poller's own timeout serves.

#[cfg(target_os = "linux")]
mod timerfd;
#[cfg(target_os = "linux")]
pub(crate) use timerfd::Alarm;

#[cfg(not(target_os = "linux"))]
mod timeout;
#[cfg(not(target_os = "linux"))]
pub(crate) use timeout::Alarm;
