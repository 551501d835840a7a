//! CUBIC (RFC 9438): after a loss the window returns to where it was on a cubic curve of time, not of round trips.
//!
//! Windows are bytes here, where the RFC has segments; the curve's time is milliseconds. Slow start is [HyStart++]'s the
//! first time. The state is in a box that is made when the window first limits the sender, so that a connection which
//! only asks and answers has none.
//!
//! [HyStart++]: crate::stack::tcp::congestion::hystart

use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::congestion::control::CongestionControl;
use crate::stack::tcp::congestion::hystart::HyStart;
use crate::stack::tcp::congestion::sample::AckSample;
use crate::stack::tcp::congestion::window::Window;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Cubic {
    state: Option<Box<State>>,
}

#[derive(Debug)]
struct State {
    curve: Curve,
    /// The curve before the last reduction, to be restored when that was a mistake (RFC 9438 4.9).
    before: Curve,
    hystart: HyStart,
    /// The shortest round trip seen (`delay_min`).
    min_rtt: Duration,
    /// The last acknowledgement.
    last_ack_at: Instant,
}

/// What RFC 9438 4.1.2 calls its variables of interest.
#[derive(Clone, Copy, Debug, Default)]
struct Curve {
    /// The window before the last reduction, or less by fast convergence; 0 before the first.
    w_max: u32,
    cwnd_prior: u32,
    epoch: Option<Epoch>,
}

/// One congestion avoidance stage.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Instant,
    /// Where the curve has its plateau, and how long after `start`.
    origin: u32,
    k_ms: u32,
    /// What a Reno flow would have, in bytes and thousandths.
    w_est: u64,
    /// Growth below a byte, in parts of the window.
    rest: u64,
}

/// Multiplicative decrease factor, 0.7 as Linux has it.
const BETA: (u64, u64) = (717, 1024);
/// `alpha_cubic` = 3 (1 - beta) / (1 + beta), in thousandths.
const ALPHA: u64 = 529;

impl Cubic {
    fn state(&mut self, now: Instant) -> &mut State {
        self.state.get_or_insert_with(|| {
            Box::new(State {
                curve: Curve::default(),
                before: Curve::default(),
                hystart: HyStart::new(),
                min_rtt: Duration::MAX,
                last_ack_at: now,
            })
        })
    }
}

impl CongestionControl for Cubic {
    fn choice(&self) -> CongestionChoice {
        CongestionChoice::Cubic
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckSample) {
        let state = self.state(ack.now);
        state.last_ack_at = ack.now;
        if let Some(rtt) = ack.rtt {
            state.min_rtt = state.min_rtt.min(rtt);
        }
        let mut acked = ack.acked;
        if window.is_slow_start() {
            if window.ssthresh == u32::MAX {
                acked = state.hystart.on_ack(window, ack, window.paced);
            }
            acked = window.slow_start(acked);
        }
        if acked > 0 {
            let rtt = if state.min_rtt == Duration::MAX { Duration::ZERO } else { state.min_rtt };
            state.curve.avoid(window, ack.now, rtt, acked);
        }
    }

    #[inline]
    fn on_unused_ack(&mut self, now: Instant) {
        if let Some(state) = &mut self.state {
            state.curve.pause(now.saturating_duration_since(state.last_ack_at), now);
            state.last_ack_at = now;
        }
    }

    fn on_congestion_event(&mut self, window: &mut Window, now: Instant) -> u32 {
        let state = self.state(now);
        state.before = state.curve;
        state.curve.reduce(window.cwnd);
        (scale(window.cwnd, BETA)).max(2 * window.mss())
    }

    /// 4.8: the stage after a timeout begins with its own window, whatever was before.
    fn on_timeout(&mut self, _window: &mut Window, now: Instant) {
        self.state(now).curve = Curve::default();
    }

    fn undo(&mut self, _window: &mut Window, _now: Instant) {
        if let Some(state) = &mut self.state {
            state.curve = state.before;
        }
    }

    /// As Linux, and 4.2: time that was not used does not count.
    fn on_transmit_start(&mut self, _window: &mut Window, now: Instant, idle: Duration) {
        if let Some(state) = &mut self.state {
            state.curve.pause(idle, now);
            state.last_ack_at = state.last_ack_at.saturating_add(idle).min(now);
        }
    }
}

impl Curve {
    /// 4.6, multiplicative decrease, and 4.7, fast convergence: a flow that did not get back to where it was makes room.
    fn reduce(&mut self, cwnd: u32) {
        self.w_max = if cwnd < self.w_max { scale(cwnd, (BETA.1 + BETA.0, 2 * BETA.1)) } else { cwnd };
        self.cwnd_prior = cwnd;
        self.epoch = None;
    }

    fn pause(&mut self, time: Duration, now: Instant) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start = epoch.start.saturating_add(time).min(now);
        }
    }

    /// Congestion avoidance: `acked` bytes have been acknowledged.
    fn avoid(&mut self, window: &mut Window, now: Instant, rtt: Duration, acked: u32) {
        let (w_max, cwnd_prior, cwnd, mss) = (self.w_max, self.cwnd_prior, window.cwnd, window.mss());
        let epoch = self.epoch.get_or_insert_with(|| Epoch::new(now, w_max, cwnd, mss));
        // 4.3: what Reno would have. Once it is back at the window before the loss, it grows as Reno does (alpha = 1).
        let alpha = if epoch.w_est >= u64::from(cwnd_prior) * 1000 { 1000 } else { ALPHA };
        epoch.w_est += alpha * u64::from(mss) * u64::from(acked) / u64::from(cwnd);
        let elapsed = now.saturating_duration_since(epoch.start);
        let w_est = u32::try_from(epoch.w_est / 1000).unwrap_or(u32::MAX);
        if epoch.w_cubic(elapsed, mss) < w_est {
            // The Reno-friendly region.
            window.grow(w_est.saturating_sub(cwnd));
            return;
        }
        // 4.4 and 4.5, the concave and the convex region.
        let mut target = epoch.w_cubic(elapsed + rtt, mss).clamp(cwnd, cwnd.saturating_add(cwnd / 2));
        if w_max == 0 {
            // As Linux: before the first loss nothing is known, so the curve's flat beginning is skipped.
            target = target.max(cwnd + cwnd / 20);
        }
        epoch.rest += u64::from(target - cwnd) * u64::from(acked);
        window.grow((epoch.rest / u64::from(cwnd)) as u32);
        epoch.rest %= u64::from(cwnd);
    }
}

impl Epoch {
    /// 4.2.
    fn new(now: Instant, w_max: u32, cwnd: u32, mss: u32) -> Epoch {
        let (origin, k_ms) = if cwnd < w_max { (w_max, k_ms(w_max - cwnd, mss)) } else { (cwnd, 0) };
        Epoch { start: now, origin, k_ms, w_est: u64::from(cwnd) * 1000, rest: 0 }
    }

    /// `W_cubic(t)` = C (t - K)^3 + W_max, with C = 0.4 segments a second cubed.
    fn w_cubic(&self, t: Duration, mss: u32) -> u32 {
        // After a quarter of an hour on one curve the window is at its bound in any case.
        let t_ms = u32::try_from(t.as_millis()).unwrap_or(u32::MAX).min(1 << 20);
        let offset = u64::from(t_ms.abs_diff(self.k_ms).min(1 << 20));
        // In an order that neither overflows nor loses a byte.
        let rise = offset * offset * offset / 1_000_000 * (4 * u64::from(mss)) / 10_000;
        let rise = u32::try_from(rise).unwrap_or(u32::MAX);
        if t_ms < self.k_ms { self.origin.saturating_sub(rise) } else { self.origin.saturating_add(rise) }
    }
}

/// `K` = cbrt((W_max - cwnd_epoch) / C), in milliseconds.
fn k_ms(distance: u32, mss: u32) -> u32 {
    // In milliseconds cubed: segments / 0.4 * 10^9. A distance is below 2^30.
    icbrt(u64::from(distance) * 2_500_000_000 / u64::from(mss.max(1)))
}

/// The cube root, rounded down, bit by bit.
fn icbrt(n: u64) -> u32 {
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let candidate = root | 1 << bit;
        if candidate * candidate * candidate <= n {
            root = candidate;
        }
    }
    root as u32
}

fn scale(n: u32, (factor, divisor): (u64, u64)) -> u32 {
    (u64::from(n) * factor / divisor) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::SeqNumber;
    use proptest::prelude::*;

    const MSS: u32 = 1448;

    fn at(ms: u64) -> Instant {
        Instant::from_virtual_ns(ms * 1_000_000)
    }

    fn ack(ms: u64, acked: u32, rtt_ms: u64) -> AckSample {
        AckSample {
            now: at(ms),
            acked,
            delivered: acked,
            lost: 0,
            prior_in_flight: 0,
            in_flight: 0,
            rtt: Some(Duration::from_millis(rtt_ms)),
            srtt: None,
            una: SeqNumber(0),
            nxt: SeqNumber(0),
            rate: None,
        }
    }

    fn window(segments: u32, ssthresh: u32) -> Window {
        let mut window = Window::new(MSS as u16);
        (window.cwnd, window.ssthresh) = (segments * MSS, ssthresh * MSS);
        window
    }

    /// One round trip with the window full: an acknowledgement for every two segments.
    fn round(cubic: &mut Cubic, window: &mut Window, now_ms: u64, rtt_ms: u64) {
        let pairs = (window.cwnd / MSS / 2).max(1);
        for n in 0..pairs {
            let ms = now_ms + rtt_ms * u64::from(n) / u64::from(pairs);
            cubic.on_ack(window, &ack(ms, 2 * MSS, rtt_ms));
        }
    }

    proptest! {
        #[test]
        fn the_cube_root_is_exact(n in 0u64..1 << 60) {
            let root = u128::from(icbrt(n));
            prop_assert!(root.pow(3) <= u128::from(n) && (root + 1).pow(3) > u128::from(n));
        }

        /// The curve in integers is the RFC's in real numbers, to a segment in a thousand.
        #[test]
        fn the_curve_is_the_rfcs(w_max in 20u32..20_000, t_ms in 0u32..120_000) {
            let cwnd = scale(w_max * MSS, BETA);
            let epoch = Epoch::new(at(0), w_max * MSS, cwnd, MSS);
            let k = (f64::from(w_max * MSS - cwnd) / f64::from(MSS) / 0.4).cbrt();
            prop_assert!((f64::from(epoch.k_ms) / 1000.0 - k).abs() < 0.002, "{} {k}", epoch.k_ms);
            let expected = 0.4 * (f64::from(t_ms) / 1000.0 - k).powi(3) + f64::from(w_max);
            let got = f64::from(epoch.w_cubic(Duration::from_millis(t_ms.into()), MSS)) / f64::from(MSS);
            prop_assert!((got - expected.max(0.0)).abs() <= 1.0 + expected.abs() / 1000.0, "{got} {expected}");
        }

        /// Whatever comes, the window stays in its bounds and no arithmetic fails.
        #[test]
        fn any_trace_is_survived(steps in prop::collection::vec((0u8..6, 0u32..1 << 20, 0u64..1 << 22), 1..200)) {
            let (mut cubic, mut window, mut now) = (Cubic::default(), window(10, 1 << 18), 0);
            for (what, bytes, ms) in steps {
                now += ms;
                match what {
                    0 | 1 => cubic.on_ack(&mut window, &ack(now, bytes, ms)),
                    2 => {
                        window.ssthresh = cubic.on_congestion_event(&mut window, at(now));
                        window.cwnd = window.ssthresh;
                    }
                    3 => cubic.on_timeout(&mut window, at(now)),
                    4 => cubic.on_unused_ack(at(now)),
                    _ => cubic.on_transmit_start(&mut window, at(now), Duration::from_millis(ms)),
                }
                prop_assert!((MSS..=1 << 30).contains(&window.cwnd));
            }
        }
    }

    #[test]
    fn a_loss_takes_three_tenths_and_fast_convergence_more() {
        let (mut cubic, mut window) = (Cubic::default(), window(100, 50));
        assert_eq!(cubic.on_congestion_event(&mut window, at(0)) / MSS, 70);
        assert_eq!(cubic.state.as_ref().unwrap().curve.w_max, 100 * MSS);
        window.cwnd = 80 * MSS;
        assert_eq!(cubic.on_congestion_event(&mut window, at(0)) / MSS, 56);
        // Did not come back to 100: 80 * (1 + 0.7) / 2.
        assert_eq!(cubic.state.as_ref().unwrap().curve.w_max / MSS, 68);
        window.cwnd = 2 * MSS;
        assert_eq!(cubic.on_congestion_event(&mut window, at(0)), 2 * MSS);
    }

    /// A long round trip, where the cubic region rules: the window is back after K, and grows slowest around there.
    #[test]
    fn the_window_returns_to_the_plateau_after_k() {
        let (mut cubic, mut window) = (Cubic::default(), window(1000, 500));
        window.ssthresh = cubic.on_congestion_event(&mut window, at(0));
        window.cwnd = window.ssthresh;
        // K = cbrt(300 / 0.4) = 9.09 s.
        let mut at_second = Vec::new();
        for n in 0..200 {
            round(&mut cubic, &mut window, n * 100, 100);
            if n % 10 == 9 {
                at_second.push(window.cwnd / MSS);
            }
        }
        let expected = |t: f64| 0.4 * (t - 9.09f64).powi(3) + 1000.0;
        for (second, &got) in at_second.iter().enumerate().skip(1) {
            let want = expected(second as f64 + 1.0);
            assert!((f64::from(got) - want).abs() < 12.0, "after {} s: {got}, not {want}", second + 1);
        }
    }

    /// A short round trip and a small window: as Reno, or a little more.
    #[test]
    fn in_the_friendly_region_it_grows_as_reno_with_the_same_average() {
        let (mut cubic, mut window) = (Cubic::default(), window(20, 5));
        window.ssthresh = cubic.on_congestion_event(&mut window, at(0));
        window.cwnd = window.ssthresh;
        for n in 0..11 {
            round(&mut cubic, &mut window, n * 20, 20);
        }
        // 14 + 11 * 0.529 = 19.8
        assert!((19 * MSS..=20 * MSS).contains(&window.cwnd), "{}", window.cwnd);
        for n in 11..16 {
            round(&mut cubic, &mut window, n * 20, 20);
        }
        // From 20 on a segment for each round.
        assert!((23 * MSS..=25 * MSS).contains(&window.cwnd), "{}", window.cwnd);
    }

    #[test]
    fn idle_and_unused_time_do_not_count() {
        let run = |pause: fn(&mut Cubic, &mut Window)| {
            let (mut cubic, mut window) = (Cubic::default(), window(1000, 500));
            window.ssthresh = cubic.on_congestion_event(&mut window, at(0));
            window.cwnd = window.ssthresh;
            (0..10).for_each(|n| round(&mut cubic, &mut window, n * 100, 100));
            pause(&mut cubic, &mut window);
            (0..3).for_each(|n| round(&mut cubic, &mut window, 61_000 + n * 100, 100));
            window.cwnd / MSS
        };
        let idle = run(|cubic, window| cubic.on_transmit_start(window, at(61_000), Duration::from_secs(60)));
        let unused = run(|cubic, _| (1..=60).for_each(|s| cubic.on_unused_ack(at(1000 + s * 1000))));
        let counted = run(|_, _| {});
        assert!((760..840).contains(&idle), "{idle}");
        assert!(idle.abs_diff(unused) < 5, "{idle} {unused}");
        assert!(counted > 2000, "{counted}");
    }

    #[test]
    fn an_undone_reduction_leaves_the_curve_as_it_was() {
        let (mut cubic, mut window) = (Cubic::default(), window(100, 50));
        window.ssthresh = cubic.on_congestion_event(&mut window, at(0));
        window.cwnd = window.ssthresh;
        (0..10).for_each(|n| round(&mut cubic, &mut window, n * 100, 100));
        let (w_max, start) = cubic.state.as_ref().map(|s| (s.curve.w_max, s.curve.epoch.unwrap().start)).unwrap();
        cubic.on_congestion_event(&mut window, at(1000));
        cubic.on_timeout(&mut window, at(1000));
        cubic.undo(&mut window, at(1100));
        let after = cubic.state.as_ref().map(|s| (s.curve.w_max, s.curve.epoch.unwrap().start)).unwrap();
        assert_eq!(after, (w_max, start));
    }

    #[test]
    fn a_timeout_forgets_the_plateau() {
        let (mut cubic, mut window) = (Cubic::default(), window(100, 50));
        window.ssthresh = cubic.on_congestion_event(&mut window, at(0));
        cubic.on_timeout(&mut window, at(0));
        assert_eq!(cubic.state.as_ref().unwrap().curve.w_max, 0);
    }
}
