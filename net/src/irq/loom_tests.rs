//! The cures of the lost interrupt under every interleaving that loom can make. A lost frame is a CPU that sleeps for ever,
//! which loom reports as a deadlock, or a frame that is left in the ring.

use crate::irq::controller::IrqController;
use crate::irq::line::{Ended, IrqLine};
use crate::irq::napi::{Completed, Napi, Scheduled};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use wakeline_runtime::park::Parker;

const FRAMES: usize = 2;

/// A device's queue, and the CPU that serves it.
struct Queue {
    /// How many frames have been written, ever: relaxed, so that only the words order it.
    written: AtomicUsize,
    line: IrqLine,
    cpu: std::sync::Arc<IrqController>,
    napi: Napi,
}

impl Queue {
    fn new() -> Queue {
        let controllers: std::sync::Arc<[_]> = std::sync::Arc::new([std::sync::Arc::default()]);
        let line = IrqLine::new(24, "eth0-rx-0".into(), 0, 0, controllers.clone()).with_auto_mask();
        Queue { written: AtomicUsize::new(0), line, cpu: controllers[0].clone(), napi: Napi::default() }
    }

    /// The device: writes a frame, and interrupts.
    fn receive(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.line.raise();
    }

    /// The CPU takes an interrupt, if there is one: handler, poll, completion, unmasking. Returns how many frames it has seen.
    fn take_interrupt(&self, before_unmask: impl Fn(&Queue)) -> Option<usize> {
        if self.cpu.take() == 0 || !self.line.begin_edge() {
            return None;
        }
        let scheduled = self.napi.schedule_prep();
        let ended = self.line.end_edge();
        assert_eq!((scheduled, ended), (Scheduled::Softirq, Ended::Quiet), "it is masked while it is polled");
        let seen = loop {
            let seen = self.written.load(Ordering::Relaxed);
            if self.napi.complete_done() == Completed::Idle {
                break seen;
            }
        };
        before_unmask(self);
        self.line.unmask();
        Some(seen)
    }
}

/// The device writes two frames while the CPU takes an interrupt, and the CPU goes on until there is none.
fn serve_while_frames_come(before_unmask: impl Fn(&Queue) + Copy + Send + Sync + 'static) {
    loom::model(move || {
        let queue = Arc::new(Queue::new());
        let device = queue.clone();
        let thread = thread::spawn(move || (0..FRAMES).for_each(|_| device.receive()));
        let mut seen = queue.take_interrupt(before_unmask).unwrap_or(0);
        seen = queue.take_interrupt(before_unmask).unwrap_or(seen);
        thread.join().unwrap();
        while queue.cpu.has_delivered() {
            seen = queue.take_interrupt(before_unmask).unwrap_or(seen);
        }
        assert_eq!(seen, FRAMES, "a frame is left in the ring");
    });
}

/// docs/rxpath.md, row 18: frames come at every step of handler, poll, completion and unmasking, and none is left.
#[test]
fn loom_a_frame_at_any_step_is_seen() {
    serve_while_frames_come(|_| ());
}

/// Row 18, the other way round: a vector that does not latch what comes while it is masked leaves a frame.
#[test]
#[should_panic(expected = "a frame is left in the ring")]
fn loom_a_vector_without_a_latch_loses_a_frame() {
    serve_while_frames_come(|queue| _ = queue.line.read_cause());
}

/// Frames come at every step on which the CPU halts, and start it.
#[test]
fn loom_a_halted_cpu_is_started() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(5); // a swap in `ring`, which loom takes for a lost wake-up, is found from 4 on
    model.check(|| {
        let queue = Arc::new(Queue::new());
        let device = queue.clone();
        let thread = thread::spawn(move || (0..FRAMES).for_each(|_| device.receive()));
        let parker = Parker::new();
        let waker = parker.waker();
        let mut seen = 0;
        while seen < FRAMES {
            queue.cpu.halt.halt(&waker);
            if queue.cpu.has_delivered() {
                queue.cpu.halt.wake_up();
                seen = queue.take_interrupt(|_| ()).unwrap_or(seen);
            } else {
                parker.park();
            }
        }
        thread.join().unwrap();
    });
}

/// Two that would poll one instance: whoever is not its owner says so, and the owner looks again.
fn poll_from_two_sides(complete: impl Fn(&Napi) -> Completed + Copy + Send + Sync + 'static) {
    loom::model(move || {
        let shared = Arc::new((Napi::default(), AtomicUsize::new(0), AtomicUsize::new(0)));
        let side = move |(napi, written, seen): &(Napi, AtomicUsize, AtomicUsize)| {
            written.fetch_add(1, Ordering::Relaxed);
            if napi.schedule_prep() == Scheduled::No {
                return;
            }
            loop {
                seen.store(written.load(Ordering::Relaxed), Ordering::Relaxed);
                if complete(napi) == Completed::Idle {
                    return;
                }
            }
        };
        let other = shared.clone();
        let thread = thread::spawn(move || side(&other));
        side(&shared);
        thread.join().unwrap();
        assert_eq!(shared.2.load(Ordering::Relaxed), 2, "a frame is left in the ring");
    });
}

/// docs/rxpath.md, row 17: what comes while the instance has an owner is polled by that owner.
#[test]
fn loom_what_is_missed_is_polled() {
    poll_from_two_sides(Napi::complete_done);
}

/// Row 17, the other way round: an owner that gives up without a look at MISSED leaves a frame.
#[test]
#[should_panic(expected = "a frame is left in the ring")]
fn loom_without_missed_a_frame_is_left() {
    poll_from_two_sides(|napi| {
        napi.release();
        Completed::Idle
    });
}
