//! Files and directories, by the blocking pool: no operating system tells when a file would not block.
//!
//! Every function is the one of [`std::fs`] with its name, on a thread of the pool, with its errors; so is every type. A
//! call costs two changes of threads: many small reads or writes belong into one, or into a `BufReader` or `BufWriter`.
//!
//! # Errors
//! Those of `std::fs`. All functions also fail, with `Other`, when the runtime ends before their turn in the pool.
//!
//! # Panics
//! All of it, outside a runtime.
//!
//! # Cancel safety
//! A call that has begun goes on to its end when its future is dropped, and so does one that is queued, unless the runtime
//! ends: what it changes is changed, and what it found is lost. [`File`] says what it keeps.
//!
//! # Examples
//! ```
//! # fn main() -> std::io::Result<()> {
//! # wakeline_runtime::Runtime::new()?.block_on(async {
//! use wakeline_runtime::fs;
//!
//! let dir = std::env::temp_dir().join(format!("wakeline-fs-{}", std::process::id()));
//! fs::create_dir_all(&dir).await?;
//! fs::write(dir.join("note"), b"text").await?;
//! assert_eq!(fs::read_to_string(dir.join("note")).await?, "text");
//! let mut entries = fs::read_dir(&dir).await?;
//! while let Some(entry) = entries.next_entry().await? {
//!     assert_eq!(entry.file_name(), "note");
//! }
//! fs::remove_dir_all(&dir).await
//! # })
//! # }
//! ```

mod calls;
mod dir;
mod file;
mod offload;
mod open_options;

#[cfg(unix)]
pub use calls::symlink;
pub use calls::{
    canonicalize, copy, create_dir, create_dir_all, hard_link, metadata, read, read_link, read_to_string, remove_dir,
    remove_dir_all, remove_file, rename, set_permissions, symlink_metadata, try_exists, write,
};
pub use dir::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use file::File;
pub use open_options::OpenOptions;

#[cfg(test)]
#[path = "tests/support.rs"]
#[allow(clippy::unwrap_used, reason = "a test that fails says where")]
pub(crate) mod test_support;
