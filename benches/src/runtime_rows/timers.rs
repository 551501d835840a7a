//! Timers that never fire.
//!
//! Each task yields every [`OPERATIONS`] operations, so that what a runtime puts off to its next look at the timers is paid
//! for, and nobody's coop budget makes the difference.

use crate::contestant::Contestant;
use crate::run::{Measured, Run, Until};
use crate::runtime_rows::{inside, ns_each};
use futures_lite::future::poll_once;
use std::future::ready;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

const OPERATIONS: usize = 100;
const FAR: Duration = Duration::from_secs(10);

const LIVE: usize = 100_000;
/// Deadlines of the live timers lie between these.
const LIVE_FROM_S: f64 = 60.0;
const LIVE_TO_S: f64 = 3600.0;

pub(crate) fn create_drop<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    ns_each(inside(contestant, create_drop_in_a_task::<C>(until)), OPERATIONS)
}

/// A task for each of two workers, at the same time: the mean over both of what an operation took its own task.
pub(crate) fn create_drop_on_each<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let tasks = [(); 2].map(|()| contestant.spawn_from_outside(create_drop_in_a_task::<C>(until)));
    let mut ns = 0.0;
    for task in tasks {
        ns += ns_each(contestant.block_on(C::join(task)), OPERATIONS)?[0] / 2.0;
    }
    Ok(vec![ns])
}

async fn create_drop_in_a_task<C: Contestant>(until: Until) -> Measured {
    let mut run = Run::of_long(until);
    while run.goes_on() {
        for _ in 0..OPERATIONS {
            let sleep = pin!(C::sleep(FAR));
            assert_eq!(poll_once(sleep).await, None);
        }
        C::yield_now().await;
    }
    run.finish()
}

pub(crate) fn timeout_ready<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        while run.goes_on() {
            for number in 0..OPERATIONS {
                assert_eq!(C::timeout(FAR, ready(number)).await, Some(number));
            }
            C::yield_now().await;
        }
        run.finish()
    });
    ns_each(measured, OPERATIONS)
}

pub(crate) fn timeout_yield<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::new(until);
        while run.goes_on() {
            assert_eq!(C::timeout(FAR, C::yield_now()).await, Some(()));
        }
        run.finish()
    });
    ns_each(measured, 1)
}

/// All are set by one task, stand together, and are dropped in the order in which they were set. Their places are allocated
/// once, before: in a program a sleep stands in the allocation of its task.
pub(crate) fn hundred_thousand<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    inside(contestant, async move {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut sleeps: Vec<_> = (0..LIVE).map(|_| Box::pin(None)).collect();
        let mut run = Run::of_long(until);
        let (mut insert, mut cancel) = (Duration::ZERO, Duration::ZERO);
        while run.goes_on() {
            let durations: Vec<_> = (0..LIVE).map(|_| between(&mut rng, LIVE_FROM_S, LIVE_TO_S)).collect();
            let began = Instant::now();
            for (sleep, duration) in sleeps.iter_mut().zip(durations) {
                sleep.as_mut().set(Some(C::sleep(duration)));
                let set = sleep.as_mut().as_pin_mut().expect("it was put there right now");
                assert_eq!(poll_once(set).await, None);
            }
            C::yield_now().await;
            let stand = Instant::now();
            sleeps.iter_mut().for_each(|sleep| sleep.as_mut().set(None));
            C::yield_now().await;
            let gone = Instant::now();
            if run.is_warm() {
                insert += stand - began;
                cancel += gone - stand;
            }
        }
        let operations = (run.finish().requests * LIVE as u64) as f64;
        Ok(vec![insert.as_nanos() as f64 / operations, cancel.as_nanos() as f64 / operations])
    })
}

pub(crate) fn between(rng: &mut fastrand::Rng, from_s: f64, to_s: f64) -> Duration {
    Duration::from_secs_f64(from_s + (to_s - from_s) * rng.f64())
}
