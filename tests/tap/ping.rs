//! `ping`: the kernel asks, our ICMP answers.

use crate::lab::{Lab, printed, within};
use wakeline::net::event::DropReason;

/// How many of a burst came back.
fn received(summary: &str) -> u32 {
    let line = summary.lines().find(|line| line.contains("packets transmitted")).unwrap();
    let before = line.split(" received").next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn every_ping_of_a_flood_comes_back() {
    within(&["ping"], || async {
        let lab = Lab::new();
        for size in ["0", "56", "1472"] {
            let text = printed("ping", &["-f", "-q", "-c", "2000", "-s", size, &lab.host.addr().to_string()]).await;
            assert_eq!(received(&text), 2000, "{text}");
        }
        assert_eq!(lab.port.drops().total(), 0, "{:?}", lab.port.drops());
        let carried = lab.port.carried();
        assert!(carried.rx_packets >= 6000 && carried.tx_packets >= 6000, "{carried:?}");
        assert!(carried.rx_bytes >= 2000 * 1514, "{carried:?}");
        // What the kernel tells its link by itself, such as multicast listener reports, is for nobody here.
        let drops = lab.host.counters().drops;
        let lost: Vec<_> = drops.iter().filter(|(why, _)| *why != DropReason::Otherhost).collect();
        assert_eq!(lost, []);
        lab.finish().await;
    });
}

#[test]
fn hosts_are_told_apart() {
    within(&["ping"], || async {
        let lab = Lab::new();
        let hosts: Vec<_> = (0..5).map(|n| lab.lan.host(&format!("host{n}")).build().unwrap()).collect();
        for host in &hosts {
            printed("ping", &["-q", "-c", "1", "-W", "2", &host.addr().to_string()]).await;
        }
        lab.finish().await;
    });
}
