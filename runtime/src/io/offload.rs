//! Calls that block, made by the blocking pool for a reader, a writer or a seeker: files, and the standard streams.
//!
//! One call is under way at a time, and whoever is at work on the [`Desk`] owns it: the caller between two calls, a
//! thread of the pool during one. What a call found stays on the desk until somebody asks, so a caller that gives up
//! loses nothing of it.

use crate::context;
use crate::coop;
use crate::sync::oneshot;
use crate::task::JoinHandle;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// An `io` that blocks, behind calls that do not.
#[derive(Debug)]
pub(crate) struct Offload<I> {
    place: DeskPlace<I>,
}

#[derive(Debug)]
enum DeskPlace<I> {
    Here(Box<Desk<I>>),
    Away(JoinHandle<Box<Desk<I>>>),
    /// The runtime ended before the call could begin, or the call panicked.
    Lost,
}

/// The `io`, and what the last calls left.
#[derive(Debug)]
struct Desk<I> {
    io: I,
    /// Bytes on their way: read and not fetched, or to be written.
    bytes: Vec<u8>,
    /// How many of them have been fetched.
    fetched: usize,
    /// How a read ended that nobody has asked about.
    read: Option<io::Result<usize>>,
    /// The first write or flush that failed, until somebody is told.
    write: Option<io::Error>,
    /// What was written has not been flushed.
    dirty: bool,
    /// Where a seek was to, and where it ended.
    sought: Option<(SeekFrom, io::Result<u64>)>,
}

/// How many bytes one call moves at most.
pub(crate) const CALL_BYTES_MAX: usize = 2 << 20;

impl<I: Send + 'static> Offload<I> {
    pub(crate) fn new(io: I) -> Offload<I> {
        let (bytes, fetched, read, write, dirty, sought) = (Vec::new(), 0, None, None, false, None);
        Offload { place: DeskPlace::Here(Box::new(Desk { io, bytes, fetched, read, write, dirty, sought })) }
    }

    /// Waits for the call that is under way, if one is.
    ///
    /// # Errors
    /// When the call was lost.
    pub(crate) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_desk(cx).map_ok(drop)
    }

    /// Does `call` after those before it.
    ///
    /// # Errors
    /// Those of `call`, and when a call was lost.
    pub(crate) async fn call<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut I) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        poll_fn(|cx| self.poll_settled(cx)).await?;
        let (answer, mut result) = oneshot::channel();
        // Who is not there any more is not told.
        self.begin(move |desk| drop(answer.send(call(&mut desk.io))));
        poll_fn(|cx| self.poll_settled(cx)).await?;
        result.try_recv().expect("the call has been made: the desk is back")
    }

    fn poll_desk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut Desk<I>>> {
        if let DeskPlace::Away(call) = &mut self.place {
            let returned = ready!(Pin::new(call).poll(cx));
            self.place = returned.map_or(DeskPlace::Lost, DeskPlace::Here);
        }
        Poll::Ready(match &mut self.place {
            DeskPlace::Here(desk) => Ok(desk),
            _ => {
                Err(io::Error::other("the runtime has ended, and this with it: no thread is left for calls that block"))
            }
        })
    }

    /// Sends the desk to the pool, where `call` is made even if the runtime ends meanwhile.
    fn begin(&mut self, call: impl FnOnce(&mut Desk<I>) + Send + 'static) {
        let DeskPlace::Here(mut desk) = std::mem::replace(&mut self.place, DeskPlace::Lost) else {
            unreachable!("a call begins when the last one has returned the desk")
        };
        let work = move || {
            call(&mut desk);
            desk
        };
        self.place = DeskPlace::Away(context::current().spawn_promised(work));
    }
}

impl<I: Read + Send + 'static> Offload<I> {
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            let desk = ready!(self.poll_desk(cx))?;
            let n = desk.fetch(buf);
            let ended = desk.read.take();
            if n > 0 || buf.is_empty() || ended.is_some() {
                progress.made();
                return Poll::Ready(if n > 0 { Ok(n) } else { ended.unwrap_or(Ok(0)) });
            }
            let len = buf.len().min(CALL_BYTES_MAX);
            self.begin(move |desk| desk.fill(len));
        }
    }
}

impl<I: Write + Send + 'static> Offload<I> {
    /// Takes of `bufs` what one call may move, and has it written. The bytes are taken when this is ready; that they
    /// could not be written is told by the next write or flush.
    ///
    /// `discard` is what is done about bytes that were read ahead.
    pub(crate) fn poll_write<'a>(
        &mut self,
        cx: &mut Context<'_>,
        bufs: impl Iterator<Item = &'a [u8]>,
        discard: fn(&mut I, usize) -> io::Result<()>,
    ) -> Poll<io::Result<usize>> {
        let progress = ready!(coop::poll_proceed(cx));
        let desk = ready!(self.poll_desk(cx))?;
        progress.made();
        if let Some(error) = desk.write.take() {
            return Poll::Ready(Err(error));
        }
        let ahead = desk.forget_position();
        for buf in bufs {
            let room = CALL_BYTES_MAX - desk.bytes.len();
            desk.bytes.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        let n = desk.bytes.len();
        if n > 0 {
            desk.dirty = true;
            self.begin(move |desk| desk.write = desk.write_out(ahead, discard).err());
        }
        Poll::Ready(Ok(n))
    }

    /// Waits until everything is written and flushed.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let desk = ready!(self.poll_desk(cx))?;
            if let Some(error) = desk.write.take() {
                return Poll::Ready(Err(error));
            }
            if !std::mem::take(&mut desk.dirty) {
                return Poll::Ready(Ok(()));
            }
            self.begin(|desk| desk.write = desk.io.flush().err());
        }
    }
}

impl<I: Seek + Send + 'static> Offload<I> {
    pub(crate) fn poll_seek(&mut self, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            let desk = ready!(self.poll_desk(cx))?;
            match desk.sought.take() {
                Some((asked, found)) if asked == to => {
                    progress.made();
                    return Poll::Ready(found);
                }
                // Of a seek that was given up.
                _ => {}
            }
            let ahead = desk.forget_position();
            self.begin(move |desk| desk.sought = Some((to, seek_past(&mut desk.io, to, ahead))));
        }
    }
}

impl<I> Desk<I> {
    /// Bytes that were read before.
    fn fetch(&mut self, buf: &mut [u8]) -> usize {
        let ahead = &self.bytes[self.fetched..];
        let n = ahead.len().min(buf.len());
        buf[..n].copy_from_slice(&ahead[..n]);
        self.fetched += n;
        n
    }

    /// What a change of position makes void; says how many bytes had been read ahead.
    fn forget_position(&mut self) -> usize {
        let ahead = self.bytes.len() - self.fetched;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.fetched = 0;
        self.read = None;
        self.sought = None;
        ahead
    }
}

/// How much room a desk keeps between two calls, unless the calls need more.
const KEPT_BYTES_MAX: usize = 64 << 10;

impl<I: Read> Desk<I> {
    fn fill(&mut self, len: usize) {
        self.fetched = 0;
        self.bytes.clear();
        self.bytes.shrink_to(len.max(KEPT_BYTES_MAX));
        self.bytes.resize(len, 0);
        self.sought = None;
        let read = retry(|| self.io.read(&mut self.bytes));
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        // Bytes are told by being there.
        self.read = if self.bytes.is_empty() { Some(read) } else { None };
    }
}

impl<I: Write> Desk<I> {
    fn write_out(&mut self, ahead: usize, discard: fn(&mut I, usize) -> io::Result<()>) -> io::Result<()> {
        let written = discard(&mut self.io, ahead).and_then(|()| self.io.write_all(&self.bytes));
        self.bytes.clear();
        written
    }
}

/// Seeks as if the `ahead` bytes had not been read.
fn seek_past<I: Seek>(io: &mut I, to: SeekFrom, ahead: usize) -> io::Result<u64> {
    let to = match to {
        SeekFrom::Current(by) => {
            let by = i64::try_from(ahead).ok().and_then(|ahead| by.checked_sub(ahead));
            SeekFrom::Current(by.ok_or(io::ErrorKind::InvalidInput)?)
        }
        to => to,
    };
    io.seek(to)
}

/// Goes back over what was read ahead, so that a write goes where the reader is.
pub(crate) fn seek_back<I: Seek>(io: &mut I, ahead: usize) -> io::Result<()> {
    if ahead == 0 { Ok(()) } else { seek_past(io, SeekFrom::Current(0), ahead).map(drop) }
}

fn retry<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
