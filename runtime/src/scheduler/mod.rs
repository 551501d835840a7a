//! The scheduler: one for any number of workers.
//!
//! # Where a task waits
//! A task woken or spawned on a worker goes into that worker's [queue](queue): the LIFO slot and the ring. What comes from
//! other threads goes into the [injector](inject), as does what overflows a ring. A worker takes from its LIFO slot
//! (three times in a row at most), its ring, the injector, other workers' rings, and the LIFO slot of a worker that seems to
//! be stuck, in this order; every `global_queue_interval` polls the injector comes first.
//!
//! A single worker does without LIFO slot, locked instructions and stealing, and runs tasks in the order in which they
//! became ready.
//!
//! # Who is awake
//! [`idle`] decides whom new work wakes, [`worker_park`] how a worker sleeps and is woken, [`crate::driver`] what it sleeps in.
//!
//! # What the parts do not know
//! Nothing here reads the ambient runtime: the one thread-local is [`current`], "which worker is this thread". Queue, idle
//! set and injector know nothing of tasks.

mod idle;
mod inject;
mod queue;
mod worker_park;

#[cfg(not(loom))]
mod block_in_place;
#[cfg(not(loom))]
mod block_on;
#[cfg(not(loom))]
mod core;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod current;
#[cfg(not(loom))]
mod detector;
#[cfg(not(loom))]
mod hooks;
#[cfg(not(loom))]
mod id;
#[cfg(not(loom))]
mod metrics;
#[cfg(not(loom))]
mod observe;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod schedule;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
mod shutdown;
#[cfg(not(loom))]
mod steal;
#[cfg(not(loom))]
mod watch;
#[cfg(not(loom))]
mod worker;

#[cfg(not(loom))]
pub(crate) use crate::park::{enter, is_entered};

#[cfg(not(loom))]
pub(crate) use self::{
    block_in_place::{OnlyThread, block_in_place},
    block_on::{alone, as_worker},
    current::{lone_poll, random},
    detector::{Detector, Report},
    hooks::{Hook, Hooks, TaskHook},
    shared::{Config, Shared},
    shutdown::{begin as begin_shutdown, finish as finish_shutdown},
    worker::drive,
};
#[cfg(not(loom))]
pub use self::{
    detector::BlockedPoll,
    id::RuntimeId,
    metrics::{RuntimeMetrics, WorkerMetrics},
    shared::RuntimeFlavor,
};
