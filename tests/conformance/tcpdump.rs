//! Packets as `tcpdump` prints them, with `-S`'s absolute numbers, which are the script's.

use crate::model::{Ecn, Flags, Segment, TcpOption};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// What stands before a packet's content.
pub(crate) struct Line<T> {
    pub(crate) time: Option<Duration>,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) ecn: Option<Ecn>,
    pub(crate) content: T,
}

impl<T: fmt::Display> fmt::Display for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => write!(f, "{:.6} ", time.as_secs_f64())?,
            None => f.write_str("any time ")?,
        }
        f.write_str(if self.src.is_ipv4() { "IP " } else { "IP6 " })?;
        match self.ecn {
            None => {}
            Some(Ecn::NotEct) => f.write_str("(noecn) ")?,
            Some(Ecn::Ect0) => f.write_str("(ect0) ")?,
            Some(Ecn::Ect1) => f.write_str("(ect1) ")?,
            Some(Ecn::Ect01) => f.write_str("(ect01) ")?,
            Some(Ecn::Ce) => f.write_str("(ce) ")?,
        }
        match self.ports {
            Some((from, to)) => write!(f, "{}.{from} > {}.{to}: {}", self.src, self.dst, self.content),
            None => write!(f, "{} > {}: {}", self.src, self.dst, self.content),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags [{}], seq {}", self.flags, self.seq)?;
        if self.len > 0 {
            write!(f, ":{}", self.seq.wrapping_add(self.len))?;
        }
        if let Some(ack) = self.ack {
            write!(f, ", ack {ack}")?;
        }
        if let Some(window) = self.window {
            write!(f, ", win {window}")?;
        }
        if let Some(urgent) = self.urgent {
            write!(f, ", urg {urgent}")?;
        }
        match &self.options {
            None => f.write_str(", options [...]")?,
            Some(options) if options.is_empty() => {}
            Some(options) => {
                for (n, option) in options.iter().enumerate() {
                    write!(f, "{}{option}", if n == 0 { ", options [" } else { "," })?;
                }
                f.write_str("]")?;
            }
        }
        write!(f, ", length {}", self.len)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        Flags::LETTERS.iter().filter(|(flag, ..)| self.has(*flag)).try_for_each(|(.., letter)| write!(f, "{letter}"))
    }
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TcpOption::Mss(mss) => write!(f, "mss {mss}"),
            TcpOption::WindowScale(shift) => write!(f, "wscale {shift}"),
            TcpOption::SackPermitted => f.write_str("sackOK"),
            TcpOption::Sack(blocks) => {
                write!(f, "sack {} ", blocks.len())?;
                blocks.iter().try_for_each(|(left, right)| write!(f, "{{{left}:{right}}}"))
            }
            TcpOption::Timestamps { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            TcpOption::Nop => f.write_str("nop"),
            TcpOption::End => f.write_str("eol"),
            TcpOption::Raw(bytes) => {
                f.write_str("raw ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
