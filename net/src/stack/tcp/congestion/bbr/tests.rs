//! BBR on a synthetic path: a bottleneck with a queue, segments that take time, and losses where the test wants them.

use super::*;
use crate::stack::tcp::congestion::pacer::Pacer;
use crate::stack::tcp::congestion::sample::Transmitted;
use crate::wire::tcp::SeqNumber;
use std::collections::VecDeque;

const MSS: u32 = 1000;

/// A sender that always has text, and a path that is not BBR's: it only sees acknowledgements.
struct Path {
    bbr: Bbr,
    window: Window,
    pacer: Pacer,
    now: Instant,
    /// Bytes a second, one way there and back, and what the queue holds.
    rate: u64,
    round_trip: Duration,
    queue_max: u32,
    /// Every so many segments one is lost; 0 for none.
    lose_every: u32,
    sent: u32,
    /// When the bottleneck is free.
    free_at: Instant,
    /// When each segment's fate is known: its arrival or its loss, when it was sent, and what was delivered then.
    out: VecDeque<(Instant, bool, Instant, u64, Instant)>,
    delivered: u64,
    delivered_at: Instant,
    queue_most: u32,
}

impl Path {
    fn new(rate: u64, round_trip_ms: u64, queue_max: u32) -> Path {
        let now = Instant::from_virtual_ns(1_000_000_000);
        Path {
            bbr: Bbr::default(),
            window: Window::new(MSS as u16),
            pacer: Pacer::new(),
            now,
            rate,
            round_trip: Duration::from_millis(round_trip_ms),
            queue_max,
            lose_every: 0,
            sent: 0,
            free_at: now,
            out: VecDeque::new(),
            delivered: 0,
            delivered_at: now,
            queue_most: 0,
        }
    }

    fn in_flight(&self) -> u32 {
        self.out.len() as u32 * MSS
    }

    fn transmit(&mut self) {
        self.pacer.set_rate(self.bbr.pacing_rate(&self.window, None));
        while self.in_flight() + MSS <= self.window.cwnd && self.pacer.may_send(self.now, MSS) {
            self.pacer.on_transmit(self.now, MSS, MSS);
            self.sent += 1;
            let waiting = self.free_at.saturating_duration_since(self.now);
            let queued = (waiting.as_nanos() * u128::from(self.rate) / 1_000_000_000) as u32;
            self.queue_most = self.queue_most.max(queued);
            let fits = queued + MSS <= self.queue_max;
            let lost = !fits || (self.lose_every > 0 && self.sent.is_multiple_of(self.lose_every));
            if !lost {
                let takes = Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / self.rate);
                self.free_at = self.free_at.max(self.now).saturating_add(takes);
            }
            let known_at = self.free_at.max(self.now).saturating_add(self.round_trip);
            self.out.push_back((known_at, lost, self.now, self.delivered, self.delivered_at));
            let (una, nxt) = (SeqNumber(self.delivered as u32), SeqNumber(self.sent * MSS));
            let sent =
                Transmitted { now: self.now, len: MSS, in_flight: self.in_flight(), idle: Duration::ZERO, una, nxt };
            self.window.on_transmit(&sent);
        }
    }

    /// Lets the fate of the oldest segment be known, or the pacer release text, whichever is first.
    fn step(&mut self) {
        self.transmit();
        let known_at = self.out.front().map_or(Instant::FAR_FUTURE, |&(at, ..)| at);
        let next = known_at.min(self.pacer.held_until());
        assert_ne!(next, Instant::FAR_FUTURE, "the sender has stalled");
        self.now = next.max(self.now);
        if self.pacer.held_until() <= self.now {
            self.pacer.let_go();
        }
        if known_at > self.now {
            return;
        }
        let prior_in_flight = self.in_flight();
        let Some((_, lost, sent_at, prior_delivered, prior_at)) = self.out.pop_front() else { return };
        let mut ack = AckSample {
            now: self.now,
            acked: 0,
            delivered: 0,
            lost: 0,
            prior_in_flight,
            in_flight: self.in_flight(),
            rtt: None,
            srtt: Some(self.round_trip),
            una: SeqNumber(self.delivered as u32),
            nxt: SeqNumber(self.sent * MSS),
            rate: None,
        };
        if lost {
            ack.lost = MSS;
        } else {
            self.delivered += u64::from(MSS);
            self.delivered_at = self.now;
            (ack.acked, ack.delivered) = (MSS, MSS);
            ack.rtt = Some(self.now.saturating_duration_since(sent_at));
            ack.rate = Some(RateSample {
                delivered: self.delivered - prior_delivered,
                interval: self.now.saturating_duration_since(prior_at),
                prior_delivered,
                total_delivered: self.delivered,
                is_app_limited: false,
            });
        }
        self.bbr.on_ack(&mut self.window, &ack);
    }

    fn run(&mut self, ms: u64) {
        let end = self.now.saturating_add(Duration::from_millis(ms));
        while self.now < end {
            self.step();
        }
    }

    /// Bytes a second during the next `ms`.
    fn goodput(&mut self, ms: u64) -> u64 {
        let before = (self.delivered, self.now);
        self.run(ms);
        let took = self.now.saturating_duration_since(before.1);
        (self.delivered - before.0) * 1_000_000_000 / took.as_nanos() as u64
    }

    fn model(&self) -> &Model {
        self.bbr.model.as_ref().unwrap()
    }
}

#[test]
fn it_finds_the_rate_fills_the_pipe_and_leaves_the_queue_alone() {
    // 10 MB/s, 20 ms: the path holds 200 kB.
    let mut path = Path::new(10_000_000, 20, 1_000_000);
    assert_eq!(path.bbr.pacing_rate(&path.window, None).unwrap(), 10_000 * 1000 * HIGH_GAIN / UNIT * 99 / 100 + 1);
    path.run(600);
    assert_eq!(path.model().mode, Mode::ProbeBw);
    let bw = path.model().bw.get();
    assert!((9_800_000..=10_300_000).contains(&bw), "{bw}");
    assert!(path.model().min_rtt < Duration::from_millis(21));
    path.queue_most = 0;
    let goodput = path.goodput(5000);
    assert!(goodput > 9_500_000, "{goodput}");
    assert!(path.queue_most < 120_000, "a quarter of the path in the faster phase, not a window: {}", path.queue_most);
}

#[test]
fn startup_doubles_each_round_and_drain_empties_its_queue() {
    let mut path = Path::new(10_000_000, 20, 1_000_000);
    let mut modes = Vec::new();
    let end = path.now.saturating_add(Duration::from_secs(1));
    while path.now < end {
        path.step();
        if modes.last() != Some(&path.model().mode) {
            modes.push(path.model().mode);
        }
        if path.model().mode == Mode::Startup && path.model().round == 4 {
            assert!(path.window.cwnd >= 80_000, "{}", path.window.cwnd);
        }
    }
    assert_eq!(modes, [Mode::Startup, Mode::Drain, Mode::ProbeBw]);
}

#[test]
fn random_loss_of_a_twentieth_costs_little() {
    let mut path = Path::new(10_000_000, 20, 250_000);
    path.lose_every = 20;
    path.run(1000);
    let goodput = path.goodput(5000);
    assert!(goodput > 8_500_000, "{goodput}");
}

#[test]
fn after_ten_seconds_the_round_trip_is_measured_anew_with_four_segments() {
    let mut path = Path::new(10_000_000, 20, 1_000_000);
    let (mut probes, mut was, mut least) = (0, false, u32::MAX);
    let end = path.now.saturating_add(Duration::from_secs(25));
    while path.now < end {
        path.step();
        let is = path.model().mode == Mode::ProbeRtt;
        probes += u32::from(is && !was);
        was = is;
        if is {
            least = least.min(path.in_flight());
        }
    }
    // A faster phase may find a round trip as short as the last one, and put it off.
    assert!((1..=2).contains(&probes), "{probes}");
    assert!(least <= 4 * MSS, "{least}");
    assert_eq!(path.model().mode, Mode::ProbeBw);
    let bw = path.model().bw.get();
    assert!(bw > 9_500_000, "the starved samples are not believed: {bw}");
}

#[test]
fn a_slower_path_is_noticed_within_ten_rounds() {
    let mut path = Path::new(10_000_000, 20, 100_000);
    path.run(1000);
    path.rate = 2_000_000;
    path.run(1500);
    let bw = path.model().bw.get();
    assert!((1_900_000..2_300_000).contains(&bw), "{bw}");
    path.rate = 10_000_000;
    path.run(3000);
    let bw = path.model().bw.get();
    assert!(bw > 9_000_000, "a quarter more in each cycle: {bw}");
}

#[test]
fn recovery_conserves_for_a_round_and_restores_the_window() {
    let mut path = Path::new(10_000_000, 20, 1_000_000);
    path.run(1000);
    let before = path.window.cwnd;
    let now = path.now;
    let ssthresh = path.bbr.on_congestion_event(&mut path.window, now);
    assert_eq!(ssthresh, path.window.ssthresh);
    path.window.phase = Phase::Reduction;
    let in_flight = path.in_flight();
    while path.in_flight() == in_flight {
        path.step();
    }
    path.run(1);
    assert!(path.window.cwnd <= in_flight + 2 * MSS, "{} of {in_flight}", path.window.cwnd);
    path.window.phase = Phase::Open;
    path.run(1);
    assert!(path.window.cwnd + 4 * MSS >= before, "{} of {before}", path.window.cwnd);
}

#[test]
fn any_trace_is_survived() {
    let mut rng = fastrand_like(7);
    for _ in 0..200 {
        let (mut bbr, mut window, mut now_us, mut total) = (Bbr::default(), Window::new(MSS as u16), 0u64, 0u64);
        for _ in 0..200 {
            now_us += u64::from(rng() % 1_000_000);
            let delivered = rng() % 100_000;
            total += u64::from(delivered);
            let ack = AckSample {
                now: Instant::from_virtual_ns(now_us * 1000),
                acked: delivered,
                delivered,
                lost: rng() % 100_000,
                prior_in_flight: rng(),
                in_flight: rng(),
                rtt: (rng() < u32::MAX / 2).then(|| Duration::from_micros(rng().into())),
                srtt: (rng() < u32::MAX / 2).then(|| Duration::from_micros(rng().into())),
                una: SeqNumber(rng()),
                nxt: SeqNumber(rng()),
                rate: (rng() > u32::MAX / 4).then(|| RateSample {
                    delivered: u64::from(rng()) << (rng() % 32),
                    interval: Duration::from_nanos(u64::from(rng()) + 1),
                    prior_delivered: total.saturating_sub(rng().into()),
                    total_delivered: total,
                    is_app_limited: rng() < u32::MAX / 2,
                }),
            };
            match rng() % 8 {
                0 => drop(bbr.on_congestion_event(&mut window, ack.now)),
                1 => bbr.on_timeout(&mut window, ack.now),
                2 => bbr.undo(&mut window, ack.now),
                3 => bbr.on_transmit_start(&mut window, ack.now, Duration::from_micros(rng().into())),
                4 => window.phase = [Phase::Open, Phase::Reduction, Phase::Loss][rng() as usize % 3],
                _ => bbr.on_ack(&mut window, &ack),
            }
            assert!((MSS..=CWND_MAX).contains(&window.cwnd));
            assert!(bbr.pacing_rate(&window, None).is_some_and(|rate| rate > 0));
        }
    }
}

/// A small generator (xorshift), so that a failure repeats.
fn fastrand_like(mut state: u32) -> impl FnMut() -> u32 {
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}
