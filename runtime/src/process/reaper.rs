//! Fetching the end of a child, by whoever waits for it or after all have gone.

use crate::atomic::Mutex;
use crate::io::AsyncFd;
use crate::signal::{Signal, SignalKind, signal};
use crate::wait_queue::Events;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};

/// A child whose end has not been fetched, and how one hears of it.
#[derive(Debug)]
pub(super) struct Reaper {
    /// `None` only when its end was fetched.
    child: Option<Child>,
    news: News,
}

/// What tells that it is worth looking for the end of a child.
#[derive(Debug)]
pub(super) enum News {
    /// A descriptor of the process, readable when it has ended.
    Pidfd(AsyncFd<OwnedFd>),
    /// Some child has ended.
    Sigchld(Signal),
}

impl News {
    /// The best there is for the process `id`, which must not have been waited for.
    ///
    /// # Errors
    /// That no descriptor is left.
    pub(super) fn of(id: u32) -> io::Result<News> {
        match pidfd(id)? {
            Some(fd) => Ok(News::Pidfd(AsyncFd::with_interest(fd, Events::READABLE)?)),
            None => News::of_any(),
        }
    }

    /// What there is everywhere.
    pub(super) fn of_any() -> io::Result<News> {
        signal(SignalKind::child()).map(News::Sigchld)
    }
}

/// A descriptor of a process; `None` where there are none.
#[cfg(target_os = "linux")]
fn pidfd(id: u32) -> io::Result<Option<OwnedFd>> {
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(fd) => Ok(Some(fd)),
        // Before Linux 5.3, before 5.10, and in sandboxes.
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn pidfd(_: u32) -> io::Result<Option<OwnedFd>> {
    Ok(None)
}

impl Reaper {
    /// # Errors
    /// As [`News::of`]; the child is killed then, because nobody could wait for it.
    pub(super) fn new(mut child: Child, news: impl FnOnce(u32) -> io::Result<News>) -> io::Result<Reaper> {
        match news(child.id()) {
            Ok(news) => Ok(Reaper { child: Some(child), news }),
            Err(error) => {
                // It fails when the child has ended by itself.
                let _ = child.kill();
                leave(child);
                Err(error)
            }
        }
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is taken when its end was fetched, and nobody asks after that")
    }

    pub(super) fn id(&mut self) -> u32 {
        self.child().id()
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child().kill()
    }

    /// Looks for the end without waiting.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let ended = self.child().try_wait()?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended)
    }

    /// Waits for the end; dropped before it is ready it has fetched nothing.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            match &mut self.news {
                // What is readable once stays so.
                News::Pidfd(fd) => fd.readable().await?.retain_ready(),
                News::Sigchld(signal) => {
                    let gone = || io::Error::other("the runtime is shutting down: no child can be waited for");
                    signal.recv().await.ok_or_else(gone)?;
                }
            }
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            leave(child);
        }
    }
}

/// Children whose runtime is gone; as many as the system lets live.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Keeps a child that nobody waits for.
fn leave(mut child: Child) {
    if matches!(child.try_wait(), Ok(None)) {
        LEFT.lock().push(child);
    }
}

/// Fetches the ends of children that nobody waits for.
pub(super) fn sweep() {
    LEFT.lock().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}
