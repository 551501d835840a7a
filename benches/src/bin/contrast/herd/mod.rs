//! The thundering herd: several wait for the same thing, one event comes. How many are woken, how many find something?
//!
//! A sleeper counts as woken when it has come back, or when the kernel has put it to sleep once more since the event. Who was
//! only told that there is something takes it after [`PATIENCE`], so that nobody is spared because another was quick.

mod emulated;
mod os;
mod tasks;
mod threads;

pub(crate) use self::os::sleep_in_a_group;
use crate::os::sigio::Signals;
use crate::results::Herd;
use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use wakeline_benches::child::{call_and_ask_why, give_up_after, tell};

/// A way to wait for one thing together.
pub(crate) struct Way {
    /// On the command line, after the network's name.
    name: &'static str,
    network: &'static str,
    title: &'static str,
    entry: &'static str,
    run: fn() -> io::Result<Count>,
}

/// What one event has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    woken: u64,
    useful: u64,
}

pub(crate) const SLEEPERS: usize = 8;

const PATIENCE: Duration = Duration::from_millis(30);

/// Every way, one network behind the other.
pub(crate) fn ways() -> impl Iterator<Item = &'static Way> {
    let all = || [os::WAYS, os::SIGNALS, emulated::WAYS, emulated::SIGNALS, tasks::WAYS].into_iter().flatten();
    ["os", "emulated"].into_iter().flat_map(move |network| all().filter(move |way| way.network == network))
}

/// Asks all, each in a process of its own.
pub(crate) fn all() -> Vec<Herd> {
    ways().map(Way::ask).collect()
}

impl Way {
    /// As on the command line: `os/accept`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.network, self.name)
    }

    fn ask(&self) -> Herd {
        let figures = call_and_ask_why(&["herd", &self.path()]);
        let of = |name| figures.as_ref().ok().and_then(|figures| figures.get(name).ok()).unwrap_or_default() as u64;
        Herd {
            network: self.network.to_owned(),
            way: self.title.to_owned(),
            entry: self.entry.to_owned(),
            sleepers: SLEEPERS as u64,
            woken: of("woken"),
            useful: of("useful"),
            failed: figures.as_ref().err().map(ToString::to_string),
        }
    }
}

/// One way in this process.
pub(crate) fn run(path: &str) -> io::Result<()> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("there is no way to wait called {path}"));
    let way = ways().find(|way| way.path() == path).ok_or_else(unknown)?;
    // Before there is a thread that could be given one.
    Signals::blocked()?;
    give_up_after(Duration::from_secs(10));
    let count = (way.run)()?;
    tell("woken", count.woken as f64);
    tell("useful", count.useful as f64);
    std::process::exit(0)
}

/// Threads that each `wait`, which says whether it has found something, and the `event`.
fn threads<W>(wait: impl Fn(usize) -> io::Result<W>, event: impl FnOnce() -> io::Result<()>) -> io::Result<Count>
where
    W: FnOnce() -> io::Result<bool> + Send + 'static,
{
    let (tell, told) = channel();
    let sleepers = (0..SLEEPERS).map(|number| Sleeper::start(wait(number)?, tell.clone()));
    let sleepers = sleepers.collect::<io::Result<Vec<_>>>()?;
    let before = when_all_sleep(&sleepers)?;
    event()?;
    let after = when_all_sleep(&sleepers)?;
    let returned: Vec<(i32, bool)> = told.try_iter().collect::<io::Result<_>>()?;
    let has_returned = |sleeper: &Sleeper| returned.iter().any(|(thread, _)| *thread == sleeper.thread);
    let woken = sleepers.iter().zip(before.iter().zip(&after));
    let woken = woken.filter(|(sleeper, (before, after))| has_returned(sleeper) || after > before).count();
    Ok(Count { woken: woken as u64, useful: returned.iter().filter(|(_, is_useful)| *is_useful).count() as u64 })
}

struct Sleeper {
    thread: i32,
    /// Keeps it from ending, so that the kernel still knows it.
    _stay: Sender<()>,
}

impl Sleeper {
    fn start(
        wait: impl FnOnce() -> io::Result<bool> + Send + 'static,
        tell: Sender<io::Result<(i32, bool)>>,
    ) -> io::Result<Sleeper> {
        let (stay, stays): (_, Receiver<()>) = channel();
        let (tell_thread, told_thread) = channel();
        thread::Builder::new().spawn(move || {
            let thread = nix::unistd::gettid().as_raw();
            let _ = tell_thread.send(thread);
            let result = wait();
            let _ = tell.send(result.map(|is_useful| (thread, is_useful)));
            let _ = stays.recv();
        })?;
        let thread = told_thread.recv().map_err(io::Error::other)?;
        Ok(Sleeper { thread, _stay: stay })
    }

    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/self/task/{}/{file}", self.thread))
    }

    fn is_asleep(&self) -> io::Result<bool> {
        let stat = self.read("stat")?;
        // Behind the name, which may hold anything.
        Ok(stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S')))
    }

    fn switches(&self) -> io::Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).ok_or_else(|| io::Error::other("/proc tells no switches"))
    }
}

fn switches(sleepers: &[Sleeper]) -> io::Result<Vec<u64>> {
    sleepers.iter().map(Sleeper::switches).collect()
}

/// Waits until every one sleeps, and has slept for longer than [`PATIENCE`]; gives how often each has gone to sleep.
fn when_all_sleep(sleepers: &[Sleeper]) -> io::Result<Vec<u64>> {
    let began = Instant::now();
    let (mut before, mut same) = (switches(sleepers)?, 0);
    while began.elapsed() < Duration::from_secs(5) {
        thread::sleep(PATIENCE);
        let now = switches(sleepers)?;
        let all = sleepers.iter().map(Sleeper::is_asleep).collect::<io::Result<Vec<_>>>()?;
        same = if now == before && all.iter().all(|is_asleep| *is_asleep) { same + 1 } else { 0 };
        if same == 3 {
            return Ok(now);
        }
        before = now;
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the sleepers have not all gone to sleep"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux does, and what the emulated network does as Linux: not how long it takes.
    #[test]
    fn one_is_woken_where_entries_are_exclusive_and_all_where_they_are_not() {
        let check = |path: &str, woken: u64| {
            let way = ways().find(|way| way.path() == path).unwrap();
            assert_eq!((way.run)().unwrap(), Count { woken, useful: 1 }, "{path}");
        };
        check("os/accept", 1);
        check("os/epoll-each", 8);
        check("emulated/accept", 1);
        check("emulated/epoll-each", 8);
        check("emulated/fasync-group", 8);
        check("emulated/tasks-udp", 1);
    }
}
