//! A host's inside: its CPUs, its device, and one stack per CPU behind a lock.
//!
//! # The wake discipline
//! [`Works::with_stack`] is the only way into a stack: lock the shard; run the stack; post frames to the transmit ring,
//! which is behind the same lock, so that they keep their order; unlock; ring the doorbell; put what the host sends to itself
//! into the backlog; wake. No waker is called and no frame travels under the lock.
//!
//! # References
//! Handles and sockets hold the [`Machine`]; when the last of them goes, the host leaves its LAN and its CPUs end. The CPUs,
//! which serve it, hold only its [`Works`].

use crate::event::{Drops, Event, Tracer};
use crate::growing::Growing;
use crate::host::counters::{Counter, Flag, HostCounters};
use crate::host::driver::Driver;
use crate::host::irq_desc::IrqDesc;
use crate::host::lan::LanInner;
use crate::host::softnet::{BACKLOG_DROP, CpuShared};
use crate::host::steering::{Steering, deliver_bent};
use crate::host::sysctl::NetCore;
use crate::irq::softirq::Softirq;
use crate::link::capture::{Capture, Scope};
use crate::link::port::Port;
use crate::link::switch::{PortId, Track};
use crate::nic::Nic;
use crate::nic::ring::TxQueue;
use crate::nic::rss::software_hash;
use crate::nic::stats::NicStats;
use crate::packet::{PacketBuf, take_each};
use crate::stack::effects::{Cause, Effects, Fact, Inward};
use crate::stack::error::SocketError;
use crate::stack::shard::Stack;
use crate::stack::socket_wq::func_of;
use crate::waking;
use crate::wire::ethernet::EthernetHeader;
use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wakeline_runtime::clock::{Clock, Instant};
use wakeline_runtime::wait_queue::WakeBatch;

/// One host, as its handles and its sockets hold it.
pub(crate) struct Machine(Arc<Works>);

/// What a host is made of: what its handles, its sockets and its CPUs share.
pub(crate) struct Works {
    pub(crate) name: Arc<str>,
    /// Its addresses, the one that it is known by first.
    pub(crate) addrs: Vec<IpAddr>,
    pub(crate) nic: Arc<Nic>,
    pub(crate) driver: Driver,
    /// A descriptor for each of the device's lines.
    pub(crate) irqs: Growing<IrqDesc>,
    pub(crate) steering: Steering,
    /// Whether the readers of any socket poll busily.
    pub(crate) polls_busily: Flag,
    pub(crate) clock: Clock,
    pub(crate) tracer: Tracer,
    pub(crate) loopback: Loopback,
    pub(crate) core: Arc<NetCore>,
    pub(crate) lan: Arc<LanInner>,
    port: Arc<Port>,
    port_id: PortId,
    cpus: Box<[Arc<CpuShared>]>,
    shards: Box<[Mutex<Shard>]>,
    /// Deals connections out to CPUs.
    next_cpu: AtomicUsize,
}

/// The device by which a host reaches itself. What it has sent it has received.
pub(crate) struct Loopback {
    pub(crate) name: Arc<str>,
    packets: Counter,
    /// Without Ethernet headers, as `loopback_xmit` counts.
    bytes: Counter,
}

impl Loopback {
    pub(crate) fn stats(&self) -> NicStats {
        let (packets, bytes) = (self.packets.get(), self.bytes.get());
        NicStats { rx_packets: packets, rx_bytes: bytes, tx_packets: packets, tx_bytes: bytes, ..NicStats::default() }
    }
}

/// One CPU's share of the stack, and what is kept with it under its lock. Aligned, so that it has no cache line in common with
/// another's.
#[repr(align(128))]
pub(crate) struct Shard {
    stack: Stack,
    /// The transmit ring of the CPU's queue, to which only this stack posts.
    tx: TxQueue,
    /// On loan to whoever drains the ring.
    doorbell: Option<Box<Doorbell>>,
    /// The time of the last entry that read the clock.
    recent: Instant,
    /// What the CPU's timer is set to, or will be once it has run the TIMER softirq that was raised for it;
    /// [`Instant::FAR_FUTURE`] for nothing.
    armed: Instant,
    wakeups: u64,
    /// What the stack wants done; empty but while somebody is in the stack, and kept for its room.
    fx: Effects,
}

impl Shard {
    pub(crate) fn new(stack: Stack, tx: TxQueue, tracer: Tracer, now: Instant) -> Shard {
        let (doorbell, fx) = (Some(Box::default()), Effects::new(tracer));
        Shard { stack, tx, doorbell, recent: now, armed: Instant::FAR_FUTURE, wakeups: 0, fx }
    }
}

/// Whether a call needs the present time, or the time of the stack's last entry will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Now,
    Recent,
}

/// What it takes to drain a transmit ring, of which there is one: so one drains it at a time.
#[derive(Default)]
struct Doorbell {
    /// Frames between the ring and the wire.
    batch: Vec<PacketBuf>,
    /// Where the last ones went.
    track: Track,
}

/// What [`Machine::new`] is made of.
pub(crate) struct Parts {
    pub(crate) name: Arc<str>,
    /// Its addresses, the one that it is known by first.
    pub(crate) addrs: Vec<IpAddr>,
    pub(crate) nic: Arc<Nic>,
    pub(crate) driver: Driver,
    /// A descriptor for each of the device's lines.
    pub(crate) irqs: Growing<IrqDesc>,
    pub(crate) steering: Steering,
    pub(crate) core: Arc<NetCore>,
    pub(crate) clock: Clock,
    pub(crate) tracer: Tracer,
    pub(crate) lan: Arc<LanInner>,
    pub(crate) port: Arc<Port>,
    pub(crate) port_id: PortId,
    pub(crate) cpus: Vec<Arc<CpuShared>>,
    pub(crate) shards: Vec<Shard>,
}

impl Machine {
    pub(crate) fn new(parts: Parts) -> Machine {
        let works = Works {
            name: parts.name,
            addrs: parts.addrs,
            nic: parts.nic,
            driver: parts.driver,
            irqs: parts.irqs,
            steering: parts.steering,
            polls_busily: Flag::new(parts.core.busy_read.get() > 0),
            clock: parts.clock,
            tracer: parts.tracer,
            loopback: Loopback { name: "lo".into(), packets: Counter::default(), bytes: Counter::default() },
            core: parts.core,
            lan: parts.lan,
            port: parts.port,
            port_id: parts.port_id,
            cpus: parts.cpus.into(),
            shards: parts.shards.into_iter().map(Mutex::new).collect(),
            next_cpu: AtomicUsize::new(0),
        };
        Machine(Arc::new(works))
    }

    /// What its CPUs hold of it.
    pub(crate) fn works(&self) -> Arc<Works> {
        self.0.clone()
    }
}

impl Deref for Machine {
    type Target = Works;

    #[inline]
    fn deref(&self) -> &Works {
        &self.0
    }
}

impl Works {
    /// How many CPUs, and so queue pairs and shards, the host has.
    pub(crate) fn cpu_count(&self) -> usize {
        self.cpus.len()
    }

    pub(crate) fn cpu(&self, cpu: usize) -> &CpuShared {
        &self.cpus[cpu]
    }

    /// A CPU for a new connection: each in turn.
    pub(crate) fn deal_cpu(&self) -> usize {
        if self.cpus.len() == 1 { 0 } else { self.next_cpu.fetch_add(1, Ordering::Relaxed) % self.cpus.len() }
    }

    /// The CPU at which the frames of a flow from `remote` to `local` arrive.
    pub(crate) fn cpu_of_flow(&self, remote: (IpAddr, u16), local: (IpAddr, u16)) -> usize {
        self.steering.home_of_flow(remote, local)
    }

    /// A system call: enters the stack of `cpu` at the present time.
    pub(crate) fn with_stack<R>(&self, cpu: usize, f: impl FnOnce(&mut Stack, Instant, &mut Effects) -> R) -> R {
        let now = self.clock.now();
        let shard = self.lock(cpu);
        self.run(cpu, shard, now, f)
    }

    /// A system call for which the time of the last entry is exact enough, which saves reading the clock.
    pub(crate) fn with_stack_recent<R>(&self, cpu: usize, f: impl FnOnce(&mut Stack, Instant, &mut Effects) -> R) -> R {
        let shard = self.lock(cpu);
        let recent = shard.recent;
        self.run(cpu, shard, recent, f)
    }

    /// The one or the other, in one place for whoever knows only when he calls.
    #[inline]
    pub(crate) fn with_stack_at<R>(
        &self,
        cpu: usize,
        time: Time,
        f: impl FnOnce(&mut Stack, Instant, &mut Effects) -> R,
    ) -> R {
        let now = (time == Time::Now).then(|| self.clock.now());
        let shard = self.lock(cpu);
        let now = now.unwrap_or(shard.recent);
        self.run(cpu, shard, now, f)
    }

    // There is one for each kind of call, with the call in it.
    #[inline(always)]
    fn run<R>(
        &self,
        cpu: usize,
        mut shard: MutexGuard<'_, Shard>,
        now: Instant,
        f: impl FnOnce(&mut Stack, Instant, &mut Effects) -> R,
    ) -> R {
        let Shard { stack, fx, recent, armed, .. } = &mut *shard;
        // Two callers may have read the clock in one order and come here in the other: the stack's time only goes forward.
        *recent = (*recent).max(now);
        let now = *recent;
        let result = f(stack, now, fx);
        // So most reads end: nothing goes out, nobody is to be woken, no deadline has come nearer.
        if fx.is_empty() && stack.next_due() >= *armed {
            return result;
        }
        if self.leave(cpu, shard, now) {
            self.complete_tx(cpu);
        }
        result
    }

    /// The transmit ring is empty, and connections have waited for that: they give it more, again and again.
    #[cold]
    fn complete_tx(&self, cpu: usize) {
        loop {
            let mut shard = self.lock(cpu);
            let Shard { stack, fx, recent, .. } = &mut *shard;
            *recent = (*recent).max(self.clock.now());
            let now = *recent;
            stack.on_tx_completion(now, fx);
            if !self.leave(cpu, shard, now) {
                return;
            }
        }
    }

    /// Lets go of a shard, and then does what its stack wants done. All calls share it, in the processor's cache, too. Says
    /// whether the transmit ring has become empty and a connection waits for that.
    #[inline(never)]
    fn leave(&self, cpu: usize, mut shard: MutexGuard<'_, Shard>, now: Instant) -> bool {
        let Shard { stack, tx, doorbell, fx, armed, wakeups, .. } = &mut *shard;
        let mut drains = None;
        if !fx.tx.is_empty() {
            if self.tracer.is_listening() {
                self.trace_tx(&fx.tx);
            }
            // Who finds the ring being drained leaves its frames to the one that does.
            drains = doorbell.take();
            if !drains.as_mut().is_some_and(|doorbell| tx.pass(&mut fx.tx, &mut doorbell.batch)) {
                fx.tx.drain(..).for_each(|frame| tx.driver_post(frame));
                if let Some(doorbell) = &mut drains {
                    tx.device_fetch(&mut doorbell.batch);
                }
            }
        }
        let due = stack.next_due();
        let rearm = due < *armed;
        // The CPU will set its timer anew; until then nobody else needs to tell it.
        *armed = due.min(*armed);
        // What is empty, as most of it mostly is, stays where it is.
        let wakes = (!fx.wakes.is_empty()).then(|| {
            *wakeups += fx.wakes.len() as u64;
            (std::mem::take(&mut fx.wakes), std::mem::take(&mut fx.causes))
        });
        let inward = fx.take_inward();
        drop(shard);

        let completes = drains.is_some_and(|doorbell| self.start_tx(cpu, doorbell, now));
        if let Some(inward) = inward {
            self.deliver_inward(cpu, inward);
        }
        if rearm {
            self.cpus[cpu].raise_softirq(Softirq::Timer);
        }
        if let Some((mut wakes, causes)) = wakes {
            if self.tracer.is_listening() {
                self.wake_told(wakes, &causes);
            } else {
                wakes.wake_all();
            }
        }
        completes
    }

    /// The same for who listens: each with the functions through which it is woken.
    #[cold]
    fn wake_told(&self, wakes: WakeBatch, causes: &[Cause]) {
        waking::wake_each(&self.tracer, wakes, func_of, |number| {
            let cause = causes.iter().find(|cause| number < cause.wakes);
            cause.map_or_else(Vec::new, |cause| [cause.callback, cause.caller].concat())
        });
    }

    /// The doorbell: moves what stands in the transmit ring of `cpu` to the wire, batch by batch, each without a lock. Says
    /// whether a connection has waited for the end of that.
    fn start_tx(&self, cpu: usize, mut doorbell: Box<Doorbell>, mut now: Instant) -> bool {
        loop {
            let Doorbell { batch, track } = &mut *doorbell;
            self.lan.switch.send_along(track, (self.port_id, &self.port), now, batch);
            batch.clear();
            let mut shard = self.lock(cpu);
            shard.tx.device_fetch(batch);
            if batch.is_empty() {
                shard.doorbell = Some(doorbell);
                return shard.stack.note_tx_completion();
            }
            drop(shard);
            now = self.clock.now();
        }
    }

    /// What a shard has for its own host.
    #[cold]
    fn deliver_inward(&self, cpu: usize, mut inward: Inward) {
        if !inward.loopback.is_empty() {
            self.loopback_xmit(cpu, &mut inward.loopback);
        }
        for frame in inward.steered {
            let (home, _) = self.steering.home_of(&frame);
            self.cpus[home].enqueue_to_backlog(&mut vec![frame]);
        }
        for stray in inward.strays {
            self.with_stack(stray.keeper as usize, |stack, now, fx| stack.udp_on_stray(now, stray, fx));
        }
        for fact in inward.facts {
            self.teach(cpu, &fact);
        }
    }

    /// `loopback_xmit`: what is taken into the backlog is counted as sent and received.
    fn loopback_xmit(&self, cpu: usize, frames: &mut Vec<PacketBuf>) {
        let count = |frames: &[PacketBuf]| {
            let bytes: usize = frames.iter().map(|frame| frame.whole_len() - EthernetHeader::LEN).sum();
            (frames.len() as u64, bytes as u64)
        };
        if self.core.limits_flows.get() {
            frames.iter_mut().for_each(|frame| frame.rx.hash = software_hash(frame.data()));
        }
        let sent = count(frames);
        self.cpus[cpu].enqueue_to_backlog(frames);
        let lost = count(frames);
        self.loopback.packets.add_shared(sent.0 - lost.0);
        self.loopback.bytes.add_shared(sent.1 - lost.1);
    }

    /// Tells the other shards what one has learned: it arrives at one CPU only.
    fn teach(&self, cpu: usize, fact: &Fact) {
        for other in (0..self.cpus.len()).filter(|&other| other != cpu) {
            self.with_stack(other, |stack, now, fx| stack.on_fact(now, fact, fx));
        }
    }

    /// Does the same to every shard; the first error wins.
    pub(crate) fn on_every_shard(
        &self,
        mut f: impl FnMut(&mut Stack, Instant) -> Result<(), SocketError>,
    ) -> Result<(), SocketError> {
        (0..self.cpus.len()).try_for_each(|cpu| self.with_stack(cpu, |stack, now, _| f(stack, now)))
    }

    #[cold]
    fn trace_tx(&self, frames: &[PacketBuf]) {
        for frame in frames {
            let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            self.tracer.emit(|| Event::NetDevXmit { dev: self.nic.name().clone(), len, ok: true });
        }
    }

    /// Frames that `cpu` has polled go up the stack, on whichever shard has their flow.
    #[inline]
    pub(crate) fn deliver(&self, cpu: usize, now: Instant, frames: &mut Vec<PacketBuf>) {
        if self.steering.bent.get() {
            deliver_bent(self, cpu, now, frames);
        } else {
            self.receive(cpu, now, frames);
        }
    }

    /// Frames that another CPU is to work on (RPS). Gives how many its backlog has been given in all.
    pub(crate) fn hand_over(&self, target: usize, frames: &mut Vec<PacketBuf>) -> u64 {
        let cpu = &self.cpus[target];
        if cpu.enqueue_to_backlog(frames) {
            cpu.counters.received_rps.add_shared(1);
            self.tracer.emit(|| Event::IpiSendCpu { cpu: target as u32 });
        }
        cpu.backlog_tail()
    }

    /// Frames from a NAPI poll go up the stack of `cpu`, in lists of `gro_normal_batch` segments (`gro_normal_list`): who waits
    /// for the first ones need not wait for the last ones, and who wants the shard has a chance in between.
    pub(crate) fn receive(&self, cpu: usize, now: Instant, frames: &mut Vec<PacketBuf>) {
        // Mostly there is one.
        if frames.len() > 1 {
            return self.receive_lists(cpu, now, frames);
        }
        let shard = self.lock(cpu);
        self.run(cpu, shard, now, |stack, now, fx| {
            take_each(frames, |frame| stack.on_frame(now, frame, fx));
            stack.on_batch_end(now, fx);
        });
    }

    #[inline(never)]
    fn receive_lists(&self, cpu: usize, now: Instant, frames: &mut Vec<PacketBuf>) {
        let batch = self.core.gro_normal_batch.get() as usize;
        let mut frames = frames.drain(..);
        loop {
            let shard = self.lock(cpu);
            self.run(cpu, shard, now, |stack, now, fx| {
                let mut segments = 0;
                for frame in frames.by_ref() {
                    segments += 1 + frame.rest().len();
                    stack.on_frame(now, frame, fx);
                    if segments >= batch {
                        break;
                    }
                }
                stack.on_batch_end(now, fx);
            });
            if frames.len() == 0 {
                return;
            }
        }
    }

    /// The TIMER softirq of `cpu`. Gives the moment to which the CPU sets its timer.
    pub(crate) fn on_timer(&self, cpu: usize, now: Instant) -> Option<Instant> {
        let shard = self.lock(cpu);
        self.run(cpu, shard, now, |stack, now, fx| stack.on_timer(now, fx));
        let mut shard = self.lock(cpu);
        let deadline = shard.stack.next_deadline();
        shard.armed = deadline.unwrap_or(Instant::FAR_FUTURE);
        deadline
    }

    /// The host goes down: its sockets fail with `ENETDOWN`, its waiters wake, its CPUs poll no more.
    pub(crate) fn shut_down(&self) {
        self.driver.vectors.iter().for_each(|vector| vector.napi.disable_begin());
        for (cpu, shared) in self.cpus.iter().enumerate() {
            shared.shut_down();
            self.with_stack(cpu, |stack, now, fx| stack.shut_down(now, fx));
        }
    }

    /// Captures what passes the host's port.
    pub(crate) fn capture(&self, to: impl io::Write + Send + 'static) -> io::Result<Capture> {
        Capture::start(&self.lan.switch.captures, &self.clock, Scope::Port(self.port_id), to)
    }

    /// How many descriptors each transmit ring has.
    pub(crate) fn tx_ring(&self) -> usize {
        self.lock(0).tx.len()
    }

    /// What each queue pair of the device has counted, those that were in use once behind those that are. With fewer of them than
    /// CPUs, some CPUs share one.
    pub(crate) fn queue_stats(&self) -> Vec<NicStats> {
        let mut queues = self.nic.rx_stats();
        let count = self.nic.queue_count();
        for (cpu, shard) in self.shards.iter().enumerate() {
            shard.lock().tx.add_stats(&mut queues[cpu % count]);
        }
        queues
    }

    /// Everything the host counts, now.
    pub(crate) fn counters(&self) -> HostCounters {
        let mut sum = HostCounters { nic: self.nic.stats(), drops: Drops::new(), ..HostCounters::default() };
        for shard in &self.shards {
            let shard = shard.lock();
            shard.tx.add_stats(&mut sum.nic);
            sum.wakeups += shard.wakeups;
            sum.sockets += shard.stack.socket_count();
            sum.drops.add(shard.stack.drops());
            sum.stack.add(shard.stack.counters());
        }
        for (reason, n) in sum.nic.drops() {
            sum.drops.count_many(reason, n);
        }
        sum.drops.add(&self.port.up.drops());
        sum.drops.add(&self.port.down.drops());
        sum.irqs = self.irqs.iter().map(IrqDesc::total).sum();
        for cpu in &self.cpus {
            sum.softirqs += cpu.counters.softirqs.iter().map(Counter::get).sum::<u64>();
            sum.ksoftirqd_wakeups += cpu.counters.ksoftirqd_wakeups.get();
            sum.busy_poll_rx_packets += cpu.counters.busy_poll_rx.get();
            sum.received_rps += cpu.counters.received_rps.get();
            sum.napi_polls += cpu.counters.napi_polls.get();
            sum.packets += cpu.counters.processed.get();
            sum.time_squeeze += cpu.counters.time_squeeze.get();
            sum.ksoftirqd += cpu.counters.ksoftirqd.get();
            sum.drops.count_many(BACKLOG_DROP, cpu.counters.backlog_drops.get());
        }
        sum
    }

    #[inline]
    fn lock(&self, cpu: usize) -> MutexGuard<'_, Shard> {
        self.shards[cpu].lock()
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("name", &self.name).field("addrs", &self.addrs).finish_non_exhaustive()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.lan.leave(&self.name, self.port_id);
        for cpu in &self.cpus {
            cpu.orphan();
        }
    }
}
