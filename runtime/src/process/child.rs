//! A child that was started.

use super::pipes::{ChildStderr, ChildStdin, ChildStdout};
use super::reaper::{self, News, Reaper};
use crate::context;
use crate::handle::Handle;
use futures_io::AsyncRead;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Output};

/// A child process.
///
/// Dropping it leaves the process running, unless [`kill_on_drop`](super::Command::kill_on_drop) was set; either way its
/// runtime fetches its end, as [the module](super) says.
///
/// # Cancel safety
/// Waiting is: the end is kept for who asks next.
#[derive(Debug)]
pub struct Child {
    /// The way to the child's standard input, if it is a pipe and was not taken.
    pub stdin: Option<ChildStdin>,
    /// What comes from the child's standard output, if it is a pipe and was not taken.
    pub stdout: Option<ChildStdout>,
    /// What comes from the child's standard error, if it is a pipe and was not taken.
    pub stderr: Option<ChildStderr>,
    life: Life,
    kill_on_drop: bool,
    runtime: Handle,
}

#[derive(Debug)]
enum Life {
    Running(Reaper),
    Ended(ExitStatus),
    /// Only while it is dropped.
    Left,
}

impl Child {
    #[track_caller]
    pub(super) fn spawn(command: &mut std::process::Command, kill_on_drop: bool) -> io::Result<Child> {
        Child::spawn_with(command, kill_on_drop, News::of)
    }

    #[track_caller]
    pub(super) fn spawn_with(
        command: &mut std::process::Command,
        kill_on_drop: bool,
        news: impl FnOnce(u32) -> io::Result<News>,
    ) -> io::Result<Child> {
        let runtime = context::current();
        assert!(
            runtime.driver().reactor().is_some(),
            "this runtime has no I/O driver: call `enable_io()` or `enable_all()` on its Builder"
        );
        reaper::sweep();
        let mut std = command.spawn()?;
        let pipes = (std.stdin.take(), std.stdout.take(), std.stderr.take());
        let reaper = Reaper::new(std, news)?;
        let life = Life::Running(reaper);
        // From here an error drops a child, which must not run on with nobody who knows of it.
        let mut child = Child { stdin: None, stdout: None, stderr: None, life, kill_on_drop: true, runtime };
        child.stdin = pipes.0.map(ChildStdin::from_std).transpose()?;
        child.stdout = pipes.1.map(ChildStdout::from_std).transpose()?;
        child.stderr = pipes.2.map(ChildStderr::from_std).transpose()?;
        child.kill_on_drop = kill_on_drop;
        Ok(child)
    }

    /// The number of the process; `None` once its end was fetched, when the number may be another's.
    #[must_use]
    pub fn id(&mut self) -> Option<u32> {
        match &mut self.life {
            Life::Running(reaper) => Some(reaper.id()),
            Life::Ended(_) | Life::Left => None,
        }
    }

    /// Kills the process (SIGKILL), and does not wait for it to end. One that has ended is left alone.
    ///
    /// # Errors
    /// `InvalidInput` when its end was fetched; those of `kill(2)`.
    pub fn start_kill(&mut self) -> io::Result<()> {
        match &mut self.life {
            Life::Running(reaper) => reaper.kill(),
            Life::Ended(_) | Life::Left => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "the process has ended: there is nothing to kill"))
            }
        }
    }

    /// Kills the process (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// Those of [`start_kill`](Child::start_kill) and [`wait`](Child::wait).
    ///
    /// # Cancel safety
    /// The process is killed at the first poll; the waiting may be given up.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Waits for the end of the process. Its input is closed first, if [`stdin`](Child::stdin) was not taken: it might wait
    /// for more. Its output is not read: a process that fills the pipe waits for ever; use
    /// [`wait_with_output`](Child::wait_with_output), or take the pipes.
    ///
    /// # Errors
    /// Those of `waitpid(2)`; when the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        let status = match &mut self.life {
            Life::Running(reaper) => reaper.wait().await?,
            Life::Ended(status) => return Ok(*status),
            Life::Left => unreachable!("nobody waits while it is dropped"),
        };
        self.life = Life::Ended(status);
        Ok(status)
    }

    /// The end of the process, if it has ended.
    ///
    /// # Errors
    /// Those of `waitpid(2)`.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if let Life::Running(reaper) = &mut self.life
            && let Some(status) = reaper.try_wait()?
        {
            self.life = Life::Ended(status);
        }
        Ok(match self.life {
            Life::Ended(status) => Some(status),
            Life::Running(_) | Life::Left => None,
        })
    }

    /// Waits for the end of the process and gives it with what came through the pipes that were not taken. Its input is closed
    /// first. There is no bound on what it may write but the memory.
    ///
    /// # Errors
    /// Those of reading and of [`wait`](Child::wait).
    ///
    /// # Cancel safety
    /// No: what was read is lost, and the child dropped.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (status, stdout, stderr) = crate::try_join!(self.wait(), read_all(stdout), read_all(stderr))?;
        Ok(Output { status, stdout, stderr })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        reaper::sweep();
        let Life::Running(mut reaper) = std::mem::replace(&mut self.life, Life::Left) else { return };
        if self.kill_on_drop {
            // It fails when the process has ended by itself.
            let _ = reaper.kill();
        }
        if matches!(reaper.try_wait(), Ok(None)) {
            // Is the runtime gone, the reaper drops here, and leaves the child to whoever sweeps.
            drop(self.runtime.spawn(async move { reaper.wait().await }));
        }
    }
}

async fn read_all<R: AsyncRead + Unpin>(pipe: Option<R>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let Some(mut pipe) = pipe else { return Ok(all) };
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let n = poll_fn(|cx| Pin::new(&mut pipe).poll_read(cx, &mut chunk)).await?;
        if n == 0 {
            return Ok(all);
        }
        all.extend_from_slice(&chunk[..n]);
    }
}

/// What a pipe of Linux holds.
const READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
