//! What the tests of files share: a runtime, and a directory that goes away.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

/// On a runtime whose pool has one thread.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap().block_on(future)
}

/// Keeps the thread of the pool until the sender drops.
pub(crate) fn hold_pool() -> Sender<()> {
    let (release, released) = channel();
    drop(crate::spawn_blocking(move || released.recv()));
    release
}

pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        let unique = format!("wakeline-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
