//! Criterion: one 64-byte request and its answer over one connection, on both networks, waiting both ways, beside the peers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::io;
use std::time::Duration;
use wakeline_benches::run::{Measured, Until};
use wakeline_benches::{emulated_echo, os_echo, smoltcp_loop};

fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo 64 B");
    group.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(Duration::from_secs(4));
    let mut bench = |name: &str, contestant: &dyn Fn(Until) -> io::Result<Measured>| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| contestant(Until::Requests(iterations)).expect("the echo works").elapsed);
        });
    };
    bench("emulated/tasks", &|until| emulated_echo::tasks(until, 0));
    bench("emulated/threads", &emulated_echo::threads);
    bench("os/tasks", &os_echo::wakeline);
    bench("os/threads", &os_echo::threads);
    bench("peers/tokio", &os_echo::tokio);
    bench("peers/smoltcp's bare loop", &smoltcp_loop::echo::measure);
    group.finish();
}

criterion_group!(benches, echo);
criterion_main!(benches);
