//! System calls that the kernel's tracepoints have counted against those that strace has seen, of the same run of the same
//! server: whether the tables count what they say.

use crate::load::Load;
use crate::load::os::OsLoad;
use crate::load::schedule::Pace;
use crate::model::{Model, Network};
use crate::syscalls::{self, ALL, Counting};
use crate::workload::{Pattern, Workload};
use futures_lite::future::block_on;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use wakeline_benches::child::{Figures, ServerProcess};

/// Compares for each of `models`, and prints what both have counted.
///
/// # Errors
/// When they differ by more than the calls in which threads were when they began to count and when they ended.
pub(crate) fn run(models: &[&Model]) -> io::Result<()> {
    if let Some(why) = why_not() {
        println!("SKIPPED: {why}");
        return Ok(());
    }
    for model in models.iter().filter(|model| model.network() == Network::Os) {
        compare(model)?;
    }
    Ok(())
}

fn why_not() -> Option<String> {
    let strace = Command::new("strace").arg("--version").output();
    strace.err().map(|error| format!("strace: {error}")).or_else(syscalls::why_not)
}

const WORKLOAD: Workload = Workload::new(Pattern::Request, 8, 64);
const TIME: Duration = Duration::from_millis(200);

fn compare(model: &Model) -> io::Result<()> {
    let mut server = ServerProcess::start(&["serve", &model.path()])?;
    let mut load = OsLoad::connect(server.addr().parse().map_err(io::Error::other)?, WORKLOAD)?;
    block_on(load.run(Pace::Once, TIME))?;
    let strace = Strace::attached(server.id())?;
    let mut counting = Counting::of(server.id(), true)?;
    let before = counting.counts()?;
    let messages = block_on(load.run(Pace::Closed, TIME))?.messages;
    let counted = counting.counts()?.since(&before);
    let seen = strace.detached()?;
    let threads = server.ask("levels")?.get("threads")?;
    let mut differ = Vec::new();
    println!("{}, {messages} messages:", model.path());
    for (name, counted) in counted.iter() {
        let seen = seen.get(name).unwrap_or(0.0);
        if counted == 0.0 && seen == 0.0 {
            continue;
        }
        println!("  {name:<16} {counted:>8} counted {seen:>8} seen by strace");
        // Each thread may have been in a call at the beginning, and in another one at the end.
        if (counted - seen).abs() > 2.0 * threads {
            differ.push(name.to_owned());
        }
    }
    if differ.is_empty() { Ok(()) } else { Err(io::Error::other(format!("{}: {differ:?} differ", model.path()))) }
}

/// `strace -c` on all threads of a process.
struct Strace(Child);

impl Strace {
    fn attached(pid: u32) -> io::Result<Strace> {
        let command = ["-f", "-c", "-p", &pid.to_string()].map(str::to_owned);
        let mut strace = Strace(Command::new("strace").args(command).stderr(Stdio::piped()).spawn()?);
        let began = Instant::now();
        while !is_traced(pid)? {
            if strace.0.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                return Err(io::Error::other("strace does not attach"));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(strace)
    }

    /// Ends it: how often it has seen each call.
    fn detached(self) -> io::Result<Figures> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT)?;
        let output = self.0.wait_with_output()?;
        Ok(parse(&String::from_utf8_lossy(&output.stderr)))
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

fn is_traced(pid: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        if status.lines().any(|line| line.split_whitespace().eq(["TracerPid:", "0"])) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lines of `% time, seconds, usecs/call, calls, errors if there were, syscall`.
fn parse(table: &str) -> Figures {
    let line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (calls, name) = (fields.get(3)?.parse().ok()?, *fields.last()?);
        Some((if name == "total" { ALL } else { name }.to_owned(), calls))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straces_table_is_read_with_and_without_errors() {
        let table = "strace: Process 7 attached with 2 threads\n\
            % time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
             60.10    0.000900           1       900         3 recvfrom\n \
             39.90    0.000600           2       300           sendto\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.001500           1      1200         3 total\n";
        let seen = parse(table);
        let of = |name| seen.get(name).unwrap();
        assert_eq!((of("recvfrom"), of("sendto"), of(ALL), seen.iter().count()), (900.0, 300.0, 1200.0, 3));
    }
}
