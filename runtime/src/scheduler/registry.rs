//! The registry: every live task of a runtime, so that its end can be theirs.

use crate::atomic::Mutex;
use crate::task::{Header, Id, Owned};
use slab::Slab;

/// Slabs of the registry's references, sharded by the tasks' identities.
#[derive(Debug)]
pub(super) struct Registry {
    shards: Box<[Line]>,
}

/// Workers that use two shards at the same time shall not meet in one cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Line(Mutex<Shard>);

#[derive(Debug)]
struct Shard {
    tasks: Slab<Owned>,
    closed: bool,
}

impl Registry {
    /// `workers` that spawn at the same time mostly meet in different shards.
    pub(super) fn new(workers: usize) -> Registry {
        let shards = if workers == 1 { 1 } else { (4 * workers).next_power_of_two().min(MAX_SHARDS) };
        let shard = |_| Line(Mutex::new(Shard { tasks: Slab::new(), closed: false }));
        Registry { shards: (0..shards).map(shard).collect() }
    }

    /// Takes a task in, before it is first queued. After [`close`](Registry::close) it is given back, to be shut down.
    pub(super) fn insert(&self, task: Owned) -> Result<(), Owned> {
        let mut shard = self.shard(task.id()).lock();
        if shard.closed {
            return Err(task);
        }
        let entry = shard.tasks.vacant_entry();
        task.set_slot(u32::try_from(entry.key()).expect("fewer than 2^32 tasks fit into memory"));
        entry.insert(task);
        Ok(())
    }

    /// A task completes: its reference is taken out, and is the completing side's. False when it is gone already.
    pub(super) fn remove(&self, task: &Header) -> bool {
        let removed = self.shard(task.id()).lock().tasks.try_remove(task.slot() as usize);
        removed.map(Owned::release).is_some()
    }

    /// Refuses new tasks and gives out those that are left, each worker's in the order in which it spawned them.
    pub(super) fn close(&self) -> Vec<Owned> {
        let mut tasks: Vec<Owned> = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            shard.closed = true;
            tasks.extend(std::mem::take(&mut shard.tasks).into_iter().map(|(_, task)| task));
        }
        tasks.sort_by_key(Owned::id);
        tasks
    }

    /// How many tasks are live.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().tasks.len()).sum()
    }

    fn shard(&self, id: Id) -> &Mutex<Shard> {
        // The number of shards is a power of two.
        &self.shards[id.block() & (self.shards.len() - 1)].0
    }
}

const MAX_SHARDS: usize = 1 << 10;
