//! Which CPU does the work for a frame, and whose shard of the stack has its flow.
//!
//! A flow's shard is decided once, by the hash of its 4-tuple under the key that the host was built with: whatever is done to
//! queues, interrupts and RPS later, a connection stays where it is. Which CPU runs the shard for a frame is decided for each
//! frame anew: the queue that RSS has chosen interrupts one CPU, and RPS may hand the frame to another.
//!
//! While every queue interrupts the CPU of the same number and RSS is as it was, the two agree, and nobody looks here.

use crate::host::counters::{Flag, Setting};
use crate::host::machine::Works;
use crate::host::rps::{FlowTable, RpsMap};
use crate::nic::rss::{DEFAULT_KEY, Rss};
use crate::packet::PacketBuf;
use parking_lot::{Mutex, RwLock};
use std::net::IpAddr;
use wakeline_runtime::clock::Instant;

/// A host's choice of CPUs and shards.
pub(crate) struct Steering {
    /// The shard of a flow.
    home: Rss,
    /// Somebody has changed RSS, affinities or RPS: a frame's CPU need not be its shard's.
    pub(crate) bent: Flag,
    rps: RwLock<RpsMap>,
    pub(crate) flows: Mutex<Option<FlowTable>>,
    /// For each shard the number of the queue that its last frame came in by, from 1, since CPUs and shards differ.
    seen: Box<[Setting]>,
}

impl Steering {
    /// Flows are spread over `cpus` shards by a table of `entries`: the device's, so that with as many queues as CPUs the two
    /// agree. `bent`: already the queues do not interrupt the CPUs of the same numbers.
    pub(crate) fn new(cpus: u16, entries: usize, bent: bool) -> Steering {
        let entries = match (cpus, entries) {
            (1, _) => 0,
            (_, 0) => HOME_ENTRIES,
            (_, entries) => entries,
        };
        Steering {
            home: Rss::new(&DEFAULT_KEY, cpus, entries),
            bent: Flag::new(bent && cpus > 1),
            rps: RwLock::default(),
            flows: Mutex::new(None),
            seen: (0..cpus).map(|_| Setting::default()).collect(),
        }
    }

    /// The shard of a frame, and the hash of its flow.
    pub(crate) fn home_of(&self, frame: &PacketBuf) -> (usize, u32) {
        let (shard, hash) = self.home.steer(frame.data());
        (usize::from(shard), hash)
    }

    /// The shard of a flow. Both addresses are of one family.
    pub(crate) fn home_of_flow(&self, remote: (IpAddr, u16), local: (IpAddr, u16)) -> usize {
        usize::from(self.home.queue_of_flow(remote, local))
    }

    /// The queue, of `queues`, by which the last frame for `shard` came, where that is known (`sk_napi_id`).
    pub(crate) fn queue_seen(&self, shard: usize, queues: usize) -> Option<usize> {
        match self.seen[shard].get() {
            _ if queues == 1 => Some(0),
            _ if !self.bent.get() => (queues == self.seen.len()).then_some(shard),
            seen => seen.checked_sub(1).map(|queue| queue as usize),
        }
    }

    /// The hash of a flow.
    pub(crate) fn hash_of_flow(&self, remote: (IpAddr, u16), local: (IpAddr, u16)) -> u32 {
        self.home.hash_of_flow(remote, local)
    }

    /// `rps_cpus` of every queue.
    pub(crate) fn rps(&self) -> RpsMap {
        self.rps.read().clone()
    }

    pub(crate) fn set_rps(&self, map: RpsMap) {
        *self.rps.write() = map;
        self.bend();
    }

    /// A frame's CPU need not be its shard's from here on. With one shard there is no difference.
    pub(crate) fn bend(&self) {
        self.bent.set(self.home.queues() > 1);
    }
}

/// The entries of the table by which shards are dealt out when the device has none.
const HOME_ENTRIES: usize = 128;

/// Frames that `cpu` has polled from the device, or from its backlog, go to other CPUs' backlogs or up to their shards.
#[cold]
pub(crate) fn deliver_bent(host: &Works, cpu: usize, now: Instant, frames: &mut Vec<PacketBuf>) {
    let map = host.steering.rps.read();
    let mut shards: Vec<Vec<PacketBuf>> = Vec::new();
    let mut handed: Vec<Vec<PacketBuf>> = Vec::new();
    let mut hashes: Vec<(usize, u32)> = Vec::new();
    shards.resize_with(host.cpu_count(), Vec::new);
    handed.resize_with(host.cpu_count(), Vec::new);
    for mut frame in frames.drain(..) {
        if frame.rx.rx_queue == 0 {
            // The host's own, for this CPU.
            shards[cpu].push(frame);
            continue;
        }
        let (shard, hash) = host.steering.home_of(&frame);
        let target = match host.steering.flows.lock().as_mut() {
            _ if frame.rx.is_steered => cpu,
            Some(flows) => flows.cpu_of(hash, cpu, map.cpu_of(hash), |cpu| host.cpu(cpu).backlog_head()),
            None => map.cpu_of(hash).unwrap_or(cpu),
        };
        if target == cpu {
            host.steering.seen[shard].set(frame.rx.rx_queue.into());
            shards[shard].push(frame);
        } else {
            (frame.rx.is_steered, frame.rx.hash) = (true, hash);
            handed[target].push(frame);
            hashes.push((target, hash));
        }
    }
    drop(map);
    for (shard, mut frames) in shards.into_iter().enumerate().filter(|(_, frames)| !frames.is_empty()) {
        host.receive(shard, now, &mut frames);
    }
    for (target, mut frames) in handed.into_iter().enumerate().filter(|(_, frames)| !frames.is_empty()) {
        let tail = host.hand_over(target, &mut frames);
        if let Some(flows) = host.steering.flows.lock().as_mut() {
            hashes.iter().filter(|(to, _)| *to == target).for_each(|&(_, hash)| flows.queued(hash, tail));
        }
    }
}
