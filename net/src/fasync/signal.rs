//! Signals by number, sets of them, and what `siginfo_t` tells of one that a socket sent.

use std::fmt;
use wakeline_runtime::wait_queue::Events;

/// A signal by its number on Linux: 1 to 31 are the standard ones, 34 to 64 the real-time ones that programs may use.
///
/// # Examples
/// ```
/// use wakeline_net::fasync::Signal;
///
/// assert_eq!(Signal::IO.number(), 29);
/// assert_eq!(Signal::rt(0).map(|signal| signal.to_string()), Some("SIGRTMIN+0".to_owned()));
/// assert_eq!(Signal::new(65), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// The first real-time signal that the C library leaves to programs.
const RTMIN: u8 = 34;
const MAX: u8 = 64;

impl Signal {
    /// `SIGUSR1`
    pub const USR1: Signal = Signal(10);
    /// `SIGUSR2`
    pub const USR2: Signal = Signal(12);
    /// `SIGIO`, which is `SIGPOLL`: what a socket sends if it was told nothing else, and when a queue is full.
    pub const IO: Signal = Signal(29);

    /// The signal with this number; none for 0, for the two that the C library keeps (32 and 33), and beyond 64.
    #[must_use]
    pub const fn new(number: u8) -> Option<Signal> {
        match number {
            1..=31 | RTMIN..=MAX => Some(Signal(number)),
            _ => None,
        }
    }

    /// `SIGRTMIN + n`, for an `n` of at most 30.
    #[must_use]
    pub const fn rt(n: u8) -> Option<Signal> {
        if n <= MAX - RTMIN { Some(Signal(RTMIN + n)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether it is a real-time signal: each one sent is queued, where of a standard one at most one is pending.
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 >= RTMIN
    }

    const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            10 => f.write_str("SIGUSR1"),
            12 => f.write_str("SIGUSR2"),
            29 => f.write_str("SIGIO"),
            number if self.is_realtime() => write!(f, "SIGRTMIN+{}", number - RTMIN),
            number => write!(f, "signal {number}"),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of signals (`sigset_t`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SigSet(u64);

impl SigSet {
    /// No signal (`sigemptyset`).
    #[must_use]
    pub const fn empty() -> SigSet {
        SigSet(0)
    }

    /// Every signal (`sigfillset`).
    #[must_use]
    pub const fn all() -> SigSet {
        SigSet(!0)
    }

    /// The set with `signal` in it as well (`sigaddset`).
    #[must_use]
    pub const fn with(self, signal: Signal) -> SigSet {
        SigSet(self.0 | signal.bit())
    }

    /// The set without `signal` (`sigdelset`).
    #[must_use]
    pub const fn without(self, signal: Signal) -> SigSet {
        SigSet(self.0 & !signal.bit())
    }

    /// Whether `signal` is in it (`sigismember`).
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }
}

impl From<Signal> for SigSet {
    fn from(signal: Signal) -> SigSet {
        SigSet::empty().with(signal)
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = (1..=MAX).filter_map(Signal::new).filter(|&signal| self.contains(signal));
        f.debug_set().entries(members).finish()
    }
}

/// Why a signal was sent (`si_code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SigCode {
    /// `POLL_IN`: there may be something to read, or a connection to accept.
    PollIn,
    /// `POLL_OUT`: there may be room to write, or a connection was made.
    PollOut,
    /// `POLL_ERR`: something went wrong.
    PollErr,
    /// `POLL_HUP`: both directions are closed.
    PollHup,
    /// `SI_KERNEL`: a plain `SIGIO`, which says nothing else.
    Kernel,
}

impl SigCode {
    /// The code's number on Linux.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            SigCode::PollIn => 1,
            SigCode::PollOut => 2,
            SigCode::PollErr => 4,
            SigCode::PollHup => 6,
            SigCode::Kernel => 0x80,
        }
    }

    /// The code that belongs to a band (`band_table`).
    pub(crate) fn of_band(band: Events) -> SigCode {
        match band {
            band if band.contains(Events::HUP) => SigCode::PollHup,
            band if band.contains(Events::ERR) => SigCode::PollErr,
            band if band.contains(Events::OUT) => SigCode::PollOut,
            _ => SigCode::PollIn,
        }
    }
}

/// What is known of a signal that was taken (`siginfo_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigInfo {
    /// Which (`si_signo`).
    pub signal: Signal,
    /// Why (`si_code`).
    pub code: SigCode,
    /// What its sender was called in [`Fcntl::set_async`](crate::fasync::Fcntl::set_async) (`si_fd`); none for a plain
    /// `SIGIO`.
    pub fd: Option<i32>,
    /// What happened, as `poll(2)` would say it (`si_band`); empty for a plain `SIGIO`.
    pub band: Events,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sets_and_names() {
        assert_eq!((Signal::new(0), Signal::new(32), Signal::new(33), Signal::rt(31)), (None, None, None, None));
        assert_eq!(Signal::rt(30), Signal::new(64));
        let set = SigSet::from(Signal::IO).with(Signal::new(64).unwrap()).with(Signal::new(1).unwrap());
        assert_eq!(format!("{set:?}"), "{signal 1, SIGIO, SIGRTMIN+30}");
        assert!(!set.without(Signal::IO).contains(Signal::IO) && SigSet::all().contains(Signal::USR1));
    }

    #[test]
    fn codes_and_bands_are_the_kernels() {
        let check = |bits, code| assert_eq!(SigCode::of_band(Events::from_bits_retain(bits)).number(), code);
        check(0x41, 1);
        check(0x304, 2);
        check(0x8, 4);
        check(0x18, 6);
    }
}
