//! When the messages of one connection are due.
//!
//! At a fixed rate a message is due at its moment whether or not the server has answered the one before, and its latency
//! counts from there: a server that stalls is charged for everything that was to be asked meanwhile (no coordinated
//! omission).

use crate::workload::{Pattern, Workload};
use std::time::{Duration, Instant};

/// What decides when the next message is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// The answer to the one before.
    Closed,
    /// The clock: this many a second over all connections.
    Fixed(f64),
    /// One message on every connection, on those that are silent otherwise too: then each has been accepted and used.
    Once,
}

/// The moments of one connection out of several.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    end: Instant,
    /// From one moment to the next; `None` when the answers decide.
    interval: Option<Duration>,
    next: Instant,
    is_first: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send a message that was due then.
    Due(Instant),
    /// Nothing before this moment.
    NotBefore(Instant),
    /// Nothing any more.
    Over,
}

impl Pace {
    /// How many places make messages under `workload`: connections, or all of them together in a fan-out; and the pace of
    /// such a place.
    pub(crate) fn of(self, workload: Workload) -> (usize, Pace) {
        match (workload.pattern, self) {
            (Pattern::FanOut, Pace::Fixed(rate)) => (1, Pace::Fixed(rate / workload.connections as f64)),
            (Pattern::FanOut, pace) => (1, pace),
            (_, Pace::Once) => (workload.connections, Pace::Once),
            (_, pace) => (workload.active(), pace),
        }
    }
}

impl Schedule {
    /// That of connection `number` of `connections`, which take turns.
    pub(crate) fn new(began: Instant, time: Duration, pace: Pace, number: usize, connections: usize) -> Schedule {
        let interval = match pace {
            Pace::Closed | Pace::Once => None,
            Pace::Fixed(rate) => Some(Duration::from_secs_f64(connections as f64 / rate)),
        };
        let offset = interval.unwrap_or_default().mul_f64(number as f64 / connections as f64);
        let time = if pace == Pace::Once { Duration::ZERO } else { time };
        Schedule { end: began + time, interval, next: began + offset, is_first: true }
    }

    /// Asked when the connection is free. A moment is given out once.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        let Some(interval) = self.interval else {
            // However slow everything is, there is one.
            let is_first = std::mem::take(&mut self.is_first);
            return if now < self.end || is_first { Next::Due(now) } else { Next::Over };
        };
        if self.next >= self.end {
            return Next::Over;
        }
        if self.next > now {
            return Next::NotBefore(self.next);
        }
        let due = self.next;
        self.next += interval;
        Next::Due(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn answers_decide_in_a_closed_loop() {
        let began = Instant::now();
        let mut schedule = Schedule::new(began, 3 * MS, Pace::Closed, 7, 8);
        for now in [began, began + MS, began + 2 * MS] {
            assert_eq!(schedule.next(now), Next::Due(now));
        }
        assert_eq!(schedule.next(began + 3 * MS), Next::Over);
        let mut late = Schedule::new(began, MS, Pace::Closed, 0, 1);
        assert_eq!(late.next(began + 2 * MS), Next::Due(began + 2 * MS));
        assert_eq!(late.next(began + 2 * MS), Next::Over);
    }

    #[test]
    fn everybody_is_asked_once() {
        let began = Instant::now();
        let idle = Workload::new(Pattern::Idle, 500, 64);
        assert_eq!([Pace::Once.of(idle).0, Pace::Closed.of(idle).0], [500, 5]);
        assert_eq!(Pace::Fixed(1000.0).of(Workload::new(Pattern::FanOut, 500, 64)), (1, Pace::Fixed(2.0)));
        let mut schedule = Schedule::new(began, MS, Pace::Once, 0, 500);
        assert_eq!((schedule.next(began), schedule.next(began)), (Next::Due(began), Next::Over));
    }

    #[test]
    fn connections_take_turns_at_a_fixed_rate() {
        let began = Instant::now();
        // 1,000 a second over two connections: each every 2 ms, the second half way between.
        let mut second = Schedule::new(began, 5 * MS, Pace::Fixed(1000.0), 1, 2);
        assert_eq!(second.next(began), Next::NotBefore(began + MS));
        assert_eq!(second.next(began + MS), Next::Due(began + MS));
        // It was busy for long: what it has missed is due when it was due.
        assert_eq!(second.next(began + 50 * MS), Next::Due(began + 3 * MS));
        assert_eq!(second.next(began + 50 * MS), Next::Over);
    }
}
