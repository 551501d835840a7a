//! The standard library's threads, channels and mutex, where a row has a counterpart.

use crate::run::{Run, Until};
use crate::runtime_rows::channels::{CAPACITY, MESSAGES, SENDERS};
use crate::runtime_rows::latencies::Latencies;
use crate::runtime_rows::lateness::MS;
use crate::runtime_rows::wakes::Heard;
use crate::runtime_rows::{Row, Threads, ns_each};
use std::hint::black_box;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Fewer than tasks: each has a stack.
const SPAWNED: usize = 500;

pub(crate) fn rows() -> Vec<Row<Threads>> {
    vec![
        Row::cost("spawn-join-one", "", spawn_join_one),
        Row::cost("spawn-many", "", spawn_many),
        Row::cost("ping-pong-mpsc", "", ping_pong),
        Row::cost("mpsc-1-1", "", |_, until| bounded(until, 1)),
        Row::cost("mpsc-8-1", "", |_, until| bounded(until, SENDERS)),
        Row::cost("mutex", "", mutex),
        Row::latency("sleep-1ms", "", 2, sleep_1_ms),
        Row::latency("wake-across", "", 2, wake_across),
    ]
}

fn join<T>(thread: thread::JoinHandle<T>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("a thread panicked"))
}

fn spawn_join_one(_: &Threads, until: Until) -> io::Result<Vec<f64>> {
    let mut run = Run::of_long(until);
    while run.goes_on() {
        join(thread::Builder::new().spawn(|| ())?)?;
    }
    ns_each(run.finish(), 1)
}

fn spawn_many(_: &Threads, until: Until) -> io::Result<Vec<f64>> {
    let mut run = Run::of_long(until);
    while run.goes_on() {
        let threads: Vec<_> = (0..SPAWNED).map(|_| thread::Builder::new().spawn(|| ())).collect::<io::Result<_>>()?;
        threads.into_iter().try_for_each(join)?;
    }
    ns_each(run.finish(), SPAWNED)
}

fn ping_pong(_: &Threads, until: Until) -> io::Result<Vec<f64>> {
    let (ping, pinged) = sync_channel(CAPACITY);
    let (pong, ponged) = sync_channel(CAPACITY);
    let partner = thread::spawn(move || pinged.into_iter().try_for_each(|message: u64| pong.send(message)));
    let mut run = Run::of_long(until);
    let mut sent = 0;
    while run.goes_on() {
        sent += 1;
        ping.send(sent).map_err(io::Error::other)?;
        assert_eq!(ponged.recv(), Ok(sent));
    }
    drop(ping);
    join(partner)?.map_err(io::Error::other)?;
    ns_each(run.finish(), 1)
}

fn bounded(until: Until, senders: usize) -> io::Result<Vec<f64>> {
    let mut run = Run::of_long(until);
    while run.goes_on() {
        let (sender, receiver) = sync_channel(CAPACITY);
        let threads = (0..senders).map(|_| {
            let sender = sender.clone();
            thread::spawn(move || (0..MESSAGES / senders).try_for_each(|message| sender.send(message as u64)))
        });
        let threads: Vec<_> = threads.collect();
        drop(sender);
        assert_eq!(receiver.iter().count(), MESSAGES);
        for thread in threads {
            join(thread)?.map_err(io::Error::other)?;
        }
    }
    ns_each(run.finish(), MESSAGES)
}

fn mutex(_: &Threads, until: Until) -> io::Result<Vec<f64>> {
    let mutex = Mutex::new(0_u64);
    let mut run = Run::new(until);
    while run.goes_on() {
        *black_box(&mutex).lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
    ns_each(run.finish(), 1)
}

fn sleep_1_ms(_: &Threads, until: Until) -> io::Result<Vec<f64>> {
    let mut latencies = Latencies::new();
    let mut run = Run::of_long(until);
    while run.goes_on() {
        let began = Instant::now();
        thread::sleep(MS);
        if run.is_warm() {
            latencies.record(began.elapsed());
        }
    }
    latencies.quantiles()
}

/// `park` and `unpark` between two threads; one direction is timed, as with the tasks.
fn wake_across(_: &Threads, until: Until) -> io::Result<Vec<f64>> {
    let (there, back) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
    let sent = Arc::new(Mutex::new(None));
    let (told, beating, answered) = (there.clone(), thread::current(), back.clone());
    let moments = sent.clone();
    let partner = thread::spawn(move || {
        let mut latencies = Latencies::new();
        loop {
            told.wait();
            let moment: Option<(Instant, bool)> = *moments.lock().unwrap_or_else(PoisonError::into_inner);
            match moment {
                Some((moment, counts)) if counts => latencies.record(moment.elapsed()),
                Some(_) => {}
                None => return latencies,
            }
            answered.tell(&beating);
        }
    });
    let mut run = Run::of_long(until);
    while run.goes_on() {
        *sent.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), run.is_warm()));
        there.tell(partner.thread());
        back.wait();
    }
    *sent.lock().unwrap_or_else(PoisonError::into_inner) = None;
    there.tell(partner.thread());
    join(partner)?.quantiles()
}
