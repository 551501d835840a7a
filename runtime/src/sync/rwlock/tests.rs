//! The reader-writer lock as its users see it.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::park;
use crate::sync::spy::Spy;
use futures_lite::future::{block_on, poll_once};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;

#[test]
fn many_read_or_one_writes() {
    let lock = RwLock::new(1);
    let (one, other) = (block_on(lock.read()), lock.try_read().unwrap());
    assert_eq!(*one + *other, 2);
    assert!(lock.try_write().is_err());
    let writer = Spy::waiting(lock.write());
    drop(one);
    assert_eq!(writer.wakes(), 0);
    drop(other);
    assert_eq!(writer.wakes(), 1);
    let mut writer = writer.into_output();
    *writer = 2;
    assert!(lock.try_read().is_err() && lock.try_write().is_err());
    let reader = Spy::waiting(lock.read());
    drop(writer);
    assert_eq!(*reader.into_output(), 2);
}

#[test]
fn readers_who_come_after_a_writer_wait_for_it_and_then_all_go() {
    let lock = RwLock::new(0);
    let reading = lock.try_read().unwrap();
    let writer = Spy::waiting(lock.write());
    let readers = [1, 2].map(|_| Spy::waiting(lock.read()));
    let last = Spy::waiting(lock.write());
    assert!(lock.try_read().is_err());
    drop(reading);
    assert_eq!((writer.wakes(), readers[0].wakes(), readers[1].wakes()), (1, 0, 0));
    drop(writer.into_output());
    assert_eq!((readers[0].wakes(), readers[1].wakes(), last.wakes()), (1, 1, 0));
    let guards = readers.map(Spy::into_output);
    drop(guards);
    assert_eq!(last.wakes(), 1);
    drop(last.into_output());
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let lock = RwLock::new(0);
    let reading = lock.try_read().unwrap();
    let writer = Spy::waiting(lock.write());
    let reader = Spy::waiting(lock.read());
    drop(writer);
    assert_eq!(reader.wakes(), 1);
    assert_eq!(*reader.into_output() + *reading, 0);
    drop(reading);

    let reading = lock.try_read().unwrap();
    let (told, next) = (Spy::waiting(lock.write()), Spy::waiting(lock.write()));
    drop(reading);
    assert_eq!((told.wakes(), next.wakes()), (1, 0));
    drop(told);
    drop(next.into_output());
    assert!(lock.try_write().is_ok());
}

#[test]
fn a_reader_that_gives_up_after_it_was_told_counts_no_more() {
    let lock = RwLock::new(0);
    let writing = lock.try_write().unwrap();
    let readers = [1, 2].map(|_| Spy::waiting(lock.read()));
    let writer = Spy::waiting(lock.write());
    drop(writing);
    drop(readers);
    assert_eq!(writer.wakes(), 1);
    drop(writer.into_output());
}

#[test]
fn there_may_be_a_most_of_readers() {
    let lock = RwLock::with_max_readers(0, 2);
    let (one, other) = (lock.try_read().unwrap(), lock.try_read().unwrap());
    assert!(lock.try_read().is_err());
    let third = Spy::waiting(lock.read());
    drop(one);
    let third = third.into_output();
    drop((other, third));
    drop(lock.try_write().unwrap().downgrade());
    assert!(lock.try_write().is_ok());
    for (readers, why) in [(0, "created with 0 readers"), ((u32::MAX >> 3) + 1, "more than u32::MAX >> 3 readers")] {
        let error = catch_unwind(|| RwLock::with_max_readers((), readers)).unwrap_err();
        let text = error.downcast_ref::<&str>().unwrap();
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_writer_becomes_a_reader_and_lets_those_in_who_wait_next() {
    let lock = RwLock::new(vec![1, 2]);
    let writing = lock.try_write().unwrap();
    let reader = Spy::waiting(lock.read());
    let writer = Spy::waiting(lock.write());
    let reading = writing.downgrade();
    assert_eq!((reader.wakes(), writer.wakes()), (1, 0));
    assert_eq!(reader.into_output().len(), 2);
    drop(reading);
    let writing = writer.into_output();
    let writing = RwLockWriteGuard::try_downgrade_map(writing, |list| list.get(5)).unwrap_err();
    assert!(lock.try_read().is_err(), "it still writes");
    let reading = RwLockWriteGuard::try_downgrade_map(writing, |list| list.get(1)).unwrap();
    assert_eq!((*reading, lock.try_read().unwrap().len()), (2, 2));
    drop(reading);
    let reading = RwLockWriteGuard::downgrade_map(lock.try_write().unwrap(), |list| &list[0]);
    assert!(lock.try_read().is_ok() && lock.try_write().is_err());
    drop(reading);
    assert!(lock.try_write().is_ok());
}

#[test]
fn guards_are_narrowed_to_a_part_and_unlock_once() {
    let lock = RwLock::new(((1, 2), vec![3]));
    let reading = RwLockReadGuard::map(lock.try_read().unwrap(), |value| &value.1);
    let reading = RwLockReadGuard::try_map(reading, |list| list.get(1)).unwrap_err();
    assert_eq!(*RwLockReadGuard::try_map(reading, |list| list.first()).unwrap(), 3);

    let writing = RwLockWriteGuard::map(lock.try_write().unwrap(), |value| &mut value.0);
    let mut writing = RwLockMappedWriteGuard::map(writing, |pair| &mut pair.1);
    *writing = 4;
    let writing = RwLockMappedWriteGuard::try_map(writing, |_| None::<&mut u8>).unwrap_err();
    assert!(lock.try_read().is_err());
    assert!(RwLockMappedWriteGuard::try_map(writing, |number| Some(number)).is_ok());
    let writing = RwLockWriteGuard::try_map(lock.try_write().unwrap(), |value| value.1.get_mut(1)).unwrap_err();
    *RwLockWriteGuard::try_map(writing, |value| value.1.get_mut(0)).unwrap() = 5;
    let whole = RwLockWriteGuard::into_mapped(lock.try_write().unwrap());
    assert_eq!(*whole, ((1, 4), vec![5]));
    drop(whole);
    assert!(lock.try_write().is_ok());
}

#[test]
fn owned_guards_do_the_same_and_keep_the_lock_alive() {
    let lock = Arc::new(RwLock::new((1, vec![2])));
    let reading = block_on(lock.clone().read_owned());
    assert!(Arc::ptr_eq(OwnedRwLockReadGuard::rwlock(&reading), &lock));
    let part = OwnedRwLockReadGuard::map(reading, |pair| &pair.1);
    assert!(Arc::ptr_eq(OwnedRwLockReadGuard::rwlock(&part), &lock));
    let part = OwnedRwLockReadGuard::try_map(part, |list| list.get(1)).unwrap_err();
    let part = OwnedRwLockReadGuard::try_map(part, |list| list.first()).unwrap();
    assert!(lock.clone().try_read_owned().is_ok() && lock.clone().try_write_owned().is_err());
    let writer = Spy::waiting(lock.clone().write_owned());
    thread::spawn(move || assert_eq!(*part, 2)).join().unwrap();

    let mut writing = writer.into_output();
    writing.0 = 3;
    assert!(Arc::ptr_eq(OwnedRwLockWriteGuard::rwlock(&writing), &lock));
    let writing = OwnedRwLockWriteGuard::try_map(writing, |_| None::<&mut u8>).unwrap_err();
    let part = OwnedRwLockWriteGuard::map(writing, |pair| &mut pair.1);
    assert!(Arc::ptr_eq(OwnedRwLockMappedWriteGuard::rwlock(&part), &lock));
    let part = OwnedRwLockMappedWriteGuard::try_map(part, |list| list.get_mut(1)).unwrap_err();
    *OwnedRwLockMappedWriteGuard::map(part, |list| &mut list[0]) = 4;
    let whole = OwnedRwLockWriteGuard::into_mapped(lock.clone().try_write_owned().unwrap());
    assert!(OwnedRwLockMappedWriteGuard::try_map(whole, |pair| Some(&mut pair.0)).is_ok());
    assert!(OwnedRwLockWriteGuard::try_map(lock.clone().try_write_owned().unwrap(), |pair| Some(&mut pair.0)).is_ok());

    let writing = block_on(lock.clone().write_owned());
    let writing = OwnedRwLockWriteGuard::try_downgrade_map(writing, |pair| pair.1.get(1)).unwrap_err();
    drop(OwnedRwLockWriteGuard::try_downgrade_map(writing, |pair| pair.1.first()).unwrap());
    drop(OwnedRwLockWriteGuard::downgrade_map(lock.clone().try_write_owned().unwrap(), |pair| &pair.0));
    let reading = lock.clone().try_write_owned().unwrap().downgrade();
    let weak = Arc::downgrade(&lock);
    drop(lock);
    assert_eq!(*reading, (3, vec![4]));
    drop(reading);
    assert!(weak.upgrade().is_none(), "no reference is left behind by all this");
}

#[test]
fn a_panic_unlocks_and_does_not_poison() {
    let lock = RwLock::new(1);
    let panics = |what: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(what)).is_err());
    panics(&|| {
        let _writing = lock.try_write().unwrap();
        panic!("while it writes");
    });
    panics(&|| drop(RwLockReadGuard::map(lock.try_read().unwrap(), |_| -> &u8 { panic!("no such part") })));
    panics(&|| {
        drop(RwLockWriteGuard::downgrade_map(lock.try_write().unwrap(), |_| -> &u8 { panic!("no such part") }));
    });
    assert_eq!(*lock.try_write().unwrap(), 1);
}

#[test]
fn threads_wait_in_the_same_queue() {
    let lock = Arc::new(RwLock::new(0));
    let writing = lock.blocking_write();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let lock = lock.clone();
            thread::spawn(move || *lock.blocking_read())
        })
        .collect();
    drop(writing);
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 0));
    let _entered = park::enter();
    for (name, refused) in [
        ("`RwLock::blocking_read`", catch_unwind(AssertUnwindSafe(|| drop(lock.blocking_read())))),
        ("`RwLock::blocking_write`", catch_unwind(AssertUnwindSafe(|| drop(lock.blocking_write())))),
    ] {
        let text = *refused.unwrap_err().downcast::<String>().unwrap();
        assert!(text.starts_with(name), "{text}");
    }
}

#[test]
fn what_is_shown_and_who_needs_no_lock() {
    static LOCK: RwLock<u8> = RwLock::const_new(1);
    static FEW: RwLock<u8> = RwLock::const_with_max_readers(1, 1);
    assert!(LOCK.try_read().is_ok() && FEW.try_read().is_ok());
    let mut lock = RwLock::from("text");
    *lock.get_mut() = "other";
    assert_eq!(format!("{lock:?}"), r#"RwLock { data: "other" }"#);
    let writing = lock.try_write().unwrap();
    assert_eq!(format!("{writing} {writing:?} {lock:?}"), r#"other "other" RwLock { data: <locked> }"#);
    drop(writing);
    assert_eq!(lock.into_inner(), "other");
    assert_eq!(RwLock::<u8>::default().into_inner(), 0);
    let unsized_value: Arc<RwLock<[i32]>> = Arc::new(RwLock::new([1, 2]));
    assert_eq!(block_on(unsized_value.read_owned()).len(), 2);
}

/// Readers and writers on threads, some of whom give up: never a writer with anybody else.
#[test]
fn stress_with_cancellation() {
    let shared = Arc::new((RwLock::new(0_usize), AtomicIsize::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (lock, inside) = &*shared;
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut written = 0;
                for _ in 0..2000 {
                    match rng.u8(0..8) {
                        0 => drop(block_on(poll_once(lock.write()))),
                        1 => drop(block_on(poll_once(lock.read()))),
                        2..4 => {
                            let mut writing = block_on(lock.write());
                            assert_eq!(inside.swap(-1, Ordering::SeqCst), 0);
                            *writing += 1;
                            written += 1;
                            inside.store(0, Ordering::SeqCst);
                            if rng.bool() {
                                assert!(*writing.downgrade() > 0);
                            }
                        }
                        _ => {
                            let reading = block_on(lock.read());
                            assert!(inside.fetch_add(1, Ordering::SeqCst) >= 0 && *reading < usize::MAX);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                }
                written
            })
        })
        .collect();
    let written: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(*shared.0.try_write().unwrap(), written);
}
