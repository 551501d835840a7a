//! BBR, version 1, as Linux's `tcp_bbr.c` has it: sends at the rate at which text arrives, and keeps little more under way
//! than the path holds.
//!
//! It has a model of the path: the bandwidth (the largest delivery rate of the last ten rounds) and the round trip without
//! a queue (the shortest of the last ten seconds). A loss means little to it. Version 3 takes more than 2 % of loss in a
//! round for congestion; version 1 is what Linux has under this name, and what lossy paths are run with.
//!
//! ```text
//!            full pipe (1)         little in flight (2)
//!  STARTUP --------------> DRAIN ----------------------> PROBE_BW <---.
//!     ^                      |                              |         |
//!     |                      `--------------.  ,------------'         |
//!     |   round trip is old (3), from all    v v                      |
//!     `------------------------------- PROBE_RTT ---------------------'
//!               pipe not full (4)                   pipe was full (4)
//! ```
//! 1 and 2 are `check_full_pipe` and `check_drain`, 3 `update_min_rtt`, 4 `check_probe_rtt_done`. In PROBE_BW the pace
//! goes through a cycle of eight round trips: a quarter faster, a quarter slower, six at the bandwidth.
//!
//! Left out, with its cost: the long-term model of a policed link (`lt_bw`). Where a policer drops what exceeds a rate, this
//! BBR loses a fifth of what it sends in the faster phases instead of settling at that rate.

mod aggregation;
mod max_filter;

#[cfg(test)]
mod tests;

use crate::stack::tcp::congestion::bbr::aggregation::{Aggregation, in_time};
use crate::stack::tcp::congestion::bbr::max_filter::MaxFilter;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::congestion::control::CongestionControl;
use crate::stack::tcp::congestion::pacer::quantum;
use crate::stack::tcp::congestion::sample::{AckSample, RateSample};
use crate::stack::tcp::congestion::window::{CWND_MAX, INITIAL_WINDOW, Phase, Window};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self). The state is made with the first acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Bbr {
    model: Option<Box<Model>>,
}

/// What is believed about the path, and what is done about it. Rates are bytes a second.
#[derive(Debug)]
struct Model {
    mode: Mode,
    bw: MaxFilter,
    min_rtt: Duration,
    min_rtt_at: Instant,
    aggregation: Aggregation,

    /// Bytes that have arrived, and how many of them end the round.
    delivered: u64,
    round_end: u64,
    round: u32,
    is_round_start: bool,

    /// The bandwidth when it last grew by a quarter, and for how many rounds it has not since.
    full_bw: u64,
    full_bw_rounds: u8,
    is_full: bool,

    /// Where in the cycle of PROBE_BW, and since when.
    cycle: u8,
    cycle_at: Instant,

    /// PROBE_RTT: when it may end, once little is in flight; and whether a round has passed since.
    probe_rtt_until: Option<Instant>,
    is_probe_rtt_round_over: bool,
    /// Samples of what was sent between these counts of delivered bytes say nothing about the path.
    starved: (u64, u64),
    is_restarting: bool,

    /// The window before recovery or PROBE_RTT.
    prior_cwnd: u32,
    prior_phase: Phase,
    conserves: bool,
    has_seen_rtt: bool,
    pacing_rate: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// A factor, in 1/256 (`BBR_UNIT`).
type Gain = u64;
const UNIT: Gain = 256;
/// 2 / ln 2, the least that doubles the rate each round.
const HIGH_GAIN: Gain = UNIT * 2885 / 1000 + 1;
/// Empties in a round what STARTUP has queued.
const DRAIN_GAIN: Gain = UNIT * 1000 / 2885;
/// Twice the path's content, for delayed and bunched acknowledgements.
const CWND_GAIN: Gain = UNIT * 2;
const PACING_GAINS: [Gain; 8] = [UNIT * 5 / 4, UNIT * 3 / 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
/// A percent below the bandwidth, so that no queue grows by rounding.
const PACING_MARGIN: u64 = 99;
/// `bbr_bw_rtts`
const BW_ROUNDS: u32 = 10;
/// `bbr_min_rtt_win_sec`
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
/// `bbr_probe_rtt_mode_ms`
const PROBE_RTT: Duration = Duration::from_millis(200);
/// In segments: enough for a delayed acknowledgement and one more.
const CWND_MIN: u32 = 4;
const FULL_BW_ROUNDS: u8 = 3;
/// `bbr_extra_acked_max_us`
const AGGREGATION_MAX: Duration = Duration::from_millis(100);

impl Bbr {
    fn model(&mut self, now: Instant) -> &mut Model {
        self.model.get_or_insert_with(|| Box::new(Model::new(now)))
    }
}

impl CongestionControl for Bbr {
    fn choice(&self) -> CongestionChoice {
        CongestionChoice::Bbr
    }

    fn is_model_based(&self) -> bool {
        true
    }

    /// `bbr_main`
    fn on_ack(&mut self, window: &mut Window, ack: &AckSample) {
        let model = self.model(ack.now);
        model.update(window, ack);
        let (pacing, cwnd) = model.gains();
        model.set_pacing_rate(window, ack.srtt, pacing);
        model.set_window(window, ack, cwnd);
    }

    /// `bbr_ssthresh`
    fn on_congestion_event(&mut self, window: &mut Window, now: Instant) -> u32 {
        self.model(now).save_window(window);
        window.ssthresh
    }

    fn on_timeout(&mut self, _window: &mut Window, now: Instant) {
        let model = self.model(now);
        model.prior_phase = Phase::Loss;
        model.full_bw = 0;
        // A timeout is the end of a round.
        model.is_round_start = true;
    }

    fn undo(&mut self, _window: &mut Window, _now: Instant) {
        if let Some(model) = &mut self.model {
            (model.full_bw, model.full_bw_rounds) = (0, 0);
        }
    }

    /// `bbr_cwnd_event`, `CA_EVENT_TX_START`: the pipe is empty, so no faster than the bandwidth.
    fn on_transmit_start(&mut self, window: &mut Window, now: Instant, idle: Duration) {
        let Some(model) = self.model.as_mut().filter(|_| !idle.is_zero()) else { return };
        model.is_restarting = true;
        model.aggregation.restart(now);
        match model.mode {
            Mode::ProbeBw => model.set_pacing_rate(window, None, UNIT),
            Mode::ProbeRtt => model.check_probe_rtt_done(window, now),
            Mode::Startup | Mode::Drain => {}
        }
    }

    fn pacing_rate(&self, window: &Window, srtt: Option<Duration>) -> Option<u64> {
        let known = self.model.as_ref().map(|model| model.pacing_rate).filter(|&rate| rate > 0);
        Some(known.unwrap_or_else(|| initial_rate(window, srtt)))
    }
}

impl Model {
    fn new(now: Instant) -> Model {
        Model {
            mode: Mode::Startup,
            bw: MaxFilter::default(),
            min_rtt: Duration::MAX,
            min_rtt_at: now,
            aggregation: Aggregation::new(now),
            delivered: 0,
            round_end: 0,
            round: 0,
            is_round_start: false,
            full_bw: 0,
            full_bw_rounds: 0,
            is_full: false,
            cycle: 0,
            cycle_at: now,
            probe_rtt_until: None,
            is_probe_rtt_round_over: false,
            starved: (u64::MAX, 0),
            is_restarting: false,
            prior_cwnd: 0,
            prior_phase: Phase::Open,
            conserves: false,
            has_seen_rtt: false,
            pacing_rate: 0,
        }
    }

    /// `bbr_update_model`
    fn update(&mut self, window: &mut Window, ack: &AckSample) {
        self.update_bandwidth(ack);
        if ack.delivered > 0 && ack.rate.is_some() {
            let bw = self.bw.get();
            self.aggregation.on_ack(ack.now, ack.delivered, bw, self.is_round_start, window.cwnd);
        }
        self.update_cycle(window, ack);
        self.check_full_pipe(ack);
        self.check_drain(window, ack);
        self.update_min_rtt(window, ack);
    }

    /// `bbr_update_bw`: one round lasts until something arrives that was sent after the round's begin.
    fn update_bandwidth(&mut self, ack: &AckSample) {
        self.is_round_start = false;
        self.delivered += u64::from(ack.delivered);
        let Some(rate) = &ack.rate else { return };
        self.delivered = rate.total_delivered;
        if rate.prior_delivered >= self.round_end {
            self.round_end = self.delivered;
            self.round = self.round.wrapping_add(1);
            self.is_round_start = true;
            self.conserves = false;
        }
        let bw = per_second(rate);
        if !self.is_limited(rate) || bw >= self.bw.get() {
            self.bw.update(BW_ROUNDS, self.round, bw);
        }
    }

    /// Whether a sample is no measure of the path, because the program, or PROBE_RTT, held text back.
    fn is_limited(&self, rate: &RateSample) -> bool {
        rate.is_app_limited || (self.starved.0..=self.starved.1).contains(&rate.prior_delivered)
    }

    /// `bbr_is_next_cycle_phase`
    fn update_cycle(&mut self, window: &Window, ack: &AckSample) {
        if self.mode != Mode::ProbeBw {
            return;
        }
        let is_long = ack.now.saturating_duration_since(self.cycle_at) > self.min_rtt;
        let gain = PACING_GAINS[usize::from(self.cycle)];
        let next = match gain {
            UNIT => is_long,
            // Faster until there is that much in flight, if the path holds it.
            gain if gain > UNIT => is_long && (ack.lost > 0 || ack.prior_in_flight >= self.in_flight_at(window, gain)),
            // Slower until the queue is empty.
            _ => is_long || ack.prior_in_flight <= self.in_flight_at(window, UNIT),
        };
        if next {
            self.cycle = (self.cycle + 1) % PACING_GAINS.len() as u8;
            self.cycle_at = ack.now;
        }
    }

    /// `bbr_check_full_bw_reached`: three rounds without a quarter more.
    fn check_full_pipe(&mut self, ack: &AckSample) {
        let Some(rate) = ack.rate.filter(|_| self.is_round_start && !self.is_full) else { return };
        if self.is_limited(&rate) {
            return;
        }
        if self.bw.get() >= self.full_bw + self.full_bw / 4 {
            (self.full_bw, self.full_bw_rounds) = (self.bw.get(), 0);
            return;
        }
        self.full_bw_rounds += 1;
        self.is_full = self.full_bw_rounds >= FULL_BW_ROUNDS;
    }

    /// `bbr_check_drain`
    fn check_drain(&mut self, window: &mut Window, ack: &AckSample) {
        if self.mode == Mode::Startup && self.is_full {
            self.mode = Mode::Drain;
            window.ssthresh = self.in_flight_at(window, UNIT);
        }
        if self.mode == Mode::Drain && ack.in_flight <= self.in_flight_at(window, UNIT) {
            self.enter_probe_bw(ack.now, ack.una.0);
        }
    }

    /// Begins the cycle anywhere but in its slow phase, so that flows do not go together. The place follows from a sequence
    /// number, which begins at a secret one.
    fn enter_probe_bw(&mut self, now: Instant, chance: u32) {
        self.mode = Mode::ProbeBw;
        self.cycle = match (chance % 7) as u8 {
            0 => 0,
            place => place + 1,
        };
        self.cycle_at = now;
    }

    /// `bbr_update_min_rtt`
    fn update_min_rtt(&mut self, window: &mut Window, ack: &AckSample) {
        let is_old = ack.now > self.min_rtt_at.saturating_add(MIN_RTT_WINDOW);
        if let Some(rtt) = ack.rtt.filter(|&rtt| rtt < self.min_rtt || is_old) {
            (self.min_rtt, self.min_rtt_at) = (rtt, ack.now);
        }
        if is_old && !self.is_restarting && self.mode != Mode::ProbeRtt {
            self.mode = Mode::ProbeRtt;
            self.save_window(window);
            self.probe_rtt_until = None;
            self.starved = (self.delivered, self.delivered);
        }
        if self.mode == Mode::ProbeRtt {
            self.starved.1 = self.delivered + u64::from(ack.in_flight);
            if self.probe_rtt_until.is_some() {
                self.is_probe_rtt_round_over |= self.is_round_start;
                if self.is_probe_rtt_round_over {
                    self.check_probe_rtt_done(window, ack.now);
                }
            } else if ack.in_flight <= CWND_MIN * window.mss() {
                self.probe_rtt_until = Some(ack.now.saturating_add(PROBE_RTT));
                self.is_probe_rtt_round_over = false;
                self.round_end = self.delivered;
            }
        }
        if ack.rate.is_some_and(|rate| rate.delivered > 0) {
            self.is_restarting = false;
        }
    }

    fn check_probe_rtt_done(&mut self, window: &mut Window, now: Instant) {
        if self.probe_rtt_until.is_none_or(|until| now <= until) {
            return;
        }
        self.min_rtt_at = now;
        window.cwnd = window.cwnd.max(self.prior_cwnd);
        if self.is_full {
            self.enter_probe_bw(now, self.delivered as u32);
        } else {
            self.mode = Mode::Startup;
        }
    }

    /// `bbr_update_gains`: for the pace and for the window.
    fn gains(&self) -> (Gain, Gain) {
        match self.mode {
            Mode::Startup => (HIGH_GAIN, HIGH_GAIN),
            Mode::Drain => (DRAIN_GAIN, HIGH_GAIN),
            Mode::ProbeBw => (PACING_GAINS[usize::from(self.cycle)], CWND_GAIN),
            Mode::ProbeRtt => (UNIT, UNIT),
        }
    }

    /// `bbr_set_pacing_rate`: in STARTUP only upwards.
    fn set_pacing_rate(&mut self, window: &Window, srtt: Option<Duration>, gain: Gain) {
        if !self.has_seen_rtt && (srtt.is_some() || self.pacing_rate == 0) {
            self.has_seen_rtt = srtt.is_some();
            self.pacing_rate = initial_rate(window, srtt);
        }
        let rate = self.bw.get().saturating_mul(gain) / UNIT * PACING_MARGIN / 100;
        if self.is_full || rate > self.pacing_rate {
            self.pacing_rate = rate.max(1);
        }
    }

    /// `bbr_set_cwnd`
    fn set_window(&mut self, window: &mut Window, ack: &AckSample, gain: Gain) {
        let least = CWND_MIN * window.mss();
        if ack.delivered > 0 && !self.recover_or_restore(window, ack) {
            let aggregated = if self.is_full { self.aggregated() } else { 0 };
            let target = self.quantized(window, self.bdp(window, gain).saturating_add(aggregated));
            let initial = u64::from(INITIAL_WINDOW * window.mss());
            if self.is_full {
                window.cwnd = window.cwnd.saturating_add(ack.delivered).min(target);
            } else if window.cwnd < target || self.delivered < initial {
                window.cwnd = window.cwnd.saturating_add(ack.delivered);
            }
            window.cwnd = window.cwnd.max(least);
        }
        if self.mode == Mode::ProbeRtt {
            window.cwnd = window.cwnd.min(least);
        }
        window.cwnd = window.cwnd.clamp(window.mss(), CWND_MAX);
    }

    /// `bbr_set_cwnd_to_recover_or_restore`: in the first round of recovery a segment leaves for each that arrives, after
    /// that the model decides; at its end the window is what it was. Says whether the window is thereby decided.
    fn recover_or_restore(&mut self, window: &mut Window, ack: &AckSample) -> bool {
        window.cwnd = window.cwnd.saturating_sub(ack.lost).max(window.mss());
        let (before, phase) = (std::mem::replace(&mut self.prior_phase, window.phase), window.phase);
        if phase == Phase::Reduction && before != Phase::Reduction {
            self.conserves = true;
            self.round_end = self.delivered;
            window.cwnd = ack.in_flight.saturating_add(ack.delivered);
        } else if phase == Phase::Open && before != Phase::Open {
            self.conserves = false;
            window.cwnd = window.cwnd.max(self.prior_cwnd);
        }
        if self.conserves {
            window.cwnd = window.cwnd.max(ack.in_flight.saturating_add(ack.delivered));
        }
        self.conserves
    }

    /// `bbr_save_cwnd`
    fn save_window(&mut self, window: &Window) {
        let is_calm = self.prior_phase == Phase::Open && self.mode != Mode::ProbeRtt;
        self.prior_cwnd = if is_calm { window.cwnd } else { self.prior_cwnd.max(window.cwnd) };
    }

    /// `bbr_bdp`: what the path holds, times `gain`.
    fn bdp(&self, window: &Window, gain: Gain) -> u32 {
        if self.min_rtt == Duration::MAX {
            return INITIAL_WINDOW * window.mss();
        }
        let bytes = in_time(self.bw.get(), self.min_rtt).saturating_mul(gain) / UNIT;
        u32::try_from(bytes).unwrap_or(u32::MAX).min(CWND_MAX)
    }

    /// `bbr_quantization_budget`: room for whole bursts on both ends.
    fn quantized(&self, window: &Window, bytes: u32) -> u32 {
        let probes = self.mode == Mode::ProbeBw && self.cycle == 0;
        let extra = 3 * quantum(self.pacing_rate, window.mss()) + if probes { 2 * window.mss() } else { 0 };
        bytes.saturating_add(extra).next_multiple_of(2 * window.mss()).min(CWND_MAX)
    }

    /// `bbr_inflight`
    fn in_flight_at(&self, window: &Window, gain: Gain) -> u32 {
        self.quantized(window, self.bdp(window, gain))
    }

    /// `bbr_ack_aggregation_cwnd`
    fn aggregated(&self) -> u32 {
        let most = in_time(self.bw.get(), AGGREGATION_MAX);
        self.aggregation.extra().min(u32::try_from(most).unwrap_or(u32::MAX))
    }
}

/// `bbr_init_pacing_rate_from_rtt`: the window in a round trip, or in a millisecond before one is known.
fn initial_rate(window: &Window, srtt: Option<Duration>) -> u64 {
    let us = srtt.map_or(1000, |srtt| u64::try_from(srtt.as_micros()).unwrap_or(u64::MAX).max(1));
    u64::from(window.cwnd) * 1_000_000 / us * HIGH_GAIN / UNIT * PACING_MARGIN / 100 + 1
}

fn per_second(rate: &RateSample) -> u64 {
    let per_second = u128::from(rate.delivered) * 1_000_000_000 / rate.interval.as_nanos().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}
