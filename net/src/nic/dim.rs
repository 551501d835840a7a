//! Dynamic interrupt moderation (`net_dim`): how long the device waits, found by trying.
//!
//! After every 64 events the rates of bytes, packets and events are compared with those before: better, and the next profile in
//! the same direction is tried; worse, and the direction turns; the same, and it stays. It knows no device: samples come in, a
//! profile comes out.

use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What was counted when a sample was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) events: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// The state of one queue.
#[derive(Debug)]
pub(crate) struct Dim {
    profile: usize,
    tune: Tune,
    steps_right: u32,
    steps_left: u32,
    tired: u32,
    start: Option<Sample>,
    before: Rates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tune {
    OnTop,
    Tired,
    Right,
    Left,
}

/// Bytes, packets and events in a millisecond.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    bytes: u64,
    packets: u64,
    events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Better,
    Same,
    Worse,
}

/// `rx-usecs` of each profile, for a timer that starts with the first packet (`NET_DIM_RX_EQE_PROFILES`).
pub(crate) const PROFILE_USECS: [u32; 5] = [1, 8, 64, 128, 256];
/// `rx-frames` of all of them.
pub(crate) const PROFILE_FRAMES: u32 = 256;
/// `NET_DIM_DEF_PROFILE_EQE`
const PROFILE_START: usize = 1;
/// `DIM_NEVENTS`
const EVENTS: u64 = 64;

impl Default for Dim {
    fn default() -> Dim {
        Dim {
            profile: PROFILE_START,
            tune: Tune::Right,
            steps_right: 0,
            steps_left: 0,
            tired: 0,
            start: None,
            before: Rates::default(),
        }
    }
}

impl Dim {
    /// The present `rx-usecs`.
    pub(crate) fn usecs(&self) -> u32 {
        PROFILE_USECS[self.profile]
    }

    /// `net_dim`: takes note of what has been counted so far; says whether another profile is to be used.
    pub(crate) fn sample(&mut self, end: Sample) -> bool {
        let Some(start) = self.start else {
            self.start = Some(end);
            return false;
        };
        if end.events - start.events < EVENTS {
            return false;
        }
        let Some(rates) = Rates::between(&start, &end) else { return false };
        self.start = Some(end);
        let before = self.profile;
        self.decide(rates);
        if self.profile == before {
            return false;
        }
        // Measuring begins anew under the new profile.
        self.start = None;
        true
    }

    /// `net_dim_decision`
    fn decide(&mut self, rates: Rates) {
        let was = self.tune;
        match self.tune {
            Tune::OnTop => {
                if rates.change_from(&self.before) != Change::Same {
                    self.leave_parking();
                }
            }
            Tune::Tired => {
                self.tired -= 1;
                if self.tired == 0 {
                    self.leave_parking();
                }
            }
            Tune::Right | Tune::Left => {
                if rates.change_from(&self.before) != Change::Better {
                    self.turn();
                }
                if self.is_on_top() {
                    self.park_on_top();
                } else {
                    self.step_or_park();
                }
            }
        }
        if (was, self.tune) != (Tune::OnTop, Tune::OnTop) {
            self.before = rates;
        }
    }

    fn step_or_park(&mut self) {
        if self.tired as usize == PROFILE_USECS.len() * 2 {
            (self.steps_right, self.steps_left, self.tune) = (0, 0, Tune::Tired);
        } else if !self.step() {
            self.park_on_top();
        }
    }

    /// One profile on in the present direction, unless there is none.
    fn step(&mut self) -> bool {
        match self.tune {
            Tune::Right if self.profile + 1 == PROFILE_USECS.len() => return false,
            Tune::Left if self.profile == 0 => return false,
            Tune::Right => (self.profile, self.steps_right) = (self.profile + 1, self.steps_right + 1),
            Tune::Left => (self.profile, self.steps_left) = (self.profile - 1, self.steps_left + 1),
            Tune::OnTop | Tune::Tired => {}
        }
        self.tired += 1;
        true
    }

    fn turn(&mut self) {
        match self.tune {
            Tune::Right => (self.tune, self.steps_left) = (Tune::Left, 0),
            Tune::Left => (self.tune, self.steps_right) = (Tune::Right, 0),
            Tune::OnTop | Tune::Tired => {}
        }
    }

    /// Whether the last step went over the top.
    fn is_on_top(&self) -> bool {
        match self.tune {
            Tune::OnTop | Tune::Tired => true,
            Tune::Right => self.steps_left > 1 && self.steps_right == 1,
            Tune::Left => self.steps_right > 1 && self.steps_left == 1,
        }
    }

    fn park_on_top(&mut self) {
        (self.steps_right, self.steps_left, self.tired, self.tune) = (0, 0, 0, Tune::OnTop);
    }

    fn leave_parking(&mut self) {
        self.tune = if self.profile > 0 { Tune::Left } else { Tune::Right };
        self.step();
    }
}

impl Rates {
    fn between(start: &Sample, end: &Sample) -> Option<Rates> {
        let us = u64::try_from((end.at - start.at).as_micros()).unwrap_or(u64::MAX);
        let per_ms = |n: u64| (n * 1000).div_ceil(us);
        (us > 0).then(|| Rates {
            bytes: per_ms(end.bytes - start.bytes),
            packets: per_ms(end.packets - start.packets),
            events: per_ms(EVENTS),
        })
    }

    /// `net_dim_stats_compare`: by bytes, then packets, then, the other way round, events; less than 10 % is the same.
    fn change_from(&self, before: &Rates) -> Change {
        let differs = |now: u64, then: u64| then > 0 && now.abs_diff(then) * 100 / then > 10;
        let better = |is: bool| if is { Change::Better } else { Change::Worse };
        for (now, then) in [(self.bytes, before.bytes), (self.packets, before.packets)] {
            if then == 0 {
                return if now > 0 { Change::Better } else { Change::Same };
            }
            if differs(now, then) {
                return better(now > then);
            }
        }
        if differs(self.events, before.events) { better(self.events < before.events) } else { Change::Same }
    }
}

/// A duration as the device counts it.
pub(crate) const fn usecs(n: u32) -> Duration {
    Duration::from_micros(n as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `rounds` measurements; `rate` gives packets a millisecond for the profile in use. The profiles after each.
    fn run(dim: &mut Dim, rounds: usize, rate: impl Fn(u32) -> u64) -> Vec<u32> {
        let (mut ns, mut events, mut packets) = (0, 0, 0);
        let mut seen = Vec::new();
        for _ in 0..rounds {
            loop {
                let at = Instant::from_virtual_ns(ns);
                let changed = dim.sample(Sample { at, events, packets, bytes: packets * 1000 });
                if changed || (events > 0 && events % EVENTS == 0) {
                    break;
                }
                (ns, events, packets) = (ns + 1_000_000, events + 1, packets + rate(dim.usecs()));
            }
            seen.push(dim.usecs());
            (ns, events, packets) = (ns + 1_000_000, events + 1, packets + rate(dim.usecs()));
        }
        seen
    }

    /// The longer it waits the more gets through: it climbs to the last profile and stays.
    #[test]
    fn it_climbs_while_it_helps_and_parks() {
        let mut dim = Dim::default();
        let seen = run(&mut dim, 20, |usecs| 100 * u64::from(usecs));
        assert_eq!(seen[seen.len() - 5..], [256; 5], "{seen:?}");
        assert!(seen.contains(&64) && seen.contains(&128));
    }

    /// Waiting only hurts: it goes down to the first.
    #[test]
    fn it_turns_where_it_hurts() {
        let mut dim = Dim::default();
        let seen = run(&mut dim, 30, |usecs| 100_000 / u64::from(usecs));
        assert_eq!(seen[seen.len() - 5..], [1; 5], "{seen:?}");
    }

    #[test]
    fn it_leaves_its_place_when_the_load_changes() {
        let mut dim = Dim::default();
        let parked = run(&mut dim, 20, |usecs| 100 * u64::from(usecs));
        let after = run(&mut Dim { start: None, ..dim }, 20, |usecs| 100_000 / u64::from(usecs));
        assert_eq!((parked[19], after[19]), (256, 1), "{after:?}");
    }
}
