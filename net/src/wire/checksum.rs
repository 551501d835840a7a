//! The Internet checksum (RFC 1071): a sum in ones-complement arithmetic, in whatever byte order the machine has.
//!
//! The sum is collected in wide numbers, whose overflows are counted, and folded once at the end.

#[cfg(target_arch = "x86_64")]
#[path = "checksum/avx2.rs"]
mod wide;
#[cfg(not(target_arch = "x86_64"))]
#[path = "checksum/none.rs"]
mod wide;

use std::net::IpAddr;

/// A sum in the making. Pieces may be added in any order, but each at the right parity of its offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    /// The pseudo-header of TCP and UDP over IPv4 (RFC 9293 3.1, RFC 768), and of all transports over IPv6 (RFC 8200
    /// 8.1). `src` and `dst` are of one family.
    #[inline]
    pub(crate) fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Sum {
        // The length has 32 bits over IPv6; since no packet is longer than 65535 bytes here, the upper ones are zero.
        let rest = u64::from(u16::from(protocol).to_be()) + u64::from((len as u16).to_be());
        let addresses = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                u64::from(u32::from_ne_bytes(src.octets())) + u64::from(u32::from_ne_bytes(dst.octets()))
            }
            (src, dst) => address(src) + address(dst),
        };
        Sum(addresses + rest)
    }

    /// Adds bytes that start at an even offset.
    #[inline]
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.add_folded(if bytes.len() <= SHORT { sum_short(bytes) } else { sum_long(bytes) });
    }

    /// Takes away bytes that start at an even offset (`csum_sub`).
    pub(crate) fn subtract(&mut self, bytes: &[u8]) {
        let mut taken = Sum::default();
        taken.add(bytes);
        self.add(&taken.checksum());
    }

    /// Adds a field of 16 bits.
    #[inline]
    pub(crate) fn add_field(&mut self, value: u16) {
        self.0 += u64::from(value.to_be());
    }

    /// Copies `from` to `to`, which is as long, and adds what it copies while it is in the cache.
    #[inline]
    pub(crate) fn add_copying(&mut self, to: &mut [u8], from: &[u8]) {
        to.copy_from_slice(from);
        self.add(to);
    }

    /// Adds the sum of a piece that stands at `offset`: at an odd one its bytes have changed places.
    #[inline]
    pub(crate) fn add_at(&mut self, offset: usize, piece: Sum) {
        self.add_folded(if offset.is_multiple_of(2) { piece.0 } else { piece.fold().swap_bytes().into() });
    }

    /// Adds bytes that stand in several pieces, the first at an even offset.
    #[inline]
    pub(crate) fn add_pieces<'a>(&mut self, mut pieces: impl Iterator<Item = &'a [u8]>) {
        // Mostly there is one.
        let first = pieces.next().unwrap_or_default();
        self.add(first);
        let mut offset = first.len();
        for bytes in pieces {
            let mut piece = Sum::default();
            piece.add(bytes);
            self.add_at(offset, piece);
            offset += bytes.len();
        }
    }

    /// Adds a header by the numbers that it consists of: what its words of 32 bits come to, of which there are few.
    #[inline]
    pub(crate) fn add_words(&mut self, words: u64) {
        // RFC 1071 section 2 (B): a sum of swapped words is the swapped sum.
        self.add_folded(Sum(words).fold().to_be().into());
    }

    /// The checksum, the complement of the sum, as the two bytes that go on the wire.
    #[inline]
    pub(crate) fn checksum(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }

    /// The sum itself: what a sender that leaves its checksum to the device stores of the pseudo-header, and what a device gives that
    /// compares nothing.
    #[inline]
    pub(crate) fn folded(self) -> [u8; 2] {
        self.fold().to_ne_bytes()
    }

    /// Whether the sum over a message and its checksum says that it arrived as it was sent.
    #[inline]
    pub(crate) fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }

    #[inline]
    fn add_folded(&mut self, sum: u64) {
        // Below 2^33 each time, so that the total cannot overflow.
        self.0 += (sum & 0xffff_ffff) + (sum >> 32);
    }

    #[inline]
    fn fold(self) -> u16 {
        // The upper half of a sum with its own halves exchanged is the sum of both, with the carry of the lower one
        // (`csum_fold`).
        let sum = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
    }
}

/// An address as part of a sum; below 2^34.
fn address(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u32::from_ne_bytes(ip.octets()).into(),
        IpAddr::V6(ip) => {
            let bytes = ip.octets();
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().map(|&word| u64::from(u32::from_ne_bytes(word))).sum()
        }
    }
}

/// The checksum of a message that has no pseudo-header: IPv4 headers and ICMP.
#[inline]
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = Sum::default();
    sum.add(bytes);
    sum.checksum()
}

/// The same of a header, by [`words`](Sum::add_words).
#[inline]
pub(crate) fn checksum_of_words(words: u64) -> [u8; 2] {
    (!Sum(words).fold()).to_be_bytes()
}

/// Whether such a message arrived as it was sent.
#[inline]
pub(crate) fn is_valid(bytes: &[u8]) -> bool {
    let mut sum = Sum::default();
    sum.add(bytes);
    sum.is_valid()
}

/// The sum of many bytes. A function of its own: a header's sum does not pay for its registers.
#[inline(never)]
fn sum_long(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks();
    wide::sum(blocks).unwrap_or_else(|| sum_digits(blocks)) + sum_short(rest)
}

/// The sum of blocks where there are no wide registers for it.
fn sum_digits(blocks: &[[u8; 64]]) -> u64 {
    // A number of 512 bits, and how often it has overflowed. An overflow counts one: 2^512 is 1 in this arithmetic.
    let (mut total, mut overflows) = ([0; 8], 0);
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        let mut carry = false;
        for (digit, &word) in total.iter_mut().zip(words) {
            (*digit, carry) = add_with_carry(*digit, u64::from_ne_bytes(word), carry);
        }
        overflows += u64::from(carry);
    }
    let digits: u64 = total.iter().map(|digit| (digit & 0xffff_ffff) + (digit >> 32)).sum();
    digits + overflows
}

/// One digit of a long addition.
#[inline(always)]
fn add_with_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(carry.into());
    (sum, first | second)
}

/// Up to this length digits cost more than they save: headers and short messages.
const SHORT: usize = 128;

/// The sum of a few bytes, eight at a time; of 2^64, which is 1 in this arithmetic, there are few.
#[inline(always)]
fn sum_short(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let (words, rest) = rest.as_chunks::<8>();
    let mut sum = 0u128;
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        words.iter().for_each(|&word| sum += u128::from(u64::from_ne_bytes(word)));
    }
    words.iter().for_each(|&word| sum += u128::from(u64::from_ne_bytes(word)));
    let (low, high) = (sum as u64, (sum >> 64) as u64);
    let total = (low & 0xffff_ffff) + (low >> 32) + high;
    if rest.is_empty() { total } else { total + sum_rest(rest) }
}

/// The sum of less than a block.
#[inline(always)]
fn sum_rest(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<4>();
    let mut sum = 0;
    for &word in words {
        sum += u64::from(u32::from_ne_bytes(word));
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        sum += u64::from(u32::from_ne_bytes(last));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, word by word.
    fn slow(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    /// The pseudo-header of RFC 8200 8.1, written out.
    #[test]
    fn the_pseudo_header_of_ipv6_is_forty_bytes() {
        let (src, dst): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
            ("fd00::1:2".parse().unwrap(), "fe80::ffff".parse().unwrap());
        let bytes = [&src.octets()[..], &dst.octets(), &1234u32.to_be_bytes(), &[0, 0, 0, 58]].concat();
        assert_eq!(Sum::pseudo_header(src.into(), dst.into(), 58, 1234).checksum(), slow(&bytes));
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes), [!0xdd, !0xf2]);
    }

    proptest! {
        #[test]
        fn equals_the_slow_sum(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            prop_assert_eq!(checksum(&bytes), slow(&bytes));
        }

        /// Where wide registers are used and where they are not, up to the longest packet; bytes of one kind carry most.
        #[test]
        fn long_sums_are_the_same_in_either_way(bytes in prop::collection::vec(any::<u8>(), 0..3000), kind: u8, times in 1usize..40) {
            for bytes in [bytes.repeat(times), vec![kind; bytes.len() * times], vec![0xff; bytes.len()]] {
                let (mut digits, mut wide) = (Sum::default(), Sum::default());
                let (blocks, rest) = bytes.as_chunks();
                digits.add_folded(sum_digits(blocks) + sum_short(rest));
                wide.add_folded(sum_long(&bytes));
                prop_assert_eq!((digits.checksum(), wide.checksum()), (slow(&bytes), slow(&bytes)));
            }
        }

        #[test]
        fn pieces_add_up_to_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..700), cut in 0usize..700) {
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            let mut sum = Sum::default();
            sum.add_pieces([left, right].into_iter());
            prop_assert_eq!(sum.checksum(), slow(&bytes));
        }

        #[test]
        fn a_header_is_as_good_as_its_words(words in prop::collection::vec(any::<u32>(), 0..15), rest in any::<[u8; 9]>()) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let total = words.iter().map(|&word| u64::from(word)).sum();
            prop_assert_eq!(checksum_of_words(total), slow(&bytes));
            let mut sum = Sum::default();
            sum.add(&rest[..8]);
            sum.add_words(total);
            prop_assert_eq!(sum.checksum(), slow(&[&rest[..8], &bytes].concat()));
        }

        #[test]
        fn what_is_taken_away_was_never_there(a in prop::collection::vec(any::<u8>(), 0..60), b in prop::collection::vec(1..=u8::MAX, 1..60)) {
            let head = &a[..a.len() & !1];
            let (mut whole, mut tail) = (Sum::default(), Sum::default());
            whole.add(&[head, &b[..]].concat());
            whole.subtract(head);
            tail.add(&b);
            prop_assert_eq!(whole.checksum(), tail.checksum());
        }

        #[test]
        fn a_message_with_its_checksum_is_valid(mut bytes in prop::collection::vec(any::<u8>(), 2..200)) {
            bytes[..2].fill(0);
            let sum = checksum(&bytes);
            bytes[..2].copy_from_slice(&sum);
            prop_assert!(is_valid(&bytes));
        }
    }
}
