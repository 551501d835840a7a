//! What is to be sent, one segment at a time: RFC 9293 3.8, with Nagle's algorithm and silly-window avoidance.

use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::tcp::congestion::sample::Transmitted;
use crate::stack::tcp::control_block::{ControlBlock, DELAYED_ACK};
use crate::stack::tcp::flags::{AckDue, Flags, Timer};
use crate::stack::tcp::loss::{CaState, Frto, Loss};
use crate::stack::tcp::options::{Features, syn_ecn, syn_options, syn_window};
use crate::stack::tcp::sent_queue::{Marks, Sent};
use crate::stack::tcp::state::State;
use crate::wire::checksum::Sum;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use wakeline_runtime::clock::Instant;

/// A segment to be sent: its header, and where in the send queue its text lies.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) header: TcpHeader,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    /// How much text each segment has that it is cut into; 0 when it is one.
    pub(crate) gso_size: u16,
    /// The ECN bits of its IP header.
    pub(crate) ecn: u8,
    /// It was sent before, and is counted as this.
    pub(crate) again: Option<Mib>,
}

/// A record of a sent segment is charged to the send buffer as so many bytes.
const RECORD_BYTES: usize = 256;
/// As many segments may be out whatever the buffer.
const RECORDS_LEAST: usize = 64;

/// The `tcp_limit_output_bytes` that Linux began with: how many bytes of text a connection that is not paced gives to the device
/// before that has taken what it has. Linux's later, larger ones pay where a completion takes time; here what is given is still in
/// the processor's cache when it arrives.
const LIMIT_OUTPUT_BYTES: u64 = 128 << 10;
/// `sk_pacing_shift`: the device may have as much as leaves in about a millisecond.
const PACING_SHIFT: u32 = 10;

impl ControlBlock {
    /// `tcp_small_queue_check`: how many bytes the device may have of this connection before it is given more: two segments
    /// like the next, or a millisecond's.
    pub(crate) fn output_limit(&self) -> u32 {
        let next = self.unsent().min(self.gso_max.max(self.snd_mss.into()));
        let (rate, paced) = self.congestion.output_rate(self.rtt.srtt());
        let limit = (rate >> PACING_SHIFT).max(2 * u64::from(next));
        let limit = if paced { limit } else { limit.min(LIMIT_OUTPUT_BYTES) };
        u32::try_from(limit).unwrap_or(u32::MAX)
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something; a quick no saves the search.
    #[inline]
    pub(crate) fn has_something_due(&self) -> bool {
        const DUE: Flags = Flags::SYN_DUE
            .union(Flags::RETRANSMIT_DUE)
            .union(Flags::PROBE_DUE)
            .union(Flags::PROBE_AGAIN)
            .union(Flags::FIN_QUEUED);
        let lost = self.loss.as_ref().is_some_and(|loss| loss.board.has_due());
        let unsent = self.send.len() != self.snd_nxt - self.snd_una;
        self.ack == AckDue::Now || self.flags.intersects(DUE) || unsent || lost
    }

    /// The next segment to send, or `None` when nothing is due or allowed. What it returns counts as sent: if the
    /// device loses it, the timers bring it back.
    #[inline]
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Outgoing> {
        match self.state {
            State::Closed => None,
            State::SynSent | State::SynReceived => self.next_syn(now).or_else(|| self.next_ack(now)),
            state => {
                let transmit = state.may_transmit();
                if transmit && let Some(outgoing) = self.next_text(now) {
                    return Some(outgoing);
                }
                self.next_ack(now)
            }
        }
    }

    /// Puts text of a polled segment, from an offset in the send queue on, into a packet and, if it is wanted, returns its
    /// sum.
    #[inline]
    pub(crate) fn put_text(&mut self, packet: &mut PacketBuf, text: (u32, usize), sums: bool) -> Sum {
        self.send.put_into(packet, text, sums)
    }

    #[inline]
    fn next_text(&mut self, now: Instant) -> Option<Outgoing> {
        let frto = self.loss.as_ref().map_or(Frto::Off, |loss| loss.frto);
        if self.flags.intersects(Flags::RETRANSMIT_DUE | Flags::PROBE_AGAIN) || !matches!(frto, Frto::New | Frto::Wait)
        {
            let again = if self.has_again() { self.next_again(now) } else { None };
            return again.or_else(|| self.next_new(now));
        }
        // RFC 5682 step 2b: new text, and then the next acknowledgement decides. If there can be none, the old is sent.
        if frto == Frto::New
            && let Some(outgoing) = self.next_new(now)
        {
            return Some(outgoing);
        }
        let wait = self.snd_nxt.is_after(self.high_seq);
        self.loss_mut().frto = if wait { Frto::Wait } else { Frto::Off };
        if wait { None } else { self.next_again(now) }
    }

    fn next_syn(&mut self, now: Instant) -> Option<Outgoing> {
        if !self.flags.contains(Flags::SYN_DUE) {
            return None;
        }
        self.flags.remove(Flags::SYN_DUE);
        let first = self.snd_nxt == self.iss;
        let again = self.retries > 0;
        let timestamps = (self.ts.value(now), self.ts.recent());
        if first {
            self.retrans_stamp = timestamps.0;
        }
        self.snd_nxt = self.iss + 1;
        self.note_syn(now, !first);
        self.flags.set(Flags::SYN_REPEATED, again);
        self.start_timer(Timer::Retransmit, now);
        if again && self.state == State::SynSent {
            // `tcp_ecn_fallback`: there are middleboxes that drop a SYN which asks for it.
            self.features.remove(Features::ECN);
        }
        let mut flags = TcpFlags::SYN | syn_ecn(self.features, self.state == State::SynReceived);
        let window = syn_window(self.rcvbuf);
        self.rcv_wnd = window.into();
        if self.state == State::SynReceived {
            flags |= TcpFlags::ACK;
            self.rcv_wup = self.rcv_nxt;
            self.ack_sent();
        }
        let header = TcpHeader {
            src_port: self.src_port,
            dst_port: self.dst_port,
            seq: self.iss,
            ack: self.rcv_nxt,
            flags,
            window,
            urgent: 0,
            options: syn_options(self.adv_mss, self.rcv_wscale > 0, self.features, timestamps),
        };
        Some(Outgoing {
            header,
            offset: 0,
            len: 0,
            gso_size: 0,
            ecn: 0,
            again: again.then_some(Mib::TcpExtTCPSynRetrans),
        })
    }

    /// Whether [`next_again`](Self::next_again) may have something.
    #[inline]
    fn has_again(&self) -> bool {
        self.loss.is_some() || self.flags.intersects(Flags::RETRANSMIT_DUE | Flags::PROBE_AGAIN)
    }

    /// Retransmission: what a timeout or a probe wants in any case, and what is lost as the window allows.
    #[inline(never)]
    fn next_again(&mut self, now: Instant) -> Option<Outgoing> {
        let (first, end) = self.sent.numbers();
        let forced = self.flags & (Flags::RETRANSMIT_DUE | Flags::PROBE_AGAIN);
        self.flags -= forced;
        if first == end {
            return None;
        }
        if forced.contains(Flags::RETRANSMIT_DUE) {
            return Some(self.send_again(now, first));
        }
        if forced.contains(Flags::PROBE_AGAIN) {
            let outgoing = self.send_again(now, end - 1);
            self.note_probe(true);
            return Some(outgoing);
        }
        let number = self.loss.as_mut()?.board.next_due(&self.sent)?;
        let (len, flight) = (self.sent.len_of(number), self.flight());
        let in_window = self.sent.start_of(number).is_before(self.snd_una + self.snd_wnd) || number == first;
        let room = flight == 0 || flight + len <= self.congestion.cwnd();
        (room && in_window && self.congestion.may_send(now)).then(|| self.send_again(now, number))
    }

    /// `tcp_retrans_try_collapse`: the segments behind one that is to be sent again become part of it, as long as all fit into
    /// one and into the window, and have not arrived. What others have become part of before stays by itself, for it mostly is
    /// full. Returns its number from here on.
    fn collapse(&mut self, mut number: u64) -> u64 {
        let (duplicates, most, edge) = (!self.has_sack(), self.text_max(), self.snd_una + self.snd_wnd);
        let is_open = |sent: &Sent| !sent.marks.intersects(Marks::SACKED | Marks::FIN);
        let loss = self.loss.get_or_insert_with(|| Box::new(Loss::new()));
        while self.sent.get(number).is_some_and(is_open)
            && let Some(next) = self.sent.next_alone(number).filter(|next| !next.marks.contains(Marks::SACKED))
            && !next.end.is_after(edge)
        {
            let fin = u32::from(next.marks.contains(Marks::FIN));
            if next.end - self.sent.start_of(number) - fin > most {
                break;
            }
            loss.board.join_next(&mut self.sent, number, duplicates);
            number += 1;
        }
        number
    }

    /// Sends a segment again, with small ones behind it.
    #[inline(never)]
    fn send_again(&mut self, now: Instant, number: u64) -> Outgoing {
        let number = self.collapse(number);
        let (timed, stamp) = (self.has_sack(), self.ts.value(now));
        let loss = self.loss.get_or_insert_with(|| Box::new(Loss::new()));
        loss.board.on_sent_again(&mut self.sent, number, timed, now);
        loss.undo.retrans = Some(loss.undo.retrans.unwrap_or(0) + 1);
        loss.undo.stamp.get_or_insert(stamp);
        let (first, _) = self.sent.numbers();
        // After a timeout the timer has been set, with its back-off.
        let head = number == first && self.timer != Timer::Reorder && self.retries == 0;
        if head || matches!(self.timer, Timer::Off | Timer::Persist) {
            self.start_timer(Timer::Retransmit, now);
        }
        let (progress, app_limited) = self.delivery.on_sent(now, false);
        let (from, len) = (self.sent.start_of(number), self.sent.len_of(number));
        let mut flags = TcpFlags::empty();
        if let Some(sent) = self.sent.get_mut(number) {
            sent.progress = progress;
            sent.marks.set(Marks::APP_LIMITED, app_limited);
            flags.set(TcpFlags::FIN, sent.marks.contains(Marks::FIN));
            flags.set(TcpFlags::PSH, sent.marks.contains(Marks::PUSH));
        }
        let len = len - u32::from(flags.contains(TcpFlags::FIN));
        let fast = matches!(self.ca_state, CaState::Cwr | CaState::Recovery);
        let mib = if fast { Mib::TcpExtTCPFastRetrans } else { Mib::TcpExtTCPSlowStartRetrans };
        self.text_segment(now, from, (from - self.send_base(), len), flags, Some(mib))
    }

    /// New text, and the FIN behind the last of it.
    #[inline]
    fn next_new(&mut self, now: Instant) -> Option<Outgoing> {
        if self.flags.contains(Flags::FIN_SENT) {
            return None;
        }
        let offset = self.snd_nxt - self.send_base();
        let unsent = self.send.len() - offset;
        if self.sent.len() >= self.records_max() {
            return None;
        }
        let fin_next = self.flags.contains(Flags::FIN_QUEUED);
        if unsent == 0 && !fin_next {
            return None;
        }
        self.restart_after_idle(now);
        let mss = self.text_max();
        let Some(len) = self.allowed(unsent, fin_next, mss) else {
            self.persist(now);
            return None;
        };
        if len > 0 && !self.flags.contains(Flags::PROBE_NEW) && !self.congestion.may_send(now) {
            return None;
        }
        let last = len == unsent;
        let fin = last && fin_next;
        self.flags.remove(Flags::OVERRIDE);
        let seq = self.snd_nxt;
        self.snd_nxt = seq + len + u32::from(fin);
        if fin {
            self.flags |= Flags::FIN_SENT;
        }
        if len < mss || (len > mss && !len.is_multiple_of(mss)) {
            self.snd_sml = self.snd_nxt;
        }
        let mut flags = TcpFlags::empty();
        flags.set(TcpFlags::FIN, fin);
        flags.set(TcpFlags::PSH, last && len > 0);
        self.note_sent(now, (seq, len, mss), flags);
        Some(self.text_segment(now, seq, (offset, len), flags, None))
    }

    /// The record of a new segment, and its timer (RFC 6298 (5.1), `tcp_event_new_data_sent`). What the device cuts out of
    /// a super-segment is acknowledged, and lost, by itself, and so has a record each.
    #[inline]
    fn note_sent(&mut self, now: Instant, (seq, len, mss): (SeqNumber, u32, u32), flags: TcpFlags) {
        if self.sent.is_empty() {
            self.renew_patience(now);
        }
        let (progress, app_limited) = self.delivery.on_sent(now, self.sent.is_empty());
        let mut marks = Marks::empty();
        marks.set(Marks::APP_LIMITED, app_limited);
        let mut cut = mss;
        while cut < len {
            self.sent.push(Sent { end: seq + cut, marks, sent_at: now, progress });
            cut += mss;
        }
        marks.set(Marks::FIN, flags.contains(TcpFlags::FIN));
        marks.set(Marks::PUSH, flags.contains(TcpFlags::PSH));
        self.sent.push(Sent { end: self.snd_nxt, marks, sent_at: now, progress });
        if matches!(self.timer, Timer::Off | Timer::Persist | Timer::LossProbe) {
            if self.timer == Timer::Persist {
                self.stop_timer();
            }
            self.rearm_retransmission(now);
        }
        if self.flags.contains(Flags::PROBE_NEW) {
            self.flags.remove(Flags::PROBE_NEW);
            self.note_probe(false);
        } else if self.timer == Timer::Retransmit {
            self.schedule_probe(now, false);
        }
    }

    /// How many segments may be out: a program that writes byte by byte must not cost a record for each without end. More
    /// wait and grow together.
    fn records_max(&self) -> usize {
        (self.sndbuf as usize / RECORD_BYTES).max(RECORDS_LEAST)
    }

    /// How many of `unsent` bytes may go in the next segment (3.8.6.2.1 and Nagle's algorithm, 3.7.4); `None` to wait.
    fn allowed(&mut self, unsent: u32, fin_next: bool, mss: u32) -> Option<u32> {
        if unsent == 0 {
            // A bare FIN needs no window.
            return Some(0);
        }
        let window = (self.snd_una + self.snd_wnd).distance(self.snd_nxt).max(0).cast_unsigned();
        if self.flags.contains(Flags::PROBE_NEW) {
            return Some(unsent.min(mss).min(window)).filter(|&len| len > 0);
        }
        // RFC 3042, limited transmit: what has arrived out of order is not in flight any more.
        let cwnd = self.congestion.cwnd().saturating_sub(self.flight());
        let len = unsent.min(self.gso_max.max(mss)).min(window).min(cwnd);
        if len == mss {
            return Some(len);
        }
        // Nagle in Minshall's form, as in Linux: only a small segment that is not acknowledged holds back another.
        let small_in_flight = self.snd_sml.is_after(self.snd_una) && !self.snd_sml.is_after(self.snd_nxt);
        let may_be_small = fin_next || self.flags.contains(Flags::NODELAY) || !small_in_flight;
        if len > mss {
            // `tcp_mss_split_point`: whole segments, and the last of the text behind them if it could go alone.
            return Some(if len == unsent && may_be_small { len } else { len - len % mss });
        }
        if len == unsent {
            return may_be_small.then_some(len);
        }
        let fraction = window < cwnd && len >= self.max_window / 2;
        (len > 0 && (fraction || self.flags.contains(Flags::OVERRIDE))).then_some(len)
    }

    /// RFC 5681 4.1: after an idle time the path may have changed.
    fn restart_after_idle(&mut self, now: Instant) {
        if self.snd_una == self.snd_nxt && now.nanos_since(self.last_sent_at) > self.rtt.rto_ns() {
            let idle = now.saturating_duration_since(self.last_sent_at);
            self.congestion.on_idle_restart(idle, self.rtt.rto());
        }
    }

    /// Text waits and nothing is in the network: only the peer's window can hold it, so it has to be probed (3.8.6.1).
    fn persist(&mut self, now: Instant) {
        if self.snd_una == self.snd_nxt && self.timer == Timer::Off {
            self.renew_patience(now);
            self.start_timer(Timer::Persist, now);
        }
    }

    /// A probe or an acknowledgement, if one is due at once.
    #[inline(never)]
    fn next_ack(&mut self, now: Instant) -> Option<Outgoing> {
        let probe = self.flags.contains(Flags::PROBE_DUE);
        if !probe && self.ack != AckDue::Now {
            return None;
        }
        self.flags.remove(Flags::PROBE_DUE);
        // As Linux, a probe has a number that was acknowledged before, so that the peer must answer it.
        let seq = self.snd_nxt - u32::from(probe);
        let (header, ecn) = self.header(now, seq, TcpFlags::empty(), (0, false));
        Some(Outgoing { header, offset: 0, len: 0, gso_size: 0, ecn, again: None })
    }

    #[inline]
    fn text_segment(
        &mut self,
        now: Instant,
        seq: SeqNumber,
        (offset, len): (u32, u32),
        flags: TcpFlags,
        again: Option<Mib>,
    ) -> Outgoing {
        // `tcp_event_data_sent`: an answer soon after the question. The next acknowledgement can wait for its answer.
        // Neither a FIN nor what comes before any question is one.
        let answers = len > 0 && self.flags.contains(Flags::TEXT_SEEN);
        if answers && now < self.last_received_at.saturating_add(DELAYED_ACK) {
            self.flags |= Flags::PINGPONG;
        }
        let idle = now.saturating_duration_since(self.last_sent_at);
        let (in_flight, una, nxt) = (self.flight(), self.snd_una, self.snd_nxt);
        self.congestion.on_transmit(&Transmitted { now, len, in_flight, idle, una, nxt });
        self.last_sent_at = now;
        let cut_at = if self.gso_max > 0 && again.is_none() { self.text_max() } else { u32::MAX };
        let gso_size = if len > cut_at { cut_at as u16 } else { 0 };
        self.count_text(len, if len > cut_at { len.div_ceil(cut_at) } else { u32::from(len > 0) }, again.is_some());
        let (header, ecn) = self.header(now, seq, flags, (len, again.is_none() && len > 0));
        Outgoing { header, offset, len, gso_size, ecn, again }
    }

    fn count_text(&mut self, len: u32, segments: u32, again: bool) {
        let stats = &mut self.stats;
        stats.bytes_sent += u64::from(len);
        stats.data_segs_out = stats.data_segs_out.wrapping_add(segments);
        stats.segs_out = stats.segs_out.wrapping_add(segments.saturating_sub(1));
        if again {
            let loss = self.loss_mut();
            loss.total_retrans = loss.total_retrans.saturating_add(1);
            loss.bytes_retrans += u64::from(len);
        }
    }

    pub(super) fn start_timer(&mut self, timer: Timer, now: Instant) {
        self.timer = timer;
        self.timer_at = now.saturating_add_nanos(self.rtt.rto_ns());
    }
}
