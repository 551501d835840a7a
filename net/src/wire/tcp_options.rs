//! TCP options: MSS (RFC 9293 3.7.1), window scale and timestamps (RFC 7323), SACK (RFC 2018).
//!
//! Unknown options are skipped, malformed ones end the list (3.1: they must do no harm). They are written in the order
//! of Linux: MSS, SACK-permitted, timestamps, window scale, then SACK blocks.

use crate::wire::tcp::SeqNumber;
use std::fmt;

/// The options of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpOptions {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    /// TSval and TSecr.
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) sack: SackBlocks,
}

/// Up to four blocks, each from its first number to the one after its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SackBlocks {
    blocks: [(SeqNumber, SeqNumber); 4],
    len: u8,
}

impl SackBlocks {
    /// The blocks, in the order in which they stand in the option.
    pub(crate) fn as_slice(&self) -> &[(SeqNumber, SeqNumber)] {
        &self.blocks[..usize::from(self.len)]
    }

    /// Adds a block, unless there are four already.
    pub(crate) fn push(&mut self, left: SeqNumber, right: SeqNumber) {
        if let Some(place) = self.blocks.get_mut(usize::from(self.len)) {
            *place = (left, right);
            self.len += 1;
        }
    }
}

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
/// RFC 7323 2.3: a larger shift is taken for this one.
const WINDOW_SCALE_MAX: u8 = 14;

impl TcpOptions {
    /// `tcp_fast_parse_options`: nearly every segment has timestamps, and nothing else.
    #[inline]
    pub(crate) fn only_timestamps(bytes: &[u8]) -> Option<(u32, u32)> {
        let &[NOP, NOP, TIMESTAMPS, 10, a, b, c, d, e, f, g, h] = bytes else { return None };
        Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
    }

    /// Reads the options between header and text.
    pub(crate) fn parse(mut bytes: &[u8]) -> TcpOptions {
        let mut options = TcpOptions::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            if kind == END {
                break;
            }
            if kind == NOP {
                bytes = rest;
                continue;
            }
            let Some(len) = rest.first().map(|&len| usize::from(len)) else { break };
            let Some(value) = bytes.get(2..len) else { break };
            options.read(kind, value);
            bytes = &bytes[len..];
        }
        options
    }

    fn read(&mut self, kind: u8, value: &[u8]) {
        let word = |at: usize| u32::from_be_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
        match (kind, value.len()) {
            (MSS, 2) => self.mss = Some(u16::from_be_bytes([value[0], value[1]])),
            (WINDOW_SCALE, 1) => self.window_scale = Some(value[0].min(WINDOW_SCALE_MAX)),
            (SACK_PERMITTED, 0) => self.sack_permitted = true,
            (TIMESTAMPS, 8) => self.timestamps = Some((word(0), word(4))),
            (SACK, len) if len.is_multiple_of(8) => {
                for at in (0..len).step_by(8) {
                    self.sack.push(SeqNumber(word(at)), SeqNumber(word(at + 4)));
                }
            }
            _ => {}
        }
    }

    /// How many bytes [`emit`](Self::emit) writes, a multiple of four.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let sack_permitted = if self.sack_permitted && self.timestamps.is_none() { 4 } else { 0 };
        let timestamps = if self.timestamps.is_some() { 12 } else { 0 };
        let window_scale = if self.window_scale.is_some() { 4 } else { 0 };
        let sack = if self.sack.len > 0 { 4 + 8 * usize::from(self.sack.len) } else { 0 };
        mss + sack_permitted + timestamps + window_scale + sack
    }

    /// Writes the options into `out`, which is [`encoded_len`](Self::encoded_len) long. Returns what their words come to, for
    /// the checksum.
    ///
    /// # Panics
    /// When `out` is shorter.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8]) -> u64 {
        if let (Some((value, echo)), false) = (self.timestamps, self.sack_permitted)
            && let Ok(out) = <&mut [u8; 12]>::try_from(&mut *out)
        {
            // Twelve bytes with timestamps are nothing but timestamps.
            out[..4].copy_from_slice(&[NOP, NOP, TIMESTAMPS, 10]);
            out[4..8].copy_from_slice(&value.to_be_bytes());
            out[8..].copy_from_slice(&echo.to_be_bytes());
            let head = u32::from_be_bytes([NOP, NOP, TIMESTAMPS, 10]);
            return u64::from(head) + u64::from(value) + u64::from(echo);
        }
        self.emit_any(out);
        let (words, _) = out.as_chunks::<4>();
        words.iter().map(|&word| u64::from(u32::from_be_bytes(word))).sum()
    }

    fn emit_any(&self, out: &mut [u8]) {
        let mut at = 0;
        let mut write = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(mss) = self.mss {
            write(&[MSS, 4]);
            write(&mss.to_be_bytes());
        }
        match (self.sack_permitted, self.timestamps.is_some()) {
            (true, true) => write(&[SACK_PERMITTED, 2]),
            (true, false) => write(&[NOP, NOP, SACK_PERMITTED, 2]),
            (false, true) => write(&[NOP, NOP]),
            (false, false) => {}
        }
        if let Some((value, echo)) = self.timestamps {
            write(&[TIMESTAMPS, 10]);
            write(&value.to_be_bytes());
            write(&echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            write(&[NOP, WINDOW_SCALE, 3, shift]);
        }
        if self.sack.len > 0 {
            write(&[NOP, NOP, SACK, 2 + 8 * self.sack.len]);
            for (left, right) in self.sack.as_slice() {
                write(&left.0.to_be_bytes());
                write(&right.0.to_be_bytes());
            }
        }
    }
}

impl fmt::Display for TcpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        items.extend(self.mss.map(|mss| format!("mss {mss}")));
        match (self.sack_permitted, self.timestamps.is_some()) {
            (true, true) => items.push("sackOK".to_owned()),
            (true, false) => items.push("nop,nop,sackOK".to_owned()),
            (false, true) => items.push("nop,nop".to_owned()),
            (false, false) => {}
        }
        items.extend(self.timestamps.map(|(value, echo)| format!("TS val {value} ecr {echo}")));
        items.extend(self.window_scale.map(|shift| format!("nop,wscale {shift}")));
        if self.sack.len > 0 {
            let blocks: String = self.sack.as_slice().iter().map(|(l, r)| format!("{{{l}:{r}}}")).collect();
            items.push(format!("nop,nop,sack {} {blocks}", self.sack.len));
        }
        f.write_str(&items.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_syn_stands_in_the_order_of_linux() {
        let options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((1, 0)),
            sack: SackBlocks::default(),
        };
        let mut bytes = vec![0; options.encoded_len()];
        options.emit(&mut bytes);
        assert_eq!(bytes, [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]);
        assert_eq!(options.to_string(), "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7");
    }

    #[test]
    fn sack_blocks_make_the_round_trip() {
        let mut options = TcpOptions { timestamps: Some((5, 6)), ..TcpOptions::default() };
        for n in 0..5 {
            options.sack.push(SeqNumber(n * 10), SeqNumber(n * 10 + 5));
        }
        assert_eq!(options.sack.as_slice().len(), 4);
        let mut bytes = vec![0; options.encoded_len()];
        options.emit(&mut bytes);
        assert_eq!(TcpOptions::parse(&bytes), options);
    }

    /// RFC 9293 MUST-6, MUST-7: skip unknown options, survive wrong lengths.
    #[test]
    fn unknown_and_malformed_options_do_no_harm() {
        let mss = TcpOptions { mss: Some(0x0102), ..TcpOptions::default() };
        let check = |bytes: &[u8], expected: &TcpOptions| assert_eq!(&TcpOptions::parse(bytes), expected, "{bytes:?}");
        check(&[1, 1, 254, 4, 9, 9, 2, 4, 1, 2], &mss);
        check(&[2, 4, 1, 2, 0, 3, 3, 7], &mss);
        check(&[2, 4, 1, 2, 3, 0], &mss);
        check(&[2, 4, 1, 2, 3, 1], &mss);
        check(&[2, 4, 1, 2, 3, 30, 1], &mss);
        check(&[2, 4, 1, 2, 3], &mss);
        check(&[2, 3, 1, 2, 4, 1, 2], &mss);
        check(&[3, 3, 200], &TcpOptions { window_scale: Some(14), ..TcpOptions::default() });
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let options = TcpOptions::parse(&bytes);
            let mut out = vec![0; options.encoded_len()];
            options.emit(&mut out);
            prop_assert_eq!(TcpOptions::parse(&out), options);
        }
    }
}
