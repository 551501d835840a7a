//! Linux: `clock_gettime`, which needs no system call. The standard library asks the same clock, but an `Instant` of its
//! own has to be subtracted from another one before it is a number, which costs as much again as the look.

use std::mem::MaybeUninit;

/// The clock that the standard library's `Instant` shows.
#[inline]
pub(crate) fn now_ns() -> u64 {
    look(libc::CLOCK_MONOTONIC)
}

/// The same clock at the last tick of the kernel, for a third of the cost.
#[inline]
pub(crate) fn tick_ns() -> u64 {
    look(libc::CLOCK_MONOTONIC_COARSE)
}

#[inline]
fn look(clock: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is good for writing one `timespec`.
    let result = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    assert_eq!(result, 0, "Linux has had this clock since 2.6.32");
    // SAFETY: the call has succeeded, so it has written the time.
    let time = unsafe { time.assume_init() };
    // Neither is negative, and 2^64 ns are more than 500 years.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
