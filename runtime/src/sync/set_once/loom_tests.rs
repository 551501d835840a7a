//! Setting while others wait, set, and give up.

use super::*;
use crate::sync::block_on::block_on;
use crate::sync::permits::loom_tests::{look, model};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

#[test]
fn loom_a_waiter_sees_the_one_value_and_a_loser_finds_it_there() {
    model(3, || {
        let once = Arc::new(SetOnce::new());
        let setters: Vec<_> = (1..3)
            .map(|number: usize| {
                let once = once.clone();
                thread::spawn(move || {
                    let lost = once.set(UnsafeCell::new(number)).is_err();
                    assert!(once.initialized(), "whoever wins or loses finds a value there");
                    !lost
                })
            })
            .collect();
        let mut gives_up = Box::pin(once.wait());
        let _ = look(gives_up.as_mut());
        // SAFETY: nobody writes any more; loom would report it.
        let seen = block_on(once.wait()).with(|place| unsafe { *place });
        drop(gives_up);
        let won: Vec<_> = setters.into_iter().map(|setter| setter.join().unwrap()).collect();
        assert_eq!(won, [seen == 1, seen == 2]);
        assert!(once.waiters.lock().is_empty());
    });
}
