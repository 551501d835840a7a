//! The functions of `std::fs`.

use super::offload::offload;
use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

/// The absolute path, without links, `.` and `..`; see [`std::fs::canonicalize`].
///
/// # Errors
/// `NotFound`, `NotADirectory`, `PermissionDenied` and the others of `realpath(3)`.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::canonicalize(path)).await
}

/// Copies a file with its permissions over another; gives how many bytes. See [`std::fs::copy`].
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `InvalidInput` when `from` is no file, and the others of reading and writing.
///
/// # Cancel safety
/// The copying goes on when the future is dropped.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    offload(move || std::fs::copy(from, to)).await
}

/// Makes a directory; see [`std::fs::create_dir`].
///
/// # Errors
/// `AlreadyExists`, `NotFound` when a parent is missing, and the others of `mkdir(2)`.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::create_dir(path)).await
}

/// Makes a directory and the parents it lacks; see [`std::fs::create_dir_all`].
///
/// # Errors
/// Those of `mkdir(2)`, but not `AlreadyExists` for a directory.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::create_dir_all(path)).await
}

/// Makes another name for a file; see [`std::fs::hard_link`].
///
/// # Errors
/// Those of `link(2)`.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    offload(move || std::fs::hard_link(original, link)).await
}

/// What the file system knows of what `path` leads to, through links; see [`std::fs::metadata`].
///
/// # Errors
/// Those of `stat(2)`.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::metadata(path)).await
}

/// All bytes of a file; see [`std::fs::read`].
///
/// # Errors
/// Those of `open(2)` and `read(2)`.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::read(path)).await
}

/// Where a symbolic link leads; see [`std::fs::read_link`].
///
/// # Errors
/// Those of `readlink(2)`: `InvalidInput` when it is none.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::read_link(path)).await
}

/// The text of a file; see [`std::fs::read_to_string`].
///
/// # Errors
/// Those of [`read`]; `InvalidData` when it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::read_to_string(path)).await
}

/// Removes an empty directory; see [`std::fs::remove_dir`].
///
/// # Errors
/// Those of `rmdir(2)`: `DirectoryNotEmpty`, ..
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::remove_dir(path)).await
}

/// Removes a directory with all that is in it, and follows no link; see [`std::fs::remove_dir_all`].
///
/// # Errors
/// Those of `rmdir(2)` and `unlink(2)`, at the first of which it stops.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::remove_dir_all(path)).await
}

/// Removes a file; see [`std::fs::remove_file`].
///
/// # Errors
/// Those of `unlink(2)`.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::remove_file(path)).await
}

/// Gives a file or directory another name, in place of what has it; see [`std::fs::rename`].
///
/// # Errors
/// Those of `rename(2)`: `CrossesDevices`, ..
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    offload(move || std::fs::rename(from, to)).await
}

/// Sets who may do what with a file; see [`std::fs::set_permissions`].
///
/// # Errors
/// Those of `chmod(2)`.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::set_permissions(path, permissions)).await
}

/// Makes a symbolic link; see [`std::os::unix::fs::symlink`].
///
/// # Errors
/// Those of `symlink(2)`.
#[cfg(unix)]
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    offload(move || std::os::unix::fs::symlink(original, link)).await
}

/// What the file system knows of `path` itself, which may be a link; see [`std::fs::symlink_metadata`].
///
/// # Errors
/// Those of `lstat(2)`.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::symlink_metadata(path)).await
}

/// Whether there is something at `path`; see [`std::fs::exists`].
///
/// # Errors
/// Those of `stat(2)` that leave it open, such as `PermissionDenied`.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::exists(path)).await
}

/// Makes a file of these bytes, in place of what is there; see [`std::fs::write`].
///
/// # Errors
/// Those of `open(2)` and `write(2)`.
///
/// # Cancel safety
/// The writing goes on when the future is dropped. When the runtime ends before it has begun, nothing is written.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    offload(move || std::fs::write(path, contents)).await
}

#[cfg(test)]
mod tests;
