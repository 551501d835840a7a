//! A socket's file as `fcntl(2)` sees it: whom its signals go to, and which.

use crate::event::Tracer;
use crate::fasync::process::{Process, Shared};
use crate::fasync::signal::{SigCode, SigInfo, Signal};
use smallvec::SmallVec;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use wakeline_runtime::wait_queue::{Events, WakeFn};

/// A file that may stand in a socket's `fasync_list`; what is called there sends its signal.
#[derive(Debug)]
pub struct File {
    owner: Mutex<Owner>,
    tracer: Tracer,
}

/// `struct fown_struct`, with `fa_fd`.
#[derive(Debug, Default)]
struct Owner {
    /// One for a process, more for a process group.
    processes: SmallVec<[Weak<Shared>; 1]>,
    signal: Option<Signal>,
    fd: i32,
}

impl File {
    pub(crate) fn new(tracer: Tracer) -> File {
        File { owner: Mutex::default(), tracer }
    }

    /// F_SETOWN
    pub(crate) fn set_owner(&self, processes: &[&Process]) {
        self.owner().processes = processes.iter().map(|process| process.downgrade()).collect();
    }

    /// F_SETSIG
    pub(crate) fn set_sig(&self, signal: Option<Signal>) {
        self.owner().signal = signal;
    }

    /// F_GETSIG
    pub(crate) fn sig(&self) -> Option<Signal> {
        self.owner().signal
    }

    /// `fasync_insert_entry`: adding it again only changes what it is called.
    pub(crate) fn set_fd(&self, fd: i32) {
        self.owner().fd = fd;
    }

    fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WakeFn for File {
    /// `send_sigio`
    fn call(&self, band: Events) {
        let (processes, signal, fd) = {
            let owner = self.owner();
            // Who is gone gets none. Dropping the last reference to a process needs no lock of ours.
            let alive: SmallVec<[_; 1]> = owner.processes.iter().filter_map(Weak::upgrade).collect();
            (alive, owner.signal, owner.fd)
        };
        let code = SigCode::of_band(band);
        for process in processes {
            let info = SigInfo { signal: signal.unwrap_or(Signal::IO), code, fd: Some(fd), band };
            process.send_sigio(signal, info, &self.tracer);
        }
    }
}
