//! How a child is started.

use super::child::Child;
use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

/// A command, and how it is to be run; see [`std::process::Command`], whose defaults it has.
///
/// Starting a child is a blocking call: `fork` and `exec`, about as long as the process is large.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// # wakeline_runtime::Runtime::new()?.block_on(async {
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
/// use std::process::Stdio;
/// use wakeline_runtime::process::Command;
///
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
/// let (mut stdin, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
/// stdin.write_all(b"meow").await?;
/// drop(stdin);
/// let mut back = String::new();
/// stdout.read_to_string(&mut back).await?;
/// assert_eq!(back, "meow");
/// assert!(child.wait().await?.success());
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct Command {
    std: std::process::Command,
    kill_on_drop: bool,
}

impl Command {
    /// Runs `program`, which is looked for in `PATH` when it has no `/`.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        std::process::Command::new(program).into()
    }

    /// The command of the standard library.
    #[must_use]
    pub fn as_std(&self) -> &std::process::Command {
        &self.std
    }

    /// The command of the standard library, for what has no name here, such as `pre_exec`.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.std
    }

    /// The command of the standard library, without [`kill_on_drop`](Command::kill_on_drop).
    #[must_use]
    pub fn into_std(self) -> std::process::Command {
        self.std
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> &mut Command {
        self.std.args(args);
        self
    }

    /// Sets what the program is told it was called, the program's path if nothing is said.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        std::os::unix::process::CommandExt::arg0(&mut self.std, arg);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, vars: impl IntoIterator<Item = (K, V)>) -> &mut Command {
        self.std.envs(vars);
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Empties the environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets where it runs.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(dir);
        self
    }

    /// Sets what its standard input is; the parent's if nothing is said.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self
    }

    /// Sets what its standard output is; the parent's if nothing is said, a pipe for [`output`](Command::output).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self
    }

    /// Sets what its standard error is; the parent's if nothing is said, a pipe for [`output`](Command::output).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self
    }

    /// Sets whose process it is.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        std::os::unix::process::CommandExt::uid(&mut self.std, id);
        self
    }

    /// Sets which group's process it is.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        std::os::unix::process::CommandExt::gid(&mut self.std, id);
        self
    }

    /// Sets its process group; 0 is one of its own, which a Ctrl-C of the terminal does not reach.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        std::os::unix::process::CommandExt::process_group(&mut self.std, group);
        self
    }

    /// Whether the child is killed (SIGKILL) when its [`Child`] is dropped before its end was fetched; it is not if nothing is
    /// said. Its own children are not killed.
    pub fn kill_on_drop(&mut self, kill_on_drop: bool) -> &mut Command {
        self.kill_on_drop = kill_on_drop;
        self
    }

    /// Whether [`kill_on_drop`](Command::kill_on_drop) was set.
    #[must_use]
    pub fn get_kill_on_drop(&self) -> bool {
        self.kill_on_drop
    }

    /// Starts the child.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied` and the others of `fork(2)` and `exec(2)`; that no descriptor is left, in which
    /// case a child that has been started is killed.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        Child::spawn(&mut self.std, self.kill_on_drop)
    }

    /// Starts the child and waits for its end. Pipes to it are closed.
    ///
    /// # Errors
    /// Those of [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Panics
    /// As [`spawn`](Command::spawn), at once.
    ///
    /// # Cancel safety
    /// Dropping the future drops the [`Child`].
    #[track_caller]
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async {
            let mut child = child?;
            drop((child.stdout.take(), child.stderr.take()));
            child.wait().await
        }
    }

    /// Starts the child, with pipes as its standard output and error; waits for its end, and gives what it wrote. As with tokio
    /// and unlike std, what was set for the two with [`stdout`](Command::stdout) and [`stderr`](Command::stderr) is overwritten.
    ///
    /// # Errors
    /// Those of [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    /// As [`spawn`](Command::spawn), at once.
    ///
    /// # Cancel safety
    /// Dropping the future drops the [`Child`], and what it has written.
    #[track_caller]
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        self.std.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawn();
        async { child?.wait_with_output().await }
    }
}

impl From<std::process::Command> for Command {
    fn from(std: std::process::Command) -> Command {
        Command { std, kill_on_drop: false }
    }
}

#[cfg(test)]
mod tests;
