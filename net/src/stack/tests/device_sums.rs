//! `CHECKSUM_COMPLETE`: what the device has summed, the stack need not.

use crate::nic::checksumming::sum_up;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::testing::forge::{forge, in_order};
use crate::stack::testing::world::*;
use crate::wire::tcp::TcpFlags;
use std::net::{IpAddr, SocketAddr};

/// Where the device's sum is right, nobody sums again, whatever the bytes; where it is not, all is summed again, and
/// what arrived well is taken. Datagrams, the first one and those that are like it, and such as come in pieces; segments.
#[test]
fn a_sum_that_the_device_gives_is_enough() {
    let right_but_changed = |frame: &mut PacketBuf| {
        sum_up(frame);
        let last = frame.data().len() - 1;
        frame.data_mut()[last] ^= 1;
    };
    let wrong = |frame: &mut PacketBuf| frame.set_device_sum([1, 2]);
    for (device, change) in [(right_but_changed as fn(&mut PacketBuf), 1), (wrong, 0)] {
        let mut expected = pattern(101);
        expected[100] ^= change;
        for ip in [ADDR[SERVER].into(), IpAddr::from(ADDR6[SERVER])] {
            let mut world = World::new(8);
            world.introduce();
            let [client, server] =
                [CLIENT, SERVER].map(|host| world.stacks[host].udp_bind("[::]:9".parse().unwrap()).unwrap());
            world.wire.device = device;
            let get = |world: &mut World, len: usize| {
                let to = Some(SocketAddr::new(ip, 9));
                world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, client, &pattern(len), to, fx)).unwrap();
                world.run_ms(1);
                let mut buf = vec![0; 9000];
                world.stacks[SERVER].udp_recv_from(server, &mut buf, false).map(|(n, _)| buf[..n].to_vec())
            };
            for _ in 0..2 {
                assert_eq!(get(&mut world, 101), Ok(expected.clone()));
            }
            let changed = get(&mut world, 4000).unwrap().iter().zip(pattern(4000)).filter(|(a, b)| **a != *b).count();
            assert_eq!(changed, 3 * usize::from(change), "one of each piece");
            assert_eq!(world.stacks[SERVER].drops().total(), 0);
        }
        let mut world = World::new(8);
        let (client, server, _) = world.establish();
        let segment = forge(&in_order(&mut world, client, server, TcpFlags::ACK), &pattern(101));
        let mut frame = PacketBuf::from_bytes(&world.pool, &segment).unwrap();
        device(&mut frame);
        world.call(SERVER, |stack, now, fx| stack.on_frame(now, frame, fx));
        assert_eq!(world.recv(SERVER, server), Ok(expected));
    }
}

/// A device that sums does not take the sum's place: what was damaged on the way is not taken, and UDP without a checksum only over IPv4.
#[test]
fn what_was_damaged_is_found_by_the_devices_sum() {
    let mut world = World::new(8);
    world.introduce();
    let (client, server, _) = world.establish();
    let mut segment = forge(&in_order(&mut world, client, server, TcpFlags::ACK), &pattern(101));
    segment[100] ^= 4;
    let mut frame = PacketBuf::from_bytes(&world.pool, &segment).unwrap();
    assert!(sum_up(&mut frame));
    world.call(SERVER, |stack, now, fx| stack.on_frame(now, frame, fx));
    assert_eq!((world.count(SERVER, Mib::TcpInCsumErrors), world.recv(SERVER, server).is_err()), (1, true));
    for (ip, taken) in [(ADDR[SERVER].into(), 1), (IpAddr::from(ADDR6[SERVER]), 0)] {
        let id = world.stacks[CLIENT].udp_bind("[::]:9".parse().unwrap()).unwrap();
        let listener = world.stacks[SERVER].udp_bind("[::]:9".parse().unwrap()).unwrap();
        world.wire.device = |frame| {
            let at = if frame.data()[12] == 8 { 40 } else { 60 };
            // The payload makes up for it, so that all still sums up to what it should.
            let sum: [u8; 2] = frame.data()[at..at + 2].try_into().unwrap();
            frame.data_mut()[at..at + 4].copy_from_slice(&[0, 0, sum[0], sum[1]]);
            assert!(sum_up(frame));
        };
        let payload = [&[0; 2][..], &pattern(99)].concat();
        let to = Some(SocketAddr::new(ip, 9));
        world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, id, &payload, to, fx)).unwrap();
        let before = world.count(SERVER, Mib::Udp6InCsumErrors);
        world.run_ms(1);
        let got = world.stacks[SERVER].udp_recv_from(listener, &mut [0; 200], false).is_ok();
        assert_eq!(
            (usize::from(got), world.count(SERVER, Mib::Udp6InCsumErrors) - before),
            (taken, 1 - taken as u64),
            "{ip}"
        );
        world.close(SERVER, listener);
        world.close(CLIENT, id);
    }
}
