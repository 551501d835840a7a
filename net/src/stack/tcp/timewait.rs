//! Connections in TIME-WAIT: compact entries, bounded, all with the same lifetime (RFC 9293 3.10.7.4, RFC 1337).

use crate::stack::demux::FourTuple;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use slab::Slab;
use std::collections::VecDeque;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    pub(crate) flow: FourTuple,
    pub(crate) snd_nxt: SeqNumber,
    pub(crate) rcv_nxt: SeqNumber,
    /// As it stands in a header.
    pub(crate) window: u16,
    generation: u32,
    expires_at: Instant,
    last_ack_at: Option<Instant>,
}

/// What to do about a segment for an entry.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It needs no answer.
    Ignore,
    /// It is answered with an acknowledgement.
    Acknowledge,
    /// It ends the entry.
    Delete,
    /// It opens a new connection, whose number must lie after this one's.
    Reopen { iss: SeqNumber },
}

/// 2 MSL: `TCP_TIMEWAIT_LEN`.
const LENGTH: Duration = Duration::from_secs(60);

/// The entries, and the order in which they end. Since all last equally long, that is a queue; an entry whose time was
/// restarted goes to its end once more when its turn comes.
#[derive(Debug)]
pub(crate) struct TimeWaitTable {
    entries: Slab<TimeWait>,
    order: VecDeque<Turn>,
    next_generation: u32,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Instant,
    index: u32,
    generation: u32,
}

impl TimeWaitTable {
    /// An empty table with at most `max` entries.
    pub(crate) fn new(max: usize) -> TimeWaitTable {
        TimeWaitTable { entries: Slab::new(), order: VecDeque::new(), next_generation: 0, max }
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds an entry, or `None` when there are too many. Those that ended early count until their time would have come.
    pub(crate) fn insert(
        &mut self,
        flow: FourTuple,
        (snd_nxt, rcv_nxt, window): (SeqNumber, SeqNumber, u16),
        now: Instant,
    ) -> Option<u32> {
        if self.order.len() >= self.max {
            return None;
        }
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let at = now.saturating_add(LENGTH);
        let entry = TimeWait { flow, snd_nxt, rcv_nxt, window, generation, expires_at: at, last_ack_at: None };
        let index = self.entries.insert(entry) as u32;
        self.order.push_back(Turn { at, index, generation });
        Some(index)
    }

    /// The entry at `index`.
    pub(crate) fn get(&self, index: u32) -> Option<&TimeWait> {
        self.entries.get(index as usize)
    }

    /// Ends an entry.
    pub(crate) fn remove(&mut self, index: u32) -> Option<TimeWait> {
        self.entries.try_remove(index as usize)
    }

    /// When the next entry may end.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|turn| turn.at)
    }

    /// Ends an entry whose time is over.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<TimeWait> {
        while let Some(turn) = self.next_turn(now) {
            match self.entries.get(turn.index as usize) {
                Some(entry) if entry.generation != turn.generation => {}
                Some(entry) if entry.expires_at > now => {
                    self.order.push_back(Turn { at: entry.expires_at, ..turn });
                }
                Some(_) => return self.remove(turn.index),
                None => {}
            }
        }
        None
    }

    fn next_turn(&mut self, now: Instant) -> Option<Turn> {
        self.order.front().is_some_and(|turn| turn.at <= now).then(|| self.order.pop_front())?
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    /// 3.10.7.4 for a connection in TIME-WAIT, with RFC 5961's rules for resets and SYNs.
    pub(crate) fn on_segment(&mut self, index: u32, header: &TcpHeader, text_len: usize, now: Instant) -> Verdict {
        let Some(entry) = self.entries.get_mut(index as usize) else { return Verdict::Ignore };
        if header.flags.contains(TcpFlags::RST) {
            return if header.seq == entry.rcv_nxt { Verdict::Delete } else { Verdict::Ignore };
        }
        let open = header.flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN;
        if open && header.seq.is_after(entry.rcv_nxt) {
            // RFC 9293 3.6.1, MAY-2; the number is Linux's.
            return Verdict::Reopen { iss: entry.snd_nxt + 65_537 };
        }
        if header.flags.contains(TcpFlags::FIN) {
            // "Acknowledge it, and restart the 2 MSL timeout."
            entry.expires_at = now.saturating_add(LENGTH);
            entry.last_ack_at = Some(now);
            return Verdict::Acknowledge;
        }
        if header.sequence_len(text_len) == 0 && header.seq == entry.rcv_nxt {
            return Verdict::Ignore;
        }
        let recent = entry.last_ack_at.is_some_and(|at| now < at.saturating_add(Duration::from_millis(500)));
        if recent {
            return Verdict::Ignore;
        }
        entry.last_ack_at = Some(now);
        Verdict::Acknowledge
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::endpoint::Endpoint;
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

    const STATE: (SeqNumber, SeqNumber, u16) = (SeqNumber(100), SeqNumber(500), 9);

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<TimeWait>() + size_of::<Turn>() <= 128, "{} + {}", size_of::<TimeWait>(), size_of::<Turn>());
    }

    #[test]
    fn segments_are_judged_as_the_rfcs_say() {
        let check = |flags: TcpFlags, seq: u32, expected: Verdict| {
            let (mut table, flow) = table(9);
            let index = table.insert(flow, STATE, at(0)).unwrap();
            assert_eq!(table.on_segment(index, &header(flags, seq), 0, at(1)), expected, "{flags} {seq}");
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
    fn a_fin_restarts_the_time_and_the_bound_holds() {
        let (mut table, flow) = table(2);
        let first = table.insert(flow, STATE, at(0)).unwrap();
        let second = table.insert(flow, STATE, at(10)).unwrap();
        assert_eq!(table.insert(flow, STATE, at(10)), None);
        assert_eq!(table.on_segment(first, &header(TcpFlags::FIN, 499), 0, at(30)), Verdict::Acknowledge);
        assert!(table.pop_expired(at(60)).is_none());
        assert!(table.pop_expired(at(70)).is_some());
        assert!(table.get(second).is_none() && table.get(first).is_some());
        assert_eq!(table.next_deadline(), Some(at(90)));
        assert!(table.pop_expired(at(90)).is_some());
        assert_eq!((table.len(), table.next_deadline()), (0, None));
    }

    #[test]
    fn an_entry_that_was_deleted_does_not_end_its_successor() {
        let (mut table, flow) = table(9);
        let first = table.insert(flow, STATE, at(0)).unwrap();
        assert!(table.remove(first).is_some());
        assert_eq!(table.insert(flow, STATE, at(30)), Some(first), "the place is used again");
        assert!(table.pop_expired(at(60)).is_none());
        assert_eq!(table.len(), 1);
    }
}
