//! The files of one `poll` or `select` call, and the caller's places in their wait queues (`poll_wqueues`).

use crate::event::{Event, Tracer};
use crate::host::socket::attempt::block;
use crate::poll::file::{File, FilePlaces};
use crate::syscall::Syscall;
use std::task::{Poll, Waker};
use std::time::Duration;
use wakeline_runtime::task::try_id;
use wakeline_runtime::wait_queue::{Events, WakeBatch};

/// See the [module](self). Dropping it leaves all queues.
pub(crate) struct PollTable {
    watched: Vec<Watched>,
    /// Its caller has gone to sleep.
    sleeps: bool,
}

/// One file of a call.
pub(crate) struct Watched {
    file: Option<File>,
    wanted: Events,
    places: FilePlaces,
    /// What of it held at the last look.
    pub(crate) holds: Events,
}

impl Watched {
    /// A file, or none for an entry that is passed over, and what is wanted of it.
    pub(crate) fn new(file: Option<File>, wanted: Events) -> Watched {
        Watched { file, wanted, places: FilePlaces::default(), holds: Events::empty() }
    }
}

impl PollTable {
    pub(crate) fn new(watched: Vec<Watched>) -> PollTable {
        PollTable { watched, sleeps: false }
    }

    /// A call of so many descriptors begins.
    pub(crate) fn enter_call(&self, call: Syscall, descriptors: usize) {
        if let Some(tracer) = self.tracer() {
            tracer.enter_call(call, descriptors);
        }
    }

    /// It has been answered: so many are ready.
    pub(crate) fn exit_call(&self, call: Syscall, ready: usize) {
        if let Some(tracer) = self.tracer() {
            let _ = tracer.exit_call(call, Ok(ready), |&ready| ready);
        }
    }

    /// Where the call is told: the first socket's trace.
    fn tracer(&self) -> Option<&Tracer> {
        self.watched.iter().find_map(|watched| match &watched.file {
            Some(File::Socket(socket)) => Some(&socket.host().tracer),
            _ => None,
        })
    }

    pub(crate) fn watched(&self) -> &[Watched] {
        &self.watched
    }

    /// `do_poll`: looks at all files. While none is ready, `waker` is left in the wait queues of each before it is looked
    /// at; from the first that is ready on they are only looked at.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<usize> {
        if std::mem::take(&mut self.sleeps) {
            self.tell(|| Event::SchedSwitch { to: "poll", task: try_id() });
        }
        match self.look(Some(waker)) {
            0 => {
                self.sleeps = true;
                self.tell(|| Event::SchedSleep { what: "poll", task: try_id() });
                Poll::Pending
            }
            ready => Poll::Ready(ready),
        }
    }

    /// The same for a thread, which parks meanwhile. Gives 0 when `timeout` has passed.
    pub(crate) fn poll_blocking(&mut self, timeout: Option<Duration>) -> usize {
        if timeout == Some(Duration::ZERO) {
            return self.look(None);
        }
        block(timeout, |waker| self.poll(waker).map(Ok)).unwrap_or_else(|_timed_out| self.look(None))
    }

    fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(tracer) = self.tracer() {
            tracer.emit(event);
        }
    }

    fn look(&mut self, waker: Option<&Waker>) -> usize {
        let (mut ready, mut wakes) = (0, WakeBatch::new());
        for Watched { file, wanted, places, holds } in &mut self.watched {
            let Some(file) = file else { continue };
            let all = match waker {
                Some(waker) if ready == 0 => file.poll_wait(places, waker, *wanted, &mut wakes),
                _ => file.poll(&mut wakes),
            };
            *holds = all & *wanted;
            ready += usize::from(!holds.is_empty());
        }
        wakes.wake_all();
        ready
    }
}

impl Drop for PollTable {
    /// `poll_freewait`
    fn drop(&mut self) {
        for Watched { file, places, .. } in &mut self.watched {
            if let Some(file) = file {
                file.leave(places);
            }
        }
    }
}
