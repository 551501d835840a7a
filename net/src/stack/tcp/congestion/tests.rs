//! The events as a control block tells them, on synthetic acknowledgements.

use super::*;
use crate::wire::tcp::SeqNumber;

const MSS: u16 = 1000;
const CHOICE: CongestionChoice = CongestionChoice::Reno;

fn at(ms: u64) -> Instant {
    Instant::from_virtual_ns(ms * 1_000_000)
}

/// A window that is full.
fn full(congestion: &mut Congestion) {
    let in_flight = congestion.cwnd();
    let (una, nxt) = (SeqNumber(0), SeqNumber(in_flight));
    congestion.window.on_transmit(&Transmitted { una, nxt, ..sent(in_flight) });
}

fn sent(in_flight: u32) -> Transmitted {
    let (una, nxt) = (SeqNumber(0), SeqNumber(0));
    Transmitted { now: at(0), len: 1000, in_flight, idle: Duration::ZERO, una, nxt }
}

fn ack(acked: u32, delivered: u32, in_flight: u32) -> AckSample {
    AckSample {
        now: at(0),
        acked,
        delivered,
        lost: 0,
        prior_in_flight: in_flight + delivered,
        in_flight,
        rtt: None,
        srtt: None,
        una: SeqNumber(0),
        nxt: SeqNumber(0),
        rate: None,
    }
}

#[test]
fn slow_start_doubles_and_avoidance_adds_a_segment_per_round_trip() {
    let mut reno = Congestion::new(CHOICE, false, MSS);
    for _ in 0..10 {
        full(&mut reno);
        reno.on_ack(&ack(1000, 1000, 9000));
    }
    assert_eq!(reno.cwnd(), 20_000);
    reno.on_timeout(at(0), true);
    assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 10_000));
    for _ in 0..9 {
        full(&mut reno);
        reno.on_ack(&ack(1000, 1000, 0));
    }
    assert_eq!(reno.cwnd(), 10_000);
    for _ in 0..10 {
        full(&mut reno);
        reno.on_ack(&ack(1000, 1000, 9000));
    }
    assert!((10_900..=11_000).contains(&reno.cwnd()), "{}", reno.cwnd());
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut reno = Congestion::new(CHOICE, false, MSS);
    reno.on_ack(&ack(1000, 1000, 0));
    assert_eq!(reno.cwnd(), 10_000);
}

/// The window of the RFC's first example: 20 segments, one lost, an acknowledgement for each that arrives.
#[test]
fn recovery_comes_down_to_half_in_a_round_trip() {
    let mut reno = Congestion::new(CHOICE, false, MSS);
    reno.window.cwnd = 20_000;
    reno.on_congestion_event(at(0));
    assert_eq!(reno.ssthresh(), 10_000);
    // Three have arrived out of order, one is lost.
    let (mut pipe, mut count) = (16_000, 0);
    reno.on_ack(&AckSample { lost: 1000, ..ack(0, 3000, pipe) });
    for _ in 0..17 {
        while pipe + 1000 <= reno.cwnd() {
            pipe += 1000;
            count += 1;
            reno.on_transmit(&sent(pipe));
        }
        pipe -= 1000;
        reno.on_ack(&ack(0, 1000, pipe));
    }
    assert_eq!((count, pipe), (10, 9000), "one out for two in");
    reno.on_recovery_exit(at(0));
    assert_eq!(reno.cwnd(), 10_000);
}

#[test]
fn a_timeout_counts_once_and_can_be_undone() {
    let mut reno = Congestion::new(CHOICE, false, MSS);
    reno.window.cwnd = 40_000;
    reno.on_timeout(at(0), true);
    reno.on_timeout(at(400), false);
    assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 20_000));
    reno.undo(at(500));
    assert_eq!((reno.cwnd(), reno.ssthresh()), (40_000, u32::MAX));
}

#[test]
fn an_idle_window_halves_with_each_timeout() {
    let mut reno = Congestion::new(CHOICE, false, MSS);
    reno.window.cwnd = 100_000;
    let rto = Duration::from_millis(200);
    reno.on_idle_restart(Duration::from_millis(200), rto);
    assert_eq!(reno.cwnd(), 100_000);
    reno.on_idle_restart(Duration::from_millis(500), rto);
    assert_eq!((reno.cwnd(), reno.ssthresh()), (25_000, u32::MAX));
    reno.on_idle_restart(Duration::from_secs(500), rto);
    assert_eq!(reno.cwnd(), 10_000);
    assert_eq!(CongestionChoice::by_name("reno"), Some(CHOICE));
}

/// `tcp_update_pacing_rate`, and release times that follow from it.
#[test]
fn a_paced_window_leaves_over_a_round_trip() {
    let mut reno = Congestion::new(CHOICE, true, MSS);
    assert!(reno.may_send(at(0)), "nothing is known yet");
    let srtt = Some(Duration::from_millis(100));
    full(&mut reno);
    reno.on_ack(&AckSample { srtt, ..ack(1000, 1000, 9000) });
    // 11,000 bytes in 100 ms, twice.
    assert_eq!(reno.pacing_rate(srtt), Some(220_000));
    reno.window.ssthresh = 11_000;
    reno.on_ack(&AckSample { srtt, ..ack(0, 1000, 8000) });
    assert_eq!(reno.pacing_rate(srtt), Some(132_000));
    let mut left = 0;
    let mut now = at(1000);
    while now < at(1100) {
        while reno.may_send(now) {
            left += 1;
            reno.on_transmit(&Transmitted { now, ..sent(1000 * left) });
        }
        now = reno.held_until();
    }
    // 13, and a burst of two at either end.
    assert!((13..=17).contains(&left), "{left}");
    reno.release();
    assert_eq!(reno.held_until(), Instant::FAR_FUTURE);
}

#[test]
fn every_algorithm_has_its_name_in_linux() {
    for (name, paced) in [("reno", false), ("cubic", false), ("bbr", true)] {
        let choice = CongestionChoice::by_name(name).unwrap();
        let mut congestion = Congestion::new(CHOICE, false, MSS);
        congestion.choose(choice);
        assert_eq!((congestion.choice().to_string(), congestion.window.paced), (name.to_owned(), paced));
    }
    assert_eq!(CongestionChoice::by_name("vegas"), None);
}
