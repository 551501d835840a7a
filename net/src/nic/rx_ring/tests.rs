//! The ring on its own, with every order of steps on a small one.

use super::*;
use crate::packet::Pool;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use std::net::Ipv4Addr;

fn frame(pool: &Pool, n: u8) -> PacketBuf {
    long_frame(pool, n, 60)
}

fn long_frame(pool: &Pool, n: u8, len: usize) -> PacketBuf {
    PacketBuf::from_bytes(pool, &vec![n; len]).expect("the pool is large enough")
}

fn stats(queue: &RxQueue) -> NicStats {
    let mut stats = NicStats::default();
    queue.add_stats(&mut stats);
    stats
}

/// Row 2: with polling stopped, the usable slots and the FIFO take frames and the rest is counted as lost.
#[test]
fn a_full_ring_loses_and_counts_what_exceeds_it_and_the_fifo() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(64, 10 * 60);
    for n in 0..100 {
        queue.device_receive(frame(&pool, n));
    }
    let got: Vec<u8> = std::iter::from_fn(|| queue.driver_clean()).map(|f| f.data()[0]).collect();
    assert_eq!(got, (0..63).collect::<Vec<_>>(), "all slots but one are usable, and order is kept");
    assert_eq!((stats(&queue).rx_no_buffer_count, stats(&queue).rx_missed_errors), (37, 27));
    assert_eq!(queue.driver_refill(), Refill::Fine);
    let got: Vec<u8> = std::iter::from_fn(|| queue.driver_clean()).map(|f| f.data()[0]).collect();
    assert_eq!(got, (63..73).collect::<Vec<_>>(), "the FIFO follows when descriptors come back");
}

/// The segments of a TCP flow, of 1,000 bytes of text each.
fn segments(pool: &Pool, count: usize) -> Vec<PacketBuf> {
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let segment = |number: usize| {
        let header = TcpHeader {
            src_port: 1,
            dst_port: 2,
            seq: SeqNumber(number as u32 * 1000),
            ack: SeqNumber(1),
            flags: TcpFlags::ACK,
            window: 100,
            urgent: 0,
            options: TcpOptions::default(),
        };
        let mut packet = pool.cache().alloc(100, 1000).expect("the pool is large enough");
        packet.put(1000).fill(number as u8);
        let len = header.header_len() + 1000;
        let mut sum = Sum::pseudo_header(src.into(), dst.into(), protocol::TCP, len);
        sum.add(packet.data());
        header.emit(packet.push(header.header_len()), Some(sum));
        let ip = Ipv4Header::new(src, dst, protocol::TCP, len);
        ip.emit(packet.push(Ipv4Header::LEN).first_chunk_mut().expect("as many bytes as were pushed"));
        packet.push(EthernetHeader::LEN).copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        packet
    };
    (0..count).map(segment).collect()
}

/// What a device with `rx-gro-hw` puts together is one packet over as many descriptors as its bytes need.
#[test]
fn segments_that_the_device_puts_together_are_one_packet() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(64, 1 << 16).aggregating();
    assert!(segments(&pool, 9).into_iter().all(|segment| queue.device_receive(segment)));
    assert!(queue.holds_any() && !queue.has_done(), "more may follow");
    assert!(queue.device_close() && !queue.holds_any());
    let packet = queue.driver_clean().expect("one packet");
    assert_eq!((packet.whole_len(), packet.rest().len()), (54 + 9000, 8));
    assert!(queue.driver_clean().is_none() && !queue.device_close());
    let NicStats { rx_packets, rx_bytes, rx_non_eop_descs, rx_gro_packets, rx_gro_bytes, rx_gro_skbs, .. } =
        stats(&queue);
    assert_eq!((rx_packets, rx_bytes, rx_non_eop_descs), (1, 9054, 4));
    assert_eq!((rx_gro_packets, rx_gro_bytes, rx_gro_skbs), (9, 9054, 1));
}

/// Losses are told in frames of the wire: in the FIFO, and with the ring.
#[test]
fn what_was_put_together_is_lost_as_what_it_was() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(4, 1000).aggregating();
    for segment in segments(&pool, 9) {
        let _ = queue.device_receive(segment);
    }
    assert!(!queue.device_close(), "three descriptors are too few for 9,054 bytes");
    assert_eq!((stats(&queue).rx_no_buffer_count, stats(&queue).rx_missed_errors), (1, 9));
    for segment in segments(&pool, 5) {
        let _ = queue.device_receive(segment);
    }
    queue.resize(64);
    assert_eq!(stats(&queue).rx_dropped, 5, "those that it held");
    assert!(segments(&pool, 2).into_iter().all(|segment| queue.device_receive(segment)));
    assert!(queue.device_close());
    assert_eq!(queue.driver_clean().map(|packet| packet.rest().len()), Some(1));
}

/// Row 3: one tail write per batch of cleaned descriptors.
#[test]
fn descriptors_are_refilled_in_batches() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(256, 0);
    for round in 0..20_u8 {
        for n in 0..8 {
            assert!(queue.device_receive(frame(&pool, n)));
        }
        while queue.driver_clean().is_some() {}
        assert_eq!(queue.driver_refill(), Refill::Fine);
        assert!(queue.driver_clean().is_none(), "round {round} left a frame");
    }
    assert_eq!(stats(&queue).rx_tail_writes, 1 + 160 / 16);
}

#[test]
fn the_ring_wraps_without_mixing_up_frames() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(8, 0);
    for n in 0..200_u8 {
        assert!(queue.device_receive(frame(&pool, n)));
        assert_eq!(queue.driver_clean().map(|f| f.data()[0]), Some(n));
        assert_eq!(queue.driver_refill(), Refill::Fine);
    }
}

/// Row 4: 9000 bytes of payload are one packet in five descriptors.
#[test]
fn a_long_frame_takes_several_descriptors_and_is_one_packet() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(64, 1 << 20);
    assert!(queue.device_receive(long_frame(&pool, 1, 9014)));
    assert!(queue.device_receive(frame(&pool, 2)));
    assert_eq!((queue.available(), queue.done), (63 - 6, 6));
    let lens: Vec<usize> = std::iter::from_fn(|| queue.driver_clean()).map(|f| f.len()).collect();
    assert_eq!(lens, [9014, 60]);
    let stats = stats(&queue);
    assert_eq!((stats.rx_packets, stats.rx_bytes, stats.rx_non_eop_descs), (2, 9074, 4));
    assert_eq!(queue.unposted, 6);
}

/// A frame whose descriptors are not all there waits as a whole, and who comes behind it waits behind it.
#[test]
fn a_long_frame_waits_until_all_its_descriptors_are_there() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(64, 1 << 20);
    for n in 0..60 {
        queue.device_receive(frame(&pool, n));
    }
    queue.device_receive(long_frame(&pool, 60, 9014));
    queue.device_receive(frame(&pool, 61));
    assert_eq!(stats(&queue).rx_no_buffer_count, 2);
    let got =
        |queue: &mut RxQueue| std::iter::from_fn(|| queue.driver_clean()).map(|f| f.data()[0]).collect::<Vec<_>>();
    assert_eq!(got(&mut queue), (0..60).collect::<Vec<_>>());
    assert_eq!(queue.driver_refill(), Refill::Fine);
    assert_eq!(got(&mut queue), [60, 61]);
}

/// Without memory the slots stay free and are tried again; without any descriptor nobody will interrupt.
#[test]
fn an_allocation_that_fails_is_tried_again_and_starvation_is_told() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(64, 0);
    queue.fail_allocations(3);
    for n in 0..63 {
        assert!(queue.device_receive(frame(&pool, n)));
        // With one frame still to be cleaned, somebody will come back.
        assert_eq!(queue.driver_refill(), Refill::Fine);
    }
    while queue.driver_clean().is_some() {}
    let starved = [false, true, true].map(|again| Refill::Starved { again });
    assert_eq!([queue.driver_refill(), queue.driver_refill(), queue.driver_refill()], starved);
    assert!(!queue.device_receive(frame(&pool, 0)), "no descriptor and no FIFO");
    assert_eq!(queue.driver_refill(), Refill::Fine);
    assert!(queue.device_receive(frame(&pool, 0)));
    let stats = stats(&queue);
    assert_eq!((stats.alloc_rx_buff_failed, stats.rx_missed_errors, stats.rx_tail_writes), (3, 1, 2));
}

#[test]
fn a_ring_that_is_resized_starts_anew_and_keeps_its_counts() {
    let pool = Pool::new(1 << 20);
    let mut queue = RxQueue::new(64, 1 << 20);
    for n in 0..70 {
        queue.device_receive(frame(&pool, n));
    }
    assert!(queue.driver_clean().is_some());
    queue.resize(128);
    assert_eq!((stats(&queue).rx_dropped, queue.len()), (69, 128));
    assert!(queue.driver_clean().is_none());
    assert_eq!((stats(&queue).rx_packets, stats(&queue).rx_no_buffer_count), (1, 7));
    for n in 0..127 {
        assert!(queue.device_receive(frame(&pool, n)));
    }
    assert_eq!(stats(&queue).rx_no_buffer_count, 7);
}

/// Row 1: in every order of the device's and the driver's steps, a frame comes out once, whole and in its turn; the driver
/// has seen only descriptors that were done, the device has written only those that were posted.
#[test]
fn every_order_of_steps_keeps_ownership() {
    const STEPS: u32 = 9;
    let pool = Pool::new(1 << 20);
    for order in 0..3_u32.pow(STEPS) {
        let mut queue = RxQueue::new(4, 120);
        let (mut sent, mut got, mut lost) = (0_u8, Vec::new(), Vec::new());
        let mut order = order;
        for _ in 0..STEPS {
            match order % 3 {
                0 => {
                    // The driver owns what is done or unposted, the device the rest, and nobody the same slot.
                    if !queue.device_receive(frame(&pool, sent)) {
                        lost.push(sent);
                    }
                    sent += 1;
                }
                1 => got.extend(queue.driver_clean().map(|f| f.data()[0])),
                _ => assert_eq!(queue.driver_refill(), Refill::Fine),
            }
            order /= 3;
            assert_eq!(queue.available() + queue.done + queue.unposted, 3, "every slot has one owner");
            assert!(queue.slots.iter().all(|slot| slot.done == slot.frame.is_some()));
        }
        loop {
            assert_eq!(queue.driver_refill(), Refill::Fine);
            match queue.driver_clean() {
                Some(frame) => got.push(frame.data()[0]),
                None if queue.fifo.is_empty() => break,
                None => {}
            }
        }
        let expected: Vec<u8> = (0..sent).filter(|n| !lost.contains(n)).collect();
        assert_eq!(got, expected);
    }
}
