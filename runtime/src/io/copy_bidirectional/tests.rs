//! Copying in both directions: counts, half-closing, errors, flushing.

use super::*;
use crate::io::{DuplexStream, duplex};
use crate::sync::test_support::{now, spawn};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io::ErrorKind;

/// Two pipes with a proxy's ends between them: a client's end, the proxy's two, a server's.
fn line() -> (DuplexStream, DuplexStream, DuplexStream, DuplexStream) {
    let (client, near) = duplex(16);
    let (far, server) = duplex(16);
    (client, near, far, server)
}

#[test]
fn an_end_is_passed_on_while_the_other_direction_goes_on() {
    let (mut client, mut near, mut far, mut server) = line();
    let mut proxy = spawn(copy_bidirectional(&mut near, &mut far));
    proxy.expect_pending();
    now(client.write_all(b"question")).unwrap();
    now(client.close()).unwrap();
    proxy.expect_pending();
    let mut question = String::new();
    now(server.read_to_string(&mut question)).unwrap();
    assert_eq!(question, "question");

    now(server.write_all(b"answer")).unwrap();
    proxy.expect_pending();
    let mut answer = [0; 6];
    now(client.read_exact(&mut answer)).unwrap();
    assert_eq!(&answer, b"answer");
    drop(server);
    assert_eq!(proxy.expect_ready().unwrap(), (8, 6));
    assert_eq!(now(client.read(&mut answer)).unwrap(), 0);
}

#[test]
fn a_reader_that_is_slow_holds_its_writer_up_and_nothing_is_lost() {
    let (mut client, mut near, mut far, mut server) = line();
    let sent: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    let expected = sent.clone();
    let proxied = futures_lite::future::block_on(async move {
        let write = async {
            client.write_all(&sent).await?;
            client.close().await
        };
        let read = async {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await?;
            server.close().await?;
            io::Result::Ok(all)
        };
        let ends = futures_lite::future::try_zip(write, read);
        futures_lite::future::try_zip(ends, copy_bidirectional_with_sizes(&mut near, &mut far, 7, 1)).await
    });
    let (((), all), counts) = proxied.unwrap();
    assert!(all == expected);
    assert_eq!(counts, (10_000, 0));
}

#[test]
fn the_first_error_ends_both_directions() {
    let (mut client, mut near, mut far, server) = line();
    drop(server);
    let mut proxy = spawn(copy_bidirectional(&mut near, &mut far));
    proxy.expect_pending();
    now(client.write_all(b"unread")).unwrap();
    assert_eq!(proxy.expect_ready().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// A stream that is never readable and counts what it is told to do.
#[derive(Default)]
struct Sink {
    taken: usize,
    flushed: usize,
    closed: usize,
    refuses: bool,
}

impl AsyncRead for Sink {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.closed > 0 { Poll::Ready(Ok(0)) } else { Poll::Pending }
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.refuses {
            return Poll::Ready(Ok(0));
        }
        self.taken += buf.len();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = self.taken;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed += 1;
        Poll::Ready(Ok(()))
    }
}

#[test]
fn what_is_written_is_flushed_when_the_reader_has_no_more_and_closed_once() {
    let (mut client, mut near) = duplex(16);
    let mut sink = Sink::default();
    {
        let mut proxy = spawn(copy_bidirectional(&mut near, &mut sink));
        now(client.write_all(b"interactive")).unwrap();
        proxy.expect_pending();
    }
    assert_eq!((sink.taken, sink.flushed, sink.closed), (11, 11, 0));
    drop(client);
    assert_eq!(now(copy_bidirectional(&mut near, &mut sink)).unwrap(), (0, 0));
    assert_eq!(sink.closed, 1);
}

#[test]
fn a_writer_that_takes_nothing_is_an_error() {
    let (mut client, mut near) = duplex(16);
    now(client.write_all(b"x")).unwrap();
    let mut sink = Sink { refuses: true, ..Sink::default() };
    assert_eq!(now(copy_bidirectional(&mut near, &mut sink)).unwrap_err().kind(), ErrorKind::WriteZero);
}
