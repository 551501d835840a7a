//! What a sender waits for, and for how long altogether (`tcp_chrono`): the times of `tcp_info` that say whether the program,
//! the peer's window, or the send buffer holds it back.

use crate::stack::tcp::control_block::ControlBlock;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self). Milliseconds, as Linux's ticks are at best; they wrap after 49 days.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chrono {
    /// When what holds back now began to.
    since_ms: u32,
    /// By limit, [`Limit::Idle`] left out.
    spent_ms: [u32; 3],
}

/// What holds a sender back. What is greater is said before what is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    /// There is nothing to send.
    Idle,
    /// The network: text is out, or waits for the congestion window.
    Busy,
    /// The peer's window.
    Rwnd,
    /// The send buffer: all of it is out, and the program has more.
    Sndbuf,
}

/// As `tcp_info` has them; the first includes the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) busy: Duration,
    pub(super) rwnd_limited: Duration,
    pub(super) sndbuf_limited: Duration,
}

impl Chrono {
    pub(super) const fn new() -> Chrono {
        Chrono { since_ms: 0, spent_ms: [0; 3] }
    }

    /// Until now it was this.
    #[cold]
    fn turn_from(&mut self, limit: Limit, now: Instant) {
        let millis = millis(now);
        if let Some(spent) = (limit as usize).checked_sub(1).and_then(|n| self.spent_ms.get_mut(n)) {
            *spent = spent.wrapping_add(millis.wrapping_sub(self.since_ms));
        }
        self.since_ms = millis;
    }

    /// `tcp_get_info_chrono_stats`, while it is this.
    pub(super) fn times(mut self, limit: Limit, now: Instant) -> Times {
        self.turn_from(limit, now);
        let [busy, rwnd, sndbuf] = self.spent_ms.map(|ms| Duration::from_millis(ms.into()));
        Times { busy: busy + rwnd + sndbuf, rwnd_limited: rwnd, sndbuf_limited: sndbuf }
    }
}

impl ControlBlock {
    /// Looks at what holds back the text, after all was sent that could be. `wants_more` says that a program has found the
    /// send buffer full (`SOCK_NOSPACE`).
    #[inline]
    pub(crate) fn note_limit(&mut self, wants_more: bool, now: Instant) {
        let limit = match self.send.len() {
            0 => Limit::Idle,
            // All of it is out, and nobody has more: as mostly.
            _ if !wants_more && self.unsent() == 0 => Limit::Busy,
            _ => self.find_limit(wants_more),
        };
        if limit != self.limit {
            self.chrono.turn_from(self.limit, now);
            self.limit = limit;
        }
    }

    fn find_limit(&self, wants_more: bool) -> Limit {
        let (unsent, mss) = (self.unsent(), self.text_max());
        let window = (self.snd_una + self.snd_wnd).distance(self.snd_nxt).max(0).cast_unsigned();
        // `tcp_snd_wnd_test`: the congestion window is asked first.
        let has_cwnd = self.flight() < self.congestion.cwnd();
        match unsent {
            0 if wants_more && has_cwnd && self.state.may_send() => Limit::Sndbuf,
            0 => Limit::Busy,
            _ if has_cwnd && window < unsent.min(mss) => Limit::Rwnd,
            _ => Limit::Busy,
        }
    }
}

fn millis(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_time_and_the_sum_is_busy() {
        let at = |ms: u64| Instant::from_virtual_ns(ms * 1_000_000);
        let ms = Duration::from_millis;
        let (mut chrono, mut limit) = (Chrono::new(), Limit::Idle);
        assert_eq!(chrono.times(limit, at(9)), Times::default());
        let turns = [(Limit::Busy, 10), (Limit::Rwnd, 15), (Limit::Busy, 22), (Limit::Idle, 30), (Limit::Sndbuf, 100)];
        for (next, from) in turns {
            chrono.turn_from(limit, at(from));
            limit = next;
        }
        let check = |chrono: Chrono, limit, now, busy, rwnd_limited, sndbuf_limited| {
            let expected = Times { busy: ms(busy), rwnd_limited: ms(rwnd_limited), sndbuf_limited: ms(sndbuf_limited) };
            assert_eq!(chrono.times(limit, at(now)), expected);
        };
        check(chrono, limit, 100, 20, 7, 0);
        check(chrono, limit, 104, 24, 7, 4);
        chrono.turn_from(limit, at(105));
        check(chrono, Limit::Idle, 1000, 25, 7, 5);
    }
}
