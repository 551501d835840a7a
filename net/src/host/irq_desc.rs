//! Interrupt descriptors (`irq_desc`): how a line is handled, by whom, and what happens when nobody will have it.
//!
//! A line of the device's own driver, edge-triggered and not shared, takes the short way. Everything else, further actions,
//! level lines, threads, goes through one lock, which is never held while a handler runs.

use crate::event::Event;
use crate::host::counters::{Counter, Flag};
use crate::host::cpu::Own;
use crate::host::driver;
use crate::host::machine::Works;
use crate::host::softnet::{CpuShared, Kthread};
use crate::irq::hrtimer::TimerFor;
use crate::irq::line::{Ended, IrqLine};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What a handler says (`irqreturn_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqReturn {
    /// `IRQ_NONE`: the interrupt was not its device's.
    None,
    /// `IRQ_HANDLED`.
    Handled,
    /// `IRQ_WAKE_THREAD`: its thread does the rest.
    WakeThread,
}

/// How a line is triggered, and so which flow handler it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// `handle_edge_irq`: an MSI-X vector.
    Edge,
    /// `handle_level_irq`: an old controller, which is masked for the length of the handler.
    Level,
    /// `handle_fasteoi_irq`: a level line at a modern one, which holds it back by itself.
    Fasteoi,
}

/// One line's descriptor. Aligned, so that it has no cache line in common with another's.
#[repr(align(128))]
pub(crate) struct IrqDesc {
    /// The number of its line at the device.
    index: usize,
    pub(crate) flow: Flow,
    /// The interrupt chip, and the name that the line has there.
    pub(crate) chip: Box<str>,
    /// How often each CPU has taken it (`kstat_irqs`). In place, where no other line's counts lie beside them.
    counts: SmallVec<[Counter; 8]>,
    /// There is nothing but its driver's handler.
    is_plain: Flag,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    depth: u32,
    actions: Vec<Arc<Action>>,
    /// A bit for each action whose thread still owns the line.
    threads_oneshot: u64,
    /// Of how many interrupts in this window (`irq_count`) how many were nobody's, and when the last of those was.
    window_from: u64,
    irqs_unhandled: u64,
    last_unhandled: Option<Instant>,
    is_spurious_disabled: bool,
    /// For naming actions.
    next_action: u32,
}

type HandlerFn = Box<dyn Fn() -> IrqReturn + Send + Sync>;
type ThreadFn = Box<dyn Fn() + Send + Sync>;

struct Action {
    id: u32,
    name: Arc<str>,
    handler: Handler,
    thread: Option<Thread>,
}

enum Handler {
    /// The network driver's.
    Driver,
    Other(HandlerFn),
}

enum Thread {
    /// The driver's own handler, when all are threads (`threadirqs`).
    Driver,
    Other(ThreadFn),
}

/// What a spurious line looks like (`/proc/irq/N/spurious`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spurious {
    /// Interrupts in the present window of 100,000.
    pub count: u64,
    /// Of those, how many no handler took.
    pub unhandled: u64,
    /// Whether the line was disabled for it: more than 99,900 of 100,000. It is polled ten times a second then.
    pub disabled: bool,
}

/// The interrupt chip of vector `index`, and the name that the vector has there.
pub(crate) fn msix_chip(index: usize) -> String {
    format!("PCI-MSIX-0000:00:03.0  {index}-edge")
}

/// `note_interrupt`: the window, and how many of it may be nobody's.
const WINDOW: u64 = 100_000;
const UNHANDLED_MAX: u64 = 99_900;
/// `HZ / 10`: an older one is forgotten; and how often a disabled line is polled.
const TENTH: Duration = Duration::from_millis(100);
/// How often a handler runs again in one visit for edges that came meanwhile; more of them are delivered again.
const RERUNS_MAX: u32 = 100;
/// Actions of a line: as many as its threads have bits.
const ACTIONS_MAX: usize = 64;

impl IrqDesc {
    /// A line with its driver's action. `threaded`: the handler runs in a thread.
    pub(crate) fn new(index: usize, flow: Flow, chip: String, cpus: usize, name: Arc<str>, threaded: bool) -> IrqDesc {
        let thread = threaded.then_some(Thread::Driver);
        let is_plain = flow == Flow::Edge && !threaded;
        let driver = Action { id: 0, name, handler: Handler::Driver, thread };
        IrqDesc {
            index,
            flow,
            chip: chip.into(),
            counts: (0..cpus).map(|_| Counter::default()).collect(),
            is_plain: Flag::new(is_plain),
            state: Mutex::new(State { actions: vec![Arc::new(driver)], next_action: 1, ..State::default() }),
        }
    }

    /// The descriptor of another vector of the same device (`pci_msix_alloc_irq_at`).
    pub(crate) fn sibling(&self, index: usize, name: Arc<str>) -> IrqDesc {
        let threaded = matches!(self.state.lock().actions[0].thread, Some(Thread::Driver));
        IrqDesc::new(index, self.flow, msix_chip(index), self.counts.len(), name, threaded)
    }

    /// Whether nothing but its driver's handler is called for it, here and now.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain.get()
    }

    /// How often it has been taken, by CPU.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.counts.iter().map(Counter::get)
    }

    /// How often it has been taken in all.
    pub(crate) fn total(&self) -> u64 {
        self.counts().sum()
    }

    /// The names of its actions, the driver's first.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.state.lock().actions.iter().map(|action| action.name.clone()).collect()
    }

    /// The CPU takes the interrupt.
    #[inline]
    pub(crate) fn handle(&self, host: &Works, cpu: usize, shared: &CpuShared, own: &mut Own) {
        let line = host.nic.line(self.index);
        if !self.is_plain.get() {
            return self.handle_any(host, (cpu, shared, own), line);
        }
        for _run in 0..RERUNS_MAX {
            if !line.begin_edge() {
                return;
            }
            self.counts[cpu].add(1);
            host.tracer.emit(|| Event::IrqHandlerEntry { irq: line.number(), name: line.name().clone() });
            let _handled = driver::interrupt(host, self.index, shared, own);
            host.tracer.emit(|| Event::IrqHandlerExit { irq: line.number(), handled: true });
            if line.end_edge() == Ended::Quiet {
                return;
            }
        }
        line.resend();
    }

    #[cold]
    fn handle_any(&self, host: &Works, (cpu, shared, own): (usize, &CpuShared, &mut Own), line: &IrqLine) {
        for _run in 0..RERUNS_MAX {
            let begun = match self.flow {
                Flow::Edge => line.begin_edge(),
                Flow::Level => line.begin_level(),
                Flow::Fasteoi => line.begin_fasteoi(self.has_threads()),
            };
            if !begun {
                return;
            }
            self.counts[cpu].add(1);
            self.run_actions(host, shared, own, line);
            let is_owned = self.state.lock().threads_oneshot != 0;
            match self.flow {
                Flow::Edge if line.end_edge() == Ended::Again => {}
                Flow::Edge => return,
                Flow::Level | Flow::Fasteoi => return line.end_level(is_owned),
            }
        }
        line.resend();
    }

    fn has_threads(&self) -> bool {
        self.state.lock().actions.iter().any(|action| action.thread.is_some())
    }

    /// `handle_irq_event`: every action is called, and what they say together decides.
    fn run_actions(&self, host: &Works, shared: &CpuShared, own: &mut Own, line: &IrqLine) {
        let actions = self.state.lock().actions.clone();
        let (mut handled, mut woken) = (false, 0);
        for (bit, action) in actions.iter().enumerate() {
            host.tracer.emit(|| Event::IrqHandlerEntry { irq: line.number(), name: action.name.clone() });
            let said = match (&action.handler, &action.thread) {
                (Handler::Driver, Some(_)) => IrqReturn::WakeThread,
                (Handler::Driver, None) => driver::interrupt(host, self.index, shared, own),
                (Handler::Other(handler), _) => handler(),
            };
            let handles = said != IrqReturn::None;
            host.tracer.emit(|| Event::IrqHandlerExit { irq: line.number(), handled: handles });
            handled |= handles;
            if said == IrqReturn::WakeThread && action.thread.is_some() {
                woken |= 1 << bit;
            }
        }
        if woken != 0 {
            self.wake_threads(shared, woken);
        }
        if !handled {
            self.note_unhandled(host, line);
        }
    }

    fn wake_threads(&self, shared: &CpuShared, bits: u64) {
        let newly = {
            let mut state = self.state.lock();
            let newly = bits & !state.threads_oneshot;
            state.threads_oneshot |= bits;
            newly
        };
        for bit in (0..ACTIONS_MAX as u16).filter(|bit| newly & 1 << bit != 0) {
            shared.wake_thread(Kthread::Irq(self.index as u16, bit));
        }
    }

    /// `irq_thread`: the thread of action `bit` runs; the line is unmasked when all have finished.
    pub(crate) fn run_thread(&self, host: &Works, shared: &CpuShared, own: &mut Own, bit: u16) {
        let action = self.state.lock().actions.get(usize::from(bit)).cloned();
        match action.as_deref().and_then(|action| action.thread.as_ref()) {
            Some(Thread::Driver) => {
                let _handled = driver::interrupt(host, self.index, shared, own);
            }
            Some(Thread::Other(run)) => run(),
            None => {}
        }
        let finished = {
            let mut state = self.state.lock();
            state.threads_oneshot &= !(1 << bit);
            state.threads_oneshot == 0 && state.depth == 0 && !state.is_spurious_disabled
        };
        if finished {
            host.nic.line(self.index).chip_unmask();
        }
    }

    /// `note_interrupt`, for one that no action took.
    fn note_unhandled(&self, host: &Works, line: &IrqLine) {
        let (now, total) = (host.clock.now(), self.total());
        let mut state = self.state.lock();
        let is_old = state.last_unhandled.is_some_and(|last| now - last > TENTH);
        state.irqs_unhandled = if is_old { 1 } else { state.irqs_unhandled + 1 };
        state.last_unhandled = Some(now);
        if total - state.window_from < WINDOW {
            return;
        }
        let unhandled = state.irqs_unhandled;
        (state.window_from, state.irqs_unhandled) = (total, 0);
        if unhandled > UNHANDLED_MAX {
            // "irq N: nobody cared"
            state.is_spurious_disabled = true;
            state.depth += 1;
            line.disable();
            drop(state);
            self.poll_spurious_later(line, now);
        }
    }

    fn poll_spurious_later(&self, line: &IrqLine, now: Instant) {
        // The CPU that armed it runs, and looks at its timers before it sleeps.
        let _told = line.controller().timers.arm(TimerFor::SpuriousPoll(self.index as u16), now + TENTH);
    }

    /// `poll_spurious_irqs`: nobody cared for the line, so its actions are asked without an interrupt.
    pub(crate) fn poll_spurious(&self, host: &Works, shared: &CpuShared, own: &mut Own, now: Instant) {
        if !self.state.lock().is_spurious_disabled {
            return;
        }
        let line = host.nic.line(self.index);
        let actions = self.state.lock().actions.clone();
        for action in actions {
            let _said = match &action.handler {
                Handler::Driver => driver::interrupt(host, self.index, shared, own),
                Handler::Other(handler) => handler(),
            };
        }
        self.poll_spurious_later(line, now);
    }

    /// `/proc/irq/N/spurious`.
    pub(crate) fn spurious(&self) -> Spurious {
        let state = self.state.lock();
        let count = self.total() - state.window_from;
        Spurious { count, unhandled: state.irqs_unhandled, disabled: state.is_spurious_disabled }
    }

    /// `disable_irq_nosync`; nests.
    pub(crate) fn disable(&self, line: &IrqLine) {
        let mut state = self.state.lock();
        state.depth += 1;
        if state.depth == 1 {
            line.disable();
        }
    }

    /// `enable_irq`.
    ///
    /// # Errors
    /// `EINVAL` for a line that is not disabled ("Unbalanced enable").
    pub(crate) fn enable(&self, line: &IrqLine) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.depth {
            0 => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
            1 => {
                (state.depth, state.is_spurious_disabled) = (0, false);
                line.enable();
            }
            _ => state.depth -= 1,
        }
        Ok(())
    }

    /// `request_threaded_irq`, with `IRQF_SHARED` and, with a thread, `IRQF_ONESHOT`. Gives the action's name for `free`.
    ///
    /// # Errors
    /// `EBUSY` for a line that is not shared.
    pub(crate) fn request(&self, name: &str, handler: HandlerFn, thread: Option<ThreadFn>) -> io::Result<u32> {
        let mut state = self.state.lock();
        if self.flow == Flow::Edge || state.actions.len() >= ACTIONS_MAX {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        self.is_plain.set(false);
        let id = state.next_action;
        state.next_action += 1;
        let (handler, thread) = (Handler::Other(handler), thread.map(Thread::Other));
        state.actions.push(Arc::new(Action { id, name: name.into(), handler, thread }));
        Ok(id)
    }

    /// `free_irq`. A handler that runs goes on to its end.
    pub(crate) fn free(&self, id: u32) {
        let mut state = self.state.lock();
        if let Some(bit) = state.actions.iter().position(|action| action.id == id) {
            state.actions.remove(bit);
            // The bits of the threads behind it move down.
            let low = state.threads_oneshot & ((1 << bit) - 1);
            state.threads_oneshot = low | (state.threads_oneshot >> 1 & !((1 << bit) - 1));
        }
    }
}
