//! `ping`: the kernel asks, our ICMP answers.

use crate::lab::{Lab, printed, within};
use std::net::IpAddr;
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
        for addr in lab.host.addrs().iter().take(2) {
            // The last fills a frame.
            for size in ["0", "56", if addr.is_ipv4() { "1472" } else { "1452" }] {
                let text = printed("ping", &["-f", "-q", "-c", "1000", "-s", size, &addr.to_string()]).await;
                assert_eq!(received(&text), 1000, "{text}");
            }
        }
        assert_eq!(lab.port.drops().total(), 0, "{:?}", lab.port.drops());
        let carried = lab.port.carried();
        assert!(carried.rx_packets >= 6000 && carried.tx_packets >= 6000, "{carried:?}");
        assert!(carried.rx_bytes >= 2 * 1000 * 1514, "{carried:?}");
        // What the kernel tells its link by itself, such as multicast listener reports, is for nobody here.
        let drops = lab.host.counters().drops;
        let lost: Vec<_> = drops.iter().filter(|(why, _)| *why != DropReason::Otherhost).collect();
        assert_eq!(lost, []);
        lab.finish().await;
    });
}

fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

#[test]
fn hosts_are_told_apart() {
    within(&["ping"], || async {
        let lab = Lab::new();
        let hosts: Vec<_> = (0..5).map(|n| lab.lan.host(&format!("host{n}")).build().unwrap()).collect();
        for addr in hosts.iter().flat_map(|host| host.addrs()).filter(|addr| !is_link_local(*addr)) {
            printed("ping", &["-q", "-c", "1", "-W", "2", &addr.to_string()]).await;
        }
        // A link-local address is one only on its link.
        let link_local = hosts[2].addrs().into_iter().find(|addr| is_link_local(*addr)).unwrap();
        printed("ping", &["-q", "-c", "1", "-W", "2", &format!("{link_local}%tap0")]).await;
        lab.finish().await;
    });
}
