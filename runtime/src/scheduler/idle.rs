//! Who sleeps, who searches, who watches, and whom new work wakes.
//!
//! New work wakes one sleeper, and only when nobody is searching: a searcher will find the work, and the last one to find
//! something wakes the next if there is more ([`stop_searching`](Idle::stop_searching)). So workers come up one by one, as
//! long as there is work for them, and none comes up for nothing.
//!
//! # The word
//! `searching` in the low half, `awake` (searching or working) in the high half, and between them [`WATCHED`].
//! `searching` changes at any time, the rest under the lock of `sleepers` only.
//!
//! # Why no wake-up is lost
//! Who makes work visible to all does that first, then, behind a full fence, reads the word
//! ([`for_new_work`](Idle::for_new_work)). Who stops being a candidate for it, by falling asleep or by ceasing to search, changes
//! the word first, then, behind a full fence, looks at the queues once more, and wakes one worker (perhaps itself)
//! if there is something. So one of the two sees the other, and a worker that stays in one poll for ever holds up nothing but
//! that poll.
//!
//! Work that a worker pushes to its own queue goes without the fence ([`for_own_work`](Idle::for_own_work)), and into its LIFO
//! slot without a look at all: it is awake and comes to it. Unless it stays in its poll; that is what the watch is for.
//!
//! # The watch
//! While one worker is awake and another asleep, one of the sleepers is the watch: it naps instead of sleeping for good, and
//! after each nap looks for what a worker that is stuck in a poll holds up. It is woken for new work after all others.
//! - Who falls asleep while others are awake becomes the watch if there is none ([`sleep`](Idle::sleep)).
//! - Who wakes up appoints one if there is none and somebody still sleeps ([`appoint`](Idle::appoint)).
//! - It naps short while it has lately seen a worker that was stuck and held something up ([`alarm`](Idle::alarm)), and long
//!   otherwise: naps take time from who works on the same CPU, and most programs never block.
//! - The watch may sleep for good when nobody is awake ([`resign`](Idle::resign)): under the lock under which others wake up,
//!   so either it sees them awake and stays, or they see that there is no watch.

use crate::atomic::{AtomicUsize, Mutex, Ordering, fence};

/// The sleepers of one runtime; on cache lines of its own, because its word changes often.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Idle {
    word: AtomicUsize,
    sleepers: Mutex<Sleepers>,
    workers: usize,
    /// Whether there is ever a watch.
    watches: bool,
    /// For how many naps the watch stays alarmed.
    alarm: AtomicUsize,
}

#[derive(Debug)]
struct Sleepers {
    /// Those asleep, the one that fell asleep last at the end: its cache is the warmest.
    asleep: Vec<usize>,
    /// The one of them that watches.
    watch: Option<usize>,
}

const SEARCHING: usize = 1;
const AWAKE: usize = 1 << (usize::BITS / 2);
/// Some sleeper is the watch.
const WATCHED: usize = AWAKE >> 1;
const LOW: usize = WATCHED - 1;
/// How many short naps follow the last sight of a worker that was stuck: about a tenth of a second.
const ALARMED_NAPS: usize = 1_000;

/// How a worker that woke by itself left the sleepers.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It had been woken at the same time, and counts as searching.
    Searching,
    /// It counts as working.
    Working,
}

/// What a worker is among the sleepers.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: it was woken for work, and counts as searching.
    Woken,
    /// It sleeps until it is woken.
    Sleeper,
    /// It naps, and looks around after each nap.
    Watch,
}

impl Idle {
    /// All awake, none searching. Without `watches` the sleepers sleep for good.
    pub(super) fn new(workers: usize, watches: bool) -> Idle {
        let word = AtomicUsize::new(workers * AWAKE);
        let sleepers = Mutex::new(Sleepers { asleep: Vec::with_capacity(workers), watch: None });
        Idle { word, sleepers, workers, watches: watches && workers > 1, alarm: AtomicUsize::new(0) }
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
        self.write(&sleepers, AWAKE | SEARCHING);
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
    pub(super) fn sleep(&self, index: usize, searching: bool) -> Role {
        let role = {
            let mut sleepers = self.sleepers.lock();
            sleepers.asleep.push(index);
            // The last one to fall asleep watches nobody, but others may wake up again at any moment.
            let watch = self.watches && sleepers.watch.is_none();
            if watch {
                sleepers.watch = Some(index);
            }
            self.write(&sleepers, (if searching { AWAKE | SEARCHING } else { AWAKE }).wrapping_neg());
            if watch { Role::Watch } else { Role::Sleeper }
        };
        // Store-load: pairs with the fence in `for_new_work`.
        fence(Ordering::SeqCst);
        role
    }

    /// Takes a worker that has something to do out of the sleepers.
    pub(super) fn leave(&self, index: usize) -> Leave {
        let mut sleepers = self.sleepers.lock();
        if !sleepers.remove(index) {
            return Leave::Searching;
        }
        self.write(&sleepers, AWAKE);
        Leave::Working
    }

    /// What a worker that was among the sleepers is now.
    pub(super) fn role(&self, index: usize) -> Role {
        let sleepers = self.sleepers.lock();
        if sleepers.watch == Some(index) {
            Role::Watch
        } else if sleepers.asleep.contains(&index) {
            Role::Sleeper
        } else {
            Role::Woken
        }
    }

    /// For a worker that has just woken up: the sleeper to be told, by waking it, that it is the watch from now on.
    #[must_use = "the watch must be woken, to fall asleep as one"]
    pub(super) fn appoint(&self) -> Option<usize> {
        let unwatched = |word: usize| word & WATCHED == 0 && word / AWAKE < self.workers;
        // Relaxed: the caller's own waking up precedes, and whoever took `WATCHED` away after that saw it awake.
        if !self.watches || !unwatched(self.word.load(Ordering::Relaxed)) {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        if sleepers.watch.is_some() {
            return None;
        }
        let index = *sleepers.asleep.last()?;
        sleepers.watch = Some(index);
        self.write(&sleepers, 0);
        Some(index)
    }

    /// The watch asks to sleep for good, which it may when nobody is awake.
    pub(super) fn resign(&self, index: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        if sleepers.watch != Some(index) || self.word.load(Ordering::Relaxed) / AWAKE > 0 {
            return false;
        }
        sleepers.watch = None;
        self.write(&sleepers, 0);
        true
    }

    /// The watch has seen a worker that is stuck, and holds something up.
    pub(super) fn alarm(&self) {
        // Relaxed, here and below: a hint.
        self.alarm.store(ALARMED_NAPS, Ordering::Relaxed);
    }

    /// Whether such a worker has lately been seen.
    pub(super) fn is_alarmed(&self) -> bool {
        self.alarm.load(Ordering::Relaxed) > 0
    }

    /// The watch naps once more; says whether a short nap. Only the watch asks.
    pub(super) fn naps_short(&self) -> bool {
        let left = self.alarm.load(Ordering::Relaxed);
        self.alarm.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    /// Whether one worker is among the sleepers.
    pub(super) fn is_asleep(&self, index: usize) -> bool {
        self.sleepers.lock().asleep.contains(&index)
    }

    /// Whether nobody is awake.
    pub(super) fn all_asleep(&self) -> bool {
        self.word.load(Ordering::Relaxed) / AWAKE == 0
    }

    /// Adds `change` to the word, whose lock the caller holds, and sets [`WATCHED`] right.
    fn write(&self, sleepers: &Sleepers, change: usize) {
        // Only changed under the lock.
        let watched = self.word.load(Ordering::Relaxed) & WATCHED;
        let wanted = if sleepers.watch.is_some() { WATCHED } else { 0 };
        self.word.fetch_add(change.wrapping_add(wanted).wrapping_sub(watched), Ordering::SeqCst);
    }
}

impl Sleepers {
    /// Takes out the one to be woken next: the last that fell asleep, the watch after all others.
    fn pop(&mut self) -> Option<usize> {
        let last = self.asleep.pop()?;
        if self.watch != Some(last) {
            return Some(last);
        }
        if let Some(other) = self.asleep.pop() {
            self.asleep.push(last);
            return Some(other);
        }
        self.watch = None;
        Some(last)
    }

    fn remove(&mut self, index: usize) -> bool {
        let Some(at) = self.asleep.iter().position(|&sleeper| sleeper == index) else { return false };
        self.asleep.remove(at);
        if self.watch == Some(index) {
            self.watch = None;
        }
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn new_work_wakes_one_sleeper_and_only_when_nobody_searches() {
        let idle = Idle::new(4, false);
        assert_eq!(idle.for_new_work(), None, "all are awake");
        for index in 0..3 {
            assert_eq!(idle.sleep(index, false), Role::Sleeper);
        }
        assert_eq!(idle.for_new_work(), Some(2));
        assert_eq!(idle.for_new_work(), None, "2 is searching");
        assert!(idle.stop_searching());
        assert_eq!(idle.for_own_work(), Some(1));
        assert!(idle.start_searching(), "1 of 4 searches, so another may");
        assert!(!idle.start_searching());
        assert_eq!(idle.appoint(), None, "no watch is wanted");
    }

    #[test]
    fn one_sleeper_watches_and_is_woken_after_the_others() {
        let idle = Idle::new(4, true);
        assert_eq!(idle.sleep(0, false), Role::Watch);
        assert_eq!(idle.sleep(1, false), Role::Sleeper);
        assert_eq!(idle.sleep(2, false), Role::Sleeper);
        assert!(!idle.resign(0), "3 is awake");
        for expected in [2, 1, 0] {
            assert_eq!(idle.appoint(), None);
            assert_eq!(idle.for_new_work(), Some(expected));
            assert_eq!(idle.role(expected), Role::Woken);
            assert!(idle.stop_searching());
        }
        assert_eq!(idle.appoint(), None, "nobody sleeps");
        assert_eq!(idle.sleep(2, false), Role::Watch);
    }

    #[test]
    fn the_watch_resigns_when_all_sleep_and_who_wakes_appoints_another() {
        let idle = Idle::new(3, true);
        assert_eq!(idle.sleep(0, false), Role::Watch);
        assert_eq!(idle.sleep(1, false), Role::Sleeper);
        assert_eq!(idle.sleep(2, false), Role::Sleeper);
        assert!(idle.all_asleep() && !idle.resign(1) && idle.resign(0));
        assert_eq!(idle.role(0), Role::Sleeper);
        assert_eq!(idle.leave(1), Leave::Working);
        assert_eq!(idle.appoint(), Some(2));
        assert_eq!((idle.role(2), idle.appoint()), (Role::Watch, None));
        // The watch found something: another takes its place.
        assert_eq!(idle.leave(2), Leave::Working);
        assert_eq!(idle.appoint(), Some(0));
    }

    #[test]
    fn an_alarm_lasts_for_a_number_of_naps() {
        let idle = Idle::new(2, true);
        assert!(!idle.is_alarmed() && !idle.naps_short());
        idle.alarm();
        assert!(idle.is_alarmed());
        assert_eq!((0..2 * ALARMED_NAPS).filter(|_| idle.naps_short()).count(), ALARMED_NAPS);
        assert!(!idle.is_alarmed());
    }

    #[test]
    fn a_worker_leaves_as_what_it_was_woken_for() {
        let idle = Idle::new(2, false);
        assert!(idle.start_searching());
        assert_eq!(idle.sleep(0, true), Role::Sleeper);
        assert_eq!(idle.sleep(1, false), Role::Sleeper);
        assert_eq!(idle.leave(0), Leave::Working);
        assert_eq!((idle.role(0), idle.role(1)), (Role::Woken, Role::Sleeper));
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
                let _ = self.idle.sleep(index, searching);
                self.look_again();
                loop {
                    parker.park();
                    if self.idle.role(index) == Role::Woken {
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
        (Arc::new(World { idle: Idle::new(workers, false), injector: Injector::new(), unparkers }), parkers)
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

    /// Worker 0 gets work while both sleep, puts something where only the watch looks, and never comes back. So worker 1,
    /// which sleeps and may have resigned as the watch at any moment, must become the watch again, and find it.
    #[test]
    fn loom_somebody_watches_a_worker_that_is_stuck() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let parkers = [Parker::new(), Parker::new()];
            let unparkers = parkers.iter().map(Parker::unparker).collect();
            let idle = Idle::new(2, true);
            let watch_first = idle.sleep(1, false);
            assert_eq!((watch_first, idle.sleep(0, false)), (Role::Watch, Role::Sleeper));
            let world = Arc::new((World { idle, injector: Injector::new(), unparkers }, AtomicUsize::new(0)));
            let [stuck, watch] = parkers;
            let worker = {
                let world = world.clone();
                thread::spawn(move || {
                    let (world, hidden) = &*world;
                    while world.idle.role(0) != Role::Woken {
                        stuck.park();
                    }
                    if let Some(index) = world.idle.appoint() {
                        world.unparkers[index].unpark();
                    }
                    hidden.store(1, Ordering::Relaxed);
                })
            };
            let other = {
                let world = world.clone();
                thread::spawn(move || {
                    let (world, hidden) = &*world;
                    loop {
                        match world.idle.role(1) {
                            Role::Watch if hidden.load(Ordering::Relaxed) == 1 => break,
                            Role::Watch if world.idle.resign(1) => {}
                            Role::Watch => thread::yield_now(),
                            Role::Sleeper => watch.park(),
                            Role::Woken => unreachable!("the watch is woken last"),
                        }
                    }
                })
            };
            let (world, _) = &*world;
            let index = world.idle.for_new_work().unwrap();
            world.unparkers[index].unpark();
            worker.join().unwrap();
            other.join().unwrap();
        });
    }
}
