//! [`Instant`]: a moment, as a number of nanoseconds.

use crate::clock::system;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::OnceLock;
use std::time::Duration;

/// A point in time, in nanoseconds, monotone and comparable within one process.
///
/// Eight bytes where the standard library's type has sixteen, because every packet and timer carries one. It reaches
/// a year back from the start of the system and more than 500 years ahead.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::Instant;
///
/// let start = Instant::now();
/// let deadline = start + Duration::from_millis(20);
/// assert_eq!(deadline - start, Duration::from_millis(20));
/// assert!(start.elapsed() <= start.elapsed());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

/// Where counting starts. Not zero, so that a program may subtract a year from its first moment, as it may with the
/// operating system's clock.
const START_NS: u64 = 1 << 55;

/// One moment on the standard library's clock and on this one. Where the two are the same clock of the system, the
/// looks lie some nanoseconds apart, so that a moment that has come on the standard library's has come on this one.
fn anchor() -> (std::time::Instant, Instant) {
    static ANCHOR: OnceLock<(std::time::Instant, Instant)> = OnceLock::new();
    *ANCHOR.get_or_init(|| {
        let own = Instant::now_real();
        (std::time::Instant::now(), own)
    })
}

impl Instant {
    /// The last moment that can be named; waiting for it is waiting for ever.
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// The operating system's monotone clock, now.
    #[inline]
    pub(crate) fn now_real() -> Instant {
        Instant(START_NS + system::now_ns())
    }

    /// The moment that lies `ns` nanoseconds after the start of a virtual clock.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let start = Instant::from_virtual_ns(0);
    /// assert_eq!(Instant::from_virtual_ns(1_000_000) - start, Duration::from_millis(1));
    /// ```
    #[must_use]
    pub const fn from_virtual_ns(ns: u64) -> Instant {
        Instant(START_NS.saturating_add(ns))
    }

    /// Nanoseconds since the (arbitrary) point at which counting starts.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!((now + Duration::from_micros(1)).as_nanos() - now.as_nanos(), 1000);
    /// ```
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment of which [`as_nanos`](Instant::as_nanos) is `ns`.
    pub(crate) const fn from_nanos(ns: u64) -> Instant {
        Instant(ns)
    }

    /// The time that has passed since `earlier`; zero when `earlier` is later.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// let later = now + Duration::from_secs(1);
    /// assert_eq!(later.saturating_duration_since(now), Duration::from_secs(1));
    /// assert_eq!(now.saturating_duration_since(later), Duration::ZERO);
    /// ```
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The nanoseconds that have passed since `earlier`; zero when `earlier` is later. For code that does this for each
    /// packet: a [`Duration`] in between costs a division.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!(now.saturating_add_nanos(7).nanos_since(now), 7);
    /// assert_eq!(now.nanos_since(now.saturating_add_nanos(7)), 0);
    /// ```
    #[must_use]
    #[inline]
    pub const fn nanos_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` and so many nanoseconds, at most [`Instant::FAR_FUTURE`].
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::time::Instant;
    ///
    /// assert_eq!(Instant::now().saturating_add_nanos(u64::MAX), Instant::FAR_FUTURE);
    /// ```
    #[must_use]
    #[inline]
    pub const fn saturating_add_nanos(self, ns: u64) -> Instant {
        Instant(self.0.saturating_add(ns))
    }

    /// The time that has passed since `earlier`; zero when `earlier` is later, as the standard library does.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!((now + Duration::from_secs(1)).duration_since(now), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn duration_since(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// The time that has passed since `earlier`, or `None` when `earlier` is later.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// let later = now + Duration::from_secs(1);
    /// assert_eq!(later.checked_duration_since(now), Some(Duration::from_secs(1)));
    /// assert_eq!(now.checked_duration_since(later), None);
    /// ```
    #[must_use]
    pub fn checked_duration_since(self, earlier: Instant) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// `self + duration`, or `None` past the end of time.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!(now.checked_add(Duration::from_secs(1)), Some(now + Duration::from_secs(1)));
    /// assert_eq!(now.checked_add(Duration::MAX), None);
    /// ```
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Instant> {
        let ns = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(ns).map(Instant)
    }

    /// `self - duration`, or `None` before the start of time.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!(now.checked_sub(Duration::from_secs(1)), Some(now - Duration::from_secs(1)));
    /// assert_eq!(now.checked_sub(Duration::MAX), None);
    /// ```
    #[must_use]
    pub fn checked_sub(self, duration: Duration) -> Option<Instant> {
        let ns = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_sub(ns).map(Instant)
    }

    /// `self + duration`, at most [`Instant::FAR_FUTURE`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// assert_eq!(Instant::now().saturating_add(Duration::MAX), Instant::FAR_FUTURE);
    /// ```
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Instant {
        self.checked_add(duration).unwrap_or(Instant::FAR_FUTURE)
    }

    /// The same moment on the standard library's clock, to some nanoseconds. Moments of a clock that stood or was moved
    /// have no meaning there.
    ///
    /// # Panics
    /// When the moment lies beyond what the standard library can name.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!(Instant::from_std(now.into_std()), now);
    /// # let _ = Duration::ZERO;
    /// ```
    #[must_use]
    #[track_caller]
    pub fn into_std(self) -> std::time::Instant {
        let (std, own) = anchor();
        if self >= own { std + (self - own) } else { std - (own - self) }
    }

    /// The same moment as one of the standard library's clock, to some nanoseconds.
    ///
    /// There and back is exact. One that this type can not name becomes the nearest that it can.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let deadline = std::time::Instant::now() + Duration::from_secs(1);
    /// assert!(Instant::from_std(deadline) > Instant::now());
    /// ```
    #[must_use]
    pub fn from_std(moment: std::time::Instant) -> Instant {
        let (std, own) = anchor();
        if moment >= std {
            own.saturating_add(moment - std)
        } else {
            own.checked_sub(std - moment).unwrap_or(Instant(0))
        }
    }
}

impl From<std::time::Instant> for Instant {
    fn from(std: std::time::Instant) -> Self {
        Instant::from_std(std)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(instant: Instant) -> Self {
        instant.into_std()
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    /// # Panics
    /// On overflow, as the standard library's type.
    #[track_caller]
    fn add(self, duration: Duration) -> Instant {
        self.checked_add(duration).expect("overflow when adding a duration to an instant")
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    /// # Panics
    /// On overflow, as the standard library's type.
    #[track_caller]
    fn sub(self, duration: Duration) -> Instant {
        self.checked_sub(duration).expect("overflow when subtracting a duration from an instant")
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    /// The time that has passed since `earlier`; zero when `earlier` is later.
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl AddAssign<Duration> for Instant {
    /// # Panics
    /// On overflow, as the standard library's type.
    #[track_caller]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl SubAssign<Duration> for Instant {
    /// # Panics
    /// On overflow, as the standard library's type.
    #[track_caller]
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl std::fmt::Debug for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, ns) = if self.0 >= START_NS { ("", self.0 - START_NS) } else { ("-", START_NS - self.0) };
        write!(f, "Instant({sign}{}.{:09}s)", ns / 1_000_000_000, ns % 1_000_000_000)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(86_400 * 365);

    #[test]
    fn arithmetic_saturates_where_it_says_so() {
        let now = Instant::now_real();
        assert_eq!(now.saturating_add(Duration::MAX), Instant::FAR_FUTURE);
        assert_eq!(now - now.saturating_add(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(now.duration_since(now + YEAR), Duration::ZERO);
        assert_eq!((now + YEAR).saturating_duration_since(now), YEAR);
    }

    #[test]
    fn what_can_not_be_named_is_none() {
        let now = Instant::now_real();
        assert_eq!(now.checked_add(Duration::MAX), None);
        assert_eq!(now.checked_sub(Duration::MAX), None);
        assert_eq!(now.checked_sub(2 * YEAR), None);
        assert_eq!(now.checked_sub(YEAR).map(|then| then + YEAR), Some(now), "a year back is still a moment");
        assert_eq!(now.checked_duration_since(now + YEAR), None);
        assert_eq!((now + YEAR).checked_duration_since(now), Some(YEAR));
        assert_eq!(now.checked_duration_since(now), Some(Duration::ZERO));
    }

    #[test]
    fn operators_are_the_checked_methods() {
        let now = Instant::from_virtual_ns(5);
        let mut moved = now;
        moved += YEAR;
        assert_eq!((moved, moved - now), (now + YEAR, YEAR));
        moved -= YEAR;
        assert_eq!(moved, now);
        assert_eq!(now - Duration::from_nanos(5), Instant::from_virtual_ns(0));
    }

    #[test]
    #[should_panic(expected = "overflow when adding a duration to an instant")]
    fn adding_too_much_panics() {
        let _ = Instant::now_real() + Duration::MAX;
    }

    #[test]
    #[should_panic(expected = "overflow when subtracting a duration from an instant")]
    fn subtracting_too_much_panics() {
        let _ = Instant::now_real() - Duration::MAX;
    }

    #[test]
    fn conversion_to_std_and_back_is_exact() {
        let now = Instant::now_real();
        assert_eq!(Instant::from_std(now.into_std()), now);
        let past = now - Duration::from_secs(10);
        assert_eq!(Instant::from(std::time::Instant::from(past)), past);
        let std = std::time::Instant::now();
        assert_eq!(Instant::from_std(std).into_std(), std);
        assert!(Instant::from_std(std) <= Instant::now_real());
    }

    #[test]
    fn it_prints_as_seconds_since_the_start() {
        assert_eq!(format!("{:?}", Instant::from_virtual_ns(1_000_000_005)), "Instant(1.000000005s)");
        assert_eq!(format!("{:?}", Instant::from_virtual_ns(0) - Duration::from_millis(1)), "Instant(-0.001000000s)");
    }
}
