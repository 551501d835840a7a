//! The alarm that is a timerfd.

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A timer that is an event among the others.
#[derive(Debug)]
pub(crate) struct Alarm {
    fd: OwnedFd,
    /// When it goes off, if that is yet to come.
    set_for: Option<Instant>,
}

impl Alarm {
    /// # Errors
    /// When the operating system has no file descriptors left.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Alarm> {
        // SAFETY: takes two integers and returns a new descriptor or -1; it has no precondition.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, being new, and nobody else knows of it, so it is this value's to close.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { fd, set_for: None })
    }

    /// Makes sure that a poll ends after `wait`, and says what its own timeout has to be.
    ///
    /// It may end earlier, by an alarm that was set before.
    pub(crate) fn set(&mut self, wait: Option<Duration>) -> Option<Duration> {
        let wait = wait?;
        if wait.is_zero() {
            return Some(wait);
        }
        let now = Instant::now();
        // A wait too long for the clock ends with the alarm that is far enough.
        let deadline = now.checked_add(wait.min(FAR)).expect("a year from now is a moment that the clock can name");
        if self.set_for.is_some_and(|at| now < at && at <= deadline) {
            return None;
        }
        self.set_for = Some(deadline);
        // Each expiry is an edge of its own, so that nobody needs to read the descriptor.
        self.set_time(wait.min(FAR));
        None
    }

    fn set_time(&self, wait: Duration) {
        let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec {
            tv_sec: wait.as_secs() as libc::time_t,
            // Below 10^9, which every type that the field has on some platform can hold.
            tv_nsec: wait.subsec_nanos() as _,
        };
        let spec = libc::itimerspec { it_interval: once, it_value: value };
        // SAFETY: `fd` is an open timerfd; `spec` is a valid itimerspec that outlives the call; the old value is not
        // asked for, which a null pointer says.
        let result = unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &spec, std::ptr::null_mut()) };
        assert_eq!(result, 0, "a valid timerfd takes a time below 10^9 ns and {} s", wait.as_secs());
    }
}

/// Longer than this nobody sleeps in one piece.
const FAR: Duration = Duration::from_secs(365 * 86_400);
