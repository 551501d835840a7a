//! How much may be in flight, and how fast it may leave: congestion control.
//!
//! The control block finds out what was lost; it says so here, and what follows for the window is decided here and
//! nowhere else. The parts: [`Congestion`], which a control block owns and talks to; a [`CongestionControl`] for each
//! algorithm, which says how a window grows and by how much it shrinks; and [`prr`], which spreads that shrinking over a
//! round trip, the same for all algorithms that work on a window; and the [`pacer`]. Nothing here knows a segment or a timer:
//! what is paced is released when the block's timer says so.
//!
//! # The events, in the order of one acknowledgement
//! 1. The control block takes it: what is acknowledged, what has arrived out of order, what is lost now.
//! 2. If there is new loss in an open window: [`on_congestion_event`](Congestion::on_congestion_event), or
//!    [`on_ecn`](Congestion::on_ecn) for a mark instead of a loss. Once for each window of data; the block knows.
//! 3. If everything that was out when recovery began is acknowledged:
//!    [`on_recovery_exit`](Congestion::on_recovery_exit). If the loss turns out to be none: [`undo`](Congestion::undo).
//! 4. [`on_ack`](Congestion::on_ack), always, with what the acknowledgement has brought. During recovery this is where
//!    proportional rate reduction moves the window; the block only compares its pipe with [`cwnd`](Congestion::cwnd).
//!
//! [`on_transmit`](Congestion::on_transmit) follows each segment with text, new or again;
//! [`on_timeout`](Congestion::on_timeout) the retransmission timer; and
//! [`on_idle_restart`](Congestion::on_idle_restart) comes before text with which nothing is in flight.

pub(crate) mod bbr;
pub(crate) mod choice;
pub(crate) mod control;
pub(crate) mod cubic;
pub(crate) mod hystart;
pub(crate) mod new_reno;
pub(crate) mod pacer;
pub(crate) mod prr;
pub(crate) mod sample;
pub(crate) mod window;

#[cfg(test)]
mod tests;

use crate::stack::tcp::congestion::bbr::Bbr;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::congestion::control::{CongestionControl, window_rate};
use crate::stack::tcp::congestion::cubic::Cubic;
use crate::stack::tcp::congestion::new_reno::NewReno;
use crate::stack::tcp::congestion::pacer::Pacer;
use crate::stack::tcp::congestion::prr::Prr;
use crate::stack::tcp::congestion::sample::{AckSample, Transmitted};
use crate::stack::tcp::congestion::window::{INITIAL_WINDOW, Phase, Window};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// One connection's congestion control. See the [module](self).
#[derive(Debug)]
pub(crate) struct Congestion {
    window: Window,
    prr: Prr,
    /// Only where text is paced.
    pacer: Option<Box<Pacer>>,
    /// What the window was before it shrank, while that can still be undone.
    undo: Option<Undo>,
    algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug)]
struct Undo {
    cwnd: u32,
    ssthresh: u32,
}

/// The algorithms; each but the simplest has its state in one box, made when it is first needed.
#[derive(Debug)]
enum Algorithm {
    Cubic(Cubic),
    Reno(NewReno),
    Bbr(Bbr),
}

impl Algorithm {
    fn new(choice: CongestionChoice) -> Algorithm {
        match choice {
            CongestionChoice::Cubic => Algorithm::Cubic(Cubic::default()),
            CongestionChoice::Reno => Algorithm::Reno(NewReno),
            CongestionChoice::Bbr => Algorithm::Bbr(Bbr::default()),
        }
    }

    #[inline]
    fn get(&self) -> &dyn CongestionControl {
        match self {
            Algorithm::Cubic(cubic) => cubic,
            Algorithm::Reno(reno) => reno,
            Algorithm::Bbr(bbr) => bbr,
        }
    }

    #[inline]
    fn get_mut(&mut self) -> &mut dyn CongestionControl {
        match self {
            Algorithm::Cubic(cubic) => cubic,
            Algorithm::Reno(reno) => reno,
            Algorithm::Bbr(bbr) => bbr,
        }
    }
}

impl Congestion {
    /// The initial window (RFC 6928) for segments of `mss` bytes.
    /// With `paced` text leaves at a pace also where the algorithm would not ask for it.
    pub(crate) fn new(choice: CongestionChoice, paced: bool, mss: u16) -> Congestion {
        let algorithm = Algorithm::new(choice);
        let mut window = Window::new(mss);
        window.paced = paced || algorithm.get().is_model_based();
        let pacer = window.paced.then(|| Box::new(Pacer::new()));
        Congestion { window, prr: Prr::default(), pacer, undo: None, algorithm }
    }

    /// The handshake has settled the segment size: the initial window is one of such segments.
    pub(crate) fn on_established(&mut self, mss: u16) {
        let paced = self.window.paced;
        self.window = Window::new(mss);
        self.window.paced = paced;
    }

    /// Segments have become smaller; the window stays what it is.
    pub(crate) fn set_mss(&mut self, mss: u16) {
        self.window.set_mss(mss);
    }

    /// Which algorithm decides.
    pub(crate) fn choice(&self) -> CongestionChoice {
        self.algorithm.get().choice()
    }

    /// Lets another algorithm decide from now on; it finds the window that there is (`tcp_set_congestion_control`).
    pub(crate) fn choose(&mut self, choice: CongestionChoice) {
        if self.choice() != choice {
            self.algorithm = Algorithm::new(choice);
            if self.algorithm.get().is_model_based() {
                self.window.paced = true;
                self.pacer.get_or_insert_with(|| Box::new(Pacer::new()));
            }
        }
    }

    /// How many bytes may be in flight.
    #[inline]
    pub(crate) fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    /// Where slow start ends; [`u32::MAX`] before the first loss.
    pub(crate) fn ssthresh(&self) -> u32 {
        self.window.ssthresh
    }

    /// How fast text should leave, in bytes a second; `None` for as fast as the window allows.
    pub(crate) fn pacing_rate(&self, srtt: Option<Duration>) -> Option<u64> {
        self.algorithm.get().pacing_rate(&self.window, srtt)
    }

    /// How fast text leaves, whether or not it is paced, as `sk_pacing_rate` says it; and whether it is.
    pub(crate) fn output_rate(&self, srtt: Option<Duration>) -> (u64, bool) {
        match self.pacing_rate(srtt) {
            Some(rate) => (rate, true),
            None => (srtt.map_or(u64::MAX, |srtt| window_rate(&self.window, srtt)), false),
        }
    }

    /// Something is newly acknowledged, has newly arrived out of order, or is newly lost.
    #[inline]
    pub(crate) fn on_ack(&mut self, ack: &AckSample) {
        let algorithm = self.algorithm.get_mut();
        if algorithm.is_model_based() {
            algorithm.on_ack(&mut self.window, ack);
        } else if self.window.phase == Phase::Reduction {
            self.prr.on_ack(&mut self.window, ack);
        } else if self.window.is_limited() {
            if ack.acked > 0 {
                algorithm.on_ack(&mut self.window, ack);
            }
        } else {
            algorithm.on_unused_ack(ack.now);
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.set_rate(self.algorithm.get().pacing_rate(&self.window, ack.srtt));
        }
    }

    /// Whether an acknowledgement without loss means nothing to the window, which the program does not fill, nor to the pace;
    /// then [`on_unused_ack`](Self::on_unused_ack) will do instead of [`on_ack`](Self::on_ack).
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        let by_window = !matches!(self.algorithm, Algorithm::Bbr(_)) && self.window.phase != Phase::Reduction;
        by_window && !self.window.is_limited() && self.pacer.is_none()
    }

    /// See [`is_unused`](Self::is_unused).
    #[inline]
    pub(crate) fn on_unused_ack(&mut self, now: Instant) {
        match &mut self.algorithm {
            Algorithm::Cubic(cubic) => cubic.on_unused_ack(now),
            algorithm => algorithm.get_mut().on_unused_ack(now),
        }
    }

    /// Whether the pace lets a segment leave now; if not, [`held_until`](Self::held_until) says when. To be asked only
    /// about a segment that is allowed otherwise.
    #[inline]
    pub(crate) fn may_send(&mut self, now: Instant) -> bool {
        let Some(pacer) = &mut self.pacer else { return true };
        if !pacer.has_rate() {
            pacer.set_rate(self.algorithm.get().pacing_rate(&self.window, None));
        }
        pacer.may_send(now, self.window.mss())
    }

    /// When text that only the pace holds back may leave; [`Instant::FAR_FUTURE`] for no such text.
    #[inline]
    pub(crate) fn held_until(&self) -> Instant {
        self.pacer.as_ref().map_or(Instant::FAR_FUTURE, |pacer| pacer.held_until())
    }

    /// That moment has come, or the text waits for something else or not at all.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(pacer) = &mut self.pacer {
            pacer.let_go();
        }
    }

    /// Loss was found: the window shrinks over the coming round trip, until
    /// [`on_recovery_exit`](Self::on_recovery_exit).
    pub(crate) fn on_congestion_event(&mut self, now: Instant) {
        self.reduce(now);
    }

    /// The peer echoes a mark of the network's (RFC 3168 6.1.2): as for a loss.
    pub(crate) fn on_ecn(&mut self, now: Instant) {
        self.reduce(now);
        // What was marked has arrived; there is nothing that could turn out to be spurious.
        self.undo = None;
    }

    fn reduce(&mut self, now: Instant) {
        self.remember();
        let window = &mut self.window;
        window.ssthresh = self.algorithm.get_mut().on_congestion_event(window, now);
        window.phase = Phase::Reduction;
        self.prr = Prr::new(window.cwnd);
    }

    /// The retransmission timer fired, with everything in flight taken for lost; `first` says whether for the first time
    /// for this data (RFC 5681 3.1: only then ssthresh moves).
    pub(crate) fn on_timeout(&mut self, now: Instant, first: bool) {
        let window = &mut self.window;
        if first {
            let (cwnd, ssthresh) = (window.cwnd, window.ssthresh);
            // A timeout in the middle of recovery is about the same loss: what is undone is both.
            self.undo.get_or_insert(Undo { cwnd, ssthresh });
            window.ssthresh = self.algorithm.get_mut().on_congestion_event(window, now);
        }
        self.algorithm.get_mut().on_timeout(window, now);
        window.cwnd = window.mss();
        window.phase = Phase::Loss;
    }

    /// Everything that was out when the loss was found is acknowledged.
    pub(crate) fn on_recovery_exit(&mut self, now: Instant) {
        let window = &mut self.window;
        if window.phase == Phase::Reduction && !self.algorithm.get().is_model_based() {
            // `tcp_end_cwnd_reduction`
            window.cwnd = window.ssthresh;
        }
        self.algorithm.get_mut().on_recovery_exit(window, now);
        window.phase = Phase::Open;
    }

    /// The loss was none: back to the window before it (`tcp_undo_cwnd_reduction`), and recovery is over.
    pub(crate) fn undo(&mut self, now: Instant) {
        if let Some(before) = self.undo.take() {
            let window = &mut self.window;
            window.cwnd = window.cwnd.max(before.cwnd);
            window.ssthresh = window.ssthresh.max(before.ssthresh);
            self.algorithm.get_mut().undo(window, now);
        }
        self.window.phase = Phase::Open;
    }

    /// Nothing is in flight, nothing was sent for `idle`, and now there is something to send: after a timeout's time the
    /// path may have changed (RFC 5681 4.1, and RFC 2861 as in `tcp_cwnd_restart`).
    pub(crate) fn on_idle_restart(&mut self, idle: Duration, rto: Duration) {
        if self.algorithm.get().is_model_based() || idle <= rto {
            return;
        }
        let window = &mut self.window;
        let initial = (INITIAL_WINDOW * window.mss()).min(window.cwnd);
        window.ssthresh = window.remembered_ssthresh();
        let mut left = idle - rto;
        while left > Duration::ZERO && window.cwnd > initial {
            window.cwnd /= 2;
            left = left.saturating_sub(rto);
        }
        window.cwnd = window.cwnd.max(initial);
    }

    /// A segment with text has been sent.
    #[inline]
    pub(crate) fn on_transmit(&mut self, sent: &Transmitted) {
        self.prr.on_transmit(sent.len);
        if let Some(pacer) = &mut self.pacer {
            pacer.on_transmit(sent.now, sent.len, self.window.mss());
        }
        if sent.in_flight <= sent.len {
            self.algorithm.get_mut().on_transmit_start(&mut self.window, sent.now, sent.idle);
        }
        self.window.on_transmit(sent);
    }

    fn remember(&mut self) {
        self.undo = Some(Undo { cwnd: self.window.cwnd, ssthresh: self.window.ssthresh });
    }
}
