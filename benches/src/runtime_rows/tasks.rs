//! Spawning, joining, yielding.

use crate::contestant::Contestant;
use crate::run::{Run, Until};
use crate::runtime_rows::{inside, ns_each};
use crate::signal::Signal;
use std::io;
use std::sync::Arc;

/// As in tokio's own benchmarks.
pub(crate) const SPAWNED: usize = 10_000;
pub(crate) const CHAIN: usize = 1000;
pub(crate) const YIELDING_TASKS: usize = 200;
pub(crate) const YIELDS_EACH: usize = 500;

pub(crate) fn spawn_join_one<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::new(until);
        while run.goes_on() {
            C::join(C::spawn(async {})).await;
        }
        run.finish()
    });
    ns_each(measured, 1)
}

pub(crate) fn spawn_many<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        let mut tasks = Vec::with_capacity(SPAWNED);
        while run.goes_on() {
            tasks.extend((0..SPAWNED).map(|_| C::spawn(async {})));
            for task in tasks.drain(..) {
                C::join(task).await;
            }
        }
        run.finish()
    });
    ns_each(measured, SPAWNED)
}

/// The calling thread drives no task while it spawns. With one worker nobody does; then it drives them all.
pub(crate) fn spawn_outside<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let mut run = Run::of_long(until);
    let mut tasks = Vec::with_capacity(SPAWNED);
    while run.goes_on() {
        tasks.extend((0..SPAWNED).map(|_| contestant.spawn_from_outside(async {})));
        contestant.block_on(async {
            for task in tasks.drain(..) {
                C::join(task).await;
            }
        });
    }
    ns_each(run.finish(), SPAWNED)
}

/// Each task spawns the next.
pub(crate) fn spawn_chain<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let end = Arc::new(Signal::default());
        let mut run = Run::of_long(until);
        while run.goes_on() {
            link::<C>(CHAIN, end.clone());
            end.taken().await;
        }
        run.finish()
    });
    ns_each(measured, CHAIN)
}

fn link<C: Contestant>(left: usize, end: Arc<Signal<()>>) {
    if left == 0 {
        end.set(());
    } else {
        C::detach(C::spawn(async move { link::<C>(left - 1, end) }));
    }
}

pub(crate) fn yield_many<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        let mut tasks = Vec::with_capacity(YIELDING_TASKS);
        while run.goes_on() {
            tasks.extend((0..YIELDING_TASKS).map(|_| C::spawn(yields::<C>())));
            for task in tasks.drain(..) {
                C::join(task).await;
            }
        }
        run.finish()
    });
    ns_each(measured, YIELDING_TASKS * YIELDS_EACH)
}

async fn yields<C: Contestant>() {
    for _ in 0..YIELDS_EACH {
        C::yield_now().await;
    }
}

pub(crate) fn yield_one<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::new(until);
        while run.goes_on() {
            C::yield_now().await;
        }
        run.finish()
    });
    ns_each(measured, 1)
}

/// Two tasks that wake each other through a [`Signal`] each: two wakes and two polls an exchange.
pub(crate) fn wake_and_poll<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let (there, back) = (Arc::new(Signal::default()), Arc::new(Signal::default()));
        let partner = C::spawn(answer(there.clone(), back.clone()));
        let mut run = Run::new(until);
        while run.goes_on() {
            there.set(true);
            back.taken().await;
        }
        there.set(false);
        C::join(partner).await;
        run.finish()
    });
    ns_each(measured, 2)
}

async fn answer(there: Arc<Signal<bool>>, back: Arc<Signal<()>>) {
    while there.taken().await {
        back.set(());
    }
}
