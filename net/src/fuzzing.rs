//! What the fuzzers run: every parser, a stack that gets arbitrary frames, and a connection that gets arbitrary segments.
//!
//! Only in builds for a fuzzer and in tests, which run the committed corpora. Each function takes what the fuzzer has made up and
//! panics when something is wrong.

use crate::packet::{IpSummed, PacketBuf};
use crate::stack::testing::forge::{block, forge, in_order};
use crate::stack::testing::world::{ADDR, ADDR6, CLIENT, MAC, SERVER, World, any_addr, pattern};
use crate::wire::arp::ArpPacket;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::icmp::IcmpHeader;
use crate::wire::icmpv6::Icmpv6Header;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::{FragmentHeader, Walked, walk};
use crate::wire::ndp::NdpMessage;
use crate::wire::tcp::{TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use crate::wire::udp::UdpHeader;
use arbitrary::{Arbitrary, Unstructured};
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

// Parsers. What parses is written again, and must then parse to the same.

/// An Ethernet header.
pub fn ethernet(bytes: &[u8]) {
    let Ok(header) = EthernetHeader::parse(bytes) else { return };
    let mut out = [0; EthernetHeader::LEN];
    header.emit(&mut out);
    assert_eq!(out, bytes[..EthernetHeader::LEN]);
}

/// An ARP packet.
pub fn arp(bytes: &[u8]) {
    let Ok(packet) = ArpPacket::parse(bytes) else { return };
    let mut out = [0; ArpPacket::LEN];
    packet.emit(&mut out);
    assert_eq!(ArpPacket::parse(&out), Ok(packet));
}

/// An IPv4 packet, and the start of one that an ICMP error quotes.
pub fn ipv4(bytes: &[u8]) {
    let _ = Ipv4Header::parse_quoted(bytes);
    let Ok(header) = Ipv4Header::parse(bytes) else { return };
    assert!(u16::from(header.header_len) <= header.total_len && usize::from(header.total_len) <= bytes.len());
}

/// An IPv6 packet with its extension headers.
pub fn ipv6(bytes: &[u8]) {
    let _ = Ipv6Header::parse_quoted(bytes);
    let Ok(header) = Ipv6Header::parse(bytes) else { return };
    let end = Ipv6Header::LEN + usize::from(header.payload_len);
    let mut out = [0; Ipv6Header::LEN];
    header.emit(&mut out);
    assert_eq!(out, bytes[..Ipv6Header::LEN]);
    match walk(&bytes[..end], header.next_header) {
        Ok(Walked::Upper { offset, previous, .. }) => assert!(previous < offset && offset <= end),
        Ok(Walked::Fragment { offset, previous, .. }) => {
            assert!(previous < offset && offset <= end);
            let _ = FragmentHeader::parse(&bytes[offset..end]);
        }
        Ok(Walked::Nothing) | Err(_) => {}
    }
}

/// An ICMP message; its checksum is set right first, or the fuzzer would hardly get past it.
pub fn icmp(bytes: &[u8]) {
    let mut message = bytes.to_vec();
    set_checksum(&mut message, Sum::default());
    let _ = IcmpHeader::parse(&message);
}

/// An ICMPv6 message, neighbour discovery included.
pub fn icmpv6(bytes: &[u8]) {
    let _ = Icmpv6Header::parse(bytes);
    let _ = NdpMessage::parse(bytes);
}

/// A UDP datagram.
pub fn udp(bytes: &[u8]) {
    let _ = UdpHeader::parse_quoted(bytes);
    let Ok(header) = UdpHeader::parse(bytes) else { return };
    assert!((UdpHeader::LEN..=bytes.len()).contains(&header.len.into()));
}

/// A TCP segment with its options.
pub fn tcp(bytes: &[u8]) {
    let _ = TcpHeader::parse_quoted(bytes);
    let Ok((header, text_at)) = TcpHeader::parse(bytes) else { return };
    assert!((TcpHeader::LEN..=60).contains(&text_at) && text_at <= bytes.len());
    if header.header_len() > 60 {
        // A peer may do without the padding that we write, and say more than we could.
        return;
    }
    let mut out = vec![0; header.header_len()];
    header.emit(&mut out, None);
    let (again, len) = TcpHeader::parse(&out).expect("what was written can be read");
    assert_eq!((again, len), (header, out.len()));
}

/// TCP options alone, of any length.
pub fn tcp_options(bytes: &[u8]) {
    let options = TcpOptions::parse(bytes);
    if options.encoded_len() <= 40 {
        let mut out = vec![0; options.encoded_len()];
        options.emit(&mut out);
        assert_eq!(TcpOptions::parse(&out), options);
    }
}

// A stack.

/// What happens to a stack.
#[derive(Arbitrary, Debug)]
enum Happening<'a> {
    /// A frame as it is.
    Frame(&'a [u8]),
    /// What follows an Ethernet header for this station.
    Packet {
        v6: bool,
        bytes: &'a [u8],
    },
    /// What follows a sound IPv4 header.
    OnIpv4 {
        protocol: Protocol,
        ident: u8,
        fragment: Option<(u8, bool)>,
        bytes: &'a [u8],
    },
    /// What follows a sound IPv6 header.
    OnIpv6 {
        next: Next,
        bytes: &'a [u8],
    },
    /// An ICMP error about a segment that the stack could have sent.
    Error {
        code: u8,
        mtu: u16,
        seq: u8,
    },
    Wait {
        ms: u16,
    },
    Send {
        len: u16,
        to_nobody: bool,
    },
    Receive,
}

#[derive(Arbitrary, Debug)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Other(u8),
}

#[derive(Arbitrary, Debug)]
enum Next {
    HopByHop,
    Routing,
    Fragment,
    Destination,
    Tcp,
    Udp,
    Icmp,
    Other(u8),
}

const STEPS_MAX: usize = 256;

/// A stack with a listener, an established connection and a UDP socket gets anything at all: it does not panic, and stays within
/// its bounds.
pub fn frames(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut world = World::with(11, |config| config.checksum_offload = true);
    let (client, server, _listener) = world.establish();
    let udp = world.call(SERVER, |stack, _, _| stack.udp_bind(any_addr(9))).expect("the port is free");
    for _ in 0..STEPS_MAX {
        let Ok(happening) = Happening::arbitrary(&mut input) else { break };
        let last = input.is_empty();
        let frame = match happening {
            Happening::Frame(bytes) => bytes.to_vec(),
            Happening::Packet { v6, bytes } => ethernet_frame(v6, bytes),
            Happening::OnIpv4 { protocol, ident, fragment, bytes } => on_ipv4(&protocol, ident, fragment, bytes),
            Happening::OnIpv6 { next, bytes } => on_ipv6(&next, bytes),
            Happening::Error { code, mtu, seq } => {
                let mut header = in_order(&mut world, client, server, TcpFlags::ACK);
                (header.src_port, header.dst_port) = (header.dst_port, header.src_port);
                header.seq = header.ack - u32::from(seq);
                icmp_error(code, mtu, &header)
            }
            Happening::Wait { ms } => {
                world.run_ms(ms.into());
                continue;
            }
            Happening::Send { len, to_nobody } => {
                let _ = world.send(SERVER, server, &pattern(len.into()));
                let to = if to_nobody { any_addr(1) } else { (IpAddr::from(ADDR[CLIENT]), 9).into() };
                let text = pattern(usize::from(len) % 4000);
                let _ = world.call(SERVER, |stack, now, fx| stack.udp_send_to(now, udp, &text, Some(to), fx));
                continue;
            }
            Happening::Receive => {
                let _ = world.recv(SERVER, server);
                let mut buf = [0; 2048];
                let _ = world.call(SERVER, |stack, _, _| stack.udp_recv_from(udp, &mut buf, false).map(|_| ()));
                continue;
            }
        };
        inject_checked(&mut world, &frame);
        if last {
            break;
        }
    }
    world.run_ms(100);
    assert!(world.pool.bytes_in_use() < 16 << 20, "{} bytes", world.pool.bytes_in_use());
    assert!(world.stacks[SERVER].socket_count() < 512);
}

fn ethernet_frame(v6: bool, bytes: &[u8]) -> Vec<u8> {
    let ethertype = if v6 { EtherType::Ipv6 } else { EtherType::Ipv4 };
    let mut ethernet = [0; EthernetHeader::LEN];
    EthernetHeader { dst: MAC[SERVER], src: MAC[CLIENT], ethertype }.emit(&mut ethernet);
    [&ethernet[..], bytes].concat()
}

fn on_ipv4(kind: &Protocol, ident: u8, fragment: Option<(u8, bool)>, bytes: &[u8]) -> Vec<u8> {
    let number = match *kind {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
        Protocol::Icmp => protocol::ICMP,
        Protocol::Other(number) => number,
    };
    let mut payload = bytes[..bytes.len().min(1480)].to_vec();
    if number == protocol::ICMP {
        set_checksum(&mut payload, Sum::default());
    }
    let mut header = Ipv4Header::new(ADDR[CLIENT], ADDR[SERVER], number, payload.len());
    header.ident = ident.into();
    if let Some((offset, more)) = fragment {
        header.dont_fragment = false;
        header.fragment_offset = u16::from(offset) * 8;
        header.more_fragments = more;
    }
    let mut out = [0; Ipv4Header::LEN];
    header.emit(&mut out);
    ethernet_frame(false, &[&out[..], &payload].concat())
}

fn on_ipv6(next: &Next, bytes: &[u8]) -> Vec<u8> {
    const ICMPV6: u8 = 58;
    let number = match *next {
        Next::HopByHop => 0,
        Next::Routing => 43,
        Next::Fragment => 44,
        Next::Destination => 60,
        Next::Tcp => protocol::TCP,
        Next::Udp => protocol::UDP,
        Next::Icmp => ICMPV6,
        Next::Other(number) => number,
    };
    let mut payload = bytes[..bytes.len().min(1440)].to_vec();
    if number == ICMPV6 {
        let sum = Sum::pseudo_header(ADDR6[CLIENT].into(), ADDR6[SERVER].into(), ICMPV6, payload.len());
        set_checksum(&mut payload, sum);
    }
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_len: payload.len() as u16,
        next_header: number,
        hop_limit: 255,
        src: ADDR6[CLIENT],
        dst: ADDR6[SERVER],
    };
    let mut out = [0; Ipv6Header::LEN];
    header.emit(&mut out);
    ethernet_frame(true, &[&out[..], &payload].concat())
}

/// "Destination unreachable", quoting a segment from the server to the client.
fn icmp_error(code: u8, mtu: u16, quoted: &TcpHeader) -> Vec<u8> {
    let mut tcp = vec![0; quoted.header_len()];
    quoted.emit(&mut tcp, None);
    let mut ip = [0; Ipv4Header::LEN];
    Ipv4Header::new(ADDR[SERVER], ADDR[CLIENT], protocol::TCP, tcp.len()).emit(&mut ip);
    let mtu = mtu.to_be_bytes();
    let head = [3, code % 16, 0, 0, 0, 0, mtu[0], mtu[1]];
    on_ipv4(&Protocol::Icmp, 0, None, &[&head[..], &ip, &tcp].concat())
}

/// The checksum of an ICMP message of either family.
fn set_checksum(message: &mut [u8], mut sum: Sum) {
    if message.len() >= 4 {
        message[2..4].fill(0);
        sum.add(message);
        message[2..4].copy_from_slice(&sum.checksum());
    }
}

/// A frame whose transport checksum the device has found right.
fn inject_checked(world: &mut World, bytes: &[u8]) {
    if let Some(mut frame) = PacketBuf::from_bytes(&world.pool, bytes) {
        frame.rx.ip_summed = IpSummed::Unnecessary;
        world.call(SERVER, |stack, now, fx| {
            stack.on_frame(now, frame, fx);
            stack.on_batch_end(now, fx);
        });
    }
}

// A connection.

/// What happens to an established connection.
#[derive(Arbitrary, Debug)]
struct Step<'a> {
    flags: u8,
    seq: Near,
    ack: Near,
    window: u16,
    /// Instead of the timestamps that the peer would send.
    options: Option<&'a [u8]>,
    len: u16,
    call: Call,
    wait: Wait,
}

/// A number relative to the right one.
#[derive(Arbitrary, Debug)]
enum Near {
    Exact,
    Close(i8),
    Off(i16),
    Far(i32),
}

impl Near {
    fn offset(&self) -> u32 {
        match *self {
            Near::Exact => 0,
            Near::Close(n) => i32::from(n).cast_unsigned(),
            Near::Off(n) => i32::from(n).cast_unsigned(),
            Near::Far(n) => n.cast_unsigned(),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Call {
    Nothing,
    Send(u16),
    Receive,
    ShutDownWriting,
    Close,
    PathMtu(u16),
}

#[derive(Arbitrary, Debug)]
enum Wait {
    None,
    Ms(u8),
    Seconds(u8),
}

/// An established connection gets arbitrary segments near the right numbers, mixed with its program's calls: its invariants hold
/// after each.
pub fn segments(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut world = World::with(6, |config| config.limits.rcvbuf = 64 << 10);
    let (client, server, _) = world.establish();
    let mut header = in_order(&mut world, client, server, TcpFlags::ACK);
    // From here on the peer is the fuzzer: nothing that its stack sends arrives, and nothing reaches it.
    world.wire.loss = 1.0;
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        if world.has_connection(SERVER, server) {
            header = in_order(&mut world, client, server, TcpFlags::ACK);
        }
        let mut header = header.clone();
        header.flags = TcpFlags::from_bits_retain(step.flags);
        header.seq = header.seq + step.seq.offset();
        header.ack = header.ack + step.ack.offset();
        header.window = step.window;
        if let Some(options) = step.options {
            header.options = TcpOptions::parse(&options[..options.len().min(40)]);
        }
        if header.options.encoded_len() <= 40 {
            let frame = forge(&header, &pattern(usize::from(step.len) % 1461));
            inject_checked(&mut world, &frame);
        }
        match step.call {
            Call::Nothing => {}
            Call::Send(len) => drop(world.send(SERVER, server, &pattern(len.into()))),
            Call::Receive => drop(world.recv(SERVER, server)),
            Call::ShutDownWriting => {
                let _ = world.call(SERVER, |s, now, fx| s.tcp_shutdown(now, server, Shutdown::Write, fx));
            }
            Call::Close => world.close(SERVER, server),
            Call::PathMtu(mtu) => {
                let mut quoted = header.clone();
                (quoted.src_port, quoted.dst_port) = (header.dst_port, header.src_port);
                (quoted.seq, quoted.ack) = (header.ack, header.seq);
                inject_checked(&mut world, &icmp_error(4, mtu, &quoted));
            }
        }
        match step.wait {
            Wait::None => {}
            Wait::Ms(ms) => world.run_ms(ms.into()),
            Wait::Seconds(seconds) => world.run(Duration::from_secs(seconds.into())),
        }
        if world.has_connection(SERVER, server) {
            block(&mut world, server).assert_invariants();
        }
    }
    assert!(world.pool.bytes_in_use() < 2 << 20, "{} bytes", world.pool.bytes_in_use());
    assert!(world.stacks[SERVER].socket_count() < 64);
    // Whatever has happened, a connection that nobody has or answers ends.
    world.close(SERVER, server);
    world.run(Duration::from_secs(7200));
    assert!(!world.has_connection(SERVER, server));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Every file that a fuzzer has found worth keeping, through the function that it was found with.
    #[test]
    fn the_corpora_run_clean() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 11] = [
            ("ethernet", ethernet),
            ("arp", arp),
            ("ipv4", ipv4),
            ("ipv6", ipv6),
            ("icmp", icmp),
            ("icmpv6", icmpv6),
            ("udp", udp),
            ("tcp", tcp),
            ("tcp_options", tcp_options),
            ("frames", frames),
            ("segments", segments),
        ];
        for (name, target) in targets {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
            let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
            let mut count = 0;
            for file in files {
                target(&fs::read(file.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count > 0, "no file in {}", corpus.display());
        }
    }
}
