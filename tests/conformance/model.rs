//! What a script says, as data: events with their times, packets in the script's own numbers, calls with their results.
//!
//! A segment that was seen on the wire is brought into the same form ([`Segment`]), so that expected and actual are
//! compared, and printed, alike.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A whole script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) options: Vec<ScriptOption>,
    /// The commands between backticks before the first event.
    pub(crate) preparation: Option<(Position, String)>,
    pub(crate) events: Vec<Event>,
}

/// `--name=value` at the top of a script.
#[derive(Debug)]
pub(crate) struct ScriptOption {
    pub(crate) at: Position,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Where in its script something stands, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One line: when, and what.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) at: Position,
    pub(crate) when: When,
    pub(crate) action: Action,
}

/// An event's time. Relative ones count from the event before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// `*`
    Any,
    /// `0.1`, `+.1`, and with an end `0.1~0.2`, `+0~+.1`.
    At { relative: bool, from: Duration, to: Option<Duration> },
    /// `+0...0.1`: a call that blocks, from its beginning to its end.
    Blocking { relative: bool, from: Duration, to: Duration },
}

#[derive(Debug)]
pub(crate) enum Action {
    Packet(Packet),
    Call(Call),
    /// Between backticks.
    Command(String),
    /// Between `%{` and `}%`.
    Code,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The script sends it to the host under test.
    In,
    /// The host under test is expected to send it.
    Out,
}

/// A packet that is sent or expected.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) direction: Direction,
    pub(crate) ip: IpInfo,
    /// Source and destination port, when the script names them.
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) body: Body,
}

/// What the script says about the IP header; `None` means the default when sent and anything when expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpInfo {
    pub(crate) ecn: Option<Ecn>,
    pub(crate) tos: Option<u8>,
    pub(crate) ttl: Option<u8>,
    pub(crate) dont_fragment: Option<bool>,
    pub(crate) fragment: Option<Fragment>,
    /// The transport's checksum is wrong.
    pub(crate) bad_sum: bool,
    /// Other addresses than those of the two ends.
    pub(crate) src: Option<IpAddr>,
    pub(crate) dst: Option<IpAddr>,
    /// IPv4 options, as bytes.
    pub(crate) options: Vec<u8>,
}

/// The two bits of RFC 3168.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ecn {
    NotEct,
    Ect0,
    Ect1,
    /// Either of the two.
    Ect01,
    Ce,
}

/// A part of a packet: `offset` to `offset + len` of what follows its IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) offset: u16,
    pub(crate) len: u16,
    pub(crate) more: bool,
    pub(crate) id: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Tcp(Segment),
    Udp { len: u16 },
    Icmp(Icmp),
}

/// A TCP segment in the script's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) flags: Flags,
    pub(crate) seq: u32,
    pub(crate) len: u32,
    /// Present with the ACK flag.
    pub(crate) ack: Option<u32>,
    /// `None` when it is not compared.
    pub(crate) window: Option<u16>,
    pub(crate) urgent: Option<u16>,
    /// `None` for `<...>`: not compared.
    pub(crate) options: Option<Vec<TcpOption>>,
}

/// A set of TCP's flags, as bits of the header's flag byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    pub(crate) const FIN: Flags = Flags(0x01);
    pub(crate) const SYN: Flags = Flags(0x02);
    pub(crate) const RST: Flags = Flags(0x04);
    pub(crate) const PSH: Flags = Flags(0x08);
    pub(crate) const ACK: Flags = Flags(0x10);
    pub(crate) const URG: Flags = Flags(0x20);
    pub(crate) const ECE: Flags = Flags(0x40);
    pub(crate) const CWR: Flags = Flags(0x80);

    /// Each flag with packetdrill's letter and tcpdump's, in tcpdump's order.
    pub(crate) const LETTERS: [(Flags, char, char); 8] = [
        (Flags::FIN, 'F', 'F'),
        (Flags::SYN, 'S', 'S'),
        (Flags::RST, 'R', 'R'),
        (Flags::PSH, 'P', 'P'),
        (Flags::ACK, '.', '.'),
        (Flags::URG, 'U', 'U'),
        (Flags::ECE, 'E', 'E'),
        (Flags::CWR, 'W', 'W'),
    ];

    pub(crate) fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }
}

/// One TCP option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TcpOption {
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        val: u32,
        ecr: u32,
    },
    Nop,
    End,
    /// Bytes as they stand on the wire, kind and length included: `raw fd04abcd`, and `FO` with its cookie.
    Raw(Vec<u8>),
}

/// An ICMP message by packetdrill's names; `echoed` is the packet that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Icmp {
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) mtu: Option<u32>,
    pub(crate) echoed: Option<Echoed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echoed {
    Tcp { seq: u32, len: u32 },
    Udp { len: u16 },
}

/// A system call with its expected result.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: Vec<Expr>,
    pub(crate) result: i64,
    pub(crate) errno: Option<String>,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    Ellipsis,
    Number(i64),
    Name(String),
    Text(String),
    /// `O_RDWR|O_NONBLOCK`
    Or(Vec<Expr>),
    Array(Vec<Expr>),
    Struct(Vec<(String, Expr)>),
    Function(String, Vec<Expr>),
}
