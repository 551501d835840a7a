//! The device driver: the interrupt handler, and the poll function that cleans a receive ring.
//!
//! As an MSI-X driver's (ixgbe): the vector masks itself, the handler schedules NAPI and returns; the ring is cleaned in the
//! softirq, and the vector unmasked when a poll has found less than its weight. With one level line instead (e1000), the
//! handler reads the cause register, and masks the device itself.

use crate::event::Event;
use crate::gro::Gro;
use crate::growing::Growing;
use crate::host::counters::Counter;
use crate::host::cpu::Own;
use crate::host::irq_desc::IrqReturn;
use crate::host::machine::Works;
use crate::host::softnet::{CpuShared, Instance, Kthread};
use crate::irq::hrtimer::TimerFor;
use crate::irq::napi::{Completed, Napi, Scheduled};
use crate::irq::softirq::Softirq;
use crate::nic::model::Limits;
use crate::nic::rx_ring::Refill;
use crate::packet::PacketBuf;
use parking_lot::Mutex;
use std::io;
use std::time::Duration;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::park::{might_sleep, non_block};

/// The driver's side of the device: a vector for each queue pair.
pub(crate) struct Driver {
    pub(crate) vectors: Growing<Vector>,
    /// Held by whoever takes queues down or up (`rtnl_lock`).
    rtnl: Mutex<()>,
    /// How instances are set that there are not yet.
    defaults: Mutex<NapiSettings>,
    /// How often somebody has begun to take a queue down or up, and has ended. For assertions.
    begun: Counter,
    ended: Counter,
    /// It has one level line, and reads a cause register.
    is_legacy: bool,
    merges: bool,
    /// What is wrong with it.
    #[cfg(test)]
    fault: Mutex<Option<Fault>>,
}

/// What a driver may do wrong.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It never lets its device interrupt again.
    NeverUnmasks,
    /// Its polls say that they have found so many packets more than they have.
    Boasts(usize),
    /// They say that they have found their weight, whatever there is.
    NeverEnds,
}

/// What belongs to one queue pair (`q_vector`). Aligned, so that it has no cache line in common with another's.
#[repr(align(128))]
pub(crate) struct Vector {
    pub(crate) napi: Napi,
    /// Merges segments that arrive together. Whoever polls has it alone.
    gro: Mutex<Option<Gro>>,
    tuning: Mutex<Tuning>,
}

/// What a NAPI instance can be told about interrupts (`napi_defer_hard_irqs`, `gro_flush_timeout`, `threaded`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NapiSettings {
    /// How many polls in a row may find nothing before the device may interrupt again (`napi_defer_hard_irqs`); 0: none.
    pub defer_hard_irqs: u32,
    /// When the next poll comes meanwhile, and for how long GRO may hold a packet from one poll to another
    /// (`gro_flush_timeout`); 0: it does not come, and nothing is held.
    pub gro_flush_timeout: Duration,
    /// A thread of the instance's own polls it, not the softirq (`threaded`).
    pub threaded: bool,
    /// For how long interrupts stay away once an epoll that prefers to poll busily has told of events
    /// (`irq-suspend-timeout`): its owner works on them and comes back for more, so nobody needs to be interrupted. Then the
    /// instance is polled, and they come again as the settings above say; so they do as soon as the epoll has found nothing.
    /// 0: no longer than those say.
    pub irq_suspend_timeout: Duration,
}

impl NapiSettings {
    /// # Errors
    /// `ERANGE` for more polls than the kernel counts.
    pub(crate) fn check(self) -> io::Result<()> {
        match i32::try_from(self.defer_hard_irqs) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::from_raw_os_error(libc::ERANGE)),
        }
    }
}

#[derive(Default)]
struct Tuning {
    settings: NapiSettings,
    /// `defer_hard_irqs_count`
    deferred: u32,
}

/// After how long a driver without memory looks again (`refill_work`, `HZ / 2`).
const REFILL_INTERVAL: Duration = Duration::from_millis(500);

impl Driver {
    /// A driver with a vector for each of `gros`, which merge or do not.
    pub(crate) fn new(limits: &Limits, gros: Vec<Option<Gro>>) -> Driver {
        let merges = gros.iter().any(Option::is_some);
        let vector = |gro| Vector::new(Napi::default(), gro);
        Driver {
            vectors: Growing::new(gros.into_iter().map(vector), limits.queues_max),
            rtnl: Mutex::default(),
            defaults: Mutex::default(),
            begun: Counter::default(),
            ended: Counter::default(),
            is_legacy: limits.is_legacy,
            merges,
            #[cfg(test)]
            fault: Mutex::new(None),
        }
    }

    /// How a queue's instance is set.
    pub(crate) fn settings(&self, queue: usize) -> NapiSettings {
        self.vectors[queue].tuning.lock().settings
    }

    /// Sets every queue's instance. It counts from the next completion on.
    pub(crate) fn set(&self, settings: NapiSettings) {
        *self.defaults.lock() = settings;
        self.vectors.iter().for_each(|vector| vector.set(settings));
    }

    /// Sets one queue's instance.
    pub(crate) fn set_one(&self, queue: usize, settings: NapiSettings) {
        self.vectors[queue].set(settings);
    }

    /// Adds instances until there are `count`; they are disabled.
    fn grow(&self, count: usize) {
        self.vectors.grow(count, |_| {
            let vector = Vector::new(Napi::added(), self.merges.then(Gro::default));
            vector.set(*self.defaults.lock());
            vector
        });
    }
}

impl Vector {
    fn new(napi: Napi, gro: Option<Gro>) -> Vector {
        Vector { napi, gro: Mutex::new(gro), tuning: Mutex::default() }
    }

    fn set(&self, settings: NapiSettings) {
        self.tuning.lock().settings = settings;
        let NapiSettings { defer_hard_irqs, gro_flush_timeout, threaded, irq_suspend_timeout: _ } = settings;
        self.napi.set_tuned(defer_hard_irqs > 0 || !gro_flush_timeout.is_zero());
        self.napi.set_threaded(threaded);
    }
}

/// The hard interrupt handler of one queue pair; says whether the interrupt was the device's.
#[inline]
pub(crate) fn interrupt(host: &Works, queue: usize, shared: &CpuShared, own: &mut Own) -> IrqReturn {
    if host.driver.is_legacy {
        let line = host.nic.line(queue);
        if !line.read_cause() {
            return IrqReturn::None;
        }
        line.mask();
    }
    schedule(host, shared, queue, own, Napi::schedule_prep);
    IrqReturn::Handled
}

/// `napi_schedule`, and whatever else makes a queue be polled.
#[inline]
fn schedule(host: &Works, shared: &CpuShared, queue: usize, own: &mut Own, prep: impl Fn(&Napi) -> Scheduled) {
    match prep(&host.driver.vectors[queue].napi) {
        Scheduled::No => {}
        Scheduled::Softirq => {
            own.poll_list.push(Instance::Queue(queue as u16));
            host.tracer.emit(|| Event::SoftirqRaise { vec: Softirq::NetRx as u8 });
            own.softirqs.raise(Softirq::NetRx);
        }
        Scheduled::Thread => shared.wake_thread(Kthread::Napi(queue as u16)),
    }
}

/// `napi_watchdog`, and the look for memory: a queue is polled without an interrupt.
pub(crate) fn on_timer(host: &Works, shared: &CpuShared, queue: usize, own: &mut Own) {
    schedule(host, shared, queue, own, Napi::watchdog);
}

/// Takes up to `budget` received frames from the ring of `queue`, and merges what can be merged. Says how many there were.
#[inline(always)]
pub(crate) fn clean(
    host: &Works,
    shared: &CpuShared,
    queue: usize,
    budget: usize,
    now: Instant,
    frames: &mut Vec<PacketBuf>,
) -> usize {
    if let Refill::Starved { again } = host.nic.clean_rx(queue, budget, frames) {
        look_for_memory(shared, queue, if again { now + REFILL_INTERVAL } else { now });
    }
    let packets = frames.len();
    if packets > 1 && host.driver.merges
        || packets == 1 && host.driver.merges && host.driver.vectors[queue].napi.is_tuned()
    {
        let vector = &host.driver.vectors[queue];
        if let Some(gro) = vector.gro.lock().as_mut() {
            if vector.napi.is_tuned() { gro.hold(frames, now) } else { gro.merge(frames) }
        }
    }
    #[cfg(test)]
    match *host.driver.fault.lock() {
        Some(Fault::Boasts(more)) => return packets + more,
        Some(Fault::NeverEnds) => return budget,
        _ => {}
    }
    packets
}

/// The device has no buffer and will not interrupt: at once, and then every half second, the driver looks by itself.
#[cold]
fn look_for_memory(shared: &CpuShared, queue: usize, at: Instant) {
    // This CPU runs, and looks at its timers before it sleeps.
    let _told = shared.irq.timers.arm(TimerFor::Refill(queue as u16), at);
}

/// `napi_complete_done`: a poll of `queue` has found `work` packets, less than its weight. Says whether to poll once more.
#[inline(always)]
pub(crate) fn complete(
    host: &Works,
    cpu: usize,
    queue: usize,
    work: usize,
    now: Instant,
    frames: &mut Vec<PacketBuf>,
) -> bool {
    match host.driver.vectors[queue].napi.complete_done() {
        Completed::Idle => {
            enable_irq(host, queue);
            false
        }
        Completed::Again => true,
        Completed::Kept => false,
        Completed::Tuned => complete_tuned(host, cpu, queue, work, now, frames),
    }
}

/// A poll has found its full weight: whether the softirq goes on. Not where somebody waits for it to end, or where readers poll
/// busily and would rather; the watchdog comes if they do not.
pub(crate) fn goes_on(host: &Works, shared: &CpuShared, queue: usize, now: Instant) -> bool {
    let vector = &host.driver.vectors[queue];
    if vector.napi.is_disable_pending() {
        vector.napi.release();
        return false;
    }
    if !vector.napi.prefers_busy_poll() {
        return true;
    }
    let timeout = {
        let mut tuning = vector.tuning.lock();
        tuning.deferred = tuning.settings.defer_hard_irqs;
        if tuning.deferred > 0 { tuning.settings.gro_flush_timeout } else { Duration::ZERO }
    };
    if timeout.is_zero() || vector.napi.complete_anyway() == Completed::Again {
        return true;
    }
    wake_at(shared, queue, now + timeout);
    false
}

#[cold]
fn complete_tuned(
    host: &Works,
    cpu: usize,
    queue: usize,
    work: usize,
    now: Instant,
    frames: &mut Vec<PacketBuf>,
) -> bool {
    let vector = &host.driver.vectors[queue];
    let (mut timeout, mut may_interrupt) = (Duration::ZERO, true);
    {
        let mut tuning = vector.tuning.lock();
        let mut gro = vector.gro.lock();
        let flush_timeout = tuning.settings.gro_flush_timeout;
        if work > 0 {
            if gro.as_ref().is_some_and(Gro::holds_any) {
                timeout = flush_timeout;
            }
            tuning.deferred = tuning.settings.defer_hard_irqs;
        }
        if tuning.deferred > 0 {
            tuning.deferred -= 1;
            timeout = flush_timeout;
            may_interrupt = timeout.is_zero();
        }
        if let Some(gro) = gro.as_mut() {
            gro.flush(frames, (!timeout.is_zero()).then_some(now));
        }
    }
    if !frames.is_empty() {
        host.deliver(cpu, now, frames);
    }
    if vector.napi.complete_anyway() == Completed::Again {
        return true;
    }
    let shared = host.cpu(cpu);
    if !timeout.is_zero() {
        wake_at(shared, queue, now + timeout);
    }
    if may_interrupt {
        enable_irq(host, queue);
    }
    false
}

/// What becomes of interrupts when a busy poller stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// They may come again.
    AtOnce,
    /// Where the settings say so, only when nobody has come back in time.
    Deferred,
}

/// `busy_poll_stop`: the queue's owner looks once more, as a softirq would, and gives it up.
pub(crate) fn busy_poll_stop(host: &Works, queue: usize, budget: usize, settle: Settle, frames: &mut Vec<PacketBuf>) {
    let _bh_disabled = non_block();
    let vector = &host.driver.vectors[queue];
    let (now, cpu) = (host.clock.now(), host.nic.line(queue).cpu());
    let shared = host.cpu(cpu);
    let mut is_deferred = false;
    if settle == Settle::Deferred && vector.napi.is_tuned() {
        let mut tuning = vector.tuning.lock();
        tuning.deferred = tuning.settings.defer_hard_irqs;
        let timeout = tuning.settings.gro_flush_timeout;
        is_deferred = tuning.deferred > 0 && !timeout.is_zero();
        if is_deferred {
            wake_at(shared, queue, now + timeout);
        }
    }
    let work = clean(host, shared, queue, budget, now, frames);
    if work > 0 {
        shared.counters.busy_poll_rx.add_shared(work as u64);
        host.deliver(cpu, now, frames);
    }
    let again = if work < budget { complete(host, cpu, queue, work, now, frames) } else { !is_deferred };
    if again {
        shared.put_up(queue as u16);
    } else if work >= budget {
        vector.napi.release();
    }
}

/// `napi_suspend_irqs`: somebody works on what the queue has brought, and will come back to poll it. The watchdog, which would let
/// the device interrupt if nobody did, waits longer.
pub(crate) fn suspend_irqs(host: &Works, queue: usize) {
    let timeout = host.driver.settings(queue).irq_suspend_timeout;
    if !timeout.is_zero() {
        wake_at(host.cpu(host.nic.line(queue).cpu()), queue, host.clock.now() + timeout);
    }
}

/// `napi_resume_irqs`: who came back has found nothing. The softirq polls, and lets the device interrupt as the settings say.
pub(crate) fn resume_irqs(host: &Works, queue: usize) {
    if host.driver.settings(queue).irq_suspend_timeout.is_zero() {
        return;
    }
    let shared = host.cpu(host.nic.line(queue).cpu());
    match host.driver.vectors[queue].napi.schedule_prep() {
        Scheduled::No => {}
        Scheduled::Softirq => shared.put_up(queue as u16),
        Scheduled::Thread => shared.wake_thread(Kthread::Napi(queue as u16)),
    }
}

/// Arms the watchdog of a queue, from whatever thread.
fn wake_at(shared: &CpuShared, queue: usize, at: Instant) {
    if shared.irq.timers.arm(TimerFor::NapiWatchdog(queue as u16), at) {
        shared.look_at_timers();
    }
}

/// Lets the device interrupt again. A frame that came since the last look has latched its cause: it fires now.
#[inline(always)]
pub(crate) fn enable_irq(host: &Works, queue: usize) {
    #[cfg(test)]
    if *host.driver.fault.lock() == Some(Fault::NeverUnmasks) {
        return;
    }
    let line = host.nic.line(queue);
    if line.is_moderated() {
        host.nic.on_poll_done(queue, host.irqs[queue].total());
    }
    line.unmask();
}

/// Whether anybody will look at a queue whose poll has ended: its owner, or its interrupt. In a queue of which neither is so
/// frames wait for ever. For assertions.
pub(crate) fn is_looked_after(host: &Works, queue: usize) -> bool {
    let (line, desc, napi) = (host.nic.line(queue), &host.irqs[queue], &host.driver.vectors[queue].napi);
    // A queue that is taken down or up belongs to nobody meanwhile.
    let (ended, begun) = (host.driver.ended.get(), host.driver.begun.get());
    // Another CPU may take the interrupt meanwhile, which masks it until that CPU is the owner; it is counted before.
    let taken = desc.total();
    let is_lost = !line.is_in_progress() && !napi.is_owned() && line.is_masked() && desc.total() == taken;
    let is_lost = is_lost && ended == begun && host.driver.begun.get() == begun;
    // A timer looks after what has settings; a thread may be about to.
    !is_lost || napi.is_tuned() || !desc.is_plain()
}

/// `napi_disable`: whoever polls the queue has finished when this returns, and nobody begins until [`enable`]. Not to be called
/// from an interrupt.
fn disable(host: &Works, queue: usize) {
    might_sleep();
    let napi = &host.driver.vectors[queue].napi;
    napi.disable_begin();
    while !napi.try_disable() {
        // Listed on a CPU, it is taken off; a busy poller, on a thread of its own, comes to its end.
        (0..host.cpu_count()).for_each(|cpu| host.cpu(cpu).irq.synchronize());
        std::thread::yield_now();
    }
}

/// The softirq, or its thread, gives up a queue that is being disabled. Says whether it is.
pub(crate) fn give_up_disabled(host: &Works, queue: usize) -> bool {
    let napi = &host.driver.vectors[queue].napi;
    let disabled = napi.is_disable_pending();
    if disabled {
        napi.release();
    }
    disabled
}

/// `napi_enable`. The caller [opens](open) it once it has let go of `rtnl`: an interrupt may wake somebody.
fn enable(host: &Works, queue: usize) {
    let vector = &host.driver.vectors[queue];
    vector.napi.enable();
    vector.napi.set_threaded(vector.tuning.lock().settings.threaded);
}

/// A queue that was enabled may interrupt; with this its change has ended.
fn open(host: &Works, queue: usize) {
    enable_irq(host, queue);
    host.driver.ended.add_shared(1);
}

/// `ethtool -G`: the device goes down for a moment, and what is in its receive rings is lost.
pub(crate) fn resize_rings(host: &Works, count: usize) {
    for queue in 0..host.nic.queue_count() {
        {
            let _rtnl = host.driver.rtnl.lock();
            if queue >= host.nic.queue_count() {
                return;
            }
            host.driver.begun.add_shared(1);
            disable(host, queue);
            host.nic.resize_rx(queue, count);
            enable(host, queue);
        }
        open(host, queue);
    }
}

/// `ethtool -L`: uses `count` queues from here on. What stands in the rings of others goes up the stack.
///
/// # Errors
/// `EINVAL` for more than the device has, and where the user's table of RSS names one that would go.
pub(crate) fn set_channels(host: &Works, count: usize) -> io::Result<()> {
    if !(1..=host.nic.model().limits().queues_max).contains(&count) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut left = Vec::new();
    let before = {
        let _rtnl = host.driver.rtnl.lock();
        let before = host.nic.queue_count();
        if count == before {
            return Ok(());
        }
        // A frame's queue need not be that of its shard from here on.
        host.steering.bend();
        let ring = host.nic.rx_ring();
        host.driver.grow(count);
        host.nic.set_queue_count(count)?;
        host.irqs.grow(count, |queue| host.irqs[0].sibling(queue, host.nic.line(queue).name().clone()));
        for queue in before..count {
            host.nic.resize_rx(queue, ring);
            host.driver.begun.add_shared(1);
            enable(host, queue);
        }
        for queue in count..before {
            left.push((host.nic.line(queue).cpu(), take_down(host, queue)));
        }
        before
    };
    (before..count).for_each(|queue| open(host, queue));
    let now = host.clock.now();
    for (cpu, mut frames) in left.into_iter().filter(|(_, frames)| !frames.is_empty()) {
        let _bh_disabled = non_block();
        host.deliver(cpu, now, &mut frames);
    }
    Ok(())
}

/// Nobody polls the queue any more, to which no frame comes; what was in it.
fn take_down(host: &Works, queue: usize) -> Vec<PacketBuf> {
    host.driver.begun.add_shared(1);
    disable(host, queue);
    host.nic.line(queue).mask();
    let mut frames = Vec::new();
    // Without memory for its buffers the device keeps what is in its FIFO, which is lost with the ring.
    let _refill = host.nic.clean_rx(queue, usize::MAX, &mut frames);
    if let Some(gro) = host.driver.vectors[queue].gro.lock().as_mut() {
        let mut held = Vec::new();
        gro.flush(&mut held, None);
        frames.splice(0..0, held);
    }
    host.nic.resize_rx(queue, host.nic.rx_ring());
    host.driver.ended.add_shared(1);
    frames
}

#[cfg(test)]
mod tests;
