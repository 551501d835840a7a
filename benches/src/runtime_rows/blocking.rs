//! The blocking pool, with closures that do nothing.

use crate::contestant::Contestant;
use crate::run::{Run, Until};
use crate::runtime_rows::{inside, ns_each};
use std::io;

const AT_ONCE: usize = 1000;

pub(crate) fn one_after_another<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::new(until);
        while run.goes_on() {
            C::spawn_blocking(|| ()).await;
        }
        run.finish()
    });
    ns_each(measured, 1)
}

pub(crate) fn many<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        while run.goes_on() {
            let tasks: Vec<_> = (0..AT_ONCE).map(|_| C::spawn_blocking(|| ())).collect();
            for task in tasks {
                task.await;
            }
        }
        run.finish()
    });
    ns_each(measured, AT_ONCE)
}
