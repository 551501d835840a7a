//! A connection's numbers: those of the script, and those on the wire.
//!
//! In a script both ends begin where it likes, mostly at 0. The host under test chooses its own initial number and its own
//! timestamp clock; what it chose is learnt from its first segment and applied to all others. The remote end's numbers
//! on the wire begin just below 2^32, so that every script also shows that they may wrap.

use crate::model::{Flags, Segment, TcpOption};

/// One connection, or its successors with the same ports.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    /// What the host's numbers on the wire exceed the script's by.
    local_offset: Option<u32>,
    /// The same of its timestamps.
    timestamp_offset: Option<u32>,
    local_isn: u32,
    remote_isn: Option<u32>,
    /// The next SYN of the host may choose a new initial number.
    renewed: bool,
}

/// What the remote end's numbers on the wire exceed the script's by.
const REMOTE_OFFSET: u32 = u32::MAX - 1023;

/// The byte that stands at `offset` in every stream, whichever way it flows. Its period is no multiple of a segment.
pub(crate) fn pattern(offset: u32) -> u8 {
    (offset % 251) as u8
}

impl Flow {
    pub(crate) fn new(local_port: u16, remote_port: u16) -> Flow {
        Flow {
            local_port,
            remote_port,
            local_offset: None,
            timestamp_offset: None,
            local_isn: 0,
            remote_isn: None,
            renewed: true,
        }
    }

    /// The program connects anew.
    pub(crate) fn renew(&mut self) {
        self.renewed = true;
    }

    /// A segment of the script as it goes onto the wire, with its text.
    pub(crate) fn inbound(&mut self, segment: &Segment) -> (Segment, Vec<u8>) {
        let mut live = segment.clone();
        let syn = segment.flags.has(Flags::SYN);
        if syn && (self.remote_isn.is_none() || self.renewed) {
            self.remote_isn = Some(segment.seq);
        }
        if syn && !segment.flags.has(Flags::ACK) && self.remote_isn != Some(segment.seq) {
            self.renewed = true;
        }
        let first = segment.seq.wrapping_add(u32::from(syn)).wrapping_sub(self.remote_isn.unwrap_or(0) + 1);
        let text = (0..segment.len).map(|n| pattern(first.wrapping_add(n))).collect();
        let local = self.local_offset.unwrap_or(0);
        live.seq = segment.seq.wrapping_add(REMOTE_OFFSET);
        live.ack = segment.ack.map(|ack| ack.wrapping_add(local));
        for option in live.options.iter_mut().flatten() {
            match option {
                TcpOption::Sack(blocks) => shift(blocks, local),
                TcpOption::Timestamps { ecr, .. } => {
                    let opens = syn && !segment.flags.has(Flags::ACK);
                    *ecr = if opens { *ecr } else { ecr.wrapping_add(self.timestamp_offset.unwrap_or(0)) };
                }
                _ => {}
            }
        }
        (live, text)
    }

    /// A segment of the host in the script's numbers; `expected` is what the script has in its place.
    pub(crate) fn outbound(&mut self, live: &Segment, expected: &Segment) -> Segment {
        let mut segment = live.clone();
        let syn = live.flags.has(Flags::SYN);
        if syn && expected.flags.has(Flags::SYN) && (self.local_offset.is_none() || self.renewed) {
            self.local_offset = Some(live.seq.wrapping_sub(expected.seq));
            self.local_isn = expected.seq;
            self.timestamp_offset = None;
            self.renewed = false;
        }
        // RFC 9293 3.10.7.1: a reset for a connection that does not exist has number 0.
        let of_nobody = live.flags.has(Flags::RST) && live.flags.has(Flags::ACK) && live.seq == 0;
        let local = if of_nobody { 0 } else { self.local_offset.unwrap_or(0) };
        segment.seq = live.seq.wrapping_sub(local);
        segment.ack = live.ack.map(|ack| ack.wrapping_sub(REMOTE_OFFSET));
        if syn && let Some(ack) = segment.ack {
            self.remote_isn = Some(ack.wrapping_sub(1));
        }
        let expected_val = expected.options.iter().flatten().find_map(|option| match option {
            TcpOption::Timestamps { val, .. } => Some(*val),
            _ => None,
        });
        for option in segment.options.iter_mut().flatten() {
            match option {
                TcpOption::Sack(blocks) => shift(blocks, REMOTE_OFFSET.wrapping_neg()),
                TcpOption::Timestamps { val, .. } => {
                    if let Some(expected) = expected_val {
                        self.timestamp_offset.get_or_insert(val.wrapping_sub(expected));
                    }
                    *val = val.wrapping_sub(self.timestamp_offset.unwrap_or(0));
                }
                _ => {}
            }
        }
        segment
    }

    /// Where in the host's stream the byte with the script's number `seq` stands.
    pub(crate) fn local_stream_offset(&self, seq: u32) -> u32 {
        seq.wrapping_sub(self.local_isn).wrapping_sub(1)
    }

    /// A number of the host's on the wire, for ICMP to quote.
    pub(crate) fn local_seq(&self, seq: u32) -> u32 {
        seq.wrapping_add(self.local_offset.unwrap_or(0))
    }
}

fn shift(blocks: &mut [(u32, u32)], by: u32) {
    for (left, right) in blocks {
        *left = left.wrapping_add(by);
        *right = right.wrapping_add(by);
    }
}
