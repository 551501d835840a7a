//! Synchronisation between tasks, and between tasks and threads: locks, semaphores, channels and events that are awaited.
//!
//! The names and the semantics are tokio's. Everything here waits in a [wait list](crate::wait_queue::WaitList) and asks the
//! [budget](crate::coop) of the task that polls; it needs nothing else of the runtime, and so works under any executor and
//! on any thread.

mod barrier;
mod blocking;
pub mod broadcast;
mod cancellation_token;
mod locked;
pub mod mpsc;
mod mutex;
mod notify;
mod once_cell;
mod once_value;
pub mod oneshot;
mod permits;
mod rwlock;
mod semaphore;
mod set_once;
pub mod watch;

pub use self::{
    barrier::{Barrier, BarrierWaitResult},
    cancellation_token::{
        CancellationToken, DropGuard, DropGuardRef, WaitForCancellationFuture, WaitForCancellationFutureOwned,
    },
    mutex::{MappedMutexGuard, Mutex, MutexGuard, OwnedMappedMutexGuard, OwnedMutexGuard, TryLockError},
    notify::Notify,
    once_cell::{OnceCell, SetError},
    rwlock::{
        OwnedRwLockMappedWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockMappedWriteGuard,
        RwLockReadGuard, RwLockWriteGuard,
    },
    semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError},
    set_once::{SetOnce, SetOnceError},
};

/// The futures of this module that have a name.
pub mod futures {
    pub use crate::sync::notify::{Notified, OwnedNotified};
}

#[cfg(test)]
#[path = "tests/support.rs"]
pub(crate) mod test_support;

#[cfg(all(test, not(loom)))]
#[path = "tests/spy.rs"]
mod spy;

#[cfg(all(test, loom))]
#[path = "tests/block_on.rs"]
mod block_on;
