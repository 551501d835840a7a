//! One connection's control block: the variables of RFC 9293 3.3.1 and what the user may do with them.
//!
//! # How to drive it
//! 1. [`on_segment`](ControlBlock::on_segment) for each segment of the connection, [`on_timer`](ControlBlock::on_timer)
//!    when [`next_timer`](ControlBlock::next_timer) has come, and the user's calls. They change state and remember what
//!    is due; a [`Disposition`] says what the owner has to do.
//! 2. [`poll_transmit`](ControlBlock::poll_transmit) until it returns `None`. One call may follow many of the above: an
//!    acknowledgement then covers them all.
//! 3. `next_timer`, again.
//!
//! It has no clock, no address and no waiter. The urgent pointer is ignored and urgent text stays in the stream, as if
//! SO_OOBINLINE were set.

use crate::event::DropReason;
use crate::stack::error::SocketError;
use crate::stack::tcp::chrono::{Chrono, Limit};
use crate::stack::tcp::congestion::Congestion;
use crate::stack::tcp::delivery_rate::Delivery;
use crate::stack::tcp::flags::{AckDue, Flags, Timer};
use crate::stack::tcp::keepalive::KeepAlive;
use crate::stack::tcp::loss::{CaState, Loss};
use crate::stack::tcp::min_rtt::MinRtt;
use crate::stack::tcp::options::{Agreed, Features, MIN_MSS, Offer, WINDOW_SCALE};
use crate::stack::tcp::out_of_order::OutOfOrder;
use crate::stack::tcp::patience::Patience;
use crate::stack::tcp::recv_queue::RecvQueue;
use crate::stack::tcp::rto::RttEstimator;
use crate::stack::tcp::sack_list::SackList;
use crate::stack::tcp::send_queue::SendQueue;
use crate::stack::tcp::sent_queue::{Marks, Sent, SentQueue};
use crate::stack::tcp::state::{Cause, State};
use crate::stack::tcp::stats::Stats;
use crate::stack::tcp::timestamps::Timestamps;
use crate::stack::tcp::tuning::ReceiveTuning;
use crate::wire::tcp::SeqNumber;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct ControlBlock {
    // Send sequence variables.
    pub(super) snd_una: SeqNumber,
    pub(super) snd_nxt: SeqNumber,
    pub(super) snd_wl1: SeqNumber,
    pub(super) snd_wl2: SeqNumber,
    pub(super) iss: SeqNumber,
    pub(super) snd_wnd: u32,
    /// The largest window that the peer has offered.
    pub(super) max_window: u32,
    /// The end of the last segment that was sent less than full (`snd_sml`).
    pub(super) snd_sml: SeqNumber,

    // Receive sequence variables.
    pub(super) rcv_nxt: SeqNumber,
    pub(super) irs: SeqNumber,
    /// RCV.NXT when the window was last told, and the window that was told then.
    pub(super) rcv_wup: SeqNumber,
    pub(super) rcv_wnd: u32,
    /// Where the peer's stream ends, with [`Flags::FIN_SEEN`].
    pub(super) fin_at: SeqNumber,

    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    /// The largest text that we send, with timestamps taken off.
    pub(super) snd_mss: u16,
    /// The most text of one super-segment (`sk_gso_max_size`); 0 when nobody cuts it.
    pub(super) gso_max: u32,
    /// The largest text that we have told the peer to send.
    pub(super) adv_mss: u16,
    /// The largest text that it has sent, as far as we know; two of these are acknowledged at once.
    pub(super) rcv_mss: u16,
    /// The largest packet that the path takes, and the largest text in it without options.
    pub(super) pmtu: u16,
    pub(super) path_mss: u16,
    pub(super) snd_wscale: u8,
    pub(super) rcv_wscale: u8,

    pub(super) state: State,
    pub(super) flags: Flags,
    /// What is offered, and after the handshake what both want.
    pub(super) features: Features,
    pub(super) ack: AckDue,
    /// How many acknowledgements are still sent at once (`icsk_ack.quick`).
    pub(super) quick: u8,
    /// How often the timer fired without an answer: for a retransmission, or for a probe of a closed window.
    pub(super) retries: u8,
    pub(super) timer: Timer,
    pub(super) ca_state: CaState,

    pub(super) send: SendQueue,
    pub(super) sent: SentQueue,
    /// What is remembered of loss, once there was any.
    pub(super) loss: Option<Box<Loss>>,
    pub(super) recv: RecvQueue,
    pub(super) out_of_order: OutOfOrder,
    /// What the peer is to be told of it.
    pub(super) sacks: Option<Box<SackList>>,
    /// How much of the peer's sequence space has arrived in order, its SYN not counted: RCV.NXT without its wrap.
    pub(super) received: u64,
    /// The same of ours that is acknowledged.
    pub(super) bytes_acked: u64,
    /// How the receive buffer is fitted to the reader, once there is something to measure.
    pub(super) tuning: Option<Box<ReceiveTuning>>,
    /// SO_KEEPALIVE.
    pub(super) keep: Option<Box<KeepAlive>>,
    /// TCP_USER_TIMEOUT.
    pub(super) patience: Option<Box<Patience>>,
    pub(super) stats: Stats,
    pub(super) chrono: Chrono,
    /// What holds back the sender now.
    pub(super) limit: Limit,
    pub(super) sndbuf: u32,
    pub(super) rcvbuf: u32,
    pub(super) out_of_order_max: u32,

    pub(super) ts: Timestamps,
    /// TSval of the first SYN.
    pub(super) retrans_stamp: u32,
    pub(super) rtt: RttEstimator,
    pub(super) min_rtt: MinRtt,
    pub(super) delivery: Delivery,
    pub(super) congestion: Congestion,
    /// SND.NXT when the state of congestion last changed (RFC 6582's `recover`).
    pub(super) high_seq: SeqNumber,

    pub(super) timer_at: Instant,
    pub(super) ack_at: Instant,
    /// Keep-alive, or the end of a bounded FIN-WAIT-2.
    pub(super) slow_timer_at: Instant,
    pub(super) last_received_at: Instant,
    pub(super) last_sent_at: Instant,
    pub(super) last_ack_at: Instant,
    /// Until when an unacceptable segment is not answered.
    pub(super) next_challenge_at: Instant,
}

impl Offer {
    /// What it decides for the connection's whole life.
    fn flags(&self) -> Flags {
        let mut flags = Flags::empty();
        flags.set(Flags::MTU_PROBING, self.mtu_probing);
        flags.set(Flags::RCVBUF_LOCK | Flags::SNDBUF_LOCK, !self.buffers_grow);
        flags
    }
}

bitflags::bitflags! {
    /// What has happened that somebody may wait for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Notice: u8 {
        /// The handshake is over.
        const CONNECTED = 1 << 0;
        /// There is more to read.
        const READABLE = 1 << 1;
        /// The peer will send no more.
        const PEER_CLOSED = 1 << 2;
        /// There is room in the send buffer.
        const WRITABLE = 1 << 3;
        /// The connection is gone; the disposition's error says why.
        const FAILED = 1 << 4;
    }
}

/// What the owner of a control block has to do about a segment or a timer.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disposition {
    /// Why the segment, or its text, was not used.
    pub(crate) drop: Option<DropReason>,
    /// Whom to wake.
    pub(crate) notice: Notice,
    /// What to tell the user, with [`Notice::FAILED`].
    pub(crate) error: Option<SocketError>,
    /// A reset to be sent in answer.
    pub(crate) reset: Option<Reset>,
}

/// A reset to be sent: with the peer's acknowledgement as its number, or with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// `<SEQ=SEG.ACK><CTL=RST>`
    At(SeqNumber),
    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>`
    Abort { seq: SeqNumber, ack: SeqNumber },
}

/// `TCP_MSS_DEFAULT`: what the peer's segments are taken to hold until the first is seen.
const RCV_MSS_GUESS: u16 = 536;
/// See [`ControlBlock::may_challenge`].
pub(super) const CHALLENGE_INTERVAL: Duration = Duration::from_millis(500);
/// How many segments are acknowledged at once when text begins to flow (`TCP_MAX_QUICKACKS`).
pub(super) const QUICK_ACKS: u8 = 16;
/// `TCP_ATO_MIN`: how long an acknowledgement waits for company.
pub(super) const DELAYED_ACK: Duration = Duration::from_millis(40);
/// `TCP_DELACK_MAX`: how long the last segment of a handshake waits for it.
pub(super) const DELAYED_ACK_MAX: Duration = Duration::from_millis(200);
/// `TCP_FIN_TIMEOUT`: how long FIN-WAIT-2 lasts when nobody reads any more.
pub(super) const FIN_WAIT_2_MAX: Duration = Duration::from_secs(60);

impl ControlBlock {
    /// An active open: SYN-SENT, with a SYN to be polled.
    pub(crate) fn connect(ports: (u16, u16), iss: SeqNumber, offer: &Offer, now: Instant) -> ControlBlock {
        let mut block = ControlBlock::new(ports, iss, offer, now);
        block.step(Cause::Open);
        block.flags |= Flags::SYN_DUE;
        block
    }

    /// A passive open whose SYN-ACK went out at `sent_at`: SYN-RECEIVED, about to be given the peer's ACK.
    pub(crate) fn accept(
        ports: (u16, u16),
        (iss, irs): (SeqNumber, SeqNumber),
        (offer, agreed): (&Offer, Agreed),
        (sent_at, repeated): (Instant, bool),
        now: Instant,
    ) -> ControlBlock {
        let mut block = ControlBlock::new(ports, iss, offer, now);
        block.state = State::SynReceived;
        block.snd_nxt = iss + 1;
        block.rcv_wnd = offer.syn_window().into();
        block.synchronize(irs, agreed, now);
        block.timer = Timer::Retransmit;
        block.timer_at = now.saturating_add(block.rtt.rto());
        block.flags.set(Flags::SYN_REPEATED, repeated);
        block.note_syn(sent_at, repeated);
        block
    }

    fn new((src_port, dst_port): (u16, u16), iss: SeqNumber, offer: &Offer, now: Instant) -> ControlBlock {
        ControlBlock {
            snd_una: iss,
            snd_nxt: iss,
            snd_wl1: SeqNumber(0),
            snd_wl2: SeqNumber(0),
            iss,
            snd_wnd: 0,
            max_window: 0,
            snd_sml: iss,
            rcv_nxt: SeqNumber(0),
            irs: SeqNumber(0),
            rcv_wup: SeqNumber(0),
            rcv_wnd: 0,
            fin_at: SeqNumber(0),
            src_port,
            dst_port,
            snd_mss: offer.mss,
            gso_max: offer.gso_max,
            adv_mss: offer.mss,
            rcv_mss: offer.mss.min(RCV_MSS_GUESS),
            pmtu: offer.mtu,
            path_mss: offer.mss,
            snd_wscale: 0,
            rcv_wscale: WINDOW_SCALE,
            state: State::Closed,
            flags: offer.flags(),
            features: offer.features,
            ack: AckDue::No,
            quick: 0,
            retries: 0,
            timer: Timer::Off,
            ca_state: CaState::Open,
            send: SendQueue::new(),
            sent: SentQueue::new(iss),
            loss: None,
            recv: RecvQueue::new(),
            out_of_order: OutOfOrder::new(),
            sacks: None,
            received: 0,
            bytes_acked: 0,
            tuning: None,
            keep: None,
            patience: None,
            stats: Stats::default(),
            chrono: Chrono::new(),
            limit: Limit::Idle,
            sndbuf: offer.sndbuf,
            rcvbuf: offer.rcvbuf,
            out_of_order_max: offer.out_of_order_max,
            ts: Timestamps::new(offer.ts_offset),
            retrans_stamp: 0,
            rtt: RttEstimator::with_min(offer.rto_min),
            min_rtt: MinRtt::new(),
            delivery: Delivery::new(now),
            congestion: Congestion::new(offer.congestion, offer.paced, offer.mss),
            high_seq: iss,
            timer_at: Instant::FAR_FUTURE,
            ack_at: Instant::FAR_FUTURE,
            slow_timer_at: Instant::FAR_FUTURE,
            last_received_at: now,
            last_sent_at: now,
            last_ack_at: now,
            next_challenge_at: now,
        }
    }

    /// Takes over what the peer's SYN says.
    pub(super) fn synchronize(&mut self, irs: SeqNumber, agreed: Agreed, now: Instant) {
        self.irs = irs;
        self.rcv_nxt = irs + 1;
        self.rcv_wup = self.rcv_nxt;
        self.features = agreed.features;
        self.snd_mss = agreed.snd_mss.min(self.path_mss.max(MIN_MSS) - self.options_len());
        self.ts.update(agreed.ts_recent, now);
        self.congestion.on_established(self.snd_mss);
        match agreed.snd_wscale {
            Some(shift) => self.snd_wscale = shift,
            None => self.rcv_wscale = 0,
        }
    }

    /// Our SYN was sent, or was it again?
    pub(super) fn note_syn(&mut self, sent_at: Instant, again: bool) {
        if self.sent.is_empty() {
            let (progress, _) = self.delivery.on_sent(sent_at, true);
            self.sent.push(Sent { end: self.iss + 1, marks: Marks::empty(), sent_at, progress });
        }
        let (number, _) = self.sent.numbers();
        if let Some(sent) = self.sent.get_mut(number).filter(|_| again) {
            sent.marks |= Marks::REPEATED;
            sent.sent_at = sent_at;
        }
    }

    /// The connection's state.
    #[inline]
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Takes a step in the table of states; a cause that means nothing there changes nothing.
    pub(super) fn step(&mut self, cause: Cause) {
        let Some(next) = self.state.after(cause) else { return };
        self.state = next;
        match next {
            State::Closed | State::TimeWait => {
                self.stop_timer();
                self.slow_timer_at = Instant::FAR_FUTURE;
            }
            // Text may come, so acknowledgements wait for the user's own FIN (`tcp_fin`).
            State::CloseWait => self.flags |= Flags::PINGPONG,
            _ => {}
        }
    }

    pub(super) fn stop_timer(&mut self) {
        self.timer = Timer::Off;
        self.timer_at = Instant::FAR_FUTURE;
        self.retries = 0;
    }

    /// When `on_timer` wants to be called; [`Instant::FAR_FUTURE`] for never.
    #[inline]
    pub(crate) fn next_timer(&self) -> Instant {
        self.timer_at.min(self.ack_at).min(self.slow_timer_at).min(self.congestion.held_until())
    }

    /// How much of the window that was told is left (RCV.WND).
    #[inline]
    pub(super) fn receive_window(&self) -> u32 {
        (self.rcv_wup + self.rcv_wnd).distance(self.rcv_nxt).max(0).cast_unsigned()
    }

    /// The window that the receive buffer allows: half of what is free, for each byte costs about as much again in
    /// overhead (`tcp_adv_win_scale` 1); zero when less than a segment would fit (RFC 9293 3.8.6.2.2).
    pub(super) fn window_from_space(&self) -> u32 {
        let full = self.rcvbuf / 2;
        let used = self.recv.truesize().saturating_add(self.out_of_order.truesize());
        let free = self.rcvbuf.saturating_sub(used) / 2;
        if free < full / 2 && (free < full >> 4 || free < u32::from(self.rcv_mss)) {
            return 0;
        }
        let most = u32::from(u16::MAX) << self.rcv_wscale;
        free.min(most) & !((1 << self.rcv_wscale) - 1)
    }

    /// Bytes that are taken to be in the network: the pipe (RFC 6675 section 4).
    #[inline]
    pub(super) fn flight(&self) -> u32 {
        let out = self.snd_nxt - self.snd_una;
        match &self.loss {
            None => out,
            Some(loss) => loss.board.in_flight(out),
        }
    }

    /// Whether there is text, or a FIN, that was never sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent() > 0 || self.flags & (Flags::FIN_QUEUED | Flags::FIN_SENT) == Flags::FIN_QUEUED
    }

    /// Where in the peer's stream a number lies that is near RCV.NXT.
    #[inline]
    pub(super) fn place_of(&self, seq: SeqNumber) -> u64 {
        self.received.saturating_add_signed(seq.distance(self.rcv_nxt).into())
    }

    /// The number of a place in the peer's stream.
    #[inline]
    pub(super) fn number_of(&self, place: u64) -> SeqNumber {
        self.rcv_nxt + place.wrapping_sub(self.received) as u32
    }

    /// The number of the first byte in the send queue.
    #[inline]
    pub(super) fn send_base(&self) -> SeqNumber {
        if self.snd_una == self.iss { self.iss + 1 } else { self.snd_una }
    }

    /// A snapshot for events: SND.NXT, SND.UNA, SND.WND.
    pub(crate) fn send_variables(&self) -> (u32, u32, u32) {
        (self.snd_nxt.0, self.snd_una.0, self.snd_wnd)
    }

    /// What a compact TIME-WAIT entry needs: SND.NXT, RCV.NXT and the window, scaled.
    pub(crate) fn time_wait_variables(&self) -> (SeqNumber, SeqNumber, u16) {
        (self.snd_nxt, self.rcv_nxt, (self.receive_window() >> self.rcv_wscale).min(u16::MAX.into()) as u16)
    }

    /// Whether `seq` lies in what was sent and is not acknowledged (RFC 5927 4.1): an ICMP error about anything else is
    /// a forgery or too old.
    pub(crate) fn is_outstanding(&self, seq: SeqNumber) -> bool {
        !seq.is_before(self.snd_una) && seq.is_before(self.snd_nxt)
    }

    /// RFC 5961 section 7 and Linux's `tcp_invalid_ratelimit`: at most one answer to unacceptable segments in half a
    /// second, so that two ends cannot keep each other busy. The limit is the connection's own; there is none for the
    /// host, since an attacker pays with a segment for each.
    pub(super) fn may_challenge(&mut self, now: Instant) -> bool {
        let recent = now < self.next_challenge_at;
        if !recent {
            self.next_challenge_at = now.saturating_add(CHALLENGE_INTERVAL);
        }
        !recent
    }
}

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, expect(dead_code, reason = "tests ask for more than fuzzers do"))]
impl ControlBlock {
    /// The right edge of the window that was told.
    pub(crate) fn told_edge(&self) -> SeqNumber {
        self.rcv_wup + self.rcv_wnd
    }

    pub(crate) fn cwnd(&self) -> u32 {
        self.congestion.cwnd()
    }

    /// Our clock.
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        self.ts.value(now)
    }

    pub(crate) fn rto(&self) -> Duration {
        self.rtt.rto()
    }

    /// Whether something is remembered of loss, and whether acknowledgements take the long way for it.
    pub(crate) fn loss_memory(&self) -> (bool, bool) {
        (self.loss.is_some(), self.loss.as_ref().is_some_and(|loss| !loss.is_calm()))
    }

    /// What must be true between any two calls.
    pub(crate) fn assert_invariants(&self) {
        if self.state == State::Closed {
            assert_eq!((self.send.len(), self.next_timer()), (0, Instant::FAR_FUTURE));
            return;
        }
        assert!(!self.snd_una.is_after(self.snd_nxt), "SND.UNA =< SND.NXT");
        assert!(self.snd_nxt - self.snd_una <= self.send.len() + 2, "what is in flight is in the queue");
        assert!(self.send.len() <= self.sndbuf);
        let charged = self.recv.truesize() + self.out_of_order.truesize();
        assert!(charged <= self.rcvbuf + 4096, "{charged} of {}", self.rcvbuf);
        assert!(self.out_of_order.len() <= self.out_of_order_max as usize);
        let unacknowledged = self.snd_una != self.snd_nxt;
        let waits = !matches!(self.timer, Timer::Off | Timer::Persist);
        assert!(!unacknowledged || waits, "what is in flight has a timer");
        let (base, end) = self.sent.numbers();
        assert_eq!(unacknowledged, base != end);
        assert!(base == end || self.sent.get(end - 1).is_some_and(|last| last.end == self.snd_nxt));
        assert!(base == end || self.sent.start_of(base) == self.snd_una);
        if let Some(loss) = &self.loss {
            loss.board.assert_matches(&self.sent, !self.has_sack());
        }
        assert!(self.ack != AckDue::Delayed || self.ack_at != Instant::FAR_FUTURE);
    }
}
