//! Wake-ups of a task by a thread that is none of the runtime's.

use crate::contestant::Contestant;
use crate::run::{Run, Until};
use crate::runtime_rows::inside;
use crate::runtime_rows::latencies::{Beat, Latencies, hear};
use crate::signal::Signal;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

const YIELDING_TASKS: usize = 10;
/// Between a wake-up that was heard and the next, where the runtime is busy anyway.
const PAUSE: Duration = Duration::from_micros(100);

/// Ten tasks yield all the time; each worker is always busy.
pub(crate) fn beside_yielding<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let over = Arc::new(AtomicBool::new(false));
    let latencies = inside(contestant, async move {
        let yielding: Vec<_> = (0..YIELDING_TASKS).map(|_| C::spawn(yields::<C>(over.clone()))).collect();
        let latencies = woken::<C>(until, PAUSE).await;
        over.store(true, Ordering::Relaxed);
        for task in yielding {
            C::join(task).await;
        }
        latencies
    });
    latencies.quantiles()
}

async fn yields<C: Contestant>(over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        C::yield_now().await;
    }
}

/// Thread and task take turns. Nobody else has anything to do, so each sleeps while the other one's turn lasts.
pub(crate) fn across_threads<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    inside(contestant, async move { woken::<C>(until, Duration::ZERO).await }).quantiles()
}

async fn woken<C: Contestant>(until: Until, pause: Duration) -> Latencies {
    let beats = Arc::new(Signal::default());
    let heard = Arc::new(Heard::default());
    let beating = beat(until, pause, beats.clone(), heard.clone());
    let thread = beating.thread().clone();
    let latencies = C::join(C::spawn(async move { hear(&beats, || heard.tell(&thread)).await })).await;
    // It has sent the last beat and ends.
    beating.join().expect("the thread that beats does not panic");
    latencies
}

fn beat(until: Until, pause: Duration, beats: Arc<Signal<Beat>>, heard: Arc<Heard>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut run = Run::of_long(until);
        while run.goes_on() {
            if !pause.is_zero() {
                thread::sleep(pause);
            }
            beats.set(Beat::now(run.is_warm()));
            heard.wait();
        }
        beats.set(Beat::Last);
    })
}

/// The way back to a thread: a flag and `unpark`.
#[derive(Debug, Default)]
pub(crate) struct Heard(AtomicBool);

impl Heard {
    pub(crate) fn tell(&self, thread: &Thread) {
        self.0.store(true, Ordering::Release);
        thread.unpark();
    }

    pub(crate) fn wait(&self) {
        while !self.0.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}
