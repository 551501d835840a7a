//! Getting the driver out of its sleep, from any thread.

use crate::driver::sleep_word::{SleepWord, Unpark};
use crate::park::Unparker;
use crate::reactor::PollWaker;
use std::sync::Arc;
use std::task::Wake;

/// What everybody needs who may have to wake the driver; as a [`Wake`], what timers and clock have of it.
#[derive(Debug)]
pub(crate) struct DriverUnpark {
    pub(super) word: SleepWord,
    unparker: Unparker,
    poller: Option<PollWaker>,
}

impl DriverUnpark {
    /// For a driver that sleeps on this unparker's parker or, when it has one, in this poller.
    pub(super) fn new(unparker: Unparker, poller: Option<PollWaker>) -> DriverUnpark {
        DriverUnpark { word: SleepWord::new(), unparker, poller }
    }

    /// Makes the present or the next park return at once. Remembered once; one atomic when nobody sleeps.
    pub(super) fn unpark(&self) {
        match (self.word.unpark(), &self.poller) {
            (Unpark::Noted, _) => {}
            (Unpark::Poll, Some(poller)) => poller.wake(),
            (Unpark::Futex | Unpark::Poll, _) => {
                self.unparker.unpark();
            }
        }
    }
}

impl Wake for DriverUnpark {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}
