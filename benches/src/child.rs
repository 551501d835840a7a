//! A measurement in a process of its own: the same program again, with another command line.
//!
//! No allocator, runtime or socket of one measurement is there in the next. A child tells its figures as `name value` lines. A
//! server in such a process can be asked while it serves: a line with the question, then the figures and an empty line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Figures by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// The figure `name`.
    ///
    /// # Errors
    /// `InvalidData` when the child did not tell it.
    pub fn get(&self, name: &str) -> io::Result<f64> {
        let value = self.0.get(name).copied();
        value.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("the child told no {name}")))
    }

    /// Adds or replaces a figure.
    pub fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// What was counted since `before`: each figure less what it was then.
    #[must_use]
    pub fn since(&self, before: &Figures) -> Figures {
        let less = |(name, value): (&str, f64)| (name.to_owned(), value - before.0.get(name).copied().unwrap_or(0.0));
        self.iter().map(less).collect()
    }

    /// Those whose name begins with `prefix`, without it.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Figures {
        self.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value))).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn parse(text: &str) -> Figures {
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Figures(text.lines().filter_map(pair).collect())
    }
}

impl FromIterator<(String, f64)> for Figures {
    fn from_iter<I: IntoIterator<Item = (String, f64)>>(figures: I) -> Figures {
        Figures(figures.into_iter().collect())
    }
}

/// Tells the parent a figure.
pub fn tell(name: &str, value: f64) {
    println!("{name} {value}");
}

/// Runs this program with `args` and gives what it told.
///
/// # Errors
/// When it can not be started or has failed.
pub fn call(args: &[&str]) -> io::Result<Figures> {
    let output =
        Command::new(std::env::current_exe()?).args(args).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("`{}` has failed: {}", args.join(" "), output.status)));
    }
    Ok(Figures::parse(&String::from_utf8_lossy(&output.stdout)))
}

/// [`call`] for a table that says why a cell is empty: what the child, and its children, have written to their standard error
/// is the error.
///
/// # Errors
/// When it can not be started or has failed.
pub fn call_and_ask_why(args: &[&str]) -> io::Result<Figures> {
    match call_and_keep(args)? {
        (figures, None) => Ok(figures),
        (_, Some(why)) => Err(io::Error::other(why)),
    }
}

/// [`call_and_ask_why`] for a child that tells several cells: what it has told before it failed, and why it failed, if it did.
///
/// # Errors
/// When it can not be started.
pub fn call_and_keep(args: &[impl AsRef<OsStr>]) -> io::Result<(Figures, Option<String>)> {
    let output = Command::new(std::env::current_exe()?).args(args).stdin(Stdio::null()).output()?;
    let why = || {
        let told = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = told.lines().map(str::trim).filter(|line| !line.is_empty()).take(WHY_LINES_MAX).collect();
        if lines.is_empty() { output.status.to_string() } else { lines.join("; ") }
    };
    let why = (!output.status.success()).then(why);
    Ok((Figures::parse(&String::from_utf8_lossy(&output.stdout)), why))
}

const WHY_LINES_MAX: usize = 4;

/// Ends this process with code 3 after `limit`: a measurement that hangs must not hang the others.
pub fn give_up_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("gave up after {limit:?}: {}", std::env::args().collect::<Vec<_>>().join(" "));
        std::process::exit(3);
    });
}

/// A server in a process of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    /// The server ends when this closes.
    stdin: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    addr: String,
}

impl ServerProcess {
    /// Runs this program with `args` and waits until it tells its address.
    ///
    /// # Errors
    /// When it can not be started or ends before that.
    pub fn start(args: &[&str]) -> io::Result<ServerProcess> {
        let mut child =
            Command::new(std::env::current_exe()?).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the child has no standard output"))?;
        let mut server = ServerProcess { child, stdin, answers: BufReader::new(stdout), addr: String::new() };
        let mut addr = String::new();
        server.answers.read_line(&mut addr)?;
        server.addr.push_str(addr.trim());
        if server.addr.is_empty() {
            return Err(io::Error::other(format!("`{}` told no address", args.join(" "))));
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks a server that [answers](answer_parent).
    ///
    /// # Errors
    /// When it has gone.
    pub fn ask(&mut self, question: &str) -> io::Result<Figures> {
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the server has ended");
        let stdin = self.stdin.as_mut().ok_or_else(gone)?;
        stdin.write_all(format!("{question}\n").as_bytes())?;
        let mut text = String::new();
        loop {
            let before = text.len();
            if self.answers.read_line(&mut text)? == 0 {
                return Err(gone());
            }
            if text[before..].trim().is_empty() {
                return Ok(Figures::parse(&text));
            }
        }
    }

    /// Processor time that all its threads have used, user and system.
    ///
    /// # Errors
    /// When `/proc` is missing or the process has gone.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        let mut ns = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            ns += schedstat.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(ns))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It has nothing left to do and nothing to tell.
        let _ = self.child.wait();
    }
}

/// In the server's process: ends it when the parent closes its end or has died.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// [`end_with_parent`] for a server that can be asked: tells what `answer` has for each question.
pub fn answer_parent(answer: impl Fn(&str) -> io::Result<Figures> + Send + 'static) {
    std::thread::spawn(move || {
        for question in io::stdin().lock().lines() {
            match question.and_then(|question| answer(&question)) {
                Ok(figures) => {
                    figures.iter().for_each(|(name, value)| tell(name, value));
                    println!();
                }
                Err(error) => {
                    eprintln!("no answer: {error}");
                    std::process::exit(1);
                }
            }
        }
        std::process::exit(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_lines_of_name_and_value() {
        let figures = Figures::parse("rate 12.5\nnoise\nrequests 3\n");
        assert_eq!((figures.get("rate").unwrap(), figures.get("requests").unwrap()), (12.5, 3.0));
        assert!(figures.get("noise").is_err());
        assert_eq!(figures.below("re"), Figures::parse("quests 3\n"));
        assert!(figures.below("no").is_empty());
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let counted = Figures::parse("polls 12\nirqs 5\n").since(&Figures::parse("polls 2\n"));
        assert_eq!(counted, Figures::parse("irqs 5\npolls 10\n"));
    }
}
