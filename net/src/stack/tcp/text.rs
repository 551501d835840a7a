//! The last two steps of SEGMENT ARRIVES: seventh, process the segment text; eighth, check the FIN bit
//! (RFC 9293 3.10.7.4), and when to acknowledge.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::{Counters, Mib};
use crate::stack::error::SocketError;
use crate::stack::tcp::control_block::{
    ControlBlock, DELAYED_ACK, DELAYED_ACK_MAX, Disposition, Notice, QUICK_ACKS, Reset,
};
use crate::stack::tcp::flags::{AckDue, Flags};
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::out_of_order::Inserted;
use crate::stack::tcp::state::{Cause, State};
use crate::wire::tcp::{SeqNumber, TcpFlags};
use std::iter;
use wakeline_runtime::clock::Instant;

impl ControlBlock {
    /// What is left of a segment that has passed the checks.
    pub(super) fn accept_text(
        &mut self,
        at: &mut Arrival<'_>,
        mut text: PacketBuf,
        done: &mut Disposition,
    ) -> Disposition {
        let header = at.header;
        let mut seq = header.seq + u32::from(header.flags.contains(TcpFlags::SYN));
        let fin = header.flags.contains(TcpFlags::FIN);
        if text.rest().is_empty() {
            return self.accept_piece(at, seq, (text, fin), done);
        }
        // What GRO has put together: each piece is what it was, and the last has the FIN.
        let len = text.whole_len();
        let rest = text.take_rest();
        if !fin && self.is_next(seq, len) {
            self.accept_list(at, (text, rest), len, done);
            return *done;
        }
        let mut left = rest.len();
        for piece in iter::once(text).chain(rest) {
            let (len, fin) = (piece.len() as u32, fin && left == 0);
            *done = self.accept_piece(at, seq, (piece, fin), done);
            if done.notice.contains(Notice::FAILED) {
                break;
            }
            seq = seq + len;
            left = left.wrapping_sub(1);
        }
        *done
    }

    /// Whether so much text is what was to come next, with nothing to consider: it fits, will be read, and fills no hole. Room
    /// is wanted for three times as much, which is what text in pieces may be charged for.
    fn is_next(&self, seq: SeqNumber, len: usize) -> bool {
        let has_room = self.recv.truesize().saturating_add(3 * len as u32) <= self.rcvbuf;
        seq == self.rcv_nxt
            && len <= self.receive_window() as usize
            && has_room
            && self.out_of_order.is_empty()
            && self.state.may_receive()
            && !self.flags.contains(Flags::FIN_SEEN)
            && !self.has_no_reader()
    }

    /// What GRO has put together, and [is next](Self::is_next): one packet, as for the kernel.
    fn accept_list(
        &mut self,
        at: &mut Arrival<'_>,
        (text, rest): (PacketBuf, Vec<PacketBuf>),
        len: usize,
        done: &mut Disposition,
    ) {
        self.note_arrival(at.now, text.len());
        if let Some(last) = rest.last() {
            self.note_arrival(at.now, last.len());
        }
        let echo = at.header.options.timestamps.map(|(_, echo)| echo);
        self.measure_receiver(at.now, echo, len);
        self.note_mark(at);
        self.advance_received(len as u32);
        let mut merged = 0;
        for piece in iter::once(text).chain(rest) {
            merged += u64::from(self.recv.push(piece, at.pool));
        }
        at.counters.count_many(Mib::TcpExtTCPRcvCoalesce, merged);
        done.notice |= Notice::READABLE;
        self.schedule_ack(at.now);
    }

    /// The same for text that begins at RCV.NXT and fits into the window, with a reader and no FIN.
    #[inline]
    pub(super) fn take_next_text(&mut self, at: &mut Arrival<'_>, text: PacketBuf, done: &mut Disposition) {
        let len = text.len();
        self.note_arrival(at.now, len);
        let echo = at.header.options.timestamps.map(|(_, echo)| echo);
        self.measure_receiver(at.now, echo, len);
        self.note_mark(at);
        self.queue_in_order(at, text, done);
        self.schedule_ack(at.now);
    }

    fn accept_piece(
        &mut self,
        at: &mut Arrival<'_>,
        seq: SeqNumber,
        (text, fin): (PacketBuf, bool),
        done: &mut Disposition,
    ) -> Disposition {
        let header = at.header;
        if text.is_empty() && !fin {
            at.counters.count(Mib::TcpExtTCPPureAcks);
            at.pool.free(text);
            return *done;
        }
        let end = seq + text.len() as u32;
        if let Some(reason) = self.refuse_text(at, seq, end, fin) {
            at.pool.free(text);
            done.drop = Some(reason);
            return *done;
        }
        if self.has_no_reader() && end.is_after(self.rcv_nxt) {
            // 3.10.7.4 with RFC 2525 2.17 and RFC 1122 4.2.2.13: nobody will read it.
            at.counters.count(Mib::TcpExtTCPAbortOnData);
            at.pool.free(text);
            let reset = Some(Reset::At(header.ack));
            let failed = self.fail(SocketError::ConnectionReset, at.pool);
            return Disposition { reset, drop: Some(DropReason::TcpClose), ..failed };
        }
        if seq.is_before(self.rcv_nxt) && end.is_after(self.rcv_nxt) {
            // A part of it came before.
            self.note_twice(seq, self.rcv_nxt, at.counters);
        }
        let (seq, text, fin) = self.trim(seq, text, fin);
        if fin && !self.flags.contains(Flags::FIN_SEEN) {
            self.flags |= Flags::FIN_SEEN;
            self.fin_at = seq + text.len() as u32;
        }
        self.note_arrival(at.now, text.len());
        if !text.is_empty() {
            let echo = at.header.options.timestamps.map(|(_, echo)| echo);
            self.measure_receiver(at.now, echo, text.len());
            self.note_mark(at);
        }
        if text.is_empty() {
            at.pool.free(text);
            if seq != self.rcv_nxt {
                // RFC 5681 4.2: a FIN that comes early tells of a hole, as text does.
                self.quicken();
                self.ack = AckDue::Now;
            }
        } else if seq == self.rcv_nxt {
            self.queue_in_order(at, text, done);
        } else {
            self.queue_out_of_order(at, seq, text, done);
        }
        if self.flags.contains(Flags::FIN_SEEN) && self.fin_at == self.rcv_nxt && !self.peer_closed() {
            if !fin {
                // It came before the text that this segment brings, which so has filled a hole.
                self.ack = AckDue::Now;
            }
            self.on_fin(at.now, done);
        }
        self.schedule_ack(at.now);
        *done
    }

    /// Whether text that comes now can not reach anybody: the user has closed, or has shut down both directions.
    fn has_no_reader(&self) -> bool {
        let shut_down =
            self.flags.contains(Flags::NO_READER) && matches!(self.state, State::FinWait1 | State::FinWait2);
        shut_down || self.flags.contains(Flags::NO_USER)
    }

    /// Why none of the text can be used; the peer is told where we stand.
    fn refuse_text(&mut self, at: &mut Arrival<'_>, seq: SeqNumber, end: SeqNumber, fin: bool) -> Option<DropReason> {
        let window = self.receive_window();
        let reason = if !(end + u32::from(fin)).is_after(self.rcv_nxt) {
            DropReason::TcpOldData
        } else if !self.state.may_receive() {
            // "This should not occur since a FIN has been received from the remote side. Ignore the segment text."
            return Some(DropReason::TcpClose);
        } else if end.is_after(self.rcv_nxt) && window == 0 {
            at.counters.count(Mib::TcpExtTCPZeroWindowDrop);
            DropReason::TcpZerowindow
        } else if end != seq && !seq.is_before(self.rcv_nxt + window) {
            DropReason::TcpOverwindow
        } else {
            return None;
        };
        if reason == DropReason::TcpOldData && end != seq {
            self.note_twice(seq, end, at.counters);
        }
        self.quicken();
        self.ack = AckDue::Now;
        Some(reason)
    }

    /// Cuts off what lies before RCV.NXT and beyond the window, and a FIN that lies there.
    fn trim(&self, seq: SeqNumber, mut text: PacketBuf, mut fin: bool) -> (SeqNumber, PacketBuf, bool) {
        let old = self.rcv_nxt.distance(seq).max(0).cast_unsigned().min(text.len() as u32);
        text.pull(old as usize);
        let seq = seq + old;
        let room = (self.rcv_nxt + self.receive_window()) - seq;
        if text.len() as u32 > room {
            text.truncate(room as usize);
            fin = false;
        }
        (seq, text, fin)
    }

    fn queue_in_order(&mut self, at: &mut Arrival<'_>, text: PacketBuf, done: &mut Disposition) {
        if self.is_over_memory() {
            // `tcp_prune_queue`: what is out of order can be asked for again.
            self.out_of_order.clear(at.pool);
            self.sacks = None;
            if self.is_over_memory() && self.recv.len() > 0 {
                at.counters.count(Mib::TcpExtTCPRcvQDrop);
                at.pool.free(text);
                done.drop = Some(DropReason::SocketRcvbuff);
                done.notice |= Notice::READABLE;
                self.ack = AckDue::Now;
                return;
            }
        }
        self.advance_received(text.len() as u32);
        if self.recv.push(text, at.pool) {
            at.counters.count(Mib::TcpExtTCPRcvCoalesce);
        }
        if !self.out_of_order.is_empty() {
            // RFC 5681 4.2: a segment that fills a gap is acknowledged at once.
            self.ack = AckDue::Now;
            if let Some((from, to)) = self.out_of_order.first().filter(|&(from, _)| from < self.received) {
                self.note_twice(self.number_of(from), self.number_of(to), at.counters);
            }
            while let Some(next) = self.out_of_order.pop(self.received, at.pool) {
                self.advance_received(next.len() as u32);
                self.recv.push(next, at.pool);
            }
            if let Some(sacks) = &mut self.sacks {
                sacks.on_advance(self.received);
            }
        }
        done.notice |= Notice::READABLE;
    }

    fn queue_out_of_order(&mut self, at: &mut Arrival<'_>, seq: SeqNumber, text: PacketBuf, done: &mut Disposition) {
        self.stats.rcv_ooopack = self.stats.rcv_ooopack.wrapping_add(1);
        self.quicken();
        // RFC 5681 4.2: the duplicate acknowledgement that tells of the hole must not wait.
        self.ack = AckDue::Now;
        if self.is_over_memory() || self.out_of_order.len() >= self.out_of_order_max as usize {
            at.counters.count(Mib::TcpExtTCPOFODrop);
            at.pool.free(text);
            done.drop = Some(DropReason::TcpOfoDrop);
            return;
        }
        let (place, len) = (self.place_of(seq), text.len() as u64);
        match self.out_of_order.insert(place, text, at.pool) {
            Inserted::Kept { filled, overlap } => {
                at.counters.count(Mib::TcpExtTCPOFOQueue);
                if let Some((from, to)) = overlap {
                    self.note_twice(self.number_of(from), self.number_of(to), at.counters);
                }
                if self.has_sack() {
                    self.sacks.get_or_insert_default().on_filled(place, filled);
                }
            }
            Inserted::Duplicate => {
                at.counters.count(Mib::TcpExtTCPOFOMerge);
                self.note_twice(seq, self.number_of(place + len), at.counters);
                done.drop = Some(DropReason::TcpOfomerge);
            }
        }
    }

    /// RCV.NXT advances.
    #[inline]
    fn advance_received(&mut self, n: u32) {
        self.rcv_nxt = self.rcv_nxt + n;
        self.received += u64::from(n);
    }

    /// RFC 2883: the peer is told of what came twice, as far as that lies in the stream that we know (`tcp_dsack_set`).
    pub(super) fn note_twice(&mut self, from: SeqNumber, to: SeqNumber, counters: &mut Counters) {
        let ahead = !from.is_before(self.rcv_nxt);
        let to = if ahead { to } else { to.min(self.rcv_nxt) };
        let known = ahead || self.rcv_nxt - from <= self.received.min(1 << 30) as u32;
        if !self.has_sack() || !from.is_before(to) || !known {
            return;
        }
        counters.count(if ahead { Mib::TcpExtTCPDSACKOfoSent } else { Mib::TcpExtTCPDSACKOldSent });
        let (from, to) = (self.place_of(from), self.place_of(to));
        self.sacks.get_or_insert_default().on_duplicate(from, to);
    }

    fn is_over_memory(&self) -> bool {
        self.recv.truesize().saturating_add(self.out_of_order.truesize()) > self.rcvbuf
    }

    /// Eighth, check the FIN bit: all text before it is here.
    fn on_fin(&mut self, now: Instant, done: &mut Disposition) {
        self.advance_received(1);
        self.flags |= Flags::FIN_RECEIVED;
        self.step(Cause::Fin);
        if self.state != State::CloseWait {
            // `tcp_fin`: in the closing states the acknowledgement has no company to wait for.
            self.ack = AckDue::Now;
        } else if self.ack == AckDue::No {
            (self.ack, self.ack_at) = (AckDue::Delayed, now.saturating_add(DELAYED_ACK));
        }
        done.notice |= Notice::PEER_CLOSED | Notice::READABLE;
    }

    /// `tcp_event_data_recv` and `tcp_measure_rcv_mss`.
    #[inline]
    fn note_arrival(&mut self, now: Instant, text_len: usize) {
        self.rcv_mss = self.rcv_mss.max(text_len.min(self.adv_mss.into()) as u16);
        if text_len < self.rcv_mss.into() {
            self.flags |= Flags::PUSHED;
        }
        if !self.flags.contains(Flags::TEXT_SEEN) {
            self.flags |= Flags::TEXT_SEEN;
            self.quick = QUICK_ACKS;
        }
        self.last_received_at = now;
    }

    /// `__tcp_ack_snd_check`: at once when more than a segment is unacknowledged, while text begins to flow, or while
    /// there is a hole; otherwise with company, or after 40 ms.
    fn schedule_ack(&mut self, now: Instant) {
        if self.ack == AckDue::Now || self.rcv_nxt == self.rcv_wup {
            return;
        }
        let much = self.rcv_nxt - self.rcv_wup > u32::from(self.rcv_mss);
        let quick = self.quick > 0 && !self.flags.contains(Flags::PINGPONG);
        if much || quick || !self.out_of_order.is_empty() {
            self.ack = AckDue::Now;
        } else if self.ack == AckDue::No {
            self.ack = AckDue::Delayed;
            self.ack_at = now.saturating_add(DELAYED_ACK);
        }
    }

    /// The handshake's last segment goes at once, or, where the program has turned TCP_QUICKACK off, with its first text
    /// (`tcp_rcv_synsent_state_process`).
    pub(super) fn acknowledge_syn_ack(&mut self, now: Instant) {
        self.ack = AckDue::Now;
        if self.flags.contains(Flags::PINGPONG) {
            (self.ack, self.ack_at) = (AckDue::Delayed, now.saturating_add(DELAYED_ACK_MAX));
            self.quicken();
        }
    }

    /// `tcp_enter_quickack_mode`: the sender is in trouble and needs our acknowledgements.
    pub(super) fn quicken(&mut self) {
        self.quick = QUICK_ACKS;
        self.flags.remove(Flags::PINGPONG);
    }
}
