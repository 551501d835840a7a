//! System calls of a process, counted by the kernel: its tracepoints `raw_syscalls:sys_enter` and `syscalls:sys_enter_*`, through
//! `perf_event_open`. Nothing is derived, and nothing is in the way of the process but the tracepoint itself; so it is done in
//! a run of its own.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use wakeline_benches::child::Figures;

/// Counters on every thread that a process has, and on those that these start.
pub(crate) struct Counting(Vec<(&'static str, Counter)>);

/// All system calls; its tracepoint is the first.
pub(crate) const ALL: &str = "all";
/// Those that are also counted by name.
const NAMED: [&str; 16] = [
    "recvfrom",
    "sendto",
    "read",
    "write",
    "accept4",
    "close",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_ctl",
    "poll",
    "pselect6",
    "rt_sigtimedwait",
    "io_uring_enter",
    "futex",
    "sched_yield",
];

impl Counting {
    /// Begins to count: all, and by name if so asked, which takes half a second to set up.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_PERFMON`, or without the right to see tracefs, and those of so many descriptors.
    pub(crate) fn of(pid: u32, is_by_name: bool) -> io::Result<Counting> {
        let mut counters = Vec::new();
        let mut tracepoints = tracepoints()?;
        tracepoints.truncate(if is_by_name { tracepoints.len() } else { 1 });
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.file_name();
            let Some(thread) = thread.to_str().and_then(|thread| thread.parse().ok()) else { continue };
            for &(name, tracepoint) in &tracepoints {
                let mut builder = Builder::new(tracepoint);
                match builder.observe_pid(thread).any_cpu().inherit(true).include_kernel().build() {
                    Ok(mut counter) => {
                        counter.enable()?;
                        counters.push((name, counter));
                    }
                    // It has ended.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Counting(counters))
    }

    /// What was counted so far, by name.
    pub(crate) fn counts(&mut self) -> io::Result<Figures> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, counter) in &mut self.0 {
            *sums.entry(name).or_default() += counter.read()?;
        }
        Ok(sums.into_iter().map(|(name, sum)| (name.to_owned(), sum as f64)).collect())
    }
}

/// The numbers of the tracepoints. Where tracefs is not mounted, a thread mounts it for itself alone, and looks there.
fn tracepoints() -> io::Result<Vec<(&'static str, Tracepoint)>> {
    if Path::new(TRACEFS).join("events").exists() {
        return read_tracepoints();
    }
    let mounted = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        mount(nothing, TRACEFS, Some("tracefs"), MsFlags::empty(), nothing)?;
        read_tracepoints()
    });
    mounted.join().map_err(|_| io::Error::other("the thread that reads tracefs has panicked"))?
}

const TRACEFS: &str = "/sys/kernel/tracing";

fn read_tracepoints() -> io::Result<Vec<(&'static str, Tracepoint)>> {
    let read = |name: String| -> io::Result<Tracepoint> {
        let id = fs::read_to_string(Path::new(TRACEFS).join("events").join(name).join("id"))?;
        id.trim().parse().map(Tracepoint::with_id).map_err(io::Error::other)
    };
    let mut tracepoints = vec![(ALL, read("raw_syscalls/sys_enter".to_owned())?)];
    // A kernel for another machine may lack one.
    let named = |name| Some((name, read(format!("syscalls/sys_enter_{name}")).ok()?));
    tracepoints.extend(NAMED.into_iter().filter_map(named));
    Ok(tracepoints)
}

/// Why they can not be counted here, if they can not.
pub(crate) fn why_not() -> Option<String> {
    let error = Counting::of(std::process::id(), false).err()?;
    Some(format!("system calls are not counted: {error} (it takes root)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn calls_are_counted_one_by_one() {
        let Ok(mut counting) = Counting::of(std::process::id(), true) else {
            eprintln!("SKIPPED: {}", why_not().unwrap_or_default());
            return;
        };
        let (mut stream, _peer) = UnixStream::pair().unwrap();
        for _ in 0..100 {
            stream.write_all(&[1]).unwrap();
        }
        let counts = counting.counts().unwrap();
        let of = |name| counts.get(name).unwrap();
        // Other tests run beside this one.
        assert!(of("sendto") + of("write") >= 100.0 && of(ALL) >= 100.0, "{counts:?}");
    }
}
