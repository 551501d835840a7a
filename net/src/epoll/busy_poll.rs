//! How an epoll polls devices busily: who waits takes packets from the device by which its sockets' last ones came.

use crate::epoll::error::CtlError;
use crate::host::busy_poll::napi_busy_loop;
use crate::host::driver;
use crate::host::machine::Machine;
use crate::poll::file::File;
use crate::stack::busy_poll::BusyPoll;
use std::sync::Arc;
use std::task::Poll;

/// How who waits on an epoll polls busily (`struct epoll_params`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollParams {
    /// For how long, in microseconds; 0: as long as the host's `net.core.busy_poll` says. A task looks once, whatever this says,
    /// because others wait for its worker.
    pub busy_poll_usecs: u32,
    /// How many packets one look takes; 0: 8.
    pub busy_poll_budget: u16,
    /// Interrupts are to leave the polling to who waits. While there are events they stay away for as long as the instance's
    /// [`irq_suspend_timeout`](crate::emulated::NapiSettings::irq_suspend_timeout) says.
    pub prefer_busy_poll: bool,
}

/// A NAPI instance of a host (`ep->napi_id`).
#[derive(Clone)]
pub(super) struct Instance {
    host: Arc<Machine>,
    queue: usize,
}

impl EpollParams {
    /// `ep_eventpoll_bp_ioctl`, by the owner of the host.
    ///
    /// # Errors
    /// `Invalid` for more microseconds than Linux takes.
    pub(super) fn check(self) -> Result<EpollParams, CtlError> {
        i32::try_from(self.busy_poll_usecs).map(|_| self).map_err(|_| CtlError::Invalid)
    }

    /// Whether they say that somebody polls busily.
    pub(super) fn are_on(self) -> bool {
        self.busy_poll_usecs > 0 || self.prefer_busy_poll
    }
}

impl Instance {
    /// The one by which a file's packets come, where who waits for it polls busily: because of parameters, or of the host's
    /// `net.core.busy_poll`.
    pub(super) fn of(file: &File, params_are_on: bool) -> Option<Instance> {
        let File::Socket(socket) = file else { return None };
        if !params_are_on && socket.host().core.busy_poll.get() == 0 {
            return None;
        }
        socket.napi().map(|queue| Instance { host: socket.host().clone(), queue })
    }

    /// `ep_busy_loop`: looks until there is something, and says whether there is. If not, interrupts may come again.
    pub(super) fn busy_loop(&self, params: EpollParams, once: bool, is_available: impl Fn() -> bool) -> bool {
        let Instance { host, queue } = self;
        let by_sysctl = host.core.busy_poll.get();
        if *queue >= host.nic.queue_count() || !params.are_on() && by_sysctl == 0 {
            return false;
        }
        let usecs = if params.busy_poll_usecs > 0 { params.busy_poll_usecs } else { by_sysctl };
        let how = BusyPoll { usecs, budget: params.busy_poll_budget, prefer: params.prefer_busy_poll };
        let look = || if is_available() { Poll::Ready(()) } else { Poll::Pending };
        let found = napi_busy_loop(host, *queue, how, once, look).is_ready();
        if !found && params.prefer_busy_poll {
            self.resume_irqs();
        }
        found
    }

    /// `napi_suspend_irqs`
    pub(super) fn suspend_irqs(&self) {
        driver::suspend_irqs(&self.host, self.queue);
    }

    /// `napi_resume_irqs`
    pub(super) fn resume_irqs(&self) {
        driver::resume_irqs(&self.host, self.queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_limited() {
        let of = |busy_poll_usecs| EpollParams { busy_poll_usecs, ..EpollParams::default() };
        assert_eq!(of(1 << 31).check(), Err(CtlError::Invalid));
        assert_eq!(of(i32::MAX as u32).check(), Ok(of(i32::MAX as u32)));
        assert!(!of(0).are_on() && of(1).are_on() && EpollParams { prefer_busy_poll: true, ..of(0) }.are_on());
    }
}
