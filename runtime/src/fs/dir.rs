//! Directories: what is in them, and their making.

use super::offload::offload;
use crate::context;
use crate::task::JoinHandle;
use futures_core::Stream;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What is in a directory, in no order; see [`std::fs::read_dir`].
///
/// # Errors
/// Those of `opendir(3)`: `NotFound`, `NotADirectory`, `PermissionDenied`, ..
///
/// # Cancel safety
/// Yes: reading takes nothing away.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let (std, read) = offload(move || {
        let mut std = std::fs::read_dir(path)?;
        let read = Chunk::read(&mut std);
        Ok((std, read))
    })
    .await?;
    Ok(ReadDir { std: Place::Here(std), chunk: read })
}

/// The entries of a directory, read 32 at a time. Also a [`Stream`], which ends with the directory.
///
/// # Cancel safety
/// A call that is dropped goes on, and what it finds is kept for the next.
#[derive(Debug)]
pub struct ReadDir {
    std: Place,
    chunk: Chunk,
}

#[derive(Debug)]
enum Place {
    Here(std::fs::ReadDir),
    Away(JoinHandle<(std::fs::ReadDir, Chunk)>),
    Lost,
}

/// Entries that were read and not given out.
#[derive(Debug)]
struct Chunk {
    entries: VecDeque<io::Result<DirEntry>>,
    more: bool,
}

const CHUNK_ENTRIES: usize = 32;

impl Chunk {
    fn read(std: &mut std::fs::ReadDir) -> Chunk {
        let mut chunk = Chunk { entries: VecDeque::with_capacity(CHUNK_ENTRIES), more: true };
        while chunk.more && chunk.entries.len() < CHUNK_ENTRIES {
            let Some(entry) = std.next() else {
                chunk.more = false;
                break;
            };
            // The directory may be read on after an error, but who would?
            chunk.more = entry.is_ok();
            chunk.entries.push_back(entry.map(DirEntry::new));
        }
        chunk
    }
}

impl ReadDir {
    /// The next entry; `None` when there is no other.
    ///
    /// # Errors
    /// Those of `readdir(3)`, after which there is no other.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// As [`next_entry`](ReadDir::next_entry), for who polls.
    ///
    /// # Errors
    /// As [`next_entry`](ReadDir::next_entry).
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            if let Some(entry) = self.chunk.entries.pop_front() {
                return Poll::Ready(entry.map(Some));
            }
            if !self.chunk.more {
                return Poll::Ready(Ok(None));
            }
            self.std = match std::mem::replace(&mut self.std, Place::Lost) {
                Place::Here(mut std) => Place::Away(context::current().spawn_blocking(move || {
                    let chunk = Chunk::read(&mut std);
                    (std, chunk)
                })),
                Place::Away(mut call) => match Pin::new(&mut call).poll(cx) {
                    Poll::Ready(Ok((std, chunk))) => {
                        self.chunk = chunk;
                        Place::Here(std)
                    }
                    Poll::Ready(Err(_)) => Place::Lost,
                    Poll::Pending => {
                        self.std = Place::Away(call);
                        return Poll::Pending;
                    }
                },
                Place::Lost => {
                    self.chunk.more = false;
                    return Poll::Ready(Err(io::Error::other("the runtime has ended: the directory is not read on")));
                }
            };
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let entry = ready!(self.get_mut().poll_next_entry(cx));
        Poll::Ready(entry.transpose())
    }
}

/// One entry of a directory; see [`std::fs::DirEntry`].
#[derive(Clone, Debug)]
pub struct DirEntry {
    std: Arc<std::fs::DirEntry>,
}

impl DirEntry {
    fn new(std: std::fs::DirEntry) -> DirEntry {
        DirEntry { std: Arc::new(std) }
    }

    /// The path that was given to [`read_dir`], and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// The name, without a directory.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// What the file system knows of it; a link is not followed.
    ///
    /// # Errors
    /// Those of `lstat(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let std = self.std.clone();
        offload(move || std.metadata()).await
    }

    /// Whether it is a file, a directory, a link, ..
    ///
    /// # Errors
    /// Those of `lstat(2)`, where the directory does not say it.
    pub async fn file_type(&self) -> io::Result<FileType> {
        let std = self.std.clone();
        offload(move || std.file_type()).await
    }

    /// The number of its inode.
    #[cfg(unix)]
    #[must_use]
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&*self.std)
    }
}

/// Makes directories, with options; see [`std::fs::DirBuilder`].
#[derive(Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
    #[cfg(unix)]
    mode: Option<u32>,
}

impl DirBuilder {
    /// Makes one directory, whose parents must exist.
    #[must_use]
    pub fn new() -> DirBuilder {
        DirBuilder::default()
    }

    /// Whether parents are made too, and a directory that exists is no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// Who may do what with it, within the process's umask; 0o777 if nothing is said.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = Some(mode);
        self
    }

    /// Makes the directory.
    ///
    /// # Errors
    /// Those of `mkdir(2)`.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref().to_owned();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        #[cfg(unix)]
        if let Some(mode) = self.mode {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
        }
        offload(move || builder.create(path)).await
    }
}

#[cfg(test)]
mod tests;
