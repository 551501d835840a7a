//! Expected against actual, field by field; what differs is named, and both are shown as tcpdump would.

use crate::flow::{Flow, pattern};
use crate::model::{Body, Ecn, Packet, Segment, TcpOption};
use crate::tcpdump::Line;
use crate::wire::Ends;
use crate::wire::icmp::icmp_numbers;
use crate::wire::read::{Content, Seen};
use std::fmt;
use std::time::Duration;

/// A packet that the script expects.
pub(crate) struct Expected<'a> {
    pub(crate) packet: &'a Packet,
    /// `None` for any time.
    pub(crate) time: Option<Duration>,
    /// From the host to the remote end.
    pub(crate) ends: Ends,
}

impl Expected<'_> {
    /// As tcpdump would show it.
    pub(crate) fn line(&self, ports: Option<(u16, u16)>) -> String {
        let content: &dyn fmt::Display = match &self.packet.body {
            Body::Tcp(segment) => segment,
            Body::Udp { len } => &format!("UDP, length {len}"),
            Body::Icmp(icmp) => &format!("ICMP {} {}", icmp.kind, icmp.code.as_deref().unwrap_or("")),
        };
        let content = match self.packet.ip.fragment {
            Some(part) => {
                &format!("frag {}:{}{}", part.offset, part.offset + part.len, if part.more { "+" } else { "" })
            }
            None => content,
        };
        let ports = ports.filter(|_| !matches!(self.packet.body, Body::Icmp(_)));
        let (src, dst) = (self.ends.src, self.ends.dst);
        Line { time: self.time, src, dst, ports, ecn: self.packet.ip.ecn, content }.to_string()
    }
}

/// Compares.
///
/// # Errors
/// The names of what differs, and both packets.
pub(crate) fn check(
    expected: &Expected<'_>,
    ports: Option<(u16, u16)>,
    seen: &Seen,
    at: Duration,
    in_time: bool,
    tolerance: Duration,
    mut flow: Option<&mut Flow>,
) -> Result<(), String> {
    let mut differs = Differences::default();
    differs.unless("time", in_time);
    let info = &expected.packet.ip;
    differs.unless("addresses", (seen.src, seen.dst) == (expected.ends.src, expected.ends.dst));
    differs.unless("ecn", info.ecn.is_none_or(|ecn| ecn_fits(ecn, seen.tos)));
    differs.unless("tos", info.tos.is_none_or(|tos| tos & !3 == seen.tos & !3));
    differs.unless("ttl", info.ttl.is_none_or(|ttl| ttl == seen.ttl));
    differs.unless("df", info.dont_fragment.is_none_or(|df| df == seen.dont_fragment));
    let part = |fragment: &crate::model::Fragment| (fragment.offset, fragment.len, fragment.more);
    differs.unless("fragment", info.fragment.as_ref().map(part) == seen.fragment.as_ref().map(part));
    let mut shown = None;
    match (&expected.packet.body, &seen.content) {
        (Body::Tcp(segment), Content::Tcp { ports: actual_ports, segment: live, payload }) => {
            differs.unless("ports", ports.is_none_or(|ports| ports == *actual_ports));
            let actual = match flow.as_deref_mut() {
                Some(flow) => flow.outbound(live, segment),
                None => live.clone(),
            };
            differs.segments(&for_version(segment, seen.src.is_ipv4()), &actual, tolerance);
            let text = flow.as_deref().map(|flow| flow.local_stream_offset(actual.seq));
            differs.unless("text", text.is_none_or(|offset| is_stream(payload, offset)));
            shown = Some(actual);
        }
        (Body::Udp { len }, Content::Udp { ports: actual_ports, payload }) => {
            differs.unless("ports", ports.is_none_or(|ports| ports == *actual_ports));
            differs.unless("length", usize::from(*len) == payload.len());
            differs.unless("text", is_stream(payload, 0));
        }
        (Body::Icmp(icmp), Content::Icmp { kind, code, rest, .. }) => {
            let numbers = icmp_numbers(seen.src.is_ipv4(), &icmp.kind, icmp.code.as_deref());
            differs.unless("icmp", numbers == Some((*kind, *code)));
            differs.unless("mtu", icmp.mtu.is_none_or(|mtu| mtu == *rest));
        }
        (_, Content::Raw { .. }) if info.fragment.is_some() => {}
        _ => differs.unless("protocol", false),
    }
    if differs.0.is_empty() {
        return Ok(());
    }
    let actual = match shown {
        Some(segment) => show(seen, at, &segment),
        None => line(seen, at, flow),
    };
    Err(format!("packets differ in {}\n  expected {}\n  actual   {actual}", differs.0.join(", "), expected.line(ports)))
}

/// A packet that was seen, in the script's numbers where they are known.
pub(crate) fn line(seen: &Seen, at: Duration, flow: Option<&mut Flow>) -> String {
    match &seen.content {
        Content::Tcp { segment, .. } => match flow {
            Some(flow) => show(seen, at, &flow.outbound(segment, &Segment { options: None, ..segment.clone() })),
            None => show(seen, at, segment),
        },
        Content::Udp { payload, .. } => show(seen, at, &format!("UDP, length {}", payload.len())),
        Content::Icmp { kind, code, len, .. } => {
            show(seen, at, &format!("ICMP type {kind} code {code}, length {}", 8 + len))
        }
        Content::Raw { protocol, payload } => {
            let part = seen.fragment.map_or_else(String::new, |part| {
                format!("frag {}:{}{} ", part.offset, part.offset + part.len, if part.more { "+" } else { "" })
            });
            show(seen, at, &format!("{part}protocol {protocol}, length {}", payload.len()))
        }
    }
}

fn show(seen: &Seen, at: Duration, content: &dyn fmt::Display) -> String {
    let ports = match &seen.content {
        Content::Tcp { ports, .. } | Content::Udp { ports, .. } => Some(*ports),
        _ => None,
    };
    let ecn = Some(match seen.tos & 3 {
        0 => return Line { time: Some(at), src: seen.src, dst: seen.dst, ports, ecn: None, content }.to_string(),
        1 => Ecn::Ect1,
        2 => Ecn::Ect0,
        _ => Ecn::Ce,
    });
    Line { time: Some(at), src: seen.src, dst: seen.dst, ports, ecn, content }.to_string()
}

fn ecn_fits(expected: Ecn, tos: u8) -> bool {
    let bits = tos & 3;
    match expected {
        Ecn::NotEct => bits == 0,
        Ecn::Ect1 => bits == 1,
        Ecn::Ect0 => bits == 2,
        Ecn::Ect01 => bits == 1 || bits == 2,
        Ecn::Ce => bits == 3,
    }
}

fn is_stream(bytes: &[u8], offset: u32) -> bool {
    bytes.iter().zip(0u32..).all(|(byte, n)| *byte == pattern(offset.wrapping_add(n)))
}

/// What our interface takes over IPv4, less the headers; over IPv6 they are 20 bytes longer. Scripts say the former.
const MSS_V4: u16 = 1460;

fn for_version(expected: &Segment, v4: bool) -> Segment {
    let mut expected = expected.clone();
    for option in expected.options.iter_mut().flatten() {
        if let TcpOption::Mss(mss @ MSS_V4) = option
            && !v4
        {
            *mss -= 20;
        }
    }
    expected
}

/// The names of the fields that differ.
#[derive(Default)]
struct Differences(Vec<&'static str>);

impl Differences {
    fn unless(&mut self, name: &'static str, alike: bool) {
        if !alike {
            self.0.push(name);
        }
    }

    fn segments(&mut self, expected: &Segment, actual: &Segment, tolerance: Duration) {
        self.unless("flags", expected.flags == actual.flags);
        self.unless("seq", expected.seq == actual.seq);
        self.unless("length", expected.len == actual.len);
        self.unless("ack", expected.ack == actual.ack);
        self.unless("win", expected.window.is_none() || expected.window == actual.window);
        self.unless("urg", expected.urgent == actual.urgent);
        let alike = match (&expected.options, &actual.options) {
            (Some(expected), Some(actual)) => {
                expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| option_fits(e, a, tolerance))
            }
            _ => true,
        };
        self.unless("options", alike);
    }
}

/// Timestamps count milliseconds, and may round the other way.
fn option_fits(expected: &TcpOption, actual: &TcpOption, tolerance: Duration) -> bool {
    match (expected, actual) {
        (TcpOption::Timestamps { val, ecr }, TcpOption::Timestamps { val: actual_val, ecr: actual_ecr }) => {
            let ticks = 1 + tolerance.as_millis() as i64;
            let apart = i64::from(actual_val.wrapping_sub(*val).cast_signed());
            ecr == actual_ecr && apart.abs() <= ticks
        }
        _ => expected == actual,
    }
}
