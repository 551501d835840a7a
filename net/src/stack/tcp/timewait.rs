//! Connections in TIME-WAIT, and those in FIN-WAIT-2 whose user has gone: compact entries, bounded, all with the same
//! lifetime (RFC 9293 3.10.7.4, RFC 1337, RFC 6191), as Linux's `inet_timewait_sock`.

use crate::stack::counters::Mib;
use crate::stack::demux::FourTuple;
use crate::stack::tcp::timestamps::Timestamps;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use slab::Slab;
use std::collections::VecDeque;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What is left of a connection when it comes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    pub(crate) substate: Substate,
    pub(crate) snd_nxt: SeqNumber,
    pub(crate) rcv_nxt: SeqNumber,
    /// The window that the peer was told, in bytes and as it stands in a header.
    pub(crate) rcv_wnd: u32,
    pub(crate) window: u16,
    /// IP_TOS, or IPV6_TCLASS (`tw_tos`).
    pub(crate) tos: u8,
    /// TS.Recent, where both sides use timestamps.
    pub(crate) ts_recent: Option<u32>,
}

/// The two states that an entry can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Substate {
    /// The peer's FIN has not come yet.
    FinWait2,
    TimeWait,
}

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    pub(crate) flow: FourTuple,
    pub(crate) remains: Remains,
    /// When `ts_recent` was heard, in seconds of our clock.
    ts_recent_at_s: u32,
    /// When an unacceptable segment was last answered, in milliseconds of our clock.
    last_ack_at_ms: Option<u32>,
    generation: u32,
    expires_at_ms: u32,
}

/// What to do about a segment for an entry.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It needs no answer.
    Ignore,
    /// It would be answered, if another had not been just before; counted under this name.
    Skip(Mib),
    /// It is answered with an acknowledgement.
    Acknowledge,
    /// It ends the entry.
    Delete,
    /// It is answered with a reset and ends the entry.
    Reset,
    /// It opens a new connection, whose number must lie after this one's.
    Reopen { iss: SeqNumber },
}

/// 2 MSL: `TCP_TIMEWAIT_LEN`.
const LENGTH_MS: u32 = 60_000;

/// The entries, and the order in which they end. Since all last equally long, that is a queue; an entry whose time was
/// restarted goes to its end once more when its turn comes.
#[derive(Debug)]
pub(crate) struct TimeWaitTable {
    entries: Slab<TimeWait>,
    order: VecDeque<Turn>,
    next_generation: u32,
    max: usize,
    /// The latest moment that was heard of. Entries hold milliseconds that wrap; their time is within a minute of it.
    now: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    at_ms: u32,
    index: u32,
    generation: u32,
}

impl TimeWaitTable {
    /// An empty table with at most `max` entries.
    pub(crate) fn new(max: usize) -> TimeWaitTable {
        TimeWaitTable {
            entries: Slab::new(),
            order: VecDeque::new(),
            next_generation: 0,
            max,
            now: Instant::from_virtual_ns(0),
        }
    }

    /// How many entries there are in one of the states.
    #[cfg(test)]
    pub(crate) fn count(&self, state: Substate) -> usize {
        self.entries.iter().filter(|(_, entry)| entry.remains.substate == state).count()
    }

    /// Adds an entry, or `None` when there are too many. Those that ended early count until their time would have come.
    pub(crate) fn insert(&mut self, flow: FourTuple, remains: Remains, now: Instant) -> Option<u32> {
        if self.order.len() >= self.max {
            return None;
        }
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        self.now = self.now.max(now);
        let (ts_recent_at_s, at_ms) = (seconds(now), millis(now).wrapping_add(LENGTH_MS));
        let entry = TimeWait { flow, remains, ts_recent_at_s, last_ack_at_ms: None, generation, expires_at_ms: at_ms };
        let index = self.entries.insert(entry) as u32;
        self.order.push_back(Turn { at_ms, index, generation });
        Some(index)
    }

    /// The entry at `index`.
    pub(crate) fn get(&self, index: u32) -> Option<&TimeWait> {
        self.entries.get(index as usize)
    }

    /// How many places the table has, taken or not.
    pub(crate) fn places(&self) -> usize {
        self.entries.capacity()
    }

    /// Ends an entry.
    pub(crate) fn remove(&mut self, index: u32) -> Option<TimeWait> {
        self.entries.try_remove(index as usize)
    }

    /// When the next entry may end.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        self.order.front().map_or(Instant::FAR_FUTURE, |turn| self.time_of(turn))
    }

    fn time_of(&self, turn: &Turn) -> Instant {
        let left = turn.at_ms.wrapping_sub(millis(self.now)).cast_signed().max(0);
        self.now.saturating_add(Duration::from_millis(left.cast_unsigned().into()))
    }

    /// Ends an entry whose time is over.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(u32, TimeWait)> {
        while let Some(turn) = self.next_turn(now) {
            match self.entries.get(turn.index as usize) {
                Some(entry) if entry.generation != turn.generation => {}
                Some(entry) if is_after(entry.expires_at_ms, millis(now)) => {
                    self.order.push_back(Turn { at_ms: entry.expires_at_ms, ..turn });
                }
                Some(_) => return self.remove(turn.index).map(|entry| (turn.index, entry)),
                None => {}
            }
        }
        None
    }

    fn next_turn(&mut self, now: Instant) -> Option<Turn> {
        self.now = self.now.max(now);
        let due = self.order.front().is_some_and(|turn| !is_after(turn.at_ms, millis(now)));
        if due { self.order.pop_front() } else { None }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    /// What a segment means for an entry. `rfc1337`: a reset does not end TIME-WAIT.
    pub(crate) fn on_segment(
        &mut self,
        index: u32,
        header: &TcpHeader,
        text_len: usize,
        rfc1337: bool,
        now: Instant,
    ) -> Verdict {
        let Some(entry) = self.entries.get_mut(index as usize) else { return Verdict::Ignore };
        match entry.remains.substate {
            Substate::FinWait2 => entry.on_fin_wait_2(header, text_len, now),
            Substate::TimeWait => entry.on_time_wait(header, text_len, rfc1337, now),
        }
    }
}

/// `tcp_timewait_state_process`
impl TimeWait {
    /// 3.10.7.4 in FIN-WAIT-2, where nobody reads any more.
    fn on_fin_wait_2(&mut self, header: &TcpHeader, text_len: usize, now: Instant) -> Verdict {
        let (start, rcv_nxt) = (header.seq, self.remains.rcv_nxt);
        let end = start + header.sequence_len(text_len);
        // First, check the sequence number.
        if self.is_old(header, now) || !self.is_in_window(start, end) {
            return self.answer(header, text_len, Mib::TcpExtTCPACKSkippedFinWait2, now);
        }
        // Second, check the RST bit.
        if header.flags.contains(TcpFlags::RST) {
            return Verdict::Delete;
        }
        // Fourth, check the SYN bit.
        if header.flags.contains(TcpFlags::SYN) && !start.is_before(rcv_nxt) {
            return Verdict::Reset;
        }
        // Fifth, check the ACK field; and there may be nothing new.
        if !header.flags.contains(TcpFlags::ACK) || !end.is_after(rcv_nxt) || end == start {
            return Verdict::Ignore;
        }
        // Seventh, process the text: nobody will read it, so the peer must know (RFC 2525 2.17). Eighth, the FIN.
        if !header.flags.contains(TcpFlags::FIN) || end != rcv_nxt + 1 {
            return Verdict::Reset;
        }
        self.remains.substate = Substate::TimeWait;
        self.remains.rcv_nxt = end;
        self.hear(header, now);
        self.expires_at_ms = millis(now).wrapping_add(LENGTH_MS);
        Verdict::Acknowledge
    }

    /// 3.10.7.4 in TIME-WAIT.
    fn on_time_wait(&mut self, header: &TcpHeader, text_len: usize, rfc1337: bool, now: Instant) -> Verdict {
        let Remains { rcv_nxt, snd_nxt, ts_recent, .. } = self.remains;
        let rst = header.flags.contains(TcpFlags::RST);
        let (old, len) = (self.is_old(header, now), header.sequence_len(text_len));
        if !old && header.seq == rcv_nxt && (len == 0 || rst) {
            if rst && !rfc1337 {
                // "TIME_WAIT assassination".
                return Verdict::Delete;
            }
            if !rst {
                self.expires_at_ms = millis(now).wrapping_add(LENGTH_MS);
            }
            self.hear(header, now);
            return Verdict::Ignore;
        }
        let open = header.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) == TcpFlags::SYN;
        // RFC 6191: a newer timestamp says as much as a newer number (RFC 9293 3.6.1, MAY-2).
        let newer = match (ts_recent, header.options.timestamps) {
            (Some(recent), Some((value, _))) => recent.wrapping_sub(value).cast_signed() < 0,
            _ => false,
        };
        if open && !old && (header.seq.is_after(rcv_nxt) || newer) {
            return Verdict::Reopen { iss: snd_nxt + REOPEN_DISTANCE };
        }
        if rst {
            return Verdict::Ignore;
        }
        if old || header.flags.contains(TcpFlags::ACK) {
            // Not for a bare SYN: it may be a new one whose number happens to lie before.
            self.expires_at_ms = millis(now).wrapping_add(LENGTH_MS);
        }
        self.answer(header, text_len, Mib::TcpExtTCPACKSkippedTimeWait, now)
    }

    /// Whether a connection that we open may take this one's place, and from which number on (`tcp_twsk_unique`): with
    /// timestamps that have moved on since, the peer can tell them apart.
    pub(crate) fn reusable(&self, now: Instant) -> Option<SeqNumber> {
        let moved_on = self.remains.ts_recent.is_some() && seconds(now) > self.ts_recent_at_s;
        (self.remains.substate == Substate::TimeWait && moved_on).then(|| self.remains.snd_nxt + REOPEN_DISTANCE)
    }

    /// How long it still lasts.
    pub(crate) fn expires_in(&self, now: Instant) -> Duration {
        let left = self.expires_at_ms.wrapping_sub(millis(now)).cast_signed().max(0);
        Duration::from_millis(left.cast_unsigned().into())
    }

    /// RFC 7323 5.3 R1 (`tcp_paws_reject`).
    fn is_old(&self, header: &TcpHeader, now: Instant) -> bool {
        let (Some(recent), Some((value, _))) = (self.remains.ts_recent, header.options.timestamps) else {
            return false;
        };
        let age_s = seconds(now).wrapping_sub(self.ts_recent_at_s);
        let behind = recent.wrapping_sub(value).cast_signed() > 0;
        let relaxed = header.flags.contains(TcpFlags::RST) && age_s >= PAWS_MSL_S;
        behind && recent != 0 && age_s < PAWS_24_DAYS_S && !relaxed
    }

    /// `tcp_in_window`
    fn is_in_window(&self, start: SeqNumber, end: SeqNumber) -> bool {
        let Remains { rcv_nxt, rcv_wnd, .. } = self.remains;
        let limit = rcv_nxt + rcv_wnd;
        start == rcv_nxt || (end.is_after(rcv_nxt) && start.is_before(limit)) || (start == limit && start == end)
    }

    fn hear(&mut self, header: &TcpHeader, now: Instant) {
        if let (Some(recent), Some((value, _))) = (&mut self.remains.ts_recent, header.options.timestamps) {
            *recent = value;
            self.ts_recent_at_s = seconds(now);
        }
    }

    /// `tcp_timewait_check_oow_rate_limit`: what carries no text may itself be such an answer, and is answered twice a
    /// second at most.
    fn answer(&mut self, header: &TcpHeader, text_len: usize, skipped: Mib, now: Instant) -> Verdict {
        let syn = header.flags.contains(TcpFlags::SYN);
        if header.sequence_len(text_len) > 0 && !syn {
            return Verdict::Acknowledge;
        }
        let now_ms = millis(now);
        if self.last_ack_at_ms.is_some_and(|at| now_ms.wrapping_sub(at) < ANSWER_INTERVAL_MS) {
            return Verdict::Skip(skipped);
        }
        self.last_ack_at_ms = Some(now_ms);
        Verdict::Acknowledge
    }

    /// The timestamps of an acknowledgement, by the connection's own offset.
    pub(crate) fn timestamps(&self, offset: u32, now: Instant) -> Option<(u32, u32)> {
        self.remains.ts_recent.map(|recent| (Timestamps::new(offset).value(now), recent))
    }
}

/// How far the numbers of a new connection lie beyond the old one's: more than an unscaled window.
const REOPEN_DISTANCE: u32 = 65_537;
/// `TCP_PAWS_MSL`
const PAWS_MSL_S: u32 = 60;
/// `TCP_PAWS_24DAYS`
const PAWS_24_DAYS_S: u32 = 60 * 60 * 24 * 24;
/// `tcp_invalid_ratelimit`
const ANSWER_INTERVAL_MS: u32 = 500;

fn millis(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

/// Whether one moment is after another, where milliseconds wrap every seven weeks.
fn is_after(at_ms: u32, other_ms: u32) -> bool {
    at_ms.wrapping_sub(other_ms).cast_signed() > 0
}

fn seconds(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::endpoint::Endpoint;
    use crate::stack::flow_table::ENTRY_COST_MAX;
    use crate::wire::tcp_options::TcpOptions;
    use std::net::IpAddr;

    fn at(s: u64) -> Instant {
        Instant::from_virtual_ns(s * 1_000_000_000)
    }

    fn table(max: usize) -> (TimeWaitTable, FourTuple) {
        let end = |n| Endpoint::new(IpAddr::from([10, 0, 0, n]), 80);
        (TimeWaitTable::new(max), FourTuple { local: end(1), remote: end(2) })
    }

    fn header(flags: TcpFlags, seq: u32) -> TcpHeader {
        let (seq, ack) = (SeqNumber(seq), SeqNumber(100));
        TcpHeader { src_port: 80, dst_port: 80, seq, ack, flags, window: 0, urgent: 0, options: TcpOptions::default() }
    }

    const STATE: Remains = Remains {
        substate: Substate::TimeWait,
        snd_nxt: SeqNumber(100),
        rcv_nxt: SeqNumber(500),
        rcv_wnd: 1000,
        window: 9,
        tos: 0,
        ts_recent: None,
    };

    /// With its place in the order and in the demux.
    #[test]
    fn an_entry_is_small() {
        let (entry, turn) = (size_of::<Option<TimeWait>>(), size_of::<Turn>());
        assert!(entry + turn + ENTRY_COST_MAX <= 128, "{entry} + {turn} + {ENTRY_COST_MAX}");
    }

    #[test]
    fn segments_are_judged_as_the_rfcs_say() {
        let check = |flags: TcpFlags, seq: u32, expected: Verdict| {
            let (mut table, flow) = table(9);
            let index = table.insert(flow, STATE, at(0)).unwrap();
            assert_eq!(table.on_segment(index, &header(flags, seq), 0, false, at(1)), expected, "{flags} {seq}");
        };
        check(TcpFlags::RST, 500, Verdict::Delete);
        check(TcpFlags::RST, 501, Verdict::Ignore);
        check(TcpFlags::SYN, 501, Verdict::Reopen { iss: SeqNumber(65_637) });
        check(TcpFlags::SYN, 400, Verdict::Acknowledge);
        check(TcpFlags::SYN | TcpFlags::ACK, 501, Verdict::Acknowledge);
        check(TcpFlags::FIN | TcpFlags::ACK, 499, Verdict::Acknowledge);
        check(TcpFlags::ACK, 500, Verdict::Ignore);
        check(TcpFlags::ACK, 499, Verdict::Acknowledge);
    }

    #[test]
    fn a_reset_does_not_assassinate_if_the_host_says_so() {
        let (mut table, flow) = table(9);
        let index = table.insert(flow, STATE, at(0)).unwrap();
        assert_eq!(table.on_segment(index, &header(TcpFlags::RST, 500), 0, true, at(1)), Verdict::Ignore);
    }

    /// RFC 6191: the timestamp decides where there is one.
    #[test]
    fn a_newer_timestamp_reopens_and_an_older_one_never_does() {
        let check = |value: u32, seq: u32, expected: Verdict| {
            let (mut table, flow) = table(9);
            let index = table.insert(flow, Remains { ts_recent: Some(1000), ..STATE }, at(0)).unwrap();
            let mut syn = header(TcpFlags::SYN, seq);
            syn.options.timestamps = Some((value, 0));
            assert_eq!(table.on_segment(index, &syn, 0, false, at(1)), expected, "{value} {seq}");
        };
        check(1001, 400, Verdict::Reopen { iss: SeqNumber(65_637) });
        check(1000, 400, Verdict::Acknowledge);
        check(999, 501, Verdict::Acknowledge);
        check(1000, 501, Verdict::Reopen { iss: SeqNumber(65_637) });
    }

    #[test]
    fn our_own_connections_may_take_its_place_once_timestamps_have_moved_on() {
        let (mut table, flow) = table(9);
        let plain = table.insert(flow, STATE, at(0)).unwrap();
        assert_eq!(table.get(plain).unwrap().reusable(at(9)), None);
        let stamped = table.insert(flow, Remains { ts_recent: Some(5), ..STATE }, at(0)).unwrap();
        assert_eq!(table.get(stamped).unwrap().reusable(at(0)), None);
        assert_eq!(table.get(stamped).unwrap().reusable(at(1)), Some(SeqNumber(65_637)));
    }

    #[test]
    fn in_fin_wait_2_only_the_fin_in_order_is_welcome() {
        let check = |flags: TcpFlags, seq: u32, len: usize, expected: Verdict, after: Substate| {
            let (mut table, flow) = table(9);
            let remains = Remains { substate: Substate::FinWait2, ..STATE };
            let index = table.insert(flow, remains, at(0)).unwrap();
            assert_eq!(table.on_segment(index, &header(flags, seq), len, false, at(1)), expected, "{flags} {seq}");
            assert_eq!(table.get(index).unwrap().remains.substate, after);
        };
        let (ack, fin) = (TcpFlags::ACK, TcpFlags::FIN | TcpFlags::ACK);
        check(fin, 500, 0, Verdict::Acknowledge, Substate::TimeWait);
        check(fin, 500, 3, Verdict::Reset, Substate::FinWait2);
        check(ack, 500, 3, Verdict::Reset, Substate::FinWait2);
        check(ack, 500, 0, Verdict::Ignore, Substate::FinWait2);
        check(ack, 400, 3, Verdict::Acknowledge, Substate::FinWait2);
        check(ack, 5000, 3, Verdict::Acknowledge, Substate::FinWait2);
        check(TcpFlags::RST, 600, 0, Verdict::Delete, Substate::FinWait2);
        check(TcpFlags::SYN, 600, 0, Verdict::Reset, Substate::FinWait2);
    }

    #[test]
    fn what_carries_no_text_is_answered_twice_a_second() {
        let (mut table, flow) = table(9);
        let index = table.insert(flow, STATE, at(0)).unwrap();
        let mut judge = |ms: u64, len| {
            let now = Instant::from_virtual_ns(ms * 1_000_000);
            table.on_segment(index, &header(TcpFlags::ACK, 400), len, false, now)
        };
        assert_eq!(judge(1000, 0), Verdict::Acknowledge);
        assert_eq!(judge(1499, 0), Verdict::Skip(Mib::TcpExtTCPACKSkippedTimeWait));
        assert_eq!(judge(1499, 1), Verdict::Acknowledge);
        assert_eq!(judge(1500, 0), Verdict::Acknowledge);
    }

    #[test]
    fn a_fin_restarts_the_time_and_the_bound_holds() {
        let (mut table, flow) = table(2);
        let first = table.insert(flow, STATE, at(0)).unwrap();
        let second = table.insert(flow, STATE, at(10)).unwrap();
        assert_eq!(table.insert(flow, STATE, at(10)), None);
        assert_eq!(
            table.on_segment(first, &header(TcpFlags::FIN | TcpFlags::ACK, 499), 0, false, at(30)),
            Verdict::Acknowledge
        );
        assert!(table.pop_expired(at(60)).is_none());
        assert!(table.pop_expired(at(70)).is_some());
        assert!(table.get(second).is_none() && table.get(first).is_some());
        assert_eq!(table.next_deadline(), at(90));
        assert!(table.pop_expired(at(90)).is_some());
        assert_eq!((table.count(Substate::TimeWait), table.next_deadline()), (0, Instant::FAR_FUTURE));
    }

    #[test]
    fn an_entry_that_was_deleted_does_not_end_its_successor() {
        let (mut table, flow) = table(9);
        let first = table.insert(flow, STATE, at(0)).unwrap();
        assert!(table.remove(first).is_some());
        assert_eq!(table.insert(flow, STATE, at(30)), Some(first), "the place is used again");
        assert!(table.pop_expired(at(60)).is_none());
        assert_eq!(table.count(Substate::TimeWait), 1);
    }
}
