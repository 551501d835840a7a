//! The parts of the table: which service is measured, by which load, and what is promised.

use crate::servers::Service;
use crate::who::{Runtime, Who};

/// A part of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Echo of 64 bytes through so many connections.
    Echo(usize),
    /// Connections that carry one request.
    Short,
    /// Connections that carry nothing more.
    Idle,
    /// HTTP through so many connections.
    Http(usize),
    /// Keys and values, so many requests at once.
    KeyValue(usize),
}

/// What wakeline has to keep against servers with as many workers, in the same round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Promised {
    /// The figure, at least so many times the other's.
    AtLeast(&'static str, f64, Runtime),
    /// The figure, at most so many times the other's.
    AtMost(&'static str, f64, Runtime),
    /// The figure, at most that of the better of tokio and a bare epoll loop.
    NoMoreThanTheBetter(&'static str),
}

impl Part {
    pub(crate) const ALL: [Part; 9] = [
        Part::Echo(1),
        Part::Echo(64),
        Part::Echo(1024),
        Part::Short,
        Part::Idle,
        Part::Http(64),
        Part::Http(512),
        Part::KeyValue(1),
        Part::KeyValue(16),
    ];

    pub(crate) fn letter(self) -> char {
        let at = Part::ALL.iter().position(|&part| part == self);
        (b'a'..=b'z').zip(0..).find(|&(_, n)| Some(n) == at).map_or('?', |(letter, _)| char::from(letter))
    }

    pub(crate) fn what(self) -> String {
        match self {
            Part::Echo(1) => "echo of 64 B, 1 connection".to_owned(),
            Part::Echo(connections) => format!("echo of 64 B, {connections} connections"),
            Part::Short => "connect, one request, close; 64 at once".to_owned(),
            Part::Idle => "memory of an idle connection, its buffer of 4 KiB included".to_owned(),
            Part::Http(connections) => format!("hyper's hello, wrk -c {connections}"),
            Part::KeyValue(pipeline) => format!("keys and values, redis-benchmark -P {pipeline}"),
        }
    }

    pub(crate) fn service(self) -> Service {
        match self {
            Part::Echo(_) | Part::Short | Part::Idle => Service::Echo,
            Part::Http(_) => Service::Hello,
            Part::KeyValue(_) => Service::KeyValue,
        }
    }

    pub(crate) fn is_for(self, who: Who) -> bool {
        match self {
            Part::Echo(_) | Part::Short => true,
            Part::Idle => !matches!(who.runtime, Runtime::Epoll | Runtime::Ring),
            Part::Http(_) | Part::KeyValue(_) => matches!(who.runtime, Runtime::Wakeline | Runtime::Tokio),
        }
    }

    /// The figure of the row, and its unit.
    pub(crate) fn figure(self) -> (&'static str, &'static str) {
        match self {
            Part::Short => ("rate", "connections/s"),
            Part::Idle => ("bytes", "bytes"),
            _ => ("rate", "requests/s"),
        }
    }

    /// What else is shown.
    pub(crate) fn more(self) -> &'static [&'static str] {
        match self {
            Part::Echo(_) | Part::Http(_) => &["p50_us", "p99_us", "server_cpu_us"],
            Part::Short => &["server_cpu_us"],
            Part::Idle => &[],
            Part::KeyValue(_) => &["set_per_s", "get_per_s", "server_cpu_us"],
        }
    }

    /// What wakeline with its io_uring driver and so many workers has to keep.
    pub(crate) fn promises_of_ring(self, workers: usize) -> Vec<Promised> {
        match self {
            Part::Echo(64 | 1024) if workers == 1 => vec![Promised::AtLeast("rate", 1.15, Runtime::Epoll)],
            _ => vec![],
        }
    }

    /// What a server of wakeline with so many workers has to keep.
    pub(crate) fn promises(self, workers: usize) -> Vec<Promised> {
        let mut promises = match self {
            Part::Idle => vec![Promised::AtMost("bytes", 1.0, Runtime::Tokio)],
            _ => vec![Promised::AtLeast("rate", 1.0, Runtime::Tokio)],
        };
        match self {
            Part::Echo(connections) => {
                promises.push(Promised::AtLeast("rate", 0.98, Runtime::Epoll));
                promises.push(Promised::NoMoreThanTheBetter("server_cpu_us"));
                if connections == 1024 && workers == 2 {
                    promises.push(Promised::AtMost("p99_us", 0.3, Runtime::Tokio));
                }
            }
            Part::Http(_) => promises.push(Promised::AtMost("p99_us", 1.0, Runtime::Tokio)),
            Part::Short | Part::Idle | Part::KeyValue(_) => {}
        }
        promises
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_letter_of_its_own() {
        let letters: String = Part::ALL.iter().map(|part| part.letter()).collect();
        assert_eq!(letters, "abcdefghi");
    }
}
