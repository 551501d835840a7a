//! What the kernel did with bursts of segments, as data, measured on Linux 6.18: each has 100 bytes of text unless it says otherwise.

use super::*;
use crate::nic::rx_ring::RxQueue;
use crate::packet::{Pool, PoolCache};
use crate::wire::checksum::checksum;
use crate::wire::tcp::{SeqNumber, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One segment of a burst.
#[derive(Clone)]
struct Segment {
    text: usize,
    seq: u32,
    ack: u32,
    flags: TcpFlags,
    window: u16,
    port: u16,
    ttl: u8,
    tos: u8,
    dont_fragment: bool,
    ident: u16,
    timestamp: Option<u32>,
    is_damaged: bool,
    /// Over IPv6, with this flow label.
    label: Option<u32>,
}

/// A burst of equal segments that continue each other.
fn burst(count: usize) -> Vec<Segment> {
    let segment = |number: usize| Segment {
        text: 100,
        seq: 1000 + 100 * number as u32,
        ack: 77,
        flags: TcpFlags::ACK,
        window: 500,
        port: 1,
        ttl: 64,
        tos: 0,
        dont_fragment: true,
        ident: 0,
        timestamp: None,
        is_damaged: false,
        label: None,
    };
    (0..count).map(segment).collect()
}

impl Segment {
    fn frame(&self, pool: &mut PoolCache) -> PacketBuf {
        let (src_v4, dst_v4) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let (src_v6, dst_v6) = (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
        let (src, dst): (IpAddr, IpAddr) =
            if self.label.is_some() { (src_v6.into(), dst_v6.into()) } else { (src_v4.into(), dst_v4.into()) };
        let options = TcpOptions { timestamps: self.timestamp.map(|value| (value, 5)), ..TcpOptions::default() };
        let header = TcpHeader {
            src_port: self.port,
            dst_port: 2,
            seq: SeqNumber(self.seq),
            ack: SeqNumber(self.ack),
            flags: self.flags,
            window: self.window,
            urgent: 0,
            options,
        };
        let mut packet = pool.alloc(100, self.text).unwrap();
        packet.put(self.text).iter_mut().enumerate().for_each(|(at, byte)| *byte = (self.seq as usize + at) as u8);
        let len = header.header_len() + self.text;
        let mut sum = Sum::pseudo_header(src, dst, protocol::TCP, len);
        sum.add(packet.data());
        header.emit(packet.push(header.header_len()), Some(sum));
        let mut ethernet = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        if let Some(flow_label) = self.label {
            let ip = Ipv6Header {
                traffic_class: self.tos,
                flow_label,
                payload_len: len as u16,
                next_header: protocol::TCP,
                hop_limit: self.ttl,
                src: src_v6,
                dst: dst_v6,
            };
            ip.emit(packet.push(Ipv6Header::LEN).first_chunk_mut().unwrap());
            ethernet[12..].copy_from_slice(&[0x86, 0xdd]);
        } else {
            let ip = Ipv4Header {
                tos: self.tos,
                ttl: self.ttl,
                dont_fragment: self.dont_fragment,
                ..Ipv4Header::new(src_v4, dst_v4, protocol::TCP, len)
            };
            let bytes: &mut [u8; 20] = packet.push(20).first_chunk_mut().unwrap();
            ip.emit(bytes);
            bytes[4..6].copy_from_slice(&self.ident.to_be_bytes());
            bytes[10..12].fill(0);
            let sum = checksum(bytes);
            bytes[10..12].copy_from_slice(&sum);
        }
        if self.is_damaged {
            let last = packet.len() - 1;
            packet.data_mut()[last] ^= 1;
        }
        packet.push(IP).copy_from_slice(&ethernet);
        packet
    }
}

/// What comes of a burst, the same by the short way of segments that are alike, by that of any, and by a device with `rx-gro-hw`.
fn merged(segments: &[Segment]) -> Vec<PacketBuf> {
    let mut pool = Pool::new(8 << 20).cache();
    let mut frames = || -> Vec<_> { segments.iter().map(|segment| segment.frame(&mut pool)).collect() };
    let (mut merged, mut gro, mut others) = (frames(), Gro::default(), Vec::new());
    frames().into_iter().for_each(|frame| gro.receive_any(frame, &mut others));
    gro.flush(&mut others, None);
    Gro::default().merge(&mut merged);
    let described = |frames: &[PacketBuf]| -> Vec<_> {
        let pieces = |frame: &PacketBuf| frame.rest().iter().map(PacketBuf::to_vec).collect();
        let describe = |frame: &PacketBuf| (frame.to_vec(), frame.rx.ip_summed, pieces(frame));
        frames.iter().map(describe).collect::<Vec<(_, _, Vec<_>)>>()
    };
    assert_eq!(described(&merged), described(&others));
    let mut queue = RxQueue::new(4096, 0).aggregating();
    for frame in frames() {
        assert!(queue.device_receive(frame));
    }
    queue.device_close();
    let by_device: Vec<_> = iter::from_fn(|| queue.driver_clean()).collect();
    assert_eq!(described(&merged), described(&by_device));
    merged
}

/// Changes a burst, and compares the lengths of the IP packets that go up. Timestamps that are all the same change nothing else.
fn check(name: &str, count: usize, change: impl FnOnce(&mut [Segment]), expected: &[usize]) {
    let mut segments = burst(count);
    change(&mut segments);
    let lens =
        |segments: &[Segment]| -> Vec<_> { merged(segments).iter().map(|frame| frame.whole_len() - IP).collect() };
    assert_eq!(lens(&segments), expected, "{name}");
    if segments.iter().all(|segment| segment.timestamp.is_none()) && expected.iter().all(|&len| len < 60_000) {
        segments.iter_mut().for_each(|segment| segment.timestamp = Some(9));
        let expected: Vec<_> = expected.iter().map(|len| len + 12).collect();
        assert_eq!(lens(&segments), expected, "{name}, with timestamps");
    }
}

#[test]
fn bursts_merge_as_the_kernel_merges_them() {
    let push = TcpFlags::ACK | TcpFlags::PSH;
    check("3 contiguous ACK", 3, |_| {}, &[340]);
    check("3rd has PSH", 3, |s| s[2].flags = push, &[340]);
    check("2nd has PSH", 3, |s| s[1].flags = push, &[240, 140]);
    check("100,100,60,100", 4, |s| (s[2].text, s[3].seq) = (60, s[3].seq - 40), &[300, 140]);
    check("100 then 150", 2, |s| s[1].text = 150, &[140, 190]);
    check("sequence gap", 2, |s| s[1].seq += 7, &[140, 140]);
    check("different ack number", 2, |s| s[1].ack += 1, &[140, 140]);
    check("different window only", 2, |s| s[1].window += 1, &[140, 140]);
    check("FIN on 2nd", 2, |s| s[1].flags |= TcpFlags::FIN, &[240]);
    check("SYN+ACK+data, then data", 2, |s| s[0].flags |= TcpFlags::SYN, &[140, 140]);
    check("URG on 2nd", 2, |s| s[1].flags |= TcpFlags::URG, &[140, 140]);
    check("ECE on 2nd", 2, |s| s[1].flags |= TcpFlags::ECE, &[140, 140]);
    check("CWR on both", 2, |s| s.iter_mut().for_each(|s| s.flags |= TcpFlags::CWR), &[140, 140]);
    check("CWR on 2nd", 2, |s| s[1].flags |= TcpFlags::CWR, &[140, 140]);
    check("3 pure ACKs", 3, |s| s.iter_mut().for_each(|s| (s.text, s.seq) = (0, 1000)), &[40, 40, 40]);
    check("data, pure ACK", 2, |s| s[1].text = 0, &[140, 40]);
    check("TTL differs", 2, |s| s[1].ttl = 63, &[140, 140]);
    check("TOS differs", 2, |s| s[1].tos = 4, &[140, 140]);
    check("bad TCP checksum on 2nd", 2, |s| s[1].is_damaged = true, &[140, 140]);
}

#[test]
fn identifications_count_or_stand_still() {
    let ids = |step: u16| move |s: &mut [Segment]| (0..).zip(s).for_each(|(n, s)| s.ident = n * step);
    check("DF, id fixed", 3, ids(0), &[340]);
    check("DF, id +1", 3, ids(1), &[340]);
    check("DF, id jumps +2", 2, ids(2), &[140, 140]);
    for (name, step) in [("no DF, id fixed", 0), ("no DF, id +1", 1)] {
        let change = |s: &mut [Segment]| {
            ids(step)(s);
            s.iter_mut().for_each(|s| s.dont_fragment = false);
        };
        check(name, 3, change, &[340]);
    }
}

#[test]
fn options_must_be_equal() {
    let stamps = |step: u32| move |s: &mut [Segment]| (0..).zip(s).for_each(|(n, s)| s.timestamp = Some(9 + n * step));
    check("timestamps equal", 3, stamps(0), &[352]);
    check("timestamps differ", 3, stamps(1), &[152, 152, 152]);
}

#[test]
fn many_segments_and_many_flows() {
    check("20 x 100", 20, |_| {}, &[2040]);
    let long = |s: &mut [Segment]| (0..).zip(s).for_each(|(n, s)| (s.text, s.seq) = (1400, n * 1400));
    check("50 x 1400", 50, long, &[64_440, 5640]);
    let two = |s: &mut [Segment]| {
        (0..).zip(s).for_each(|(n, s)| (s.port, s.seq) = (1 + n % 2, 100 * u32::from(n / 2)));
    };
    check("2 flows x3 interleaved", 6, two, &[340, 340]);
    check("100 flows x1", 100, |s| (1..).zip(s).for_each(|(n, s)| s.port = n), &[140; 100]);
}

/// `ipv6_gro_receive`: the rules of IPv4 where it has the field, and the flow label is one of the flow's marks.
#[test]
fn bursts_of_ipv6_merge_by_the_same_rules() {
    let check_v6 = |name: &str, count, change: &dyn Fn(&mut [Segment]), expected: &[usize]| {
        let over_v6 = |s: &mut [Segment]| {
            s.iter_mut().for_each(|s| s.label = Some(0xabcde));
            change(s);
        };
        check(name, count, over_v6, expected);
    };
    check_v6("3 contiguous ACK", 3, &|_| {}, &[360]);
    check_v6("2nd has PSH", 3, &|s| s[1].flags |= TcpFlags::PSH, &[260, 160]);
    check_v6("sequence gap", 2, &|s| s[1].seq += 7, &[160, 160]);
    check_v6("hop limit differs", 2, &|s| s[1].ttl = 63, &[160, 160]);
    check_v6("traffic class differs", 2, &|s| s[1].tos = 4, &[160, 160]);
    check_v6("another traffic class for all", 3, &|s| s.iter_mut().for_each(|s| s.tos = 0xff), &[360]);
    check_v6("flow label differs", 2, &|s| s[1].label = Some(0xabcdd), &[160, 160]);
    check_v6(
        "two labels x2 interleaved",
        4,
        &|s| {
            (0..).zip(s).for_each(|(n, s)| (s.label, s.seq) = (Some(n % 2), 100 * (n / 2)));
        },
        &[260, 260],
    );
    check_v6("bad TCP checksum on 2nd", 2, &|s| s[1].is_damaged = true, &[160, 160]);
    check_v6("one of IPv4 between", 3, &|s| (s[1].label, s[2].seq) = (None, 1100), &[260, 140]);
    let long = |s: &mut [Segment]| (0..).zip(s).for_each(|(n, s)| (s.text, s.seq) = (1400, n * 1400));
    check_v6("50 x 1400", 50, &long, &[64_460, 5660]);
}

/// The kernel skips some extension headers; here such packets pass.
#[test]
fn extension_headers_are_not_looked_behind() {
    let mut segments = burst(2);
    segments.iter_mut().for_each(|segment| segment.label = Some(1));
    let mut pool = Pool::new(8 << 20).cache();
    let mut frames: Vec<_> = segments.iter().map(|segment| segment.frame(&mut pool)).collect();
    frames.iter_mut().for_each(|frame| frame.data_mut()[IP + 6] = 60);
    Gro::default().merge(&mut frames);
    assert_eq!(frames.iter().map(PacketBuf::len).collect::<Vec<_>>(), [IP + 160; 2]);
}

#[test]
fn what_was_merged_is_whole_and_can_be_taken_apart() {
    for (label, tcp) in [(None, TCP_V4), (Some(7), TCP_V6)] {
        check_taken_apart(label, tcp);
    }
}

fn check_taken_apart(label: Option<u32>, tcp: usize) {
    let mut segments = burst(3);
    segments.iter_mut().for_each(|segment| segment.label = label);
    segments[2].flags |= TcpFlags::PSH;
    segments[2].text = 30;
    let mut pool = Pool::new(8 << 20).cache();
    let before: Vec<_> = segments.iter().map(|segment| segment.frame(&mut pool).data().to_vec()).collect();
    let mut frames = merged(&segments);
    assert!(frames.len() == 1 && frames[0].rx.ip_summed == IpSummed::Unnecessary, "{frames:?}");
    let mut head = frames.remove(0);
    let (_, at) = TcpHeader::parse(&head.data()[tcp..]).unwrap();
    let mut text = head.data()[tcp + at..].to_vec();
    head.rest().iter().for_each(|piece| text.extend(piece.data()));
    assert_eq!(text, (1000..1230).map(|at| at as u8).collect::<Vec<_>>());
    let mut after = vec![head.data().to_vec()];
    for mut piece in head.take_rest() {
        piece.push(tcp + at);
        after.push(piece.data().to_vec());
    }
    assert_eq!(after, before);
}

#[test]
fn any_frame_passes() {
    let mut pool = Pool::new(8 << 20).cache();
    for label in [None, Some(1)] {
        let whole = Segment { label, ..burst(1)[0].clone() }.frame(&mut pool);
        for len in 0..whole.len() {
            let mut frame = crate::packet::copy(&whole, &Pool::new(1 << 20)).unwrap();
            frame.truncate(len);
            let mut frames = vec![frame];
            Gro::default().merge(&mut frames);
            assert_eq!(frames[0].len(), len);
        }
    }
}
