//! `pin!` in its two forms.

use crate::macros::tests::now;
use crate::pin;
use futures_lite::future::{ready, yield_now};
use std::future::Future;
use std::pin::Pin;

async fn two() -> u8 {
    yield_now().await;
    2
}

#[test]
fn names_are_pinned_where_they_stand() {
    let (one, other) = (ready(1), two());
    pin!(one, other);
    let other: Pin<&mut _> = other;
    assert_eq!(now(async { one.as_mut().await }), 1);
    assert_eq!(futures_lite::future::block_on(other), 2);
    let last = two();
    pin!(last,);
    assert_eq!(futures_lite::future::block_on(&mut last), 2);
}

#[test]
fn values_are_pinned_as_they_are_named() {
    pin! {
        let one = async { 1 };
        let other = two();
    }
    assert_eq!(futures_lite::future::block_on(async { (&mut one).await + (&mut other).await }), 3);
    pin! { let alone = ready(9); }
    assert_eq!(now(alone), 9);
}

#[test]
fn what_is_not_pinned_mutably_needs_no_mut() {
    fn is_future<F: Future>(_: &F) {}
    let future = two();
    pin!(future);
    is_future(&future);
}

#[test]
fn nothing_is_pinned_too() {
    pin!();
    pin! {}
}
