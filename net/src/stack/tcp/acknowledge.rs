//! What an acknowledgement means for what was sent (`tcp_ack`): SACK blocks, round-trip time, send queue, loss, window and
//! timer, in this order.

use crate::stack::counters::{Counters, Mib};
use crate::stack::tcp::congestion::sample::{AckSample, RateSample};
use crate::stack::tcp::control_block::{ControlBlock, Disposition, Notice};
use crate::stack::tcp::flags::{Flags, Timer};
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::loss::{CaState, Loss};
use crate::stack::tcp::min_rtt::micros_since;
use crate::stack::tcp::news::{Amount, News};
use crate::stack::tcp::options::Features;
use crate::stack::tcp::sent_queue::{Marks, Sent};
use crate::wire::tcp::SeqNumber;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// How things stood before an acknowledgement, and what kind it is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) una: SeqNumber,
    in_flight: u32,
    /// SND.UNA has advanced.
    pub(super) is_advancing: bool,
    /// It says nothing new in its fields (RFC 5681's duplicate).
    pub(super) is_duplicate: bool,
}

/// When the first and the last of some segments were sent.
type Times = Option<(Instant, Instant)>;

impl ControlBlock {
    /// Takes an acknowledgement whose number is acceptable. `is_bare` says that it carries neither text nor a new window.
    #[inline]
    pub(super) fn take_ack(&mut self, at: &mut Arrival<'_>, is_bare: bool, done: &mut Disposition) {
        let is_advancing = at.header.ack.is_after(self.snd_una);
        let had_out = !self.sent.is_empty();
        self.last_ack_at = at.now;
        if let Some(keep) = &mut self.keep {
            keep.probes = 0;
        }
        let is_calm = self.loss.as_ref().is_none_or(|loss| loss.is_calm());
        let is_plain = is_calm && at.header.options.sack.as_slice().is_empty();
        if is_plain && self.ca_state == CaState::Open && !self.is_echo(at.header.flags) {
            if is_advancing {
                return self.take_plain_ack(at, done);
            }
            if !is_bare || !had_out {
                return;
            }
        }
        let is_duplicate = is_bare && !is_advancing && had_out;
        let before = Before { una: self.snd_una, in_flight: self.flight(), is_advancing, is_duplicate };
        let mut news = News::new(at.now, self.high_seq, self.min_rtt.get().unwrap_or_default());
        if !at.header.options.sack.as_slice().is_empty() {
            self.take_blocks(at, &mut news);
        }
        if is_advancing {
            news.echo = at.header.options.timestamps.map(|(_, echo)| (self.ts, echo));
            self.advance(at, &mut news, done);
        }
        if !self.features.contains(Features::SACK) && (is_duplicate || self.loss.is_some()) {
            self.count_duplicates(&before, &mut news);
        }
        if !had_out && !news.is_duplicate {
            return;
        }
        let rtt = self.measure(at, (news.acked.filter(|_| !news.is_repeated), news.sacked), is_advancing);
        self.stats.delivered = self.stats.delivered.wrapping_add(news.delivered.segments);
        let rate = self.delivery.sample(at.now, news.delivered, news.newest.as_ref(), self.min_rtt.us());
        news.is_echo = self.is_echo(at.header.flags);
        if news.is_echo {
            self.stats.delivered_ce = self.stats.delivered_ce.wrapping_add(news.delivered.segments);
        }
        let mut set_timer = news.acked_segments > 0 || self.sack_renews_timer(&news);
        if self.ca_state != CaState::Open || is_duplicate || self.loss.is_some() || news.is_echo {
            set_timer &= !self.look_for_loss(at, &before, &mut news);
        }
        if set_timer {
            self.set_transmission_timer(at.now);
        }
        self.inform_congestion(&before, &news, (rtt, rate));
        if self.ca_state == CaState::Open && self.loss.as_ref().is_some_and(|loss| loss.is_forgettable()) {
            self.loss = None;
        }
    }

    /// The same while nothing is amiss: what is acknowledged is what was sent first, each once.
    #[inline]
    fn take_plain_ack(&mut self, at: &mut Arrival<'_>, done: &mut Disposition) {
        let (ack, before) = (at.header.ack, self.snd_una);
        let prior_in_flight = self.snd_nxt - before;
        let popped = self.sent.pop_through(ack);
        if let Some((start, _)) = self.sent.front() {
            self.sent.trim_front(ack.max(start));
        }
        let delivered = Amount { segments: popped.map_or(0, |popped| popped.count), bytes: ack - before };
        self.note_acknowledged(at, done);
        let once = popped.filter(|popped| !popped.marks.contains(Marks::REPEATED));
        let times = once.map(|popped| (popped.first.sent_at, popped.last.sent_at));
        let rtt = self.measure(at, (times, None), true);
        self.stats.delivered = self.stats.delivered.wrapping_add(delivered.segments);
        let newest = popped.map(|popped| popped.last);
        if let (Some(loss), Some(newest)) = (&mut self.loss, newest.filter(|it| !it.marks.contains(Marks::REPEATED))) {
            loss.rack.advance((newest.sent_at, newest.end), at.now);
        }
        let rate = self.delivery.sample(at.now, delivered, newest.as_ref(), self.min_rtt.us());
        if delivered.segments > 0 {
            self.set_transmission_timer(at.now);
        }
        if self.congestion.is_unused() {
            return self.congestion.on_unused_ack(at.now);
        }
        self.congestion.on_ack(&AckSample {
            now: at.now,
            acked: delivered.bytes,
            delivered: delivered.bytes,
            lost: 0,
            prior_in_flight,
            in_flight: self.snd_nxt - self.snd_una,
            rtt,
            srtt: self.rtt.srtt(),
            una: self.snd_una,
            nxt: self.snd_nxt,
            rate,
        });
    }

    /// SND.UNA advances.
    #[inline]
    fn advance(&mut self, at: &mut Arrival<'_>, news: &mut News, done: &mut Disposition) {
        self.settle_records(at.header.ack, news);
        self.note_acknowledged(at, done);
    }

    #[inline]
    fn note_acknowledged(&mut self, at: &mut Arrival<'_>, done: &mut Disposition) {
        let ack = at.header.ack;
        let first_of_all = self.snd_una == self.iss;
        let acked = ack - self.snd_una - u32::from(first_of_all);
        self.snd_una = ack;
        self.bytes_acked += u64::from(acked);
        // What exceeds the queue is the FIN.
        self.send.release(acked, at.pool);
        self.retries = 0;
        self.renew_patience(at.now);
        if acked > 0 {
            self.adjust_sndbuf(at.pool);
            done.notice |= Notice::WRITABLE;
        }
        if first_of_all {
            self.flags |= Flags::SYN_ACKED;
        }
    }

    /// Takes the records out of the queue that are acknowledged (`tcp_clean_rtx_queue`).
    #[inline]
    fn settle_records(&mut self, ack: SeqNumber, news: &mut News) {
        let highest = self.loss.as_ref().map_or(0, |loss| loss.board.highest(0));
        while let Some((start, front)) = self.sent.front() {
            let (end, marks) = (front.end, front.marks);
            if end.is_after(ack) {
                self.shorten_first(start, marks, ack, news);
                break;
            }
            let (number, _) = self.sent.numbers();
            let Some(sent) = self.sent.pop_front() else { break };
            news.acked_segments += 1;
            if marks.intersects(Marks::TROUBLED) {
                self.settle_troubled(&sent, end - start, news);
            } else {
                news.deliver(&sent, end - start);
                news.acknowledge_original(&sent);
                if number < highest && news.overtaken.is_none() {
                    news.overtaken = Some(number);
                }
            }
        }
        if let Some(loss) = &mut self.loss {
            loss.board.release(self.sent.numbers().0);
            if self.sent.is_empty() && self.features.contains(Features::SACK) {
                loss.board.clear();
            }
        }
    }

    #[cold]
    fn settle_troubled(&mut self, sent: &Sent, len: u32, news: &mut News) {
        if let Some(loss) = &mut self.loss {
            loss.board.forget(sent.marks, len);
        }
        if sent.marks.contains(Marks::REPEATED) {
            news.is_repeated = true;
        } else if !sent.marks.contains(Marks::SACKED) {
            news.acknowledge_original(sent);
        }
        if !sent.marks.contains(Marks::SACKED) {
            news.deliver(sent, len);
        }
    }

    /// The acknowledgement ends within the first segment.
    fn shorten_first(&mut self, start: SeqNumber, marks: Marks, ack: SeqNumber, news: &mut News) {
        if !ack.is_after(start) {
            return;
        }
        let part = ack - start;
        if let Some(loss) = &mut self.loss {
            loss.board.shorten(marks, part);
        }
        if !marks.contains(Marks::SACKED) {
            news.delivered.bytes += part;
        }
        self.sent.trim_front(ack);
    }

    /// Without SACK a duplicate stands for a segment that has arrived out of order; what is acknowledged later was counted
    /// then (`tcp_add_reno_sack`, `tcp_remove_reno_sacks`).
    #[cold]
    fn count_duplicates(&mut self, before: &Before, news: &mut News) {
        let (mss, out) = (u32::from(self.snd_mss), self.snd_nxt - self.snd_una);
        let segments_out = self.sent.len() as u32;
        let state = self.ca_state;
        let after_loss = self.snd_nxt.is_after(self.high_seq);
        let board = &mut self.loss.get_or_insert_with(|| Box::new(Loss::new())).board;
        let mut reported = board.sacked;
        if before.is_advancing {
            let acked = news.acked_segments;
            news.delivered.bytes =
                news.delivered.bytes.saturating_sub(reported.bytes).max(mss.min(news.delivered.bytes));
            news.delivered.segments = acked.saturating_sub(reported.segments).max(1);
            // One acknowledged the hole, the others what duplicates have reported.
            let kept = state == CaState::Recovery;
            reported.segments = if kept { reported.segments.saturating_sub(acked.saturating_sub(1)) } else { 0 };
        } else if before.is_duplicate && (state != CaState::Loss || after_loss) {
            let most = segments_out.saturating_sub(board.lost.segments.max(1));
            if reported.segments < most {
                reported.segments += 1;
                news.delivered.add(mss);
            }
        }
        board.set_duplicates(reported.segments.min(segments_out), mss, out);
    }

    /// RFC 6298 section 3 with Karn's algorithm: only what was sent once is measured, or else what the echo tells
    /// (RFC 7323 section 4), to the millisecond. The times are those at which the first and the last were sent that are
    /// acknowledged, or have arrived out of order. Returns the round trip of the newest segment.
    #[inline(always)]
    fn measure(&mut self, at: &Arrival<'_>, (acked, sacked): (Times, Times), is_advancing: bool) -> Option<Duration> {
        let since = |sent_at: Instant| micros_since(at.now, sent_at);
        let newest = sacked.or(acked).map(|(_, last)| since(last));
        let measured = acked.or(sacked).map(|(first, _)| since(first));
        if let Some(newest) = newest {
            self.min_rtt.sample(newest, at.now);
        }
        let echoed = || {
            let (_, echo) = at.header.options.timestamps.filter(|_| is_advancing)?;
            self.ts.since(echo, at.now).map(|rtt| rtt.as_micros() as u32)
        };
        if let Some(rtt) = measured.or_else(echoed) {
            self.rtt.sample(rtt, self.snd_una, self.snd_nxt);
        }
        if self.flags.contains(Flags::SYN_ACKED) {
            self.flags.remove(Flags::SYN_ACKED);
            if self.flags.contains(Flags::SYN_REPEATED) {
                self.rtt.fall_back();
            }
        }
        newest.map(|us| Duration::from_micros(us.into()))
    }

    /// What has arrived out of order renews the timer only if it was sent before the first segment last was: otherwise the
    /// timeout could be put off for ever (`tcp_clean_rtx_queue`).
    fn sack_renews_timer(&self, news: &News) -> bool {
        match (news.sacked, self.sent.front()) {
            (Some((first, _)), Some((_, head))) => head.sent_at > first,
            _ => false,
        }
    }

    /// Retransmission or probe, whichever comes first (`tcp_set_xmit_timer`).
    #[inline]
    pub(super) fn set_transmission_timer(&mut self, now: Instant) {
        if !self.schedule_probe(now, true) {
            self.rearm_retransmission(now);
        }
    }

    /// RFC 6298 (5.2), (5.3). A timer that a probe or RACK had put in front goes on from when the first segment was sent
    /// (`tcp_rearm_rto`).
    pub(super) fn rearm_retransmission(&mut self, now: Instant) {
        let Some((_, head)) = self.sent.front() else { return self.stop_timer() };
        let from = if matches!(self.timer, Timer::LossProbe | Timer::Reorder) { head.sent_at } else { now };
        self.timer = Timer::Retransmit;
        self.timer_at = from.saturating_add_nanos(self.rtt.rto_ns()).max(now);
    }

    #[inline]
    fn inform_congestion(&mut self, before: &Before, news: &News, (rtt, rate): (Option<Duration>, Option<RateSample>)) {
        let acked = self.snd_una - before.una;
        if acked == 0 && news.delivered.bytes == 0 && news.lost.bytes == 0 {
            return;
        }
        self.congestion.on_ack(&AckSample {
            now: news.now,
            acked,
            delivered: news.delivered.bytes,
            lost: news.lost.bytes,
            prior_in_flight: before.in_flight,
            in_flight: self.flight(),
            rtt,
            srtt: self.rtt.srtt(),
            una: self.snd_una,
            nxt: self.snd_nxt,
            rate,
        });
    }

    // SACK.

    /// `tcp_sacktag_write_queue`
    #[cold]
    fn take_blocks(&mut self, at: &mut Arrival<'_>, news: &mut News) {
        let blocks = at.header.options.sack;
        let blocks = blocks.as_slice();
        if !self.features.contains(Features::SACK) || (self.sent.is_empty() && self.loss.is_none()) {
            return;
        }
        let first_is_duplicate = self.take_duplicate(blocks, at, news);
        let una = self.snd_una;
        for (index, &(from, to)) in blocks.iter().enumerate() {
            let is_duplicate = index == 0 && first_is_duplicate;
            if !self.is_block_valid(from, to) {
                if !is_duplicate {
                    at.counters.count(Mib::TcpExtTCPSACKDiscard);
                }
                continue;
            }
            let loss = self.loss.get_or_insert_with(|| Box::new(Loss::new()));
            loss.board.take_block(&mut self.sent, from.max(una), to, news);
        }
    }

    /// `tcp_is_sackblock_valid`: a block lies within what is out.
    fn is_block_valid(&self, from: SeqNumber, to: SeqNumber) -> bool {
        from.is_before(to) && !to.is_after(self.snd_nxt) && from.is_before(self.snd_nxt) && from.is_after(self.snd_una)
    }

    /// RFC 2883 section 4: the first block tells of a duplicate when it lies below the acknowledgement, or within the
    /// second (`tcp_check_dsack`).
    fn take_duplicate(&mut self, blocks: &[(SeqNumber, SeqNumber)], at: &mut Arrival<'_>, news: &mut News) -> bool {
        let Some(&(from, to)) = blocks.first() else { return false };
        let mib = if from.is_before(at.header.ack) {
            Mib::TcpExtTCPDSACKRecv
        } else if blocks.get(1).is_some_and(|&(start, end)| !to.is_after(end) && !from.is_before(start)) {
            Mib::TcpExtTCPDSACKOfoRecv
        } else {
            return false;
        };
        at.counters.count(mib);
        self.note_duplicate(from, to, at.counters, news);
        true
    }

    /// `tcp_dsack_seen`: believed only as far as there was something to get twice.
    fn note_duplicate(&mut self, from: SeqNumber, to: SeqNumber, counters: &mut Counters, news: &mut News) {
        let mss = u32::from(self.snd_mss);
        let len = to.distance(from).max(0).cast_unsigned();
        let Some(loss) = &mut self.loss else { return counters.count(Mib::TcpExtTCPDSACKIgnoredDubious) };
        let segments = len.div_ceil(mss);
        let dubious =
            len == 0 || len > self.max_window || loss.duplicates.saturating_add(segments) > loss.total_retrans;
        if dubious || to.is_after(self.snd_nxt) {
            return counters.count(Mib::TcpExtTCPDSACKIgnoredDubious);
        }
        loss.duplicates += segments;
        news.is_duplicate = true;
        let of_probe = loss.probe.is_some_and(|probe| probe.is_again && probe.end == to && len <= mss);
        if of_probe {
            // RFC 8985 7.4.1: original and probe have both arrived.
            loss.probe = None;
        } else if loss.rack.reordering_seen > 0 {
            loss.rack.on_duplicate();
        }
        match (loss.undo.marker, &mut loss.undo.retrans) {
            (Some(marker), Some(left)) if to.is_after(marker) => *left = left.saturating_sub(segments),
            (Some(_), _) => counters.count(Mib::TcpExtTCPDSACKIgnoredOld),
            (None, _) => counters.count(Mib::TcpExtTCPDSACKIgnoredNoUndo),
        }
    }
}
