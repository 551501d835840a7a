//! Unix sockets: names, ends, credentials, conversions.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt, StreamExt};
use std::future::Future;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use wakeline_runtime::wait_queue::Events;

fn run<F: Future>(future: F) -> F::Output {
    wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A path in no directory, gone when the test ends.
struct TempPath(PathBuf);

impl TempPath {
    fn new() -> TempPath {
        TempPath(std::env::temp_dir().join(format!("wakeline-{}-{:x}.sock", std::process::id(), fastrand::u32(..))))
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_listener_on_a_path_accepts_and_both_ends_know_it() {
    run(async {
        let path = TempPath::new();
        assert_eq!(UnixStream::connect(&path.0).await.unwrap_err().kind(), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path.0).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path.0));
        assert_eq!(UnixListener::bind(&path.0).unwrap_err().kind(), ErrorKind::AddrInUse);
        let mut client = UnixStream::connect(&path.0).await.unwrap();
        let (mut server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path.0));
        client.write_vectored(&[IoSlice::new(b"ques"), IoSlice::new(b"tion")]).await.unwrap();
        client.close().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        assert!(client.take_error().unwrap().is_none() && listener.take_error().unwrap().is_none());
        drop(listener);
        assert_eq!(UnixStream::connect(&path.0).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let long = "x".repeat(200);
        assert_eq!(UnixListener::bind(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn connections_are_a_stream_and_a_dropped_accept_loses_none() {
    run(async {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path.0).unwrap();
        {
            let mut accept = std::pin::pin!(listener.accept());
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(accept.as_mut().poll(&mut cx).is_pending());
        }
        let mut client = UnixStream::connect(&path.0).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut stream = listener.incoming().next().await.unwrap().unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_are_in_no_file_system() {
    run(async {
        let name = format!("\0wakeline-{}-{:x}", std::process::id(), fastrand::u32(..));
        let listener = UnixListener::bind(&name).unwrap();
        let _client = UnixStream::connect(&name).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let cred = stream.peer_cred().unwrap();
        assert_eq!(cred.pid(), Some(std::process::id() as i32));
        let own = std::fs::metadata("/proc/self").unwrap();
        assert_eq!((cred.uid(), cred.gid()), (own.uid(), own.gid()));
        drop(listener);
        assert_eq!(UnixStream::connect(&name).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);

        let name = name + "-datagrams";
        let receiver = UnixDatagram::bind(&name).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"one", &name).await.unwrap();
        sender.connect(&name).unwrap();
        sender.send(b"two").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(receiver.recv(&mut buf).await.unwrap(), 3);
        let (n, from) = receiver.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..n], from.is_unnamed()), (&b"two"[..], true));
    });
}

#[test]
fn a_full_socket_makes_its_writer_wait_and_try_tells() {
    run(async {
        let (one, mut other) = UnixStream::pair().unwrap();
        assert_eq!(other.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let chunk = [7; 4096];
        let mut sent = 0;
        let full = loop {
            match one.try_write(&chunk) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let writer = wakeline_runtime::spawn(async move {
            one.writable().await.unwrap();
            one.try_write_vectored(&[IoSlice::new(b"la"), IoSlice::new(b"st")]).unwrap()
        });
        let mut all = Vec::new();
        other.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), sent + writer.await.unwrap());
        assert!(other.ready(Events::READABLE).await.unwrap().intersects(Events::RDHUP));
    });
}

#[test]
fn owned_halves_close_their_direction_and_come_together_again() {
    run(async {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut read, mut write) = one.into_split();
        let (far_read, mut far_write) = other.into_split();
        far_write.write_all(b"ping").await.unwrap();
        drop(far_write);
        let mut text = String::new();
        read.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "ping");
        write.write_all(b"pong").await.unwrap();
        let mismatched = far_read.reunite(write).unwrap_err();
        assert!(mismatched.to_string().contains("not of the same stream"));
        let mut one = read.reunite(mismatched.1).unwrap();
        let (mut read, mut write) = one.split();
        write.close().await.unwrap();
        assert_eq!(read.read(&mut [0; 4]).await.unwrap(), 0);
        let mut far_read = mismatched.0;
        let mut text = String::new();
        far_read.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "pong");
    });
}

#[test]
fn datagrams_keep_their_boundaries() {
    run(async {
        let path = TempPath::new();
        let receiver = UnixDatagram::bind(&path.0).unwrap();
        let (one, other) = UnixDatagram::pair().unwrap();
        assert_eq!(one.try_recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.send(b"a").await.unwrap();
        other.send(b"").await.unwrap();
        other.send(b"longer").await.unwrap();
        one.readable().await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(one.try_recv(&mut buf).unwrap(), 1);
        assert_eq!(one.try_recv_from(&mut buf).unwrap().0, 0);
        assert_eq!(one.recv(&mut buf).await.unwrap(), 4, "cut");
        receiver.writable().await.unwrap();
        assert_eq!(receiver.try_send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        one.writable().await.unwrap();
        // It is connected to its pair, and may all the same not name another.
        assert!(one.try_send_to(b"x", "/nowhere/to/be.found").is_err());
        drop(other);
        one.writable().await.unwrap();
        assert_eq!(one.send(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let socket = UnixDatagram::unbound().unwrap();
        assert_eq!(socket.send_to(b"x", "/nowhere/to/be.found").await.unwrap_err().kind(), ErrorKind::NotFound);
        socket.send_to(b"here", &path.0).await.unwrap();
        assert_eq!(receiver.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(receiver.local_addr().unwrap().as_pathname(), Some(&*path.0));
        assert_eq!(socket.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn sockets_go_to_the_standard_library_and_back() {
    run(async {
        let (one, other) = UnixStream::pair().unwrap();
        let number = one.as_raw_fd();
        let mut std = one.into_std().unwrap();
        assert_eq!(std.as_raw_fd(), number);
        std.write_all(b"x").unwrap();
        let mut byte = [0];
        let n = other.async_io(Events::READABLE, || (&other_std(&other)).read(&mut byte)).await.unwrap();
        assert_eq!((n, byte), (1, *b"x"));
        let one = UnixStream::from_std(std).unwrap();
        one.shutdown(Shutdown::Both).unwrap();
        assert_eq!(other.try_io(Events::READABLE, || Ok(7)).unwrap_or(7), 7);

        let path = TempPath::new();
        let std = std::os::unix::net::UnixListener::bind(&path.0).unwrap();
        std.set_nonblocking(true).unwrap();
        let listener = UnixListener::from_std(std).unwrap();
        let _client = UnixStream::connect(&path.0).await.unwrap();
        listener.accept().await.unwrap();
        listener.into_std().unwrap().local_addr().unwrap();
        let (one, _) = UnixDatagram::pair().unwrap();
        let one = UnixDatagram::from_std(one.into_std().unwrap()).unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        assert!(one.take_error().unwrap().is_none());
    });
}

/// The same socket, for calls that wakeline has no name for.
fn other_std(stream: &UnixStream) -> std::os::unix::net::UnixStream {
    use std::os::fd::AsFd;
    stream.as_fd().try_clone_to_owned().unwrap().into()
}

#[cfg(target_os = "linux")]
#[test]
fn a_datagram_that_was_looked_at_is_still_there() {
    run(async {
        let (one, other) = UnixDatagram::pair().unwrap();
        let mut buf = [0; 8];
        assert_eq!(other.try_peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        one.send(b"text").await.unwrap();
        assert_eq!(other.peek(&mut buf).await.unwrap(), 4);
        assert_eq!(other.peek(&mut buf[..2]).await.unwrap(), 2);
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"text");
        assert_eq!(other.try_peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}
