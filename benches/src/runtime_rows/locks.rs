//! Mutex and semaphore.
//!
//! Where they are contended, the holder yields once while it holds: on one worker nobody else would ever ask otherwise.

use crate::contestant::Primitives;
use crate::run::{Run, Until};
use crate::runtime_rows::{inside, ns_each};
use std::future::Future;
use std::io;
use std::sync::Arc;

const TASKS: usize = 8;
const TURNS_EACH: usize = 500;
const PERMITS: usize = 4;

pub(crate) fn mutex_uncontended<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mutex = C::mutex();
        let mut run = Run::new(until);
        while run.goes_on() {
            *C::lock(&mutex).await += 1;
        }
        run.finish()
    });
    ns_each(measured, 1)
}

pub(crate) fn mutex_contended<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let mutex = Arc::new(C::mutex());
    contended(contestant, until, move || {
        let mutex = mutex.clone();
        async move {
            for _ in 0..TURNS_EACH {
                let mut held = C::lock(&mutex).await;
                C::yield_now().await;
                *held += 1;
            }
        }
    })
}

pub(crate) fn semaphore_contended<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let semaphore = Arc::new(C::semaphore(PERMITS));
    contended(contestant, until, move || {
        let semaphore = semaphore.clone();
        async move {
            for _ in 0..TURNS_EACH {
                let held = C::acquire(&semaphore).await;
                C::yield_now().await;
                drop(held);
            }
        }
    })
}

fn contended<C, F>(contestant: &C, until: Until, turns: impl Fn() -> F + Send + 'static) -> io::Result<Vec<f64>>
where
    C: Primitives,
    F: Future<Output = ()> + Send + 'static,
{
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        while run.goes_on() {
            let tasks: Vec<_> = (0..TASKS).map(|_| C::spawn(turns())).collect();
            for task in tasks {
                C::join(task).await;
            }
        }
        run.finish()
    });
    ns_each(measured, TASKS * TURNS_EACH)
}
