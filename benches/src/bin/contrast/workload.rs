//! What a load does to a server: a pattern, so many connections, messages of a size.

use std::fmt;
use std::io;

/// How messages are spread over connections and time. Every message is answered by its echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Pattern {
    /// One message on its way on each connection.
    Request,
    /// Several messages on their way on each connection.
    Pipelined,
    /// One connection in a hundred does as in `Request`; the others are open and silent.
    Idle,
    /// A message to every connection at once; the answer is there when the last one is.
    FanOut,
    /// A connection for each message: connect, request, answer, close.
    Connect,
}

impl Pattern {
    pub(crate) const ALL: [Pattern; 5] =
        [Pattern::Request, Pattern::Pipelined, Pattern::Idle, Pattern::FanOut, Pattern::Connect];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Pattern::Request => "request",
            Pattern::Pipelined => "pipelined",
            Pattern::Idle => "idle",
            Pattern::FanOut => "fan-out",
            Pattern::Connect => "connect",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Pattern::Request => "request and response",
            Pattern::Pipelined => "pipelined",
            Pattern::Idle => "1 % active",
            Pattern::FanOut => "fan-out to all",
            Pattern::Connect => "connect, request, close",
        }
    }
}

/// One column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Workload {
    pub(crate) pattern: Pattern,
    pub(crate) connections: usize,
    /// Bytes of a message.
    pub(crate) size: usize,
}

/// At most this many messages, and this many bytes, are on their way on a pipelined connection.
const PIPELINED: usize = 16;
const PIPELINED_BYTES: usize = 64 << 10;

impl Workload {
    pub(crate) const fn new(pattern: Pattern, connections: usize, size: usize) -> Workload {
        Workload { pattern, connections, size }
    }

    /// Connections that carry messages.
    pub(crate) fn active(self) -> usize {
        match self.pattern {
            Pattern::Idle => self.connections.div_ceil(100),
            _ => self.connections,
        }
    }

    /// Whether both can be measured on the same connections.
    pub(crate) fn shares_with(self, other: Workload) -> bool {
        let is_lasting = |workload: Workload| workload.pattern != Pattern::Connect;
        self == other || (self.connections == other.connections && is_lasting(self) && is_lasting(other))
    }

    /// Messages on their way on each of them, closed-loop.
    pub(crate) fn depth(self) -> usize {
        match self.pattern {
            Pattern::Pipelined => PIPELINED.min(PIPELINED_BYTES / self.size).max(1),
            _ => 1,
        }
    }

    /// Messages a second of the run at a fixed rate, the same for every model: well below what the slowest of them can do
    /// that still is in the running. `None` where a fixed rate has no meaning of its own: a pipeline has as many messages on
    /// their way as are late.
    pub(crate) fn rate(self) -> Option<f64> {
        let active = self.active() as f64;
        let small = |most: f64| most.min(2_000.0 * active);
        match (self.pattern, self.size) {
            (Pattern::Pipelined, _) => None,
            (Pattern::Connect, _) => Some(2_000.0),
            (_, 4097..) => Some(small(8_000.0)),
            _ => Some(small(20_000.0)),
        }
    }

    /// On the command line: `request,64,1024`.
    pub(crate) fn parse(text: &str) -> io::Result<Workload> {
        let invalid =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} is no PATTERN,CONNECTIONS,SIZE"));
        let mut parts = text.split(',');
        let mut part = || parts.next().ok_or_else(invalid);
        let pattern = part()?;
        let pattern = Pattern::ALL.into_iter().find(|p| p.name() == pattern).ok_or_else(invalid)?;
        let mut number = || part()?.parse().ok().filter(|&number| number > 0).ok_or_else(invalid);
        let workload = Workload::new(pattern, number()?, number()?);
        if workload.size < SIZE_MIN { Err(invalid()) } else { Ok(workload) }
    }
}

/// A message's header: which one of which connection.
pub(crate) const SIZE_MIN: usize = 16;

/// The form of the command line, and of all tables for programs.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.pattern.name(), self.connections, self.size)
    }
}

/// 64 B, 16 KiB.
pub(crate) fn size_text(bytes: usize) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} B") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_what_it_is_printed_as() {
        for pattern in Pattern::ALL {
            let workload = Workload::new(pattern, 512, 1024);
            assert_eq!(Workload::parse(&workload.to_string()).unwrap(), workload);
        }
        for wrong in ["", "request", "request,0,64", "request,1,15", "carrier,1,64"] {
            assert!(Workload::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_in_a_hundred_is_active_and_a_pipeline_is_bounded() {
        assert_eq!(Workload::new(Pattern::Idle, 10_000, 64).active(), 100);
        assert_eq!(Workload::new(Pattern::Idle, 8, 64).active(), 1);
        assert_eq!(Workload::new(Pattern::Pipelined, 8, 64).depth(), 16);
        assert_eq!(Workload::new(Pattern::Pipelined, 8, 16 << 10).depth(), 4);
    }
}
