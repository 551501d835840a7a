//! The switch that joins the ports of a LAN: it forwards by destination address and copies only what goes to many.
//!
//! Ports announce their address when they are plugged in, so nothing has to be learnt; what is for none of them leaves by
//! the uplinks, behind which anybody may stand. A frame's way is: up its sender's
//! wire, through the table, down its receiver's wire, into the device. On plain wires all of that happens in the
//! context of the sender's doorbell, and a batch for one receiver stays one batch.

use crate::event::DropReason;
use crate::link::capture::{Captures, Way};
use crate::link::netem::Wire;
use crate::link::port::Port;
use crate::nic::offloads::Offloads;
use crate::nic::segmentation::finish;
use crate::packet::{IpSummed, PacketBuf, Pool};
use crate::wire::ethernet::MacAddr;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use wakeline_runtime::clock::{Clock, Instant};

/// A port's number on its switch; numbers are not used again.
pub(crate) type PortId = usize;

/// Which wire of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards the switch.
    Up,
    /// Towards the device.
    Down,
}

#[derive(Debug)]
pub(crate) struct Switch {
    table: RwLock<Table>,
    /// Another number after every change of the table.
    version: AtomicU64,
    pool: Pool,
    clock: Clock,
    pub(crate) captures: Arc<Captures>,
}

#[derive(Debug, Default)]
struct Table {
    /// `None` where a port has been unplugged.
    ports: Vec<Option<Arc<Port>>>,
    by_mac: BTreeMap<MacAddr, PortId>,
    uplinks: Vec<PortId>,
}

/// Where a sender's last frames went, so that most need no look into the table.
#[derive(Debug, Default)]
pub(crate) struct Track {
    to: Option<(MacAddr, PortId, Arc<Port>)>,
    /// That of the table in which it was found.
    version: u64,
}

impl Track {
    #[inline]
    fn leads_to(&self, mac: MacAddr, version: u64) -> bool {
        self.version == version && self.to.as_ref().is_some_and(|(to, ..)| *to == mac)
    }
}

/// Where a frame goes.
enum Route {
    One(PortId, Arc<Port>),
    Many(Vec<(PortId, Arc<Port>)>),
    Nowhere,
}

impl Switch {
    pub(crate) fn new(pool: Pool, clock: Clock) -> Switch {
        Switch { table: RwLock::default(), version: AtomicU64::new(0), pool, clock, captures: Arc::default() }
    }

    /// Plugs a port in. Its address must not be on the switch already.
    pub(crate) fn plug(&self, port: Arc<Port>) -> Option<PortId> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let id = table.ports.len();
        match port.mac {
            Some(mac) if table.by_mac.contains_key(&mac) => return None,
            Some(mac) => drop(table.by_mac.insert(mac, id)),
            None => table.uplinks.push(id),
        }
        table.ports.push(Some(port));
        self.is_changed();
        Some(id)
    }

    /// Whether the LAN reaches beyond the emulation.
    pub(crate) fn has_uplink(&self) -> bool {
        !self.table.read().unwrap_or_else(PoisonError::into_inner).uplinks.is_empty()
    }

    /// Unplugs a port: frames for it have nowhere to go, and those under way are lost.
    pub(crate) fn unplug(&self, id: PortId) {
        let port = {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            let port = table.ports.get_mut(id).and_then(Option::take);
            match port.as_ref().map(|port| port.mac) {
                Some(Some(mac)) => drop(table.by_mac.remove(&mac)),
                Some(None) => table.uplinks.retain(|&uplink| uplink != id),
                None => {}
            }
            self.is_changed();
            port
        };
        if let Some(port) = port {
            port.up_line.close();
            port.down_line.close();
        }
    }

    /// The table, which is locked, has changed: what was found in it before may have another answer.
    fn is_changed(&self) {
        // Release: who reads this number and then the table finds it changed. Who has read the old one finds, at worst, the
        // new table, and looks again the next time.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Frames leave the device behind `port`, in order. Called without a lock; empties `frames`.
    pub(crate) fn send(&self, id: PortId, port: &Port, frames: &mut Vec<PacketBuf>) {
        self.send_along(&mut Track::default(), (id, port), self.clock.now(), frames);
    }

    /// The same for one who sends often, and knows the time.
    pub(crate) fn send_along(
        &self,
        track: &mut Track,
        (id, port): (PortId, &Port),
        now: Instant,
        frames: &mut Vec<PacketBuf>,
    ) {
        if self.captures.any() {
            self.captures.take(&self.clock, id, port, Way::Out, frames);
        }
        if !port.up.is_plain() {
            self.finish(port, Offloads::empty(), frames);
            self.linearize(port, frames);
            self.pass(&port.up, Direction::Up, port, frames);
        }
        self.forward(track, (id, port), now, frames);
    }

    /// Frames that a delay line held have arrived at its end; empties `frames`.
    pub(crate) fn arrive(&self, id: PortId, direction: Direction, frames: &mut Vec<PacketBuf>) {
        let Some(port) = self.port(id) else { return };
        match direction {
            Direction::Up => self.forward(&mut Track::default(), (id, &port), self.clock.now(), frames),
            Direction::Down => self.deliver(id, &port, self.clock.now(), frames),
        }
    }

    /// Keeps in `frames` what passes the wire now; the rest is lost or enters the wire's delay line.
    fn pass(&self, wire: &Wire, direction: Direction, port: &Port, frames: &mut Vec<PacketBuf>) {
        let line = match direction {
            Direction::Up => &port.up_line,
            Direction::Down => &port.down_line,
        };
        let now = self.clock.now();
        for frame in std::mem::take(frames) {
            wire.carry(frame, now, &self.pool, line, frames);
        }
    }

    /// Sends each frame towards its destination, runs of the same destination together.
    #[inline(always)]
    fn forward(&self, track: &mut Track, from: (PortId, &Port), now: Instant, frames: &mut Vec<PacketBuf>) {
        let Some((first, others)) = frames.split_first() else { return };
        let first = destination(first);
        if others.iter().all(|frame| destination(frame) == first) {
            return self.forward_run(track, from, first, now, frames);
        }
        self.forward_runs(track, from, now, frames);
    }

    #[inline(never)]
    fn forward_runs(&self, track: &mut Track, from: (PortId, &Port), now: Instant, frames: &mut Vec<PacketBuf>) {
        let mut run = Vec::new();
        for frame in std::mem::take(frames) {
            let to = destination(&frame);
            if let Some(head) = run.first().map(destination)
                && head != to
            {
                self.forward_one_run(track, from, head, now, &mut run);
            }
            run.push(frame);
        }
        if let Some(head) = run.first().map(destination) {
            self.forward_one_run(track, from, head, now, &mut run);
        }
    }

    /// For whoever sends to many, and does not need it in place.
    #[inline(never)]
    fn forward_one_run(
        &self,
        track: &mut Track,
        from: (PortId, &Port),
        to: Option<MacAddr>,
        now: Instant,
        frames: &mut Vec<PacketBuf>,
    ) {
        self.forward_run(track, from, to, now, frames);
    }

    #[inline(always)]
    fn forward_run(
        &self,
        track: &mut Track,
        (from, sender): (PortId, &Port),
        to: Option<MacAddr>,
        now: Instant,
        frames: &mut Vec<PacketBuf>,
    ) {
        let Some(to) = to else { return lose(sender, frames) };
        // Acquire: pairs with `is_changed`. Before the table is read, so that what is found is never older than its number.
        let version = self.version.load(Ordering::Acquire);
        if !track.leads_to(to, version) {
            match self.route(from, to) {
                Route::One(id, port) => *track = Track { to: Some((to, id, port)), version },
                Route::Many(ports) => return self.forward_to_many(&ports, sender, now, frames),
                Route::Nowhere => return lose(sender, frames),
            }
        }
        if let Some((_, id, port)) = &track.to {
            let taker = if port.down.is_plain() { port.offloads() } else { Offloads::empty() };
            self.finish(sender, taker.taking_over_from(sender.offloads()), frames);
            if !port.takes_references() {
                self.linearize(sender, frames);
            }
            self.descend(*id, port, now, frames);
        }
        frames.clear();
    }

    fn forward_to_many(&self, ports: &[(PortId, Arc<Port>)], sender: &Port, now: Instant, frames: &mut Vec<PacketBuf>) {
        self.finish(sender, Offloads::empty(), frames);
        for (id, port) in ports {
            let mut copies = Vec::with_capacity(frames.len());
            for frame in frames.iter() {
                match PacketBuf::from_bytes(&self.pool, &frame.to_vec()) {
                    Some(copy) => copies.push(copy),
                    None => port.down.count_drop(DropReason::Nomem),
                }
            }
            self.descend(*id, port, now, &mut copies);
        }
        frames.clear();
    }

    /// The sender's device does to `frames` what the taker's does not take over.
    #[inline]
    fn finish(&self, sender: &Port, taker: Offloads, frames: &mut Vec<PacketBuf>) {
        if frames.iter().any(|frame| frame.rx.ip_summed != IpSummed::None) {
            self.finish_some(sender, taker, frames);
        }
    }

    #[inline(never)]
    fn finish_some(&self, sender: &Port, taker: Offloads, frames: &mut Vec<PacketBuf>) {
        let mut cache = self.pool.cache();
        for _ in 0..finish(frames, taker, &mut cache) {
            sender.up.count_drop(DropReason::Nomem);
        }
        cache.give_back();
    }

    /// What the frames refer to, they bring along themselves from here.
    fn linearize(&self, sender: &Port, frames: &mut Vec<PacketBuf>) {
        if frames.iter().all(|frame| frame.frags().is_empty()) {
            return;
        }
        let mut cache = self.pool.cache();
        frames.retain_mut(|frame| {
            let is_whole = frame.linearize(&mut cache);
            if !is_whole {
                sender.up.count_drop(DropReason::Nomem);
            }
            is_whole
        });
        cache.give_back();
    }

    #[inline(always)]
    fn descend(&self, id: PortId, port: &Port, now: Instant, frames: &mut Vec<PacketBuf>) {
        if !port.down.is_plain() {
            self.pass(&port.down, Direction::Down, port, frames);
        }
        if !frames.is_empty() {
            self.deliver(id, port, now, frames);
        }
    }

    #[inline(always)]
    fn deliver(&self, id: PortId, port: &Port, now: Instant, frames: &mut Vec<PacketBuf>) {
        if self.captures.any() {
            self.captures.take(&self.clock, id, port, Way::In, frames);
        }
        port.deliver(now, frames);
    }

    fn route(&self, from: PortId, to: MacAddr) -> Route {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if to.is_multicast() {
            let others = table.ports.iter().enumerate().filter(|(id, _)| *id != from);
            return Route::Many(others.filter_map(|(id, port)| Some((id, port.clone()?))).collect());
        }
        if let Some(&id) = table.by_mac.get(&to) {
            let other = table.port(id).filter(|_| id != from);
            return other.map_or(Route::Nowhere, |port| Route::One(id, port));
        }
        let uplinks = table.uplinks.iter().filter(|&&id| id != from);
        let mut uplinks = uplinks.filter_map(|&id| Some((id, table.port(id)?)));
        match (uplinks.next(), uplinks.next()) {
            (None, _) => Route::Nowhere,
            (Some((id, only)), None) => Route::One(id, only),
            (Some(first), Some(second)) => Route::Many([first, second].into_iter().chain(uplinks).collect()),
        }
    }

    fn port(&self, id: PortId) -> Option<Arc<Port>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).port(id)
    }
}

impl Table {
    fn port(&self, id: PortId) -> Option<Arc<Port>> {
        self.ports.get(id)?.clone()
    }
}

/// Frames have nowhere to go.
fn lose(sender: &Port, frames: &mut Vec<PacketBuf>) {
    for _ in frames.drain(..) {
        sender.up.count_drop(DropReason::NoPort);
    }
}

/// A frame's destination; `None` when it is too short to have one.
#[inline]
fn destination(frame: &PacketBuf) -> Option<MacAddr> {
    frame.data().first_chunk::<6>().map(|bytes| MacAddr(*bytes))
}
