//! The device itself: how it is refused, how it goes away.

use crate::lab::{KERNEL, Lab, ip, run, within};
use std::io::ErrorKind;
use std::time::Duration;
use wakeline::net::emulated::{Lan, Netem, Tap};
use wakeline::net::event::DropReason;

#[test]
fn a_device_that_can_not_be_had_is_refused_with_its_reason() {
    within(&[], || async {
        let held = Tap::open("tap0").unwrap();
        assert_eq!(held.name(), "tap0");
        let error = Tap::open("tap0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert!(error.to_string().contains("another program holds it"), "{error}");
        let error = Tap::open("lo").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("no TAP device"), "{error}");
        assert_eq!(Tap::open("another%d").unwrap().name(), "another0");
    });
}

#[test]
fn a_device_goes_away_with_its_port_and_stays_when_it_was_there_before() {
    within(&[], || async {
        let lan = Lan::with_seed(1);
        drop(lan.attach(Tap::open("tap0").unwrap()).unwrap());
        ip("tuntap add dev tap1 mode tap").unwrap();
        drop(lan.attach(Tap::open("tap1").unwrap()).unwrap());
        // The task that holds the devices sees it at its next turn.
        while ip("link show tap0").is_ok() {
            wakeline::time::sleep(Duration::from_millis(1)).await;
        }
        while Tap::open("tap1").is_err() {
            wakeline::time::sleep(Duration::from_millis(1)).await;
        }
        ip("link show tap1").unwrap();
    });
}

#[test]
fn what_a_device_does_not_take_is_counted() {
    within(&["ping"], || async {
        let lab = Lab::new();
        ip("link set tap0 down").unwrap();
        let raw = lab.lan.raw_port().unwrap();
        for _ in 0..10 {
            raw.send(&[0xff; 60]).unwrap();
        }
        while lab.port.drops().get(DropReason::DevReady) < 10 {
            wakeline::time::sleep(Duration::from_millis(1)).await;
        }
        ip("link set tap0 up").unwrap();
        assert!(run("ping", &["-c", "1", "-W", "2", &lab.host.addr().to_string()]).await.status.success());
        // The device is deleted under our hands.
        ip("link delete tap0").unwrap();
        let before = lab.port.drops().get(DropReason::DevReady);
        while lab.port.drops().get(DropReason::DevReady) == before {
            raw.send(&[0xff; 60]).unwrap();
            wakeline::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// One loses what the kernel sends, the other what is sent to the kernel.
#[test]
fn a_cable_treats_each_direction_in_its_own_way() {
    within(&["ping"], || async {
        let lan = Lan::with_seed(1);
        let losing = Netem::new().loss(1.0);
        let attach = |tap| lan.attach(tap).unwrap();
        let deaf = attach(Tap::open("tap0").unwrap().egress(losing));
        let mute = attach(Tap::open("tap1").unwrap().ingress(losing));
        let raw = lan.raw_port().unwrap();
        for (tap, network) in [("tap0", 1), ("tap1", 2)] {
            ip(&format!("addr add 10.{network}.0.1/16 dev {tap}")).unwrap();
            ip(&format!("link set {tap} up")).unwrap();
        }
        // Nobody answers; the question who has the address is all that is sent.
        let asks = |network| async move {
            run("ping", &["-c", "1", "-W", "1", &format!("10.{network}.0.2")]).await;
        };
        let arrived = |network| {
            let frames = std::iter::from_fn(|| raw.try_recv());
            frames.filter(|frame| frame.ends_with(&[10, network, 0, 2])).count()
        };
        asks(1).await;
        assert!(deaf.drops().get(DropReason::NetemLoss) >= 1, "{:?}", deaf.drops());
        assert_eq!(arrived(1), 0);
        asks(2).await;
        assert!(arrived(2) >= 1);
        let before = (deaf.carried().tx_packets, mute.carried().tx_packets);
        let lost = mute.drops().get(DropReason::NetemLoss);
        raw.send(&[0xff; 60]).unwrap();
        while deaf.carried().tx_packets == before.0 {
            wakeline::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(mute.carried().tx_packets, before.1);
        assert!(mute.drops().get(DropReason::NetemLoss) > lost);
    });
}

/// Two kernels' worth of hosts: what is for nobody on the LAN leaves by every device, and comes in by one.
#[test]
fn two_devices_join_what_is_behind_them() {
    within(&["ping"], || async {
        let lab = Lab::new();
        let second = lab.lan.attach(Tap::open("tap1").unwrap()).unwrap();
        ip("link add name bridge0 type bridge").unwrap();
        ip("link set tap1 master bridge0").unwrap();
        ip(&format!("addr del {KERNEL}/16 dev tap0")).unwrap();
        ip("addr add 10.0.255.2/16 dev bridge0").unwrap();
        ip("link set tap1 up").unwrap();
        ip("link set bridge0 up").unwrap();
        assert!(run("ping", &["-c", "3", "-i", "0.1", "-W", "2", &lab.host.addr().to_string()]).await.status.success());
        assert!(second.carried().rx_packets >= 3 && second.carried().tx_packets >= 3, "{:?}", second.carried());
        lab.finish().await;
    });
}

#[test]
fn a_device_is_not_attached_to_a_clock_that_stands() {
    within(&[], || async {
        let tap = Tap::open("tap0").unwrap();
        wakeline::time::pause();
        assert_eq!(Lan::with_seed(1).attach(tap).unwrap_err().kind(), ErrorKind::Unsupported);
        wakeline::time::resume();
    });
}
