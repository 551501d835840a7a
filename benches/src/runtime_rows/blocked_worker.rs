//! What happens to others while a task blocks its worker.
//!
//! A task blocks for 20 ms in a system call (`thread::sleep`: it takes no CPU from the others), then waits for a timer, and
//! so on. With one worker nobody can do better than wait; with two the other worker is idle, and could do the work.

use crate::contestant::Contestant;
use crate::run::{Run, Until};
use crate::runtime_rows::inside;
use crate::runtime_rows::latencies::{Beat, Latencies, hear};
use crate::runtime_rows::lateness::MS;
use crate::signal::Signal;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long the task blocks its worker.
const BLOCKED: Duration = Duration::from_millis(20);
/// How long it waits before it blocks again. A little longer than it blocks: with half of the time blocked, the median would
/// lie where the two halves meet, and tell only whose sleeps are longer.
const BREAK: Duration = Duration::from_millis(25);
/// The same where nothing else is measured than what was woken right before.
const SHORT_BREAK: Duration = Duration::from_millis(2);
/// How many tasks sleep, or wait for a socket.
const OTHERS: usize = 4;

/// The blocking task wakes another right before it blocks: where a runtime keeps a slot for the task woken last, it is there.
pub(crate) fn woken_task<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    inside(contestant, async move {
        let beats = Arc::new(Signal::default());
        let beats_heard = beats.clone();
        let woken = C::spawn(async move { hear(&beats_heard, || ()).await });
        let mut run = Run::of_long(until);
        while run.goes_on() {
            beats.set(Beat::now(run.is_warm()));
            thread::sleep(BLOCKED);
            C::sleep(SHORT_BREAK).await;
        }
        beats.set(Beat::Last);
        C::join(woken).await.quantiles()
    })
}

/// Four tasks sleep 1 ms again and again.
pub(crate) fn timers<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    inside(contestant, async move {
        let stage = Arc::new(Stage::default());
        let others = [(); OTHERS].map(|()| C::spawn(sleeps::<C>(stage.clone())));
        block_now_and_then::<C>(until, &stage).await;
        let mut latencies = Latencies::new();
        for other in others {
            latencies.add(&C::join(other).await);
        }
        latencies.quantiles()
    })
}

async fn sleeps<C: Contestant>(stage: Arc<Stage>) -> Latencies {
    let mut latencies = Latencies::new();
    while !stage.over() {
        let began = Instant::now();
        C::sleep(MS).await;
        if stage.counts() {
            latencies.record(began.elapsed().saturating_sub(MS));
        }
    }
    latencies
}

/// Four tasks read from TCP sockets into which a thread writes the present moment about every millisecond.
pub(crate) fn sockets<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    let stage = Arc::new(Stage::default());
    let writing = stage.clone();
    let base = Instant::now();
    let writer = thread::spawn(move || write_moments(&listener, base, &writing));
    let latencies = inside(contestant, async move {
        let mut others = Vec::new();
        for _ in 0..OTHERS {
            let stream = C::connect(addr).await?;
            others.push(C::spawn(reads::<C>(stream, base, stage.clone())));
        }
        block_now_and_then::<C>(until, &stage).await;
        let mut latencies = Latencies::new();
        for other in others {
            latencies.add(&C::join(other).await);
        }
        latencies.quantiles()
    })?;
    writer.join().map_err(|_| io::Error::other("the writer panicked"))??;
    Ok(latencies)
}

/// Ends when the writer closes.
async fn reads<C: Contestant>(mut stream: C::Stream, base: Instant, stage: Arc<Stage>) -> Latencies {
    let mut latencies = Latencies::new();
    let mut moment = [0; 8];
    while C::read_exact(&mut stream, &mut moment).await.is_ok() {
        let written = Duration::from_nanos(u64::from_le_bytes(moment));
        if stage.counts() {
            latencies.record(base.elapsed().saturating_sub(written));
        }
    }
    latencies
}

fn write_moments(listener: &TcpListener, base: Instant, stage: &Stage) -> io::Result<()> {
    let accept = || -> io::Result<TcpStream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let mut streams = (0..OTHERS).map(|_| accept()).collect::<io::Result<Vec<_>>>()?;
    while !stage.over() {
        thread::sleep(MS);
        for stream in &mut streams {
            let moment = u64::try_from(base.elapsed().as_nanos()).expect("no run takes 500 years");
            stream.write_all(&moment.to_le_bytes())?;
        }
    }
    Ok(())
}

async fn block_now_and_then<C: Contestant>(until: Until, stage: &Stage) {
    let mut run = Run::of_long(until);
    while run.goes_on() {
        stage.counts.store(run.is_warm(), Ordering::Relaxed);
        thread::sleep(BLOCKED);
        C::sleep(BREAK).await;
    }
    stage.over.store(true, Ordering::Relaxed);
}

/// How far the run is. Nothing else is told by it.
#[derive(Debug, Default)]
struct Stage {
    counts: AtomicBool,
    over: AtomicBool,
}

impl Stage {
    fn counts(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }

    fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}
