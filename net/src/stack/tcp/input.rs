//! SEGMENT ARRIVES: RFC 9293 3.10.7, its steps in its order.

use crate::event::DropReason;
use crate::packet::{PacketBuf, PoolCache};
use crate::stack::counters::{Counters, Mib};
use crate::stack::error::SocketError;
use crate::stack::tcp::congestion::CongestionControl;
use crate::stack::tcp::control_block::{
    AckDue, ControlBlock, DELAYED_ACK, Disposition, FIN_WAIT_2_MAX, Flags, Notice, QUICK_ACKS, Recovery, Reset, Timer,
};
use crate::stack::tcp::options::Agreed;
use crate::stack::tcp::out_of_order::Inserted;
use crate::stack::tcp::state::{Cause, State};
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use wakeline_runtime::clock::Instant;

/// What surrounds the control block while a segment arrives.
pub(crate) struct Arrival<'a> {
    pub(crate) now: Instant,
    pub(crate) header: &'a TcpHeader,
    pub(crate) pool: &'a mut PoolCache,
    pub(crate) counters: &'a mut Counters,
}

/// A step of the RFC's: on to the next one, or "drop the segment, and return".
type Step = Result<(), Disposition>;

impl Disposition {
    fn dropped(reason: DropReason) -> Disposition {
        Disposition { drop: Some(reason), ..Disposition::default() }
    }
}

impl ControlBlock {
    /// Takes a segment of this connection; `text` has been pulled to what follows the header.
    pub(crate) fn on_segment(&mut self, mut at: Arrival<'_>, text: PacketBuf) -> Disposition {
        let mut done = Disposition::default();
        let checked = match self.state {
            State::Closed => Err(Disposition::dropped(DropReason::TcpClose)),
            State::SynSent => self.check_syn_sent(&mut at, &mut done),
            _ => self.check_synchronized(&mut at, text.len(), &mut done),
        };
        match checked {
            Ok(()) => self.accept_text(&mut at, text, &mut done),
            Err(disposition) => {
                at.pool.free(text);
                disposition
            }
        }
    }

    // 3.10.7.3 SYN-SENT STATE

    fn check_syn_sent(&mut self, at: &mut Arrival<'_>, done: &mut Disposition) -> Step {
        let Arrival { header, .. } = *at;
        let (has_ack, has_rst) = (header.flags.contains(TcpFlags::ACK), header.flags.contains(TcpFlags::RST));
        // First, check the ACK bit.
        if has_ack && (!header.ack.is_after(self.iss) || header.ack.is_after(self.snd_nxt)) {
            let reset = (!has_rst).then_some(Reset::At(header.ack));
            return Err(Disposition { reset, ..Disposition::dropped(DropReason::TcpInvalidAck) });
        }
        // Second, check the RST bit: only one that acknowledges our SYN counts.
        if has_rst {
            if !has_ack {
                return Err(Disposition::dropped(DropReason::TcpInvalidReset));
            }
            at.counters.count(Mib::TcpAttemptFails);
            return Err(self.fail(SocketError::ConnectionRefused, at.pool));
        }
        // Third, check the security: there is none.
        // Fourth, check the SYN bit. (Fifth: if neither SYN nor RST is set, drop the segment.)
        if !header.flags.contains(TcpFlags::SYN) {
            return Err(Disposition::dropped(DropReason::TcpFlags));
        }
        self.synchronize(header.seq, Agreed::new(self.adv_mss, header));
        self.last_received_at = at.now;
        // RFC 7323 2.2: the window of a SYN is not scaled.
        self.take_window(header, header.window.into());
        if has_ack {
            self.acknowledge(at, done);
            self.step(Cause::SynAck);
            self.ack = AckDue::Now;
            done.notice |= Notice::CONNECTED | Notice::WRITABLE;
            Ok(())
        } else {
            // Simultaneous open: form a SYN,ACK segment. What else the SYN carries will be sent again.
            self.step(Cause::Syn);
            self.flags |= Flags::SYN_DUE;
            Err(Disposition::default())
        }
    }

    // 3.10.7.4 OTHER STATES

    fn check_synchronized(&mut self, at: &mut Arrival<'_>, text_len: usize, done: &mut Disposition) -> Step {
        let crossing = self.is_crossing_syn_ack(at.header);
        if !crossing {
            self.check_sequence(at, text_len)?;
            self.check_reset(at)?;
            // Third, check security: there is none.
            self.check_syn(at)?;
        }
        self.check_ack(at, text_len, crossing, done)
        // Sixth, check the URG bit: see the control block's doc.
    }

    /// The SYN,ACK with which the peer of a simultaneous open answers our SYN: old by its number, but it carries the
    /// acknowledgement that we wait for. Linux lets it pass, too.
    fn is_crossing_syn_ack(&self, header: &TcpHeader) -> bool {
        self.state == State::SynReceived
            && header.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) == TcpFlags::SYN | TcpFlags::ACK
            && header.seq == self.irs
            && header.ack == self.snd_nxt
    }

    /// First, check the sequence number.
    ///
    /// The test is Linux's `tcp_sequence`: the segment ends no earlier than what was last acknowledged and begins no
    /// later than the window's end. It is a little wider than the RFC's table, so that an acknowledgement that was
    /// overtaken is not answered, and text in a closed window still has its ACK, RST and URG looked at (3.10.7.4).
    fn check_sequence(&mut self, at: &mut Arrival<'_>, text_len: usize) -> Step {
        let header = at.header;
        let len = header.sequence_len(text_len);
        let old = (header.seq + len).is_before(self.rcv_wup);
        let beyond = header.seq.is_after(self.rcv_nxt + self.receive_window());
        if !old && !beyond {
            return Ok(());
        }
        if header.flags.contains(TcpFlags::RST) {
            return Err(Disposition::dropped(DropReason::TcpInvalidReset));
        }
        // "If an incoming segment is not acceptable, an acknowledgment should be sent in reply." One without content
        // is answered only now and then: it may itself be such a reply.
        let syn = header.flags.contains(TcpFlags::SYN);
        if (len > 0 && !syn) || self.may_challenge(at.now) {
            if syn {
                at.counters.count(Mib::TcpExtTCPSYNChallenge);
            }
            self.ack = AckDue::Now;
        } else {
            at.counters.count(Mib::TcpExtTCPACKSkippedSeq);
        }
        Err(Disposition::dropped(if old { DropReason::TcpOldData } else { DropReason::TcpOverwindow }))
    }

    /// Second, check the RST bit; RFC 5961 3.2: only one that hits RCV.NXT exactly resets.
    fn check_reset(&mut self, at: &mut Arrival<'_>) -> Step {
        if !at.header.flags.contains(TcpFlags::RST) {
            return Ok(());
        }
        if at.header.seq != self.rcv_nxt {
            return Err(self.challenge(at, DropReason::TcpInvalidReset));
        }
        let error = match self.state {
            State::SynReceived => SocketError::ConnectionRefused,
            State::CloseWait => SocketError::BrokenPipe,
            _ => SocketError::ConnectionReset,
        };
        at.counters.count(match self.state {
            State::SynReceived => Mib::TcpAttemptFails,
            _ => Mib::TcpEstabResets,
        });
        Err(self.fail(error, at.pool))
    }

    /// Fourth, check the SYN bit; RFC 5961 4.2: in any window, it is answered and dropped.
    fn check_syn(&mut self, at: &mut Arrival<'_>) -> Step {
        if !at.header.flags.contains(TcpFlags::SYN) {
            return Ok(());
        }
        at.counters.count(Mib::TcpExtTCPSYNChallenge);
        Err(self.challenge(at, DropReason::TcpFlags))
    }

    /// Fifth, check the ACK field.
    fn check_ack(&mut self, at: &mut Arrival<'_>, text_len: usize, syn: bool, done: &mut Disposition) -> Step {
        let header = at.header;
        if !header.flags.contains(TcpFlags::ACK) {
            return Err(Disposition::dropped(DropReason::TcpFlags));
        }
        // A SYN's window is not scaled.
        let window = u32::from(header.window) << if syn { 0 } else { self.snd_wscale };
        if self.state == State::SynReceived {
            if !header.ack.is_after(self.snd_una) || header.ack.is_after(self.snd_nxt) {
                let reset = Some(Reset::At(header.ack));
                return Err(Disposition { reset, ..Disposition::dropped(DropReason::TcpInvalidAck) });
            }
            self.step(Cause::AckOfSyn);
            if self.flags.contains(Flags::FIN_QUEUED) {
                self.step(Cause::Close);
            }
            self.take_window(header, window);
            done.notice |= Notice::CONNECTED | Notice::WRITABLE;
        }
        // RFC 5961 5.2: neither for something never sent, nor older than a window.
        if header.ack.is_after(self.snd_nxt) || header.ack.is_before(self.snd_una - self.max_window) {
            return Err(self.challenge(at, DropReason::TcpInvalidAck));
        }
        if header.ack.is_after(self.snd_una) {
            self.acknowledge(at, done);
        } else if header.ack == self.snd_una {
            let bare = text_len == 0 && !header.flags.intersects(TcpFlags::FIN | TcpFlags::SYN);
            if bare && self.snd_una != self.snd_nxt && window == self.snd_wnd {
                self.on_duplicate_ack(at.counters);
            }
        }
        // "This check prevents old segments from updating the window."
        if self.snd_wl1.is_before(header.seq) || (self.snd_wl1 == header.seq && !self.snd_wl2.is_after(header.ack)) {
            self.take_window(header, window);
        }
        self.after_ack(at.now);
        if self.state == State::Closed {
            // LAST-ACK: "if our FIN is now acknowledged, delete the TCB, enter the CLOSED state, and return".
            self.abort(at.pool);
            return Err(*done);
        }
        Ok(())
    }

    fn take_window(&mut self, header: &TcpHeader, window: u32) {
        self.snd_wnd = window;
        self.snd_wl1 = header.seq;
        self.snd_wl2 = header.ack;
        self.max_window = self.max_window.max(window);
        if self.timer == Timer::Persist {
            // An answer: the peer lives, whatever its window.
            self.retries = 0;
            if window > 0 {
                self.stop_timer();
                self.rtt.reset_backoff();
            }
        }
    }

    /// SND.UNA advances: round-trip time, send queue, congestion window, timer.
    fn acknowledge(&mut self, at: &mut Arrival<'_>, done: &mut Disposition) {
        let ack = at.header.ack;
        let flight = self.flight();
        let first_of_all = self.snd_una == self.iss;
        let acked = ack - self.snd_una - u32::from(first_of_all);
        self.measure(at.now, ack);
        self.snd_una = ack;
        // What exceeds the queue is the FIN.
        self.send.release(acked, at.pool);
        if first_of_all && self.flags.contains(Flags::SYN_REPEATED) {
            self.rtt.fall_back();
        }
        self.retries = 0;
        if acked > 0 {
            done.notice |= Notice::WRITABLE;
            self.recover_on_ack(acked, flight);
        }
        self.dup_acks = 0;
        // RFC 6298 (5.2), (5.3).
        if self.snd_una == self.snd_nxt {
            self.stop_timer();
        } else {
            self.timer = Timer::Retransmit;
            self.timer_at = at.now.saturating_add(self.rtt.rto());
        }
    }

    /// RFC 6298 section 3, Karn's algorithm: `timed` only ever names a segment that was sent once.
    fn measure(&mut self, now: Instant, ack: SeqNumber) {
        if let Some((end, sent_at)) = self.timed
            && !ack.is_before(end)
        {
            self.rtt.sample(now.saturating_duration_since(sent_at));
            self.timed = None;
        }
    }

    fn recover_on_ack(&mut self, acked: u32, flight: u32) {
        match self.recovery {
            Recovery::Open => {
                // RFC 7661 in short: a window that is not used proves nothing about the path.
                let limited = self.flags.contains(Flags::CWND_LIMITED) || flight >= self.congestion.cwnd() / 2;
                self.congestion.on_ack(acked, limited);
                self.flags.remove(Flags::CWND_LIMITED);
            }
            Recovery::Fast if self.snd_una.is_before(self.recover) => {
                // RFC 6582 3.2 step 3, a partial acknowledgement: the next hole begins here.
                self.congestion.on_partial_ack(acked);
                self.flags |= Flags::RETRANSMIT_DUE;
            }
            Recovery::Fast => {
                self.congestion.on_recovered(self.snd_nxt - self.snd_una);
                self.recovery = Recovery::Open;
            }
            Recovery::Loss { next } => {
                self.congestion.on_ack(acked, true);
                self.recovery = if self.snd_una.is_before(self.recover) {
                    Recovery::Loss { next: next.max(self.snd_una) }
                } else {
                    Recovery::Open
                };
            }
        }
    }

    /// RFC 5681 3.2.
    fn on_duplicate_ack(&mut self, counters: &mut Counters) {
        self.dup_acks = self.dup_acks.saturating_add(1);
        match self.recovery {
            Recovery::Fast => self.congestion.on_duplicate_ack(),
            // RFC 6582 3.2 step 2: not again for a window in which loss was noticed before.
            Recovery::Open if self.dup_acks == 3 && self.snd_una.is_after(self.recover) => {
                counters.count(Mib::TcpExtTCPFastRetrans);
                self.congestion.on_loss(self.snd_nxt - self.snd_una);
                self.recovery = Recovery::Fast;
                self.recover = self.snd_nxt;
                self.flags |= Flags::RETRANSMIT_DUE;
            }
            _ => {}
        }
    }

    /// What an acknowledgement means for the closing states.
    fn after_ack(&mut self, now: Instant) {
        if self.flags.contains(Flags::FIN_SENT) && self.snd_una == self.snd_nxt {
            let before = self.state;
            self.step(Cause::AckOfFin);
            if before == State::FinWait1 && self.flags.contains(Flags::NO_USER) {
                self.linger_at = now.saturating_add(FIN_WAIT_2_MAX);
            }
        }
    }

    // Seventh, process the segment text; eighth, check the FIN bit.

    fn accept_text(&mut self, at: &mut Arrival<'_>, text: PacketBuf, done: &mut Disposition) -> Disposition {
        let header = at.header;
        let seq = header.seq + u32::from(header.flags.contains(TcpFlags::SYN));
        let fin = header.flags.contains(TcpFlags::FIN);
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
        if self.flags.contains(Flags::NO_USER) && end.is_after(self.rcv_nxt) {
            // 3.10.7.4 with RFC 2525 2.17: nobody will read it.
            at.counters.count(Mib::TcpExtTCPAbortOnData);
            at.pool.free(text);
            let reset = self.abort_reset();
            let failed = self.fail(SocketError::ConnectionReset, at.pool);
            return Disposition { reset, drop: Some(DropReason::TcpClose), ..failed };
        }
        let (seq, text, fin) = self.trim(seq, text, fin);
        if fin && self.fin_at.is_none() {
            self.fin_at = Some(seq + text.len() as u32);
        }
        self.note_arrival(at.now, text.len());
        if text.is_empty() {
            at.pool.free(text);
        } else if seq == self.rcv_nxt {
            self.queue_in_order(at, text, done);
        } else {
            self.queue_out_of_order(at, seq, text, done);
        }
        if self.fin_at == Some(self.rcv_nxt) && !self.peer_closed() {
            self.on_fin(at.now, done);
        }
        self.schedule_ack(at.now);
        *done
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
            if self.is_over_memory() && self.recv.len() > 0 {
                at.counters.count(Mib::TcpExtTCPRcvQDrop);
                at.pool.free(text);
                done.drop = Some(DropReason::SocketRcvbuff);
                done.notice |= Notice::READABLE;
                self.ack = AckDue::Now;
                return;
            }
        }
        self.rcv_nxt = self.rcv_nxt + text.len() as u32;
        if self.recv.push(text, at.pool) {
            at.counters.count(Mib::TcpExtTCPRcvCoalesce);
        }
        if !self.out_of_order.is_empty() {
            // RFC 5681 4.2: a segment that fills a gap is acknowledged at once.
            self.ack = AckDue::Now;
            while let Some(next) = self.out_of_order.pop(self.rcv_nxt, at.pool) {
                self.rcv_nxt = self.rcv_nxt + next.len() as u32;
                self.recv.push(next, at.pool);
            }
        }
        done.notice |= Notice::READABLE;
    }

    fn queue_out_of_order(&mut self, at: &mut Arrival<'_>, seq: SeqNumber, text: PacketBuf, done: &mut Disposition) {
        self.quicken();
        // RFC 5681 4.2: the duplicate acknowledgement that tells of the hole must not wait.
        self.ack = AckDue::Now;
        if self.is_over_memory() || self.out_of_order.len() >= self.out_of_order_max as usize {
            at.counters.count(Mib::TcpExtTCPOFODrop);
            at.pool.free(text);
            done.drop = Some(DropReason::TcpOfoDrop);
            return;
        }
        match self.out_of_order.insert(seq, text, at.pool) {
            Inserted::Kept => at.counters.count(Mib::TcpExtTCPOFOQueue),
            Inserted::Duplicate => {
                at.counters.count(Mib::TcpExtTCPOFOMerge);
                done.drop = Some(DropReason::TcpOfomerge);
            }
        }
    }

    fn is_over_memory(&self) -> bool {
        self.recv.truesize().saturating_add(self.out_of_order.truesize()) > self.rcvbuf
    }

    /// Eighth, check the FIN bit: all text before it is here.
    fn on_fin(&mut self, now: Instant, done: &mut Disposition) {
        self.rcv_nxt = self.rcv_nxt + 1;
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

    /// `tcp_enter_quickack_mode`: the sender is in trouble and needs our acknowledgements.
    fn quicken(&mut self) {
        self.quick = QUICK_ACKS;
        self.flags.remove(Flags::PINGPONG);
    }

    fn challenge(&mut self, at: &mut Arrival<'_>, reason: DropReason) -> Disposition {
        if self.may_challenge(at.now) {
            at.counters.count(Mib::TcpExtTCPChallengeACK);
            self.ack = AckDue::Now;
        } else {
            at.counters.count(Mib::TcpExtTCPACKSkippedChallenge);
        }
        Disposition::dropped(reason)
    }

    /// The connection is over, and the user hears why.
    pub(super) fn fail(&mut self, error: SocketError, pool: &mut PoolCache) -> Disposition {
        self.abort(pool);
        Disposition { notice: Notice::FAILED, error: Some(error), ..Disposition::default() }
    }
}
