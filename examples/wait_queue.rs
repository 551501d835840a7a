//! The wait queue by itself: who is woken, in which order, and how often: `cargo run --example wait_queue`

use std::sync::{Arc, atomic::AtomicU32, atomic::Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;
use wakeline::wait_queue::{Events, Mode, WaitList, WaitQueue, WaitSlot, WakeBatch, WakeFn};

/// An entry's function, as Linux calls it; here it only says its name. As a callback it stays, as an epoll's item does.
struct Name(&'static str);

impl Wake for Name {
    fn wake(self: Arc<Self>) {
        print!(" {}", self.0);
    }
}
impl WakeFn for Name {
    fn call(&self, key: Events) {
        print!(" {}({:#x})", self.0, key.bits());
    }
}
static LETTERS: AtomicU32 = AtomicU32::new(0);
static QUEUE: WaitQueue = WaitQueue::new();

fn main() {
    let (mut list, mut slots) = (WaitList::new(), [const { WaitSlot::new() }; 5]);
    let wait = [
        ("shared-1", Mode::Shared, Events::IN),
        ("exclusive-1", Mode::Exclusive, Events::IN),
        ("writer", Mode::Shared, Events::OUT),
        ("shared-2", Mode::Shared, Events::IN),
    ];
    for ((name, mode, interest), slot) in wait.into_iter().zip(&mut slots) {
        drop(list.join(slot, &Waker::from(Arc::new(Name(name))), interest, mode));
    }
    drop(list.add(&mut slots[4], Arc::new(Name("epoll-item")), Events::IN, Mode::Shared));
    print!("told, in this order:");
    for (what, key) in [("readable", Events::READABLE), ("again", Events::READABLE), ("no key", Events::ANY)] {
        let mut wakes = WakeBatch::new();
        list.wake(key, 1, &mut wakes); // under the lock of what the list guards
        print!("\n{what:<9}");
        wakes.wake_all(); // after it
    }
    // With a lock of its own and the barrier pair, for threads and tasks: eight readers, one letter after the other.
    let readers: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(|| QUEUE.wait_until_blocking(Events::IN, Mode::Exclusive, None, take)))
        .collect();
    std::thread::sleep(Duration::from_millis(20)); // most of them sleep by then
    let mut woken = 0;
    for _ in 0..8 {
        LETTERS.fetch_add(1, Ordering::Release);
        woken += QUEUE.wake(Events::IN, 1);
    }
    let took = readers.into_iter().filter_map(|reader| reader.join().expect("a reader does not panic")).count();
    println!("\n{took} readers took one of 8 letters each; {woken} were woken, the others came when there was one");
}

fn take() -> Option<()> {
    LETTERS.fetch_update(Ordering::AcqRel, Ordering::Acquire, |letters| letters.checked_sub(1)).ok().map(drop)
}
