//! RACK (RFC 8985): loss is what was sent before something that has arrived, by more than the reordering window.
//!
//! This file has the algorithm's variables; the segments and their marks are the scoreboard's.

use crate::stack::tcp::news::is_sent_after;
use crate::wire::tcp::SeqNumber;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self). The names are those of 5.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack {
    /// When the segment was sent that was sent last of all that have arrived, and its end (`RACK.xmit_ts`,
    /// `RACK.end_seq`).
    pub(crate) newest: Option<(Instant, SeqNumber)>,
    /// Its round trip (`RACK.rtt`).
    pub(crate) rtt: Duration,
    /// Something has arrived since losses were last looked for.
    pub(crate) is_advanced: bool,
    /// How often reordering was seen (`RACK.reordering_seen`), and over how many segments.
    pub(crate) reordering_seen: u32,
    pub(crate) reordering: u32,
    /// In quarters of the least round trip (`RACK.reo_wnd_mult`).
    steps: u8,
    /// How many recoveries it stays so (`RACK.reo_wnd_persist`).
    persist: u8,
    /// Something arrived twice (`RACK.dsack_round`): the window is too narrow.
    duplicate_seen: bool,
    /// How much was delivered when the window was last widened.
    widened_at: u64,
}

/// `tcp_reordering`: as many segments behind a missing one tell that it is lost, unless reordering was seen (RFC 5681's
/// three duplicates).
pub(crate) const REORDERING: u32 = 3;
/// `tcp_max_reordering`
const REORDERING_MAX: u32 = 300;
/// `TCP_RACK_RECOVERY_THRESH`
const PERSIST: u8 = 16;

impl Rack {
    /// Nothing has arrived yet.
    pub(crate) const fn new() -> Rack {
        Rack {
            newest: None,
            rtt: Duration::ZERO,
            is_advanced: false,
            reordering_seen: 0,
            reordering: REORDERING,
            steps: 1,
            persist: 0,
            duplicate_seen: false,
            widened_at: 0,
        }
    }

    /// 6.2 step 2.
    pub(crate) fn advance(&mut self, arrived: (Instant, SeqNumber), now: Instant) {
        self.is_advanced = true;
        if self.newest.is_none_or(|newest| is_sent_after(arrived, newest)) {
            self.newest = Some(arrived);
            self.rtt = now.saturating_duration_since(arrived.0);
        }
    }

    /// 6.2 step 4, `RACK_update_reo_wnd`: how long a segment may come behind others. `sacked` segments have arrived out of
    /// order.
    pub(crate) fn window(&self, sacked: u32, in_recovery: bool, min_rtt: Duration, srtt: Duration) -> Duration {
        if self.reordering_seen == 0 && (in_recovery || sacked >= self.reordering) {
            return Duration::ZERO;
        }
        (min_rtt / 4 * u32::from(self.steps)).min(srtt)
    }

    /// Something arrived twice (RFC 2883), so it was sent again without need.
    pub(crate) fn on_duplicate(&mut self) {
        self.duplicate_seen = true;
    }

    /// `tcp_rack_update_reo_wnd`: the window grows by a step for each round trip in which something arrived twice, and
    /// goes back after sixteen recoveries without. `prior_delivered` is how much had been delivered when what has arrived
    /// now was sent.
    pub(crate) fn adapt(&mut self, prior_delivered: u64, delivered: u64) {
        if prior_delivered < self.widened_at {
            self.duplicate_seen = false;
        }
        if self.duplicate_seen {
            self.steps = self.steps.saturating_add(1);
            self.duplicate_seen = false;
            self.widened_at = delivered;
            self.persist = PERSIST;
        } else if self.persist == 0 {
            self.steps = 1;
        }
    }

    /// Whether [`adapt`](Self::adapt) has something to do with what is delivered next.
    pub(crate) const fn awaits_adaption(&self) -> bool {
        self.duplicate_seen
    }

    /// Whether nothing is known of the path that a new one would not take for granted.
    pub(crate) const fn has_learned_nothing(&self) -> bool {
        matches!((self.reordering_seen, self.reordering, self.steps, self.persist), (0, REORDERING, 1, 0))
    }

    /// A recovery is over.
    pub(crate) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
    }

    /// `tcp_check_sack_reordering`: an original came when `distance` later ones had arrived. Says whether that counts.
    pub(crate) fn on_reordering(&mut self, distance: u64) -> bool {
        let distance = u32::try_from(distance).unwrap_or(u32::MAX);
        if distance == 0 {
            return false;
        }
        self.reordering = self.reordering.max(distance.min(REORDERING_MAX));
        self.reordering_seen = self.reordering_seen.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_window_is_nothing_until_reordering_is_seen_and_widens_with_duplicates() {
        let mut rack = Rack::new();
        let check = |rack: &Rack, sacked, in_recovery, quarters: u32| {
            let window = rack.window(sacked, in_recovery, 40 * MS, 100 * MS);
            assert_eq!(window, quarters * 10 * MS, "{sacked} {in_recovery}");
        };
        check(&rack, 1, false, 1);
        check(&rack, 3, false, 0);
        check(&rack, 1, true, 0);
        assert!(!rack.on_reordering(0) && rack.on_reordering(2));
        check(&rack, 3, false, 1);
        rack.on_duplicate();
        rack.adapt(1000, 5000);
        check(&rack, 3, true, 2);
        rack.on_duplicate();
        rack.adapt(4000, 6000);
        check(&rack, 3, true, 2);
        for _ in 0..40 {
            rack.on_duplicate();
            rack.adapt(u64::MAX, 6000);
        }
        check(&rack, 3, true, 10);
        for _ in 0..16 {
            rack.on_recovered();
        }
        rack.adapt(u64::MAX, 6000);
        check(&rack, 3, true, 1);
    }
}
