//! The TCP header (RFC 9293 3.1) and the arithmetic of sequence numbers (3.4).

use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;
use crate::wire::tcp_options::TcpOptions;
use std::fmt;
use std::net::IpAddr;
use std::ops::{Add, Sub};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A place in the sequence space, which wraps. "Less than" only means something for two that are less than 2^31 apart,
/// so it has names of its own instead of an order.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct SeqNumber(pub(crate) u32);

impl SeqNumber {
    /// How far `self` lies after `earlier`; negative when it lies before.
    #[inline]
    pub(crate) const fn distance(self, earlier: SeqNumber) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// `self < other`.
    #[inline]
    pub(crate) const fn is_before(self, other: SeqNumber) -> bool {
        self.distance(other) < 0
    }

    /// `self > other`.
    #[inline]
    pub(crate) const fn is_after(self, other: SeqNumber) -> bool {
        self.distance(other) > 0
    }

    /// The later of two.
    #[inline]
    pub(crate) const fn max(self, other: SeqNumber) -> SeqNumber {
        if self.is_after(other) { self } else { other }
    }

    /// The earlier of two.
    #[inline]
    pub(crate) const fn min(self, other: SeqNumber) -> SeqNumber {
        if self.is_before(other) { self } else { other }
    }
}

impl Add<u32> for SeqNumber {
    type Output = SeqNumber;
    #[inline]
    fn add(self, n: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_add(n))
    }
}

impl Sub<u32> for SeqNumber {
    type Output = SeqNumber;
    #[inline]
    fn sub(self, n: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_sub(n))
    }
}

/// The number of places from an earlier number on; the caller knows that it is earlier.
impl Sub<SeqNumber> for SeqNumber {
    type Output = u32;
    #[inline]
    fn sub(self, earlier: SeqNumber) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

bitflags::bitflags! {
    /// The control bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct TcpFlags: u8 {
        const FIN = 0x01;
        const SYN = 0x02;
        const RST = 0x04;
        const PSH = 0x08;
        const ACK = 0x10;
        const URG = 0x20;
        const ECE = 0x40;
        const CWR = 0x80;
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(TcpFlags, &str); 8] = [
            (TcpFlags::FIN, "F"),
            (TcpFlags::SYN, "S"),
            (TcpFlags::RST, "R"),
            (TcpFlags::PSH, "P"),
            (TcpFlags::ACK, "."),
            (TcpFlags::URG, "U"),
            (TcpFlags::ECE, "E"),
            (TcpFlags::CWR, "W"),
        ];
        if self.is_empty() {
            return f.write_str("none");
        }
        LETTERS.iter().filter(|&&(flag, _)| self.contains(flag)).try_for_each(|&(_, letter)| f.write_str(letter))
    }
}

/// The header over its bytes, without options.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TcpBytes {
    src_port: U16,
    dst_port: U16,
    seq: U32,
    ack: U32,
    data_offset: u8,
    flags: u8,
    window: U16,
    checksum: [u8; 2],
    urgent: U16,
}

/// The header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpHeader {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: SeqNumber,
    /// Meaningless without the ACK bit, as on the wire.
    pub(crate) ack: SeqNumber,
    pub(crate) flags: TcpFlags,
    /// As on the wire: not scaled.
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: TcpOptions,
}

impl TcpHeader {
    /// The length of a header without options, in bytes.
    pub(crate) const LEN: usize = size_of::<TcpBytes>();

    /// Reads the header at the start of `segment`; the text follows at the returned offset. Malformed options are
    /// left out, they are no reason to lose the segment.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(segment: &[u8]) -> Result<(TcpHeader, usize), Malformed> {
        let mut header = TcpHeader::default();
        let text_at = header.read(segment)?;
        Ok((header, text_at))
    }

    /// The same into a header that says nothing yet, which saves moving it.
    #[inline]
    pub(crate) fn read(&mut self, segment: &[u8]) -> Result<usize, Malformed> {
        let (bytes, _) = TcpBytes::ref_from_prefix(segment).map_err(|_| Malformed::Truncated)?;
        let header_len = usize::from(bytes.data_offset >> 4) * 4;
        if header_len < TcpHeader::LEN {
            return Err(Malformed::Header);
        }
        let options = segment.get(TcpHeader::LEN..header_len).ok_or(Malformed::Truncated)?;
        (self.src_port, self.dst_port) = (bytes.src_port.get(), bytes.dst_port.get());
        (self.seq, self.ack) = (SeqNumber(bytes.seq.get()), SeqNumber(bytes.ack.get()));
        self.flags = TcpFlags::from_bits_retain(bytes.flags);
        (self.window, self.urgent) = (bytes.window.get(), bytes.urgent.get());
        match TcpOptions::only_timestamps(options) {
            None if options.is_empty() => {}
            None => self.options = TcpOptions::parse(options),
            timestamps => self.options.timestamps = timestamps,
        }
        Ok(header_len)
    }

    /// Whether a segment's checksum holds; `segment` is exactly header and text.
    #[inline]
    pub(crate) fn verify<'a>(src: IpAddr, dst: IpAddr, len: usize, segment: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut sum = Sum::pseudo_header(src, dst, protocol::TCP, len);
        sum.add_pieces(segment);
        sum.is_valid()
    }

    /// Changes a written header's sequence number; its checksum is the caller's business, here and below.
    #[inline]
    pub(crate) fn set_seq(header: &mut [u8], seq: SeqNumber) {
        let at = std::mem::offset_of!(TcpBytes, seq);
        header[at..at + 4].copy_from_slice(&seq.0.to_be_bytes());
    }

    /// Changes its flags.
    pub(crate) fn set_flags(header: &mut [u8], flags: TcpFlags) {
        header[std::mem::offset_of!(TcpBytes, flags)] = flags.bits();
    }

    /// Stores a checksum.
    #[inline]
    pub(crate) fn set_checksum(header: &mut [u8], sum: [u8; 2]) {
        let at = usize::from(TcpHeader::CHECKSUM_OFFSET);
        header[at..at + 2].copy_from_slice(&sum);
    }

    /// The flags of a header that has been parsed.
    #[inline]
    pub(crate) fn flags_of(header: &[u8]) -> TcpFlags {
        TcpFlags::from_bits_retain(header[std::mem::offset_of!(TcpBytes, flags)])
    }

    /// The ports and the sequence number of a segment that an ICMP error quotes; more need not be there.
    pub(crate) fn parse_quoted(segment: &[u8]) -> Result<(u16, u16, SeqNumber), Malformed> {
        let quoted = segment.first_chunk::<8>().ok_or(Malformed::Truncated)?;
        let [a, b, c, d, rest @ ..] = *quoted;
        Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), SeqNumber(u32::from_be_bytes(rest))))
    }

    /// The header's length with its options, in bytes.
    #[inline]
    pub(crate) fn header_len(&self) -> usize {
        TcpHeader::LEN + self.options.encoded_len()
    }

    /// Writes header and options into `out`, which is [`header_len`](Self::header_len) long. With `sums`, the
    /// pseudo-header's and the text's, it gets a checksum.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8], sums: Option<Sum>) {
        let (header, options) = out.split_at_mut(TcpHeader::LEN);
        let options_words = if options.is_empty() { 0 } else { self.options.emit(options) };
        let data_offset = (((TcpHeader::LEN + options.len()) / 4) << 4) as u8;
        let mut bytes = TcpBytes {
            src_port: self.src_port.into(),
            dst_port: self.dst_port.into(),
            seq: self.seq.0.into(),
            ack: self.ack.0.into(),
            data_offset,
            flags: self.flags.bits(),
            window: self.window.into(),
            checksum: [0; 2],
            urgent: self.urgent.into(),
        };
        if let Some(mut sum) = sums {
            let words = [
                u32::from(self.src_port) << 16 | u32::from(self.dst_port),
                self.seq.0,
                self.ack.0,
                u32::from_be_bytes([data_offset, self.flags.bits(), 0, 0]) | u32::from(self.window),
                self.urgent.into(),
            ];
            sum.add_words(words.iter().map(|&word| u64::from(word)).sum::<u64>() + options_words);
            bytes.checksum = sum.checksum();
        }
        header.copy_from_slice(bytes.as_bytes());
    }

    /// Where the checksum stands in the header.
    pub(crate) const CHECKSUM_OFFSET: u16 = 16;

    /// Writes the pseudo-header's sum where the device will store the checksum of `segment`.
    #[inline]
    pub(crate) fn seed_checksum(segment: &mut [u8], seed: Sum) {
        let at = usize::from(TcpHeader::CHECKSUM_OFFSET);
        segment[at..at + 2].copy_from_slice(&seed.folded());
    }

    /// How much of the sequence space a segment with `text_len` bytes of text takes (SEG.LEN).
    #[inline]
    pub(crate) fn sequence_len(&self, text_len: usize) -> u32 {
        let flags = self.flags & (TcpFlags::SYN | TcpFlags::FIN);
        text_len as u32 + flags.bits().count_ones()
    }

    /// The header as tcpdump prints it, for a segment with `text_len` bytes of text.
    #[cfg(test)]
    pub(crate) fn display(&self, text_len: usize) -> DisplaySegment<'_> {
        DisplaySegment { header: self, text_len }
    }
}

/// See [`TcpHeader::display`].
#[cfg(test)]
pub(crate) struct DisplaySegment<'a> {
    header: &'a TcpHeader,
    text_len: usize,
}

#[cfg(test)]
impl fmt::Display for DisplaySegment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DisplaySegment { header, text_len } = *self;
        write!(f, "Flags [{}], seq {}", header.flags, header.seq)?;
        if text_len > 0 {
            write!(f, ":{}", header.seq + text_len as u32)?;
        }
        if header.flags.contains(TcpFlags::ACK) {
            write!(f, ", ack {}", header.ack)?;
        }
        write!(f, ", win {}", header.window)?;
        if header.options.encoded_len() > 0 {
            write!(f, ", options [{}]", header.options)?;
        }
        write!(f, ", length {text_len}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequence_numbers_wrap() {
        let (before, after) = (SeqNumber(u32::MAX - 1), SeqNumber(3));
        assert!(before.is_before(after) && after.is_after(before));
        assert_eq!((after - before, before + 5, after - 5), (5, after, before));
        assert_eq!((before.max(after), before.min(after), before.distance(after)), (after, before, -5));
        assert!(!after.is_after(after) && !after.is_before(after));
    }

    #[test]
    fn prints_as_tcpdump() {
        let mut header = TcpHeader {
            src_port: 40000,
            dst_port: 7,
            seq: SeqNumber(100),
            ack: SeqNumber(0),
            flags: TcpFlags::SYN,
            window: 65535,
            urgent: 0,
            options: TcpOptions { mss: Some(1460), window_scale: Some(7), ..TcpOptions::default() },
        };
        let syn = "Flags [S], seq 100, win 65535, options [mss 1460,nop,wscale 7], length 0";
        assert_eq!(header.display(0).to_string(), syn);
        header.flags = TcpFlags::ACK | TcpFlags::PSH;
        header.options = TcpOptions::default();
        assert_eq!(header.display(8).to_string(), "Flags [P.], seq 100:108, ack 0, win 65535, length 8");
    }

    #[test]
    fn lengths_are_checked() {
        let mut bytes = [0u8; 24];
        bytes[12] = 0x50;
        assert_eq!(TcpHeader::parse(&bytes).map(|(_, len)| len), Ok(20));
        assert_eq!(TcpHeader::parse(&bytes[..19]).map(|_| ()), Err(Malformed::Truncated));
        bytes[12] = 0x40;
        assert_eq!(TcpHeader::parse(&bytes).map(|_| ()), Err(Malformed::Header));
        bytes[12] = 0x70;
        assert_eq!(TcpHeader::parse(&bytes).map(|_| ()), Err(Malformed::Truncated));
    }

    proptest! {
        #[test]
        fn emit_then_parse_is_identity(
            (src_port, dst_port, seq, ack, flags, window, urgent) in any::<(u16, u16, u32, u32, u8, u16, u16)>(),
            mss in any::<Option<u16>>(), window_scale in prop::option::of(0u8..=14), sack_permitted in any::<bool>(),
            timestamps in any::<Option<(u32, u32)>>(), text in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let options = TcpOptions { mss, window_scale, sack_permitted, timestamps, ..TcpOptions::default() };
            let (seq, ack, flags) = (SeqNumber(seq), SeqNumber(ack), TcpFlags::from_bits_retain(flags));
            let header = TcpHeader { src_port, dst_port, seq, ack, flags, window, urgent, options };
            let (src, dst) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
            let len = header.header_len();
            let mut sum = Sum::pseudo_header(src, dst, protocol::TCP, len + text.len());
            sum.add(&text);
            let mut bytes = vec![0; len];
            header.emit(&mut bytes, Some(sum));
            bytes.extend(text);
            let verify = |bytes: &[u8]| TcpHeader::verify(src, dst, bytes.len(), [bytes].into_iter());
            prop_assert_eq!(TcpHeader::parse(&bytes), Ok((header, len)));
            prop_assert!(verify(&bytes));
            bytes[len - 1] ^= 0x20;
            prop_assert!(!verify(&bytes));
        }

        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = TcpHeader::parse(&bytes);
            let _ = TcpHeader::parse_quoted(&bytes);
        }
    }
}
