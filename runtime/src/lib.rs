//! The executor half of wakeline: tasks, the scheduler, timers, the reactor, wait queues, the blocking pool.
//!
//! It has never heard of a packet. `wakeline-net` and the facade `wakeline` stand on its public face.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

mod atomic;
pub mod clock;
pub mod coop;
mod driver;
mod local_scheduler;
pub mod namespace;
pub mod park;
mod reactor;
pub mod rng;
mod scheduler;
pub mod sync;
pub mod task;
mod timer;
mod trace;
mod unwind;
pub mod wait_queue;

#[cfg(not(loom))]
mod blocking_pool;
#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod builder_hooks;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod crew;
#[cfg(not(loom))]
pub mod fs;
#[cfg(not(loom))]
mod handle;
#[cfg(all(feature = "hyper", not(loom)))]
pub mod hyper;
#[cfg(not(loom))]
pub mod io;
#[cfg(not(loom))]
pub mod join_set;
#[cfg(not(loom))]
mod local_runtime;
#[cfg(not(loom))]
mod local_set;
#[doc(hidden)]
#[cfg(not(loom))]
pub mod macros;
#[cfg(all(unix, not(loom)))]
pub mod process;
#[cfg(not(loom))]
mod runtime;
#[cfg(all(unix, not(loom)))]
pub mod signal;
#[cfg(not(loom))]
mod spawn;
#[cfg(not(loom))]
mod task_builder;
#[cfg(not(loom))]
mod task_group;
#[cfg(not(loom))]
pub mod time;

pub use wakeline_macros::{main, test};

#[cfg(not(loom))]
pub use self::{
    builder::{Builder, UnhandledPanic},
    context::{EnterGuard, TryCurrentError},
    driver::IoDriver,
    handle::Handle,
    join_set::JoinSet,
    local_runtime::{LocalOptions, LocalRuntime},
    local_set::{LocalEnterGuard, LocalSet, spawn_local},
    runtime::Runtime,
    scheduler::{BlockedPoll, RuntimeFlavor, RuntimeId, RuntimeMetrics, WorkerMetrics},
    spawn::{block_in_place, lone_poll, spawn, spawn_blocking, yield_now},
    task::{AbortHandle, JoinError, JoinHandle},
    task_builder::Builder as TaskBuilder,
    task_group::{GroupHandle, TaskGroup, group},
};
