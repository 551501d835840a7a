//! The threads that a part of the runtime has started, so that its end can wait for theirs.

use crate::atomic::Mutex;
use crate::wait_queue::{Events, Mode, WaitQueue};
use slab::Slab;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A number of threads.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    threads: Mutex<Slab<Option<JoinHandle<()>>>>,
    gone: WaitQueue,
}

impl Crew {
    /// Starts a thread that belongs to the crew until `work` returns or panics.
    pub(crate) fn start(self: &Arc<Self>, thread: Builder, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let index = self.threads.lock().insert(None);
        let member = Member { crew: self.clone(), index };
        // When the thread does not start, the closure and the member in it are dropped.
        let handle = thread.spawn(move || {
            let _member = member;
            work();
        })?;
        if let Some(place) = self.threads.lock().get_mut(index) {
            *place = Some(handle);
        }
        Ok(())
    }

    /// How many threads there are.
    pub(crate) fn len(&self) -> usize {
        self.threads.lock().len()
    }

    /// Waits until all are gone, or for `limit`; says whether they are.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> bool {
        let gone = || (self.len() == 0).then_some(());
        self.gone.wait_until_blocking(Events::ANY, Mode::Shared, limit, gone).is_some()
    }
}

struct Member {
    crew: Arc<Crew>,
    index: usize,
}

impl Drop for Member {
    fn drop(&mut self) {
        let handle = self.crew.threads.lock().try_remove(self.index);
        // Nobody joins the thread: it has nothing left to do but end.
        drop(handle);
        self.crew.gone.wake_all();
    }
}
