//! Busy polling: who waits for packets takes them from the device, without an interrupt.
//!
//! A reader that finds nothing becomes the owner of its queue's NAPI instance, as a softirq would, and polls in its own context. A
//! thread goes on for as long as it was told (`napi_busy_loop`); a task looks once in each of its polls, because others wait for
//! its worker.

use crate::host::driver::{self, Settle};
use crate::host::handle::Host;
use crate::host::machine::Works;
use crate::irq::napi::BusyPoll as Taken;
use std::io;
use std::task::Poll;
use std::time::Duration;

/// How the sockets of a host poll busily.
///
/// # Differs from Linux
/// It holds for all sockets of the host, as `net.core.busy_read` does for those that do not say otherwise; there is no
/// `SO_BUSY_POLL` for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// For how long a thread that reads goes on looking before it sleeps (`net.core.busy_read`); zero: not at all. A task looks
    /// once.
    pub time: Duration,
    /// How many packets one look takes (`SO_BUSY_POLL_BUDGET`): 1 to 65535, 8 by default.
    pub budget: u16,
    /// Whether the softirq is to leave the polling to readers (`SO_PREFER_BUSY_POLL`): together with
    /// [`NapiSettings`](crate::emulated::NapiSettings) that defer interrupts there are none while somebody reads.
    pub prefer: bool,
}

impl Default for BusyPoll {
    fn default() -> BusyPoll {
        BusyPoll { time: Duration::ZERO, budget: BUSY_POLL_BUDGET, prefer: false }
    }
}

/// `BUSY_POLL_BUDGET`
const BUSY_POLL_BUDGET: u16 = 8;

impl Host {
    /// How the host's sockets poll busily.
    #[must_use]
    pub fn busy_poll(&self) -> BusyPoll {
        *self.machine().busy_poll.lock()
    }

    /// Lets them poll busily, or no more.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for a budget of 0.
    pub fn set_busy_poll(&self, busy_poll: BusyPoll) -> io::Result<()> {
        if busy_poll.budget == 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let machine = self.machine();
        *machine.busy_poll.lock() = busy_poll;
        machine.polls_busily.set(!busy_poll.time.is_zero());
        Ok(())
    }
}

/// A reader of a socket on `cpu` waits, and tries again after each look. The last try is the answer.
#[cold]
pub(crate) fn busy_loop<R>(host: &Works, cpu: usize, once: bool, mut attempt: impl FnMut() -> Poll<R>) -> Poll<R> {
    let BusyPoll { time, budget, prefer } = *host.busy_poll.lock();
    let started = host.clock.now();
    let queue = cpu % host.nic.queue_count();
    let mut frames = Vec::new();
    loop {
        let napi = &host.driver.vectors[queue].napi;
        let owns = napi.busy_poll_begin(prefer) == Taken::Owned;
        if owns {
            look(host, queue, budget, &mut frames);
        }
        let mut result = attempt();
        // With an owner already, that one will bring the packets.
        while owns && result.is_pending() && !once && host.clock.now() - started < time {
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

fn look(host: &Works, queue: usize, budget: u16, frames: &mut Vec<crate::packet::PacketBuf>) {
    let now = host.clock.now();
    let cpu = host.nic.line(queue).cpu();
    let work = driver::clean(host, host.cpu(cpu), queue, budget.into(), now, frames);
    if work > 0 {
        host.cpu(cpu).counters.busy_poll_rx.add_shared(work as u64);
        host.deliver(cpu, now, frames);
    }
}
