//! Busy polling: who waits for packets takes them from the device, without an interrupt.
//!
//! A reader that finds nothing becomes the owner of its queue's NAPI instance, as a softirq would, and polls in its own context. A
//! thread goes on for as long as its socket says (`napi_busy_loop`); a task looks once in each of its polls, because others wait
//! for its worker.

use crate::host::driver::{self, Settle};
use crate::host::machine::Works;
use crate::irq::napi::BusyPoll as Taken;
use crate::packet::PacketBuf;
use crate::sockopt::{Opt, Value};
use crate::stack::busy_poll::{BUSY_POLL_BUDGET, BusyPoll};
use crate::stack::socket::SocketId;
use std::task::Poll;
use wakeline_runtime::park::non_block;

impl Works {
    /// How readers of a socket poll busily, if they do. While no socket of the host ever did, that costs one load.
    #[inline]
    pub(crate) fn busy_poll(&self, cpu: usize, id: SocketId) -> Option<BusyPoll> {
        if !self.polls_busily.get() {
            return None;
        }
        self.with_stack_recent(cpu, |stack, _, _| stack.busy_poll(id))
    }

    /// A socket of the host has been given an option.
    pub(crate) fn note_option(&self, opt: Opt, value: Value) {
        if opt == Opt::BusyPoll && value != Value::Time(None) {
            self.polls_busily.set(true);
        }
    }

    /// `net.core.busy_read`, in microseconds, for sockets to come.
    pub(crate) fn set_busy_read(&self, usecs: u32) {
        (0..self.cpu_count()).for_each(|cpu| self.with_stack_recent(cpu, |stack, _, _| stack.set_busy_read(usecs)));
        if usecs > 0 {
            self.polls_busily.set(true);
        }
    }
}

/// A reader on `cpu` waits, and tries again after each look; `once`: it looks once. The last try is the answer.
#[cold]
pub(crate) fn busy_loop<R>(
    host: &Works,
    cpu: usize,
    how: BusyPoll,
    once: bool,
    attempt: impl FnMut() -> Poll<R>,
) -> Poll<R> {
    napi_busy_loop(host, cpu % host.nic.queue_count(), how, once, attempt)
}

/// The same for who knows the instance.
#[cold]
pub(crate) fn napi_busy_loop<R>(
    host: &Works,
    queue: usize,
    how: BusyPoll,
    once: bool,
    mut attempt: impl FnMut() -> Poll<R>,
) -> Poll<R> {
    let (time, prefer) = (how.time(), how.prefer);
    let budget = if how.budget == 0 { BUSY_POLL_BUDGET } else { how.budget };
    let started = host.clock.now();
    let mut frames = Vec::new();
    loop {
        let napi = &host.driver.vectors[queue].napi;
        let owns = napi.busy_poll_begin(prefer) == Taken::Owned;
        if owns {
            look(host, queue, budget, &mut frames);
        }
        let mut result = attempt();
        // With an owner already, that one will bring the packets.
        while owns && result.is_pending() && !once && !napi.is_disable_pending() && host.clock.now() - started < time {
            std::hint::spin_loop();
            look(host, queue, budget, &mut frames);
            result = attempt();
        }
        if owns {
            napi.busy_poll_end();
            if prefer {
                napi.prefer_busy_poll();
            }
            let settle = if prefer { Settle::Deferred } else { Settle::AtOnce };
            driver::busy_poll_stop(host, queue, budget.into(), settle, &mut frames);
        }
        if once || result.is_ready() || host.clock.now() - started >= time {
            return result;
        }
        std::thread::yield_now();
    }
}

/// A poll in the reader's context, with bottom halves disabled.
fn look(host: &Works, queue: usize, budget: u16, frames: &mut Vec<PacketBuf>) {
    let _bh_disabled = non_block();
    let now = host.clock.now();
    let cpu = host.nic.line(queue).cpu();
    let work = driver::clean(host, host.cpu(cpu), queue, budget.into(), now, frames);
    if work > 0 {
        host.cpu(cpu).counters.busy_poll_rx.add_shared(work as u64);
        host.deliver(cpu, now, frames);
    }
}
