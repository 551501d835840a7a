//! Which shard is whose: the first ones are the workers', the rest is dealt out to the other threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The shards of one runtime by their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    workers: usize,
    /// A power of two, or none: the one worker of a runtime shares its shard with everybody.
    others: usize,
}

/// What the thread knows of its place.
#[derive(Clone, Copy)]
enum Mine {
    /// It has not set a timer yet.
    Unknown,
    /// That of a worker with this number.
    Worker(usize),
    /// That of another thread, which drew this number.
    Other(usize),
}

thread_local! {
    static MINE: Cell<Mine> = const { Cell::new(Mine::Unknown) };
}

/// The calling thread is from now on the worker with this number, of whichever runtime.
pub(crate) fn this_thread_is_worker(index: usize) {
    // Late in thread exit there is no thread-local: any shard will do.
    let _ = MINE.try_with(|mine| mine.set(Mine::Worker(index)));
}

/// How many shards the threads that are no workers have at most.
const OTHERS_MAX: usize = 8;

impl Places {
    pub(crate) fn new(workers: usize) -> Places {
        let others = if workers > 1 { workers.next_power_of_two().min(OTHERS_MAX) } else { 0 };
        Places { workers: workers.max(1), others }
    }

    pub(crate) fn count(self) -> usize {
        self.workers + self.others
    }

    /// The calling thread's.
    #[inline]
    pub(crate) fn of_this_thread(self) -> usize {
        match MINE.try_with(Cell::get) {
            // The worker of another, larger runtime is here as any thread.
            Ok(Mine::Worker(index)) if index < self.workers => index,
            _ if self.others == 0 => 0,
            Ok(mine) => self.of_another(mine),
            Err(_) => self.workers,
        }
    }

    #[cold]
    fn of_another(self, mine: Mine) -> usize {
        let number = match mine {
            Mine::Worker(number) | Mine::Other(number) => number,
            Mine::Unknown => {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                // Relaxed: the numbers must differ, nothing more.
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                MINE.set(Mine::Other(number));
                number
            }
        };
        self.workers + (number & (self.others - 1))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_worker_has_its_own_and_no_other_thread_has_it() {
        let places = Places::new(3);
        let of_a_thread = |worker: Option<usize>| {
            let place = move || {
                if let Some(index) = worker {
                    this_thread_is_worker(index);
                }
                places.of_this_thread()
            };
            thread::spawn(place).join().unwrap()
        };
        for worker in 0..3 {
            assert_eq!(of_a_thread(Some(worker)), worker);
        }
        for _ in 0..2 * places.count() {
            assert!((3..places.count()).contains(&of_a_thread(None)));
        }
        assert!((3..places.count()).contains(&of_a_thread(Some(3))), "a worker of a larger runtime");
    }

    #[test]
    fn a_single_worker_has_the_only_shard_whatever_the_thread() {
        let places = Places::new(1);
        assert_eq!(places.count(), 1);
        for worker in [None, Some(0), Some(7)] {
            let place = move || {
                if let Some(index) = worker {
                    this_thread_is_worker(index);
                }
                places.of_this_thread()
            };
            assert_eq!(thread::spawn(place).join().unwrap(), 0);
        }
    }
}
