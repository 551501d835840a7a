//! Pipes: their bound, their ends, who is woken.

use super::*;
use crate::sync::test_support::{now, spawn};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future::block_on};
use std::io::ErrorKind;

#[test]
fn bytes_arrive_in_order_and_within_the_bound() {
    let (mut one, mut other) = duplex(4);
    let writer = std::thread::spawn(move || {
        block_on(async {
            let bytes: Vec<u8> = (0..=255).collect();
            one.write_all(&bytes).await.unwrap();
        });
    });
    let mut all = Vec::new();
    let mut buf = [0; 16];
    block_on(async {
        loop {
            let n = other.read(&mut buf).await.unwrap();
            assert!(n <= 4, "{n} bytes were under way");
            all.extend_from_slice(&buf[..n]);
            if n == 0 {
                break;
            }
        }
    });
    writer.join().unwrap();
    assert_eq!(all, Vec::from_iter(0..=255));
}

#[test]
fn a_full_pipe_makes_its_writer_wait_and_a_read_wakes_it_once() {
    let (mut reader, mut writer) = simplex(3);
    assert_eq!(now(writer.write(b"abcdef")).unwrap(), 3);
    let mut write = spawn(writer.write(b"def"));
    write.expect_pending();
    let mut buf = [0; 2];
    assert_eq!(now(reader.read(&mut buf)).unwrap(), 2);
    assert!(write.was_woken());
    assert_eq!(write.expect_ready().unwrap(), 2);
    let mut rest = [0; 8];
    assert_eq!(now(reader.read(&mut rest)).unwrap(), 3);
    assert_eq!((&buf, &rest[..3]), (b"ab", &b"cde"[..]));
}

#[test]
fn a_write_wakes_the_reader_only() {
    let (mut one, mut other) = duplex(8);
    let mut read = spawn(other.read_u8());
    read.expect_pending();
    now(one.write_all(b"x")).unwrap();
    assert!(read.was_woken());
    assert_eq!(read.expect_ready().unwrap(), b'x');
}

trait ReadU8 {
    async fn read_u8(&mut self) -> io::Result<u8>;
}

impl<R: AsyncRead + Unpin> ReadU8 for R {
    async fn read_u8(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.read_exact(&mut byte).await?;
        Ok(byte[0])
    }
}

#[test]
fn closing_is_the_end_after_what_was_written() {
    let (mut one, mut other) = duplex(8);
    now(one.write_all(b"last")).unwrap();
    now(one.close()).unwrap();
    assert_eq!(now(one.write(b"x")).unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut text = String::new();
    now(other.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "last");
    // The other direction is open.
    now(other.write_all(b"back")).unwrap();
    let mut back = [0; 4];
    now(one.read_exact(&mut back)).unwrap();
    assert_eq!(&back, b"back");
}

#[test]
fn dropping_one_stream_ends_both_directions_of_the_other() {
    let (mut one, mut other) = duplex(8);
    now(other.write_all(b"kept")).unwrap();
    drop(other);
    let mut text = String::new();
    now(one.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "kept");
    assert_eq!(now(one.write(b"x")).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn whoever_waits_hears_that_the_other_end_is_gone() {
    let (reader, mut writer) = simplex(1);
    now(writer.write_all(b"x")).unwrap();
    let mut write = spawn(writer.write(b"y"));
    write.expect_pending();
    drop(reader);
    assert!(write.was_woken());
    assert_eq!(write.expect_ready().unwrap_err().kind(), ErrorKind::BrokenPipe);

    let (mut reader, writer) = simplex(1);
    let mut read = spawn(reader.read_u8());
    read.expect_pending();
    drop(writer);
    assert!(read.was_woken());
    assert_eq!(read.expect_ready().unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_call_that_is_given_up_moves_nothing_and_holds_no_waker_once_its_end_is_gone() {
    let (mut reader, mut writer) = simplex(1);
    let mut read = spawn(async {
        let byte = reader.read_u8().await;
        drop(reader);
        byte
    });
    read.expect_pending();
    assert_eq!(read.wakers_held(), 1);
    let wakes = read.into_wakes();
    assert_eq!(std::sync::Arc::strong_count(&wakes), 1, "the end is gone, and its waker with it");
    assert_eq!(now(writer.write(b"x")).unwrap_err().kind(), ErrorKind::BrokenPipe);

    let (mut reader, mut writer) = simplex(1);
    spawn(reader.read_u8()).expect_pending();
    now(writer.write_all(b"x")).unwrap();
    assert_eq!(now(reader.read_u8()).unwrap(), b'x');
}

#[test]
fn vectors_are_taken_as_one() {
    let (mut reader, mut writer) = simplex(6);
    let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde"), IoSlice::new(b"fgh")];
    assert_eq!(now(writer.write_vectored(&bufs)).unwrap(), 6);
    let mut small = [0; 4];
    now(reader.read_exact(&mut small)).unwrap();
    // The ring goes round its end here, and no buffer may get a hole from that.
    now(writer.write_all(b"ghij")).unwrap();
    let (mut a, mut b) = ([0; 3], [0; 8]);
    let n = now(reader.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)])).unwrap();
    assert_eq!((n, &a, &b[..3]), (6, b"efg", &b"hij"[..]));
}

#[test]
#[should_panic(expected = "without room")]
fn a_pipe_without_room_is_refused() {
    drop(duplex(0));
}
