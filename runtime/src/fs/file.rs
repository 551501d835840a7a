//! An open file.

use super::open_options::OpenOptions;
use crate::io::ecosystem::{reader, writer};
use crate::io::offload::{Offload, seek_back};
use crate::sync::Mutex;
use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use std::fs::{Metadata, Permissions};
use std::future::poll_fn;
use std::io::{self, IoSlice, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An open file, which the blocking pool reads and writes.
///
/// A write is ready when its bytes are taken, before they are written. The next operation waits for it, and the next write
/// or flush tells whether it failed: **flush before the file is dropped**, or the failure is lost. Bytes that were
/// taken are written even if the file is dropped or the runtime ends, unless it is ended without waiting
/// (`shutdown_background`); the file is closed when that is done. One call moves at most 2 MiB.
///
/// # Cancel safety
/// A read that is dropped goes on, and what it reads is kept for the next read; a write or a seek in between counts from
/// where the last read ended that was not dropped. A write that is dropped before it is ready has taken nothing. A seek that is dropped may have
/// taken place. The other methods go on to their end.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use futures_lite::AsyncWriteExt;
/// use wakeline_runtime::fs::File;
///
/// let mut file = File::create("answer.txt").await?;
/// file.write_all(b"42\n").await?;
/// file.flush().await?; // .. it is in the kernel
/// file.sync_all().await?; // .. it is on the disk
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct File {
    std: Arc<std::fs::File>,
    /// Async methods that only borrow the file wait here for each other; who polls has it exclusively.
    calls: Mutex<Offload<Arc<std::fs::File>>>,
    /// Where tokio's `start_seek` was told to go.
    #[cfg(feature = "tokio")]
    seeks_to: Option<SeekFrom>,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// Those of `open(2)`: `NotFound`, `PermissionDenied`, ..
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing, empty; makes it if it is not there.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Makes a file that must not be there, for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists`, and the others of `open(2)`.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// As [`OpenOptions::new`].
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of the standard library.
    #[must_use]
    pub fn from_std(std: std::fs::File) -> File {
        let std = Arc::new(std);
        File {
            calls: Mutex::new(Offload::new(std.clone())),
            std,
            #[cfg(feature = "tokio")]
            seeks_to: None,
        }
    }

    /// Waits for the operation that is under way, and gives the file to the standard library. What was read ahead is dropped,
    /// and so is the failure of a write that was not flushed.
    ///
    /// # Cancel safety
    /// No: the file is closed when the future is dropped.
    pub async fn into_std(self) -> std::fs::File {
        let File { std, calls, .. } = self;
        let mut calls = calls.into_inner();
        // The file comes back with the call, or is lost with it.
        let _ = poll_fn(|cx| calls.poll_settled(cx)).await;
        drop(calls);
        Arc::into_inner(std).expect("whoever calls has it from the desk, and that is gone")
    }

    /// Waits until what was written is on the disk, with its metadata (`fsync(2)`).
    ///
    /// # Errors
    /// Those of writing what was taken, and of `fsync(2)`.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.call(|std| std.sync_all()).await
    }

    /// Waits until what was written is on the disk (`fdatasync(2)`).
    ///
    /// # Errors
    /// Those of writing what was taken, and of `fdatasync(2)`.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.call(|std| std.sync_data()).await
    }

    /// Cuts the file, or makes it longer by zeros. The position stays.
    ///
    /// # Errors
    /// Those of writing what was taken, and of `ftruncate(2)`.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(move |std| std.set_len(len)).await
    }

    /// What the file system knows of the file.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.calls.lock().await.call(|std| std.metadata()).await
    }

    /// Sets who may do what with the file.
    ///
    /// # Errors
    /// Those of `fchmod(2)`.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.calls.lock().await.call(move |std| std.set_permissions(permissions)).await
    }

    /// Another handle for the same open file: they have one position.
    ///
    /// # Errors
    /// Those of `dup(2)`, and of writing what was taken.
    pub async fn try_clone(&self) -> io::Result<File> {
        self.call(|std| std.try_clone()).await.map(File::from_std)
    }

    /// Does `call` when all that was taken is written.
    async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&std::fs::File) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let mut calls = self.calls.lock().await;
        poll_fn(|cx| calls.poll_flush(cx)).await?;
        calls.call(|std| call(std)).await
    }
}

impl AsyncRead for File {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().calls.get_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for File {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().calls.get_mut().poll_write(cx, std::iter::once(buf), seek_back)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().calls.get_mut().poll_write(cx, bufs.iter().map(|buf| &buf[..]), seek_back)
    }

    /// Waits until what was taken is written to the kernel.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().calls.get_mut().poll_flush(cx)
    }

    /// Flushes. The file is closed when it is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(self: Pin<&mut Self>, cx: &mut Context<'_>, pos: SeekFrom) -> Poll<io::Result<u64>> {
        self.get_mut().calls.get_mut().poll_seek(cx, pos)
    }
}

impl From<std::fs::File> for File {
    fn from(std: std::fs::File) -> File {
        File::from_std(std)
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for File {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.std.as_raw_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for File {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.std.as_fd()
    }
}

#[cfg(unix)]
impl From<std::os::fd::OwnedFd> for File {
    fn from(fd: std::os::fd::OwnedFd) -> File {
        File::from_std(fd.into())
    }
}

reader!(File);
writer!(File);

#[cfg(feature = "tokio")]
impl crate::io::ecosystem::tokio::AsyncSeek for File {
    fn start_seek(self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        self.get_mut().seeks_to = Some(position);
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let this = self.get_mut();
        let Some(position) = this.seeks_to else { return Poll::Ready(Ok(0)) };
        let found = std::task::ready!(this.calls.get_mut().poll_seek(cx, position));
        this.seeks_to = None;
        Poll::Ready(found)
    }
}

#[cfg(test)]
mod tests;
