//! By what a runtime hears of the operating system's sources, and why.

use crate::reactor::PollWaker;
use crate::reactor::ring::Ring;

/// By what a runtime hears of the operating system's sources.
///
/// # Examples
/// ```
/// use wakeline_runtime::{Builder, IoDriver};
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = Builder::new_current_thread().enable_io().io_driver(IoDriver::IoUring).build()?;
/// match runtime.handle().io_driver_refusal() {
///     None => assert_eq!(runtime.handle().io_driver(), Some(IoDriver::IoUring)),
///     Some(why) => println!("epoll it is: {why}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IoDriver {
    /// `mio`: by readiness, with `epoll`, `kqueue` or what the system has.
    #[default]
    Mio,
    /// Linux's io_uring, with the feature `io-uring`: TCP streams are received from by completions, into buffers that they share.
    ///
    /// A runtime of one worker is fastest where one thread drives it for all of its life: the ring is that thread's then
    /// (Linux 6.1). When another drives it the ring is exchanged, once. A stream that a third thread drops while a receive is in
    /// flight is closed when the runtime is driven next.
    IoUring,
}

/// What became of the wish.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) driver: IoDriver,
    /// Why it is not the one that was asked for.
    pub(super) refusal: Option<String>,
}

impl Choice {
    /// Makes the ring that was asked for, if it can be made. `lone`: one thread drives the runtime.
    pub(super) fn make(wanted: IoDriver, poll: &mio::Poll, waker: &PollWaker, lone: bool) -> (Choice, Option<Ring>) {
        let waker = waker.clone();
        Choice::of(wanted, || Ring::new(poll, lone, move || waker.wake()))
    }

    fn of<R>(wanted: IoDriver, ring: impl FnOnce() -> Result<R, String>) -> (Choice, Option<R>) {
        if wanted == IoDriver::Mio {
            return (Choice { driver: IoDriver::Mio, refusal: None }, None);
        }
        match ring() {
            Ok(ring) => (Choice { driver: IoDriver::IoUring, refusal: None }, Some(ring)),
            Err(why) => (Choice { driver: IoDriver::Mio, refusal: Some(why) }, None),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_made_for_who_asks_and_mio_stands_in_with_the_reason() {
        let check = |wanted, ring: Result<u8, &str>, driver, refusal: Option<&str>| {
            let (choice, made) = Choice::of(wanted, || ring.map_err(str::to_owned));
            assert_eq!(
                (choice.driver, choice.refusal.as_deref(), made.is_some()),
                (driver, refusal, driver != IoDriver::Mio)
            );
        };
        check(IoDriver::Mio, Ok(1), IoDriver::Mio, None);
        check(IoDriver::IoUring, Ok(1), IoDriver::IoUring, None);
        check(IoDriver::IoUring, Err("EPERM"), IoDriver::Mio, Some("EPERM"));
    }
}
