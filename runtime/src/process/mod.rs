//! Child processes: [`std::process`], with waiting and pipes for tasks.
//!
//! [`Command`] is built as std's, and its [`Child`] waited for, killed, and talked to through pipes. On Linux the reactor
//! watches a descriptor of the process (`pidfd_open(2)`); where there is none, SIGCHLD says when to look.
//!
//! # Examples
//! ```
//! # fn main() -> std::io::Result<()> {
//! # wakeline_runtime::Runtime::new()?.block_on(async {
//! use wakeline_runtime::process::Command;
//!
//! let output = Command::new("echo").arg("hello").output().await?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Children that nobody waits for
//! The end of a child is to be fetched by its parent; until then the kernel keeps it as a zombie. Dropping a [`Child`] leaves
//! its process running ([`Command::kill_on_drop`] says otherwise), and a task of its runtime waits for it in its stead.
//! When the runtime has ended too, zombies are fetched whenever a child is started or dropped anywhere in the process. To
//! be sure, wait.

mod child;
mod command;
mod pipes;
mod reaper;

pub use child::Child;
pub use command::Command;
pub use pipes::{ChildStderr, ChildStdin, ChildStdout};
