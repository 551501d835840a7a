//! The parent's ends of a child's standard streams.

use crate::io::Source;
use crate::io::ecosystem::{reader, writer};
use crate::wait_queue::{Events, WaitSlot};
use futures_io::{AsyncRead, AsyncWrite};
use mio::unix::pipe::{Receiver, Sender};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

/// What a child reads as its standard input. Closing it, as dropping it, is the end of the child's input.
///
/// # Errors
/// `BrokenPipe` when the child reads no more, or it was closed.
///
/// # Cancel safety
/// A write that is dropped before it is ready has given nothing.
#[derive(Debug)]
pub struct ChildStdin {
    /// `None` when it was closed.
    pipe: Option<Source<Sender>>,
    slot: WaitSlot,
}

impl ChildStdin {
    /// Takes over std's.
    ///
    /// # Errors
    /// When it can not be registered with the reactor.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn from_std(std: std::process::ChildStdin) -> io::Result<ChildStdin> {
        let pipe = Sender::from(std);
        pipe.set_nonblocking(true)?;
        Ok(ChildStdin { pipe: Some(Source::new(pipe, Events::WRITABLE)?), slot: WaitSlot::new() })
    }

    /// Gives the descriptor up, in blocking mode, as the standard output of another child for example.
    ///
    /// # Errors
    /// `BrokenPipe` when it was closed; when the reactor does not know it.
    pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
        let pipe = self.pipe.ok_or(io::ErrorKind::BrokenPipe)?.into_inner()?;
        pipe.set_nonblocking(false)?;
        Ok(pipe.into())
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut &Sender) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Some(pipe) = &self.pipe else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        pipe.poll_io(cx, &mut self.slot, Events::WRITABLE, |mut pipe| retry(|| write(&mut pipe)))
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |pipe| pipe.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |pipe| pipe.write_vectored(bufs))
    }

    /// Nothing is buffered above the kernel.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().pipe = None;
        Poll::Ready(Ok(()))
    }
}

macro_rules! output {
    ($(#[$doc:meta])* $name:ident, $std:ty) => {
        $(#[$doc])*
        ///
        /// # Cancel safety
        /// A read that is dropped before it is ready has taken nothing.
        #[derive(Debug)]
        pub struct $name {
            pipe: Source<Receiver>,
            slot: WaitSlot,
        }

        impl $name {
            /// Takes over std's.
            ///
            /// # Errors
            /// When it can not be registered with the reactor.
            ///
            /// # Panics
            /// Outside a runtime, or in one that was built without `enable_io`.
            #[track_caller]
            pub fn from_std(std: $std) -> io::Result<$name> {
                let pipe = Receiver::from(std);
                pipe.set_nonblocking(true)?;
                Ok($name { pipe: Source::new(pipe, Events::READABLE)?, slot: WaitSlot::new() })
            }

            /// Gives the descriptor up, in blocking mode, as the standard input of another child for example.
            ///
            /// # Errors
            /// When the reactor does not know it.
            pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                let pipe = self.pipe.into_inner()?;
                pipe.set_nonblocking(false)?;
                Ok(pipe.into())
            }
        }

        impl AsyncRead for $name {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                let this = self.get_mut();
                this.pipe.poll_io(cx, &mut this.slot, Events::READABLE, |mut pipe| retry(|| pipe.read(buf)))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let this = self.get_mut();
                this.pipe.poll_io(cx, &mut this.slot, Events::READABLE, |mut pipe| retry(|| pipe.read_vectored(bufs)))
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.pipe.get_ref().as_raw_fd()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.get_ref().as_fd()
            }
        }

        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            fn try_from(pipe: $name) -> io::Result<Stdio> {
                pipe.into_owned_fd().map(Stdio::from)
            }
        }
    };
}

output! {
    /// What a child writes to its standard output.
    ChildStdout, std::process::ChildStdout
}

output! {
    /// What a child writes to its standard error.
    ChildStderr, std::process::ChildStderr
}

impl TryFrom<ChildStdin> for Stdio {
    type Error = io::Error;

    fn try_from(pipe: ChildStdin) -> io::Result<Stdio> {
        pipe.into_owned_fd().map(Stdio::from)
    }
}

reader!(ChildStdout, ChildStderr);
writer!(ChildStdin);

/// An operation that was interrupted by a signal before it did anything is done again.
fn retry<R>(mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match op() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
