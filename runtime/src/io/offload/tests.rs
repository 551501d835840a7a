//! Calls on the pool, with an `io` that counts what is done to it and does it when it is let.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::sync::test_support::spawn;
use std::future::poll_fn;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A file of the tests: each call waits for one permission.
struct Slow {
    file: Bytes,
    permissions: Receiver<io::Result<()>>,
}

type Permit = Sender<io::Result<()>>;
type Bytes = Arc<Mutex<io::Cursor<Vec<u8>>>>;

fn slow(text: &[u8]) -> (Offload<Slow>, Permit, Bytes) {
    let (permit, permissions) = channel();
    let file = Arc::new(Mutex::new(io::Cursor::new(text.to_vec())));
    (Offload::new(Slow { file: file.clone(), permissions }), permit, file)
}

impl Slow {
    fn wait(&self) -> io::Result<()> {
        self.permissions.recv().unwrap_or(Ok(()))
    }
}

impl Read for Slow {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.file.lock().unwrap().read(buf)
    }
}

impl Write for Slow {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.wait()?;
        self.file.lock().unwrap().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait()
    }
}

impl Seek for Slow {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.lock().unwrap().seek(to)
    }
}

async fn read(io: &mut Offload<Slow>, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let n = poll_fn(|cx| io.poll_read(cx, &mut buf)).await?;
    buf.truncate(n);
    Ok(buf)
}

async fn write(io: &mut Offload<Slow>, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| io.poll_write(cx, std::iter::once(bytes), seek_back)).await
}

async fn flush(io: &mut Offload<Slow>) -> io::Result<()> {
    poll_fn(|cx| io.poll_flush(cx)).await
}

async fn seek(io: &mut Offload<Slow>, to: SeekFrom) -> io::Result<u64> {
    poll_fn(|cx| io.poll_seek(cx, to)).await
}

#[test]
fn a_read_that_is_given_up_keeps_what_it_reads() {
    run(async {
        let (mut io, permit, _) = slow(b"abcdef");
        assert!(spawn(read(&mut io, 4)).poll().is_pending());
        permit.send(Ok(())).unwrap();
        assert_eq!(read(&mut io, 2).await.unwrap(), b"ab");
        assert_eq!(read(&mut io, 9).await.unwrap(), b"cd");
        drop(permit);
        assert_eq!(read(&mut io, 9).await.unwrap(), b"ef");
        assert_eq!(read(&mut io, 9).await.unwrap(), b"");
    });
}

#[test]
fn a_write_goes_where_the_reader_is_not_where_the_call_was() {
    run(async {
        let (mut io, permit, file) = slow(b"abcdef");
        assert!(spawn(read(&mut io, 4)).poll().is_pending());
        permit.send(Ok(())).unwrap();
        assert_eq!(read(&mut io, 1).await.unwrap(), b"a");
        assert_eq!(seek(&mut io, SeekFrom::Current(0)).await.unwrap(), 1);
        permit.send(Ok(())).unwrap();
        assert_eq!(read(&mut io, 3).await.unwrap(), b"bcd");
        assert_eq!(seek(&mut io, SeekFrom::Start(1)).await.unwrap(), 1);
        assert!(spawn(read(&mut io, 3)).poll().is_pending());
        drop(permit);
        assert_eq!(write(&mut io, b"XY").await.unwrap(), 2);
        flush(&mut io).await.unwrap();
        assert_eq!(file.lock().unwrap().get_ref(), b"aXYdef");
    });
}

#[test]
fn a_write_is_ready_before_it_is_done_and_its_failure_is_told_next() {
    run(async {
        let (mut io, permit, file) = slow(b"");
        assert_eq!(write(&mut io, b"one").await.unwrap(), 3);
        assert_eq!(file.lock().unwrap().get_ref(), b"");
        permit.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        assert_eq!(write(&mut io, b"two").await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(write(&mut io, b"two").await.unwrap(), 3);
        permit.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        assert_eq!(flush(&mut io).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(permit);
        flush(&mut io).await.unwrap();
        assert_eq!(file.lock().unwrap().get_ref(), b"");
    });
}

#[test]
fn one_call_moves_so_much_at_most() {
    run(async {
        let (mut io, permit, file) = slow(b"");
        drop(permit);
        let much = vec![7; CALL_BYTES_MAX + 5];
        assert_eq!(write(&mut io, &much).await.unwrap(), CALL_BYTES_MAX);
        let two = [&much[..CALL_BYTES_MAX - 1], b"xyz"];
        let n = poll_fn(|cx| io.poll_write(cx, two.iter().copied(), seek_back)).await.unwrap();
        assert_eq!(n, CALL_BYTES_MAX);
        flush(&mut io).await.unwrap();
        assert_eq!(file.lock().unwrap().get_ref().len(), 2 * CALL_BYTES_MAX);
        assert_eq!(file.lock().unwrap().get_ref().last(), Some(&b'x'));
    });
}

#[test]
fn what_was_taken_is_written_though_the_runtime_ends() {
    let (mut io, permit, file) = slow(b"");
    let runtime = crate::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (release, blocked) = channel::<()>();
    let busy = runtime.spawn_blocking(move || blocked.recv());
    // It stands in the queue behind the closure that blocks the only thread.
    runtime.block_on(write(&mut io, b"kept")).unwrap();
    let cancelled = runtime.spawn_blocking(|| unreachable!("the runtime ends before"));
    drop(permit);
    let end = std::thread::spawn(move || drop(runtime));
    assert!(futures_lite::future::block_on(cancelled).unwrap_err().is_cancelled());
    drop(release);
    end.join().unwrap();
    assert!(busy.is_finished());
    assert_eq!(file.lock().unwrap().get_ref(), b"kept");
    let error = futures_lite::future::block_on(poll_fn(|cx| io.poll_settled(cx)));
    error.unwrap();
}

#[test]
fn a_call_that_panics_is_an_error_from_then_on() {
    struct Bomb;
    impl Read for Bomb {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("in a read")
        }
    }
    run(async {
        let mut io = Offload::new(Bomb);
        let mut buf = [0; 4];
        for _ in 0..2 {
            let error = poll_fn(|cx| io.poll_read(cx, &mut buf)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Other);
        }
    });
}
