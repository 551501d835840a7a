//! How the driver sleeps, in one word: whoever wants it awake reads there what it takes.
//!
//! ```text
//!            begin: 1 CAS                      unpark: 2 swap
//!   EMPTY ------------------> FUTEX or POLL ------------------> NOTIFIED
//!     ^ ^                          |                             ^    |
//!     | +--------- end: 3 swap ----+        unpark: 2 swap       |    |
//!     |                 EMPTY -----------------------------------+    |
//!     +------------------------- end: 3 swap -------------------------+
//! ```
//! A notification given before `begin` makes `begin` fail, so the sleep does not start. One given after it finds `FUTEX`
//! or `POLL` and so knows whom to tell: the parker, or the poller's own event. Either remembers it, so it does not
//! matter whether the thread has fallen asleep by then. If the sleep ended by itself meanwhile, the event stays behind
//! and ends the next sleep early, which costs one turn.

use crate::atomic::{AtomicU32, Ordering};

/// The word.
#[derive(Debug)]
pub(crate) struct SleepWord(AtomicU32);

/// In which way the driver is about to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// On its parker.
    Futex,
    /// In the poller.
    Poll,
}

/// What the driver has to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Sleep, then call [`SleepWord::end`].
    Sleep,
    /// A notification was there and is consumed by this: do not sleep.
    Notified,
}

/// What whoever unparks has to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpark {
    /// Nothing: the driver is awake and will see the notification before it sleeps.
    Noted,
    /// Unpark its parker.
    Futex,
    /// Wake the poller.
    Poll,
}

const EMPTY: u32 = 0;
const FUTEX: u32 = 1;
const POLL: u32 = 2;
const NOTIFIED: u32 = 3;

impl SleepWord {
    pub(crate) fn new() -> SleepWord {
        SleepWord(AtomicU32::new(EMPTY))
    }

    /// The driver announces a sleep.
    pub(crate) fn begin(&self, how: How) -> Begin {
        let asleep = match how {
            How::Futex => FUTEX,
            How::Poll => POLL,
        };
        // Acquire on failure pairs with the Release of `unpark`; success publishes nothing to the other side but the
        // word itself.
        match self.0.compare_exchange(EMPTY, asleep, Ordering::Relaxed, Ordering::Acquire) {
            Ok(_) => Begin::Sleep,
            Err(_) => {
                self.end();
                Begin::Notified
            }
        }
    }

    /// The driver is awake; a notification is consumed. Says whether there was one.
    pub(crate) fn end(&self) -> bool {
        // Acquire pairs with the Release of `unpark`: what was written before it is seen by the turn that follows.
        self.0.swap(EMPTY, Ordering::Acquire) == NOTIFIED
    }

    /// Notifies the driver.
    pub(crate) fn unpark(&self) -> Unpark {
        match self.0.swap(NOTIFIED, Ordering::Release) {
            FUTEX => Unpark::Futex,
            POLL => Unpark::Poll,
            _ => Unpark::Noted,
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::atomic::AtomicUsize;
    use crate::park::Parker;
    use loom::sync::Arc;
    use loom::thread;

    /// A driver without its poller: `sources` is what it looks at to choose how to sleep, and one parker stands for each
    /// of the futex and the poller, so that telling the wrong one is a deadlock.
    struct World {
        word: SleepWord,
        sources: AtomicUsize,
    }

    /// Says whether it asked the poller.
    fn sleep(world: &World, futex: &Parker, poller: &Parker) -> bool {
        let polls = world.sources.load(Ordering::Acquire) != 0;
        match world.word.begin(if polls { How::Poll } else { How::Futex }) {
            Begin::Sleep => {
                if polls {
                    poller.park()
                } else {
                    futex.park()
                }
                world.word.end();
            }
            Begin::Notified => return false,
        }
        polls
    }

    /// Whoever writes and then unparks is seen by the driver, however it slept. Each round of the driver ends, and it
    /// looks for work after each.
    #[test]
    fn loom_unpark_reaches_a_driver_however_it_sleeps() {
        for sources in [0, 1] {
            loom::model(move || {
                let world = Arc::new(World { word: SleepWord::new(), sources: AtomicUsize::new(sources) });
                let (futex, poller) = (Parker::new(), Parker::new());
                let (wake_futex, wake_poller) = (futex.unparker(), poller.unparker());
                let work = Arc::new(AtomicUsize::new(0));
                let other = {
                    let (world, work) = (world.clone(), work.clone());
                    thread::spawn(move || {
                        for round in 1..=2 {
                            work.store(round, Ordering::Relaxed);
                            match world.word.unpark() {
                                Unpark::Noted => {}
                                Unpark::Futex => drop(wake_futex.unpark()),
                                Unpark::Poll => drop(wake_poller.unpark()),
                            }
                        }
                    })
                };
                while work.load(Ordering::Relaxed) < 2 {
                    sleep(&world, &futex, &poller);
                }
                other.join().unwrap();
            });
        }
    }

    /// The first source is registered while the driver goes to sleep: in the end it sleeps in the poller.
    #[test]
    fn loom_the_first_source_gets_the_driver_off_its_futex() {
        loom::model(|| {
            let world = Arc::new(World { word: SleepWord::new(), sources: AtomicUsize::new(0) });
            let (futex, poller) = (Parker::new(), Parker::new());
            let wake_futex = futex.unparker();
            // The operating system: an event for the source is there, so the poller returns at once.
            poller.unparker().unpark();
            let other = {
                let world = world.clone();
                thread::spawn(move || {
                    world.sources.store(1, Ordering::Release);
                    if world.word.unpark() == Unpark::Futex {
                        wake_futex.unpark();
                    }
                })
            };
            while !sleep(&world, &futex, &poller) {}
            other.join().unwrap();
        });
    }
}
