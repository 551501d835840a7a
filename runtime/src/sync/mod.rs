//! Synchronisation between tasks, and between tasks and threads: locks, semaphores, channels and events that are awaited.
//!
//! Everything here waits in a [wait list](crate::wait_queue::WaitList) and asks the [budget](crate::coop) of the task that
//! polls; it needs nothing else of the runtime, and so works under any executor and on any thread.

mod barrier;
mod blocking;
mod locked;
pub mod mpsc;
mod mutex;
mod once_cell;
mod once_value;
pub mod oneshot;
mod permits;
mod rwlock;
mod semaphore;
mod set_once;

pub use self::{
    barrier::{Barrier, BarrierWaitResult},
    mutex::{MappedMutexGuard, Mutex, MutexGuard, OwnedMappedMutexGuard, OwnedMutexGuard, TryLockError},
    once_cell::{OnceCell, SetError},
    rwlock::{
        OwnedRwLockMappedWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockMappedWriteGuard,
        RwLockReadGuard, RwLockWriteGuard,
    },
    semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError},
    set_once::{SetOnce, SetOnceError},
};
