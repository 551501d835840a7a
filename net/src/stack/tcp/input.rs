//! SEGMENT ARRIVES: RFC 9293 3.10.7, its steps in its order. The last two, text and FIN, are in `text`.

use crate::event::DropReason;
use crate::packet::{PacketBuf, PoolCache};
use crate::stack::counters::{Counters, Mib};
use crate::stack::error::SocketError;
use crate::stack::tcp::challenge::ChallengeLimit;
use crate::stack::tcp::control_block::{ControlBlock, Disposition, FIN_WAIT_2_MAX, Notice, Reset};
use crate::stack::tcp::flags::{AckDue, Flags, Timer};
use crate::stack::tcp::options::{Agreed, Features};
use crate::stack::tcp::state::{Cause, State};
use crate::stack::tcp::timestamps::{PAWS_WINDOW, is_before};
use crate::wire::tcp::{TcpFlags, TcpHeader};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What surrounds the control block while a segment arrives.
pub(crate) struct Arrival<'a> {
    pub(crate) now: Instant,
    pub(crate) header: &'a TcpHeader,
    /// The ECN bits of its IP header.
    pub(crate) ecn: u8,
    pub(crate) pool: &'a mut PoolCache,
    pub(crate) counters: &'a mut Counters,
    pub(crate) challenges: &'a mut ChallengeLimit,
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
        self.stats.segs_in = self.stats.segs_in.wrapping_add(1);
        if self.is_predicted(&at, &text) {
            return self.take_predicted(&mut at, text);
        }
        self.take_any(at, text)
    }

    /// `tcp_rcv_established`'s header prediction, the receiver's half: whether this is the text that comes next, on a connection
    /// on which nothing is amiss, so that none of the checks below would find anything.
    #[inline]
    fn is_predicted(&self, at: &Arrival<'_>, text: &PacketBuf) -> bool {
        const AMISS: Flags = Flags::FIN_SEEN.union(Flags::NO_USER).union(Flags::NO_READER);
        let header = at.header;
        let plain = header.flags | TcpFlags::PSH == TcpFlags::ACK | TcpFlags::PSH;
        let (una, nxt) = (self.snd_una, self.snd_nxt);
        self.state == State::Established
            && plain
            && header.seq == self.rcv_nxt
            && header.ack - una <= nxt - una
            && (1..=self.receive_window() as usize).contains(&text.len())
            && text.rest().is_empty()
            && !self.flags.intersects(AMISS)
            && self.out_of_order.is_empty()
            && header.options.timestamps.is_none_or(|(value, _)| !self.ts.is_old(value, PAWS_WINDOW, at.now))
    }

    /// The fifth and the seventh step for such a segment.
    #[inline]
    fn take_predicted(&mut self, at: &mut Arrival<'_>, text: PacketBuf) -> Disposition {
        let mut done = Disposition::default();
        self.stats.data_segs_in = self.stats.data_segs_in.wrapping_add(1);
        self.note_timestamp(at);
        self.take_ack(at, false, &mut done);
        self.take_newer_window(at.header, u32::from(at.header.window) << self.snd_wscale);
        self.take_next_text(at, text, &mut done);
        done
    }

    /// Any other.
    #[inline(never)]
    fn take_any(&mut self, mut at: Arrival<'_>, text: PacketBuf) -> Disposition {
        let mut done = Disposition::default();
        if !text.is_empty() {
            let segments = 1 + text.rest().len() as u32;
            self.stats.segs_in = self.stats.segs_in.wrapping_add(segments - 1);
            self.stats.data_segs_in = self.stats.data_segs_in.wrapping_add(segments);
        }
        let checked = match self.state {
            State::Closed => Err(Disposition::dropped(DropReason::TcpClose)),
            State::SynSent => self.check_syn_sent(&mut at, &mut done),
            _ => self.check_synchronized(&mut at, text.whole_len(), &mut done),
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
        let agreed = Agreed::new(self.adv_mss, self.features, header);
        if has_ack && agreed.features.contains(Features::TIMESTAMPS) {
            self.check_syn_echo(at)?;
        }
        self.synchronize(header.seq, agreed, at.now);
        self.last_received_at = at.now;
        // RFC 7323 2.2: the window of a SYN is not scaled.
        self.take_window(header, header.window.into());
        if has_ack {
            self.take_ack(at, false, done);
            self.step(Cause::SynAck);
            self.acknowledge_syn_ack(at.now);
            done.notice |= Notice::CONNECTED | Notice::WRITABLE;
            Ok(())
        } else {
            // Simultaneous open: form a SYN,ACK segment. What else the SYN carries will be sent again.
            self.step(Cause::Syn);
            self.flags |= Flags::SYN_DUE;
            Err(Disposition::default())
        }
    }

    /// RFC 7323 3.2: the SYN-ACK echoes a timestamp that one of our SYNs has carried.
    fn check_syn_echo(&mut self, at: &mut Arrival<'_>) -> Step {
        let Some((_, echo)) = at.header.options.timestamps else { return Ok(()) };
        let (first, last) = (self.retrans_stamp, self.ts.value(at.now));
        if echo == 0 || !(is_before(echo, first) || is_before(last, echo)) {
            return Ok(());
        }
        at.counters.count(Mib::TcpExtPAWSActive);
        let reset = Some(Reset::At(at.header.ack));
        Err(Disposition { reset, ..Disposition::dropped(DropReason::TcpRfc7323Tsecr) })
    }

    // 3.10.7.4 OTHER STATES

    fn check_synchronized(&mut self, at: &mut Arrival<'_>, text_len: usize, done: &mut Disposition) -> Step {
        let crossing = self.is_crossing_syn_ack(at.header);
        if !crossing {
            self.check_timestamps(at, text_len)?;
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

    /// Before the first: RFC 7323 5.3 R1, protection against wrapped sequence numbers. A segment without the option
    /// passes, as in Linux.
    #[inline]
    fn check_timestamps(&mut self, at: &mut Arrival<'_>, text_len: usize) -> Step {
        match at.header.options.timestamps {
            Some((value, _)) if self.ts.is_old(value, PAWS_WINDOW, at.now) => {
                self.on_old_timestamp(at, text_len, value)
            }
            _ => Ok(()),
        }
    }

    /// `tcp_validate_incoming` for a segment that is older than TS.Recent.
    #[cold]
    fn on_old_timestamp(&mut self, at: &mut Arrival<'_>, text_len: usize, value: u32) -> Step {
        let header = at.header;
        if !self.features.contains(Features::TIMESTAMPS) || header.flags.contains(TcpFlags::RST) {
            return Ok(());
        }
        // `tcp_disordered_ack_check`: acknowledgements that were overtaken on the way are no danger.
        let bare = header.flags.contains(TcpFlags::ACK) && header.sequence_len(text_len) == 0;
        if bare && header.seq == self.rcv_nxt {
            let window = u32::from(header.window) << self.snd_wscale;
            let wider = self.snd_wl1 == header.seq && (window > self.snd_wnd || window == 0);
            let news = header.ack != self.snd_una || self.snd_wl1.is_before(header.seq) || wider;
            let replay = Duration::from_millis(self.ts.behind(value).max(0).unsigned_abs().into());
            if !news && replay <= self.rtt.rto() * 6 / 5 {
                return Ok(());
            }
        }
        if bare && header.seq.is_before(self.rcv_nxt) {
            at.counters.count(Mib::TcpExtPAWSOldAck);
            return Err(Disposition::dropped(DropReason::TcpRfc7323PawsAck));
        }
        if header.flags.contains(TcpFlags::SYN) {
            return self.check_syn(at);
        }
        at.counters.count(Mib::TcpExtPAWSEstab);
        if header.sequence_len(text_len) > 0 || self.may_challenge(at.now) {
            self.ack = AckDue::Now;
        } else {
            at.counters.count(Mib::TcpExtTCPACKSkippedPAWS);
        }
        Err(Disposition::dropped(DropReason::TcpRfc7323Paws))
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
            if text_len > 0 && old {
                // `tcp_send_dupack`
                self.note_twice(header.seq, header.seq + text_len as u32, at.counters);
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
        self.note_timestamp(at);
        let bare = text_len == 0 && !header.flags.intersects(TcpFlags::FIN | TcpFlags::SYN);
        self.take_ack(at, bare && window == self.snd_wnd, done);
        self.take_newer_window(header, window);
        self.after_ack(at.now);
        if self.state == State::Closed {
            // LAST-ACK: "if our FIN is now acknowledged, delete the TCB, enter the CLOSED state, and return".
            self.abort(at.pool);
            return Err(*done);
        }
        Ok(())
    }

    /// RFC 7323 5.3 R3, with RCV.NXT as it was when an acknowledgement was last sent (Last.ACK.sent).
    #[inline]
    fn note_timestamp(&mut self, at: &Arrival<'_>) {
        if let Some((value, _)) = at.header.options.timestamps
            && !at.header.seq.is_after(self.rcv_wup)
        {
            self.ts.update(value, at.now);
        }
    }

    /// "This check prevents old segments from updating the window."
    #[inline]
    fn take_newer_window(&mut self, header: &TcpHeader, window: u32) {
        if self.snd_wl1.is_before(header.seq) || (self.snd_wl1 == header.seq && !self.snd_wl2.is_after(header.ack)) {
            self.take_window(header, window);
        }
    }

    #[inline]
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

    /// What an acknowledgement means for the closing states.
    fn after_ack(&mut self, now: Instant) {
        if self.flags.contains(Flags::FIN_SENT) && self.snd_una == self.snd_nxt {
            let before = self.state;
            self.step(Cause::AckOfFin);
            if before == State::FinWait1 && self.flags.contains(Flags::NO_USER) {
                self.slow_timer_at = now.saturating_add(FIN_WAIT_2_MAX);
            }
        }
    }

    fn challenge(&mut self, at: &mut Arrival<'_>, reason: DropReason) -> Disposition {
        if self.may_challenge(at.now) {
            if at.challenges.allow(at.now) {
                at.counters.count(Mib::TcpExtTCPChallengeACK);
                self.ack = AckDue::Now;
            }
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
