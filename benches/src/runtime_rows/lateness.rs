//! How late sleeps end when nothing else is going on.

use crate::contestant::Contestant;
use crate::run::{Run, Until};
use crate::runtime_rows::inside;
use crate::runtime_rows::latencies::Latencies;
use crate::runtime_rows::timers::between;
use std::io;
use std::time::{Duration, Instant};

pub(crate) const MS: Duration = Duration::from_millis(1);

const SLEEPS: usize = 100_000;
/// The sleeps end between these moments: one every 10 us in the mean.
const END_FROM_S: f64 = 0.5;
const END_TO_S: f64 = 1.5;

pub(crate) fn sleep_1_ms<C: Contestant>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    inside(contestant, async move {
        let mut latencies = Latencies::new();
        let mut run = Run::of_long(until);
        while run.goes_on() {
            let began = Instant::now();
            C::sleep(MS).await;
            if run.is_warm() {
                latencies.record(began.elapsed());
            }
        }
        latencies.quantiles()
    })
}

/// A task for each sleep. It is as long as it is, whatever the run's time.
pub(crate) fn sleeps_100k<C: Contestant>(contestant: &C, _until: Until) -> io::Result<Vec<f64>> {
    inside(contestant, async move {
        let mut rng = fastrand::Rng::with_seed(7);
        let tasks: Vec<_> =
            (0..SLEEPS).map(|_| C::spawn(lateness::<C>(between(&mut rng, END_FROM_S, END_TO_S)))).collect();
        // Nobody is joined before all are over: the joining would delay the others.
        C::sleep(Duration::from_secs_f64(END_TO_S) + 100 * MS).await;
        let mut latencies = Latencies::new();
        for task in tasks {
            latencies.record(C::join(task).await);
        }
        latencies.quantiles()
    })
}

async fn lateness<C: Contestant>(duration: Duration) -> Duration {
    let began = Instant::now();
    C::sleep(duration).await;
    began.elapsed().saturating_sub(duration)
}
