//! tokio's traits on our streams, used by tokio's own helpers.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use crate::io::duplex;
use crate::sync::test_support::now;
use std::future::poll_fn;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[test]
fn a_read_fills_what_is_left_and_the_end_fills_nothing() {
    let (mut one, mut other) = duplex(16);
    now(futures_lite::AsyncWriteExt::write_all(&mut one, b"abc")).unwrap();
    drop(one);
    let mut room = [0; 4];
    let mut buf = ReadBuf::new(&mut room);
    buf.put_slice(b"x");
    let mut read =
        |buf: &mut ReadBuf<'_>| now(poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut other), cx, buf))).unwrap();
    read(&mut buf);
    assert_eq!(buf.filled(), b"xabc");
    buf.set_filled(1);
    read(&mut buf);
    assert_eq!(buf.filled(), b"x");
}

#[test]
fn vectors_pass_through_and_shutting_down_is_closing() {
    let (mut one, mut other) = duplex(16);
    assert!(AsyncWrite::is_write_vectored(&one));
    let bufs = [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
    let written = now(poll_fn(|cx| AsyncWrite::poll_write_vectored(Pin::new(&mut one), cx, &bufs))).unwrap();
    assert_eq!(written, 4);
    now(poll_fn(|cx| AsyncWrite::poll_flush(Pin::new(&mut one), cx))).unwrap();
    now(poll_fn(|cx| AsyncWrite::poll_shutdown(Pin::new(&mut one), cx))).unwrap();
    let mut text = String::new();
    now(futures_lite::AsyncReadExt::read_to_string(&mut other, &mut text)).unwrap();
    assert_eq!(text, "abcd");
}

/// More comes than one read takes, into room that nobody has initialized.
#[test]
fn room_that_is_not_initialized_is_filled_in_order() {
    let sent: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let (mut one, mut other) = duplex(sent.len());
    now(futures_lite::AsyncWriteExt::write_all(&mut one, &sent)).unwrap();
    let mut room = vec![MaybeUninit::uninit(); sent.len()];
    let mut buf = ReadBuf::uninit(&mut room);
    let mut reads = 0;
    while buf.remaining() > 0 {
        let before = buf.filled().len();
        now(poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut other), cx, &mut buf))).unwrap();
        assert!(buf.filled().len() > before, "no byte came");
        reads += 1;
    }
    assert!(reads > 1, "one read took all of it");
    assert_eq!(buf.filled(), sent);
    assert_eq!(buf.initialized().len(), sent.len());
}
