//! Where chance comes from.

use crate::macros::random;
use crate::macros::tests::runtime;
use crate::{Builder, spawn};

async fn draw(count: usize) -> Vec<u32> {
    (0..count).map(|_| random(1 << 20)).collect()
}

#[test]
fn numbers_stay_below_their_bound_everywhere() {
    let check = || assert!((0..1000).all(|round| random(7) < 7 && random(round % 2) == 0));
    check();
    runtime(1).block_on(async { check() });
    std::thread::spawn(check).join().unwrap();
}

#[test]
fn a_seed_repeats_what_block_on_and_tasks_draw() {
    let run = |seed| {
        runtime(seed).block_on(async {
            let mut numbers = draw(10).await;
            numbers.extend(spawn(draw(10)).await.unwrap());
            numbers.extend(draw(10).await);
            numbers
        })
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn one_runtime_after_another_does_not_begin_anew() {
    let runtime = runtime(1);
    assert_ne!(runtime.block_on(draw(10)), runtime.block_on(draw(10)));
}

#[test]
fn workers_have_generators_of_their_own() {
    let runtime = Builder::new_multi_thread().worker_threads(2).rng_seed(1).build().unwrap();
    let numbers = runtime.block_on(async { spawn(draw(100)).await.unwrap() });
    assert!(numbers.iter().any(|&number| number != numbers[0]));
}
