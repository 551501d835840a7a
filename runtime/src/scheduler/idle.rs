//! Who sleeps, who searches, and whom new work wakes.
//!
//! New work wakes one sleeper, and only when nobody is searching: a searcher will find the work, and the last one to find
//! something wakes the next if there is more ([`stop_searching`](Idle::stop_searching)). So workers come up one by one, as
//! long as there is work for them, and none comes up for nothing.
//!
//! # The word
//! `searching` in the low half, `awake` (searching or working) in the high half.
//!
//! # Why no wake-up is lost
//! Who makes work visible to all does that first, then, behind a full fence, reads the word
//! ([`for_new_work`](Idle::for_new_work)). Who stops being a candidate for it, by falling asleep or by ceasing to search, changes
//! the word first, then, behind a full fence, looks at the queues once more, and wakes one worker (perhaps itself)
//! if there is something. So one of the two sees the other, and a worker that stays in one poll for ever holds up nothing but
//! that poll.
//!
//! Work that a worker pushes to its own queue goes without the fence ([`for_own_work`](Idle::for_own_work)): it is awake and
//! comes to it. What can be missed is another worker that falls asleep in the same nanoseconds.

use crate::atomic::{AtomicUsize, Mutex, Ordering, fence};

/// The sleepers of one runtime.
#[derive(Debug)]
pub(super) struct Idle {
    word: AtomicUsize,
    /// Those asleep, the one that fell asleep last at the end: its cache is the warmest.
    sleepers: Mutex<Vec<usize>>,
    workers: usize,
}

const SEARCHING: usize = 1;
const AWAKE: usize = 1 << (usize::BITS / 2);
const LOW: usize = AWAKE - 1;

/// How a worker that woke by itself left the sleepers.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It had been woken at the same time, and counts as searching.
    Searching,
    /// It counts as working.
    Working,
}

impl Idle {
    /// All awake, none searching.
    pub(super) fn new(workers: usize) -> Idle {
        let word = AtomicUsize::new(workers * AWAKE);
        Idle { word, sleepers: Mutex::new(Vec::with_capacity(workers)), workers }
    }

    /// The worker to wake for work that has just been made visible from outside; it counts as searching from now on.
    #[must_use = "the worker must be woken"]
    pub(super) fn for_new_work(&self) -> Option<usize> {
        // Store-load: pairs with the fence in `sleep`.
        fence(Ordering::SeqCst);
        self.for_own_work()
    }

    /// The worker to wake for work in the caller's own queue.
    #[must_use = "the worker must be woken"]
    pub(super) fn for_own_work(&self) -> Option<usize> {
        if !self.wants_wake() {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        // Another pusher may have been faster.
        if !self.wants_wake() {
            return None;
        }
        let index = sleepers.pop()?;
        self.word.fetch_add(AWAKE | SEARCHING, Ordering::SeqCst);
        Some(index)
    }

    fn wants_wake(&self) -> bool {
        let word = self.word.load(Ordering::SeqCst);
        word & LOW == 0 && word / AWAKE < self.workers
    }

    /// A worker without work asks to search; at most half of the workers (rounded up) do at a time.
    pub(super) fn start_searching(&self) -> bool {
        // Approximate: two may pass at once, which costs a few instructions.
        if 2 * (self.word.load(Ordering::Relaxed) & LOW) >= self.workers {
            return false;
        }
        self.word.fetch_add(SEARCHING, Ordering::SeqCst);
        true
    }

    /// A searcher found work. Returns whether it was the last one: then it must look whether there is more, and if so wake
    /// another.
    #[must_use = "the last searcher looks for more"]
    pub(super) fn stop_searching(&self) -> bool {
        let before = self.word.fetch_sub(SEARCHING, Ordering::SeqCst);
        debug_assert!(before & LOW > 0);
        // Store-load: pairs with the fence in `for_new_work`.
        fence(Ordering::SeqCst);
        before & LOW == 1
    }

    /// Puts a worker among the sleepers. Before it sleeps it must look at all queues once more, and wake a worker, which may
    /// be itself, if there is something.
    pub(super) fn sleep(&self, index: usize, searching: bool) {
        {
            let mut sleepers = self.sleepers.lock();
            sleepers.push(index);
            self.word.fetch_sub(if searching { AWAKE | SEARCHING } else { AWAKE }, Ordering::SeqCst);
        }
        // Store-load: pairs with the fence in `for_new_work`.
        fence(Ordering::SeqCst);
    }

    /// Takes a worker that has something to do out of the sleepers.
    pub(super) fn leave(&self, index: usize) -> Leave {
        let mut sleepers = self.sleepers.lock();
        match sleepers.iter().position(|&sleeper| sleeper == index) {
            Some(at) => {
                sleepers.remove(at);
                self.word.fetch_add(AWAKE, Ordering::SeqCst);
                Leave::Working
            }
            None => Leave::Searching,
        }
    }

    /// Whether the worker is still among the sleepers: nobody has woken it for work.
    pub(super) fn is_asleep(&self, index: usize) -> bool {
        self.sleepers.lock().contains(&index)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn new_work_wakes_one_sleeper_and_only_when_nobody_searches() {
        let idle = Idle::new(4);
        assert_eq!(idle.for_new_work(), None, "all are awake");
        for index in 0..3 {
            idle.sleep(index, false);
        }
        assert_eq!(idle.for_new_work(), Some(2));
        assert_eq!(idle.for_new_work(), None, "2 is searching");
        assert!(idle.stop_searching());
        assert_eq!(idle.for_own_work(), Some(1));
        assert!(idle.start_searching(), "1 of 4 searches, so another may");
        assert!(!idle.start_searching());
    }

    #[test]
    fn a_worker_leaves_as_what_it_was_woken_for() {
        let idle = Idle::new(2);
        assert!(idle.start_searching());
        idle.sleep(0, true);
        idle.sleep(1, false);
        assert_eq!(idle.leave(0), Leave::Working);
        assert!(!idle.is_asleep(0) && idle.is_asleep(1));
        assert_eq!(idle.for_new_work(), Some(1));
        assert_eq!(idle.leave(1), Leave::Searching);
        assert!(idle.stop_searching());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::park::{Parker, Unparker};
    use crate::scheduler::inject::Injector;
    use loom::sync::Arc;
    use loom::thread;

    struct World {
        idle: Idle,
        injector: Injector<u32>,
        unparkers: Vec<Unparker>,
    }

    impl World {
        fn push(&self, item: u32) {
            self.injector.push(item);
            if let Some(index) = self.idle.for_new_work() {
                self.unparkers[index].unpark();
            }
        }

        /// A worker's loop in small: search, else sleep, with the protocol in the order of the real one. The worker then
        /// stays in its poll for ever: whatever it took, the rest must reach others.
        fn take(&self, index: usize, parker: &Parker) -> u32 {
            let mut searching = false;
            loop {
                searching = searching || self.idle.start_searching();
                if let Some(item) = self.injector.pop() {
                    if searching && self.idle.stop_searching() {
                        self.look_again();
                    }
                    return item;
                }
                self.idle.sleep(index, searching);
                self.look_again();
                loop {
                    parker.park();
                    if !self.idle.is_asleep(index) {
                        break;
                    }
                }
                searching = true;
            }
        }

        fn look_again(&self) {
            if self.injector.len() > 0
                && let Some(index) = self.idle.for_own_work()
            {
                self.unparkers[index].unpark();
            }
        }
    }

    fn world(workers: usize) -> (Arc<World>, Vec<Parker>) {
        let parkers: Vec<Parker> = (0..workers).map(|_| Parker::new()).collect();
        let unparkers = parkers.iter().map(Parker::unparker).collect();
        (Arc::new(World { idle: Idle::new(workers), injector: Injector::new(), unparkers }), parkers)
    }

    /// A lost wake-up is a worker that sleeps for ever, which loom reports as a deadlock.
    #[test]
    fn loom_a_push_never_misses_the_only_worker() {
        loom::model(|| {
            let (world, parkers) = world(1);
            let pusher = {
                let world = world.clone();
                thread::spawn(move || world.push(7))
            };
            assert_eq!(world.take(0, &parkers[0]), 7);
            pusher.join().unwrap();
        });
    }

    #[test]
    fn loom_two_pushes_reach_two_workers() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let (world, mut parkers) = world(2);
            let other = {
                let (world, parker) = (world.clone(), parkers.pop().unwrap());
                thread::spawn(move || world.take(1, &parker))
            };
            let pusher = {
                let world = world.clone();
                thread::spawn(move || {
                    world.push(1);
                    world.push(2);
                })
            };
            let first = world.take(0, &parkers[0]);
            let second = other.join().unwrap();
            pusher.join().unwrap();
            assert_eq!(first + second, 3);
        });
    }
}
