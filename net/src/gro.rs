//! Generic receive offload: segments of one flow that arrive in one poll go up the stack as one. A device with `rx-gro-hw` does the
//! same with what arrives before it interrupts.
//!
//! The rules are the kernel's (`dev_gro_receive`, `inet_gro_receive`, `ipv6_gro_receive`, `tcp_gro_receive`), and the tests are what it did when it
//! was asked. A flow's segments are held while they continue each other; what cannot continue completes what is held, so
//! order is kept within a flow. Everything is completed at the end of a poll, unless `gro_flush_timeout` lets it wait for the next.
//!
//! Nothing is copied and no header is rewritten: what follows the first segment hangs behind it, pulled to its text
//! (`frag_list`), and whoever wants the segments back pushes their headers again.
//!
//! # Simplifications
//! - TCP only. Packets with extension headers of IPv6 pass as they are, where the kernel looks behind some.

use crate::packet::{Frag, IpSummed, PacketBuf};
use crate::wire::checksum::{Sum, is_valid};
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{TcpFlags, TcpHeader};
use std::fmt;
use std::iter;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// One CPU's held segments, or one queue's in a device.
#[derive(Default)]
pub(crate) struct Gro {
    buckets: [Vec<Held>; BUCKETS],
    /// Where the segment before was put; what is there now may be another flow's.
    last: (usize, usize),
    /// An emptied list, kept for its room.
    spare: Vec<PacketBuf>,
}

/// `GRO_HASH_BUCKETS`
const BUCKETS: usize = 8;
/// `MAX_GRO_SKBS`: how many flows a bucket holds.
const HELD_MAX: usize = 8;
/// At 1000 Hz.
const JIFFY: Duration = Duration::from_millis(1);
/// `GRO_LEGACY_MAX_SIZE`: an IP packet stays shorter.
const PACKET_MAX: usize = 65_536;
/// Of shorter segments few are expected, and a list that turns out too short grows.
const TYPICAL_TEXT: usize = 1024;

/// Segments that continue each other, of one flow.
struct Held {
    /// The first one whole, and of the others what follows their headers.
    head: PacketBuf,
    rest: Vec<PacketBuf>,
    first: Candidate,
    /// Of the pseudo-header and of what is the same in the TCP headers of [those alike](Gro::receive_alike); `None` where none
    /// are expected.
    alike: Option<Sum>,
    /// The IP packet's length with everything that was merged.
    len: usize,
    next_seq: u32,
    /// Whether identifications count up; the second segment decides.
    counts_ids: Option<bool>,
    /// When the first one came; not kept where nothing is held for long.
    since: Option<Instant>,
}

/// Whether one of them could be merged. Looks at each frame's headers, as a driver does (`net_prefetch`): so they come out of memory side
/// by side, and not each when the one before was summed.
fn hold_tcp(frames: &[PacketBuf]) -> bool {
    let is_tcp = |frame: &PacketBuf| {
        let head = frame.data().first_chunk::<{ TCP_V4 }>();
        head.is_some_and(|head| match u16_at(head, 12) {
            0x86dd => head[IP + 6] == protocol::TCP,
            _ => head[IP + 9] == protocol::TCP,
        })
    };
    frames.iter().fold(false, |any, frame| any | is_tcp(frame))
}

/// What is to be known of a segment that may be merged.
#[derive(Clone, Copy)]
struct Candidate {
    /// Where the text begins in the frame, and how long it is.
    text_at: usize,
    text_len: usize,
    /// Where the TCP header begins, which tells the family.
    tcp: usize,
    seq: u32,
    flags: TcpFlags,
    ident: u16,
    bucket: usize,
    /// It is a super-segment already, and only order is to be kept.
    is_merged: bool,
}

// Where things stand in a frame without IP options or extension headers.
const IP: usize = EthernetHeader::LEN;
const TCP_V4: usize = IP + Ipv4Header::LEN;
const TCP_V6: usize = IP + Ipv6Header::LEN;
/// Behind the start of the TCP header.
const OPTIONS: usize = 20;
/// All headers, if the options are timestamps behind two bytes of padding.
const ALIKE: usize = TCP_V4 + OPTIONS + 12;

/// What the last segment may have, and the others have not.
const FIN_PSH: TcpFlags = TcpFlags::FIN.union(TcpFlags::PSH);

impl Gro {
    /// Merges what can be merged among the frames of a poll. Every byte that went in comes out, once.
    pub(crate) fn merge(&mut self, frames: &mut Vec<PacketBuf>) {
        let mut out = std::mem::take(&mut self.spare);
        if hold_tcp(frames) {
            for frame in frames.drain(..) {
                self.receive(frame, &mut out);
            }
        } else {
            std::mem::swap(frames, &mut out);
        }
        for bucket in 0..BUCKETS {
            while !self.buckets[bucket].is_empty() {
                self.complete(bucket, 0, &mut out);
            }
        }
        std::mem::swap(frames, &mut out);
        self.spare = out;
    }

    /// The same, but what could be continued is held; [`flush`](Gro::flush) brings it out.
    pub(crate) fn hold(&mut self, frames: &mut Vec<PacketBuf>, now: Instant) {
        let mut out = std::mem::take(&mut self.spare);
        for frame in frames.drain(..) {
            self.receive(frame, &mut out);
        }
        for held in self.buckets.iter_mut().flatten() {
            held.since.get_or_insert(now);
        }
        std::mem::swap(frames, &mut out);
        self.spare = out;
    }

    /// Whether anything is held.
    pub(crate) fn holds_any(&self) -> bool {
        self.buckets.iter().any(|bucket| !bucket.is_empty())
    }

    /// `napi_gro_flush`: completes what is held; with a time, only what was held then for more than a jiffy.
    pub(crate) fn flush(&mut self, out: &mut Vec<PacketBuf>, old_at: Option<Instant>) {
        let is_old = |held: &Held| match (old_at, held.since) {
            (Some(now), Some(since)) => now - since > JIFFY,
            (Some(_), None) => false,
            (None, _) => true,
        };
        for bucket in 0..BUCKETS {
            while let Some(at) = self.buckets[bucket].iter().position(is_old) {
                self.complete(bucket, at, out);
            }
        }
    }

    /// Takes one frame. What need not wait any longer goes to `out`; what could be continued is held.
    pub(crate) fn receive(&mut self, frame: PacketBuf, out: &mut Vec<PacketBuf>) {
        if let Some(other) = self.receive_alike(frame, out) {
            self.receive_any(other, out);
        }
    }

    /// The short way of a segment that differs from the one before in nothing but its number and its text, over IPv4 and with
    /// timestamps: what is known to be the same is not looked at twice. Gives back any other.
    #[inline]
    fn receive_alike(&mut self, mut frame: PacketBuf, out: &mut Vec<PacketBuf>) -> Option<PacketBuf> {
        let (bucket, at) = self.last;
        let Some(held) = self.buckets[bucket].get_mut(at).filter(|held| held.is_continued_alike(&mut frame)) else {
            return Some(frame);
        };
        let is_last = TcpHeader::flags_of(&frame.data()[TCP_V4..]).intersects(FIN_PSH);
        frame.pull(ALIKE);
        held.push(frame, held.first.text_len, false);
        if is_last {
            self.complete(bucket, at, out);
        }
        None
    }

    #[inline(never)]
    fn receive_any(&mut self, mut frame: PacketBuf, out: &mut Vec<PacketBuf>) {
        let Some(new) = Candidate::of(&mut frame) else { return out.push(frame) };
        let same = |held: &Held| held.first.tcp == new.tcp && is_same_flow(held.head.data(), frame.data(), new.tcp);
        let Some(at) = self.buckets[new.bucket].iter().position(same) else { return self.begin(frame, new, out) };
        let held = &mut self.buckets[new.bucket][at];
        if held.continues_with(&frame, &new) {
            let is_last = new.text_len < held.first.text_len || new.is_final();
            frame.pull(new.text_at);
            held.push(frame, new.text_len, new.ident != held.first.ident);
            self.last = (new.bucket, at);
            if is_last {
                self.complete(new.bucket, at, out);
            }
            return;
        }
        // Order is kept: what is held goes first.
        self.complete(new.bucket, at, out);
        self.begin(frame, new, out);
    }

    /// Holds the first segment of a flow, unless nothing may follow it.
    fn begin(&mut self, frame: PacketBuf, first: Candidate, out: &mut Vec<PacketBuf>) {
        if first.text_len == 0 || first.is_merged || first.is_final() {
            return out.push(frame);
        }
        if self.buckets[first.bucket].len() >= HELD_MAX {
            self.complete(first.bucket, 0, out);
        }
        let len = frame.len() - IP;
        let next_seq = first.seq.wrapping_add(first.text_len as u32);
        self.last = (first.bucket, self.buckets[first.bucket].len());
        self.buckets[first.bucket].push(Held {
            alike: first.sum_of_alike(&frame),
            head: frame,
            rest: Vec::new(),
            first,
            len,
            next_seq,
            counts_ids: None,
            since: None,
        });
    }

    /// `napi_gro_complete`
    fn complete(&mut self, bucket: usize, at: usize, out: &mut Vec<PacketBuf>) {
        let mut held = self.buckets[bucket].remove(at);
        if !held.rest.is_empty() {
            held.head.set_rest(held.rest);
        }
        out.push(held.head);
    }
}

impl fmt::Debug for Gro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: usize = self.buckets.iter().map(Vec::len).sum();
        f.debug_struct("Gro").field("held", &held).finish_non_exhaustive()
    }
}

impl Held {
    /// `tcp_gro_receive`: whether nothing but FIN and PSH tells the new segment from the ones before it.
    fn continues_with(&self, frame: &PacketBuf, new: &Candidate) -> bool {
        let (old_bytes, new_bytes) = (self.head.data(), frame.data());
        let changed = (self.first.flags ^ new.flags) - FIN_PSH;
        let tcp = new.tcp;
        changed.is_empty()
            && !new.is_merged
            && !new.flags.contains(TcpFlags::CWR)
            && new.seq == self.next_seq
            && (1..=self.first.text_len).contains(&new.text_len)
            && self.len + new.text_len < PACKET_MAX
            && self.ip_continues_with(new_bytes, new)
            // Acknowledgement; window; options.
            && (old_bytes[tcp + 12], chunk::<4>(old_bytes, tcp + 8)) == (new_bytes[tcp + 12], chunk(new_bytes, tcp + 8))
            && chunk::<2>(old_bytes, tcp + 14) == chunk(new_bytes, tcp + 14)
            && are_options_equal(&old_bytes[tcp + OPTIONS..self.first.text_at], &new_bytes[tcp + OPTIONS..new.text_at])
    }

    /// `inet_gro_flush`, `ipv6_gro_flush`
    fn ip_continues_with(&self, new_bytes: &[u8], new: &Candidate) -> bool {
        let old_bytes = self.head.data();
        if new.tcp == TCP_V6 {
            // Traffic class, and the flow label that is known to be the same; hop limit.
            return old_bytes[IP..IP + 2] == new_bytes[IP..IP + 2] && old_bytes[IP + 7] == new_bytes[IP + 7];
        }
        let steps = new.ident.wrapping_sub(self.first.ident);
        let ids_continue = match self.counts_ids {
            Some(true) => usize::from(steps) == self.rest.len() + 1,
            Some(false) => steps == 0,
            None => steps <= 1,
        };
        ids_continue
            // Type of service; DF and time to live.
            && old_bytes[IP + 1] == new_bytes[IP + 1]
            && (old_bytes[IP + 8], chunk::<2>(old_bytes, IP + 6)) == (new_bytes[IP + 8], chunk(new_bytes, IP + 6))
    }

    /// [`continues_with`](Self::continues_with) for a segment of which everything is the same that may be: the headers, up to the
    /// ports with the checksum of IP, and with it the length. What differs is summed, and with the text the rest of the headers.
    #[inline]
    fn is_continued_alike(&self, frame: &mut PacketBuf) -> bool {
        let (Some(mut sum), Some(held), Some(new)) =
            (self.alike, self.head.data().first_chunk::<ALIKE>(), frame.data().first_chunk::<ALIKE>())
        else {
            return false;
        };
        const PORTS_END: usize = TCP_V4 + 4;
        let (flags, before) = (TcpHeader::flags_of(&new[TCP_V4..]), self.first.flags);
        let is_alike = chunk::<PORTS_END>(held, 0) == chunk(new, 0)
            && u32_at(new, TCP_V4 + 4) == self.next_seq
            && (held[TCP_V4 + 12], chunk::<4>(held, TCP_V4 + 8)) == (new[TCP_V4 + 12], chunk(new, TCP_V4 + 8))
            && chunk::<2>(held, TCP_V4 + 14) == chunk(new, TCP_V4 + 14)
            && chunk::<12>(held, TCP_V4 + OPTIONS) == chunk(new, TCP_V4 + OPTIONS)
            && frame.len() == self.first.text_at + self.first.text_len
            && ((before ^ flags) - FIN_PSH).is_empty()
            && !flags.contains(TcpFlags::CWR)
            && self.counts_ids != Some(true)
            && !is_merged(frame)
            && self.len + self.first.text_len < PACKET_MAX;
        if !is_alike || !frame.rx.ip_summed.is_open() {
            return is_alike;
        }
        sum.add_words([4, 12, 16].iter().map(|at| u64::from(u32_at(new, TCP_V4 + at))).sum());
        match (&frame.data()[ALIKE..], frame.frags()) {
            ([], [text]) => sum.add(text.bytes()),
            (text, frags) => sum.add_pieces(iter::once(text).chain(frags.iter().map(Frag::bytes))),
        }
        if sum.is_valid() {
            frame.rx.ip_summed = IpSummed::Unnecessary;
        }
        sum.is_valid()
    }

    fn push(&mut self, text: PacketBuf, text_len: usize, counts_ids: bool) {
        self.counts_ids.get_or_insert(counts_ids);
        self.len += text_len;
        self.next_seq = self.next_seq.wrapping_add(text_len as u32);
        if self.rest.is_empty() {
            self.rest.reserve(PACKET_MAX / self.first.text_len.max(TYPICAL_TEXT));
        }
        self.rest.push(text);
    }
}

impl Candidate {
    /// A whole TCP segment, whose checksums hold; that of the segment need not be looked at again.
    fn of(frame: &mut PacketBuf) -> Option<Candidate> {
        let (data, len) = (frame.data(), frame.len());
        let tcp = tcp_of(data, len)?;
        let text_at = tcp + usize::from(data[tcp + 12] >> 4) * 4;
        if !(tcp + OPTIONS..=data.len()).contains(&text_at) {
            return None;
        }
        let new = Candidate {
            text_at,
            text_len: len - text_at,
            tcp,
            seq: u32_at(data, tcp + 4),
            flags: TcpFlags::from_bits_retain(data[tcp + 13]),
            ident: if tcp == TCP_V4 { u16_at(data, IP + 4) } else { 0 },
            bucket: bucket_of(data, tcp),
            is_merged: is_merged(frame),
        };
        if frame.rx.ip_summed.is_open() {
            // The addresses, which the pseudo-header has, stand right before TCP's header in both families.
            let mut sum = Sum::default();
            sum.add_field((len - tcp) as u16);
            sum.add_field(protocol::TCP.into());
            let addresses = tcp - 2 * address_len(tcp);
            if let Some(device) = frame.device_sum() {
                sum.add(&device);
                sum.subtract(&data[IP..addresses]);
            } else {
                sum.add_pieces(iter::once(&data[addresses..]).chain(frame.frags().iter().map(Frag::bytes)));
            }
            if !sum.is_valid() {
                return None;
            }
            frame.rx.ip_summed = IpSummed::Unnecessary;
        }
        Some(new)
    }

    /// What [`Held::alike`] is for a frame that begins with it.
    fn sum_of_alike(&self, frame: &PacketBuf) -> Option<Sum> {
        let mut header: [u8; ALIKE] = *frame.data().first_chunk()?;
        if (self.tcp, self.text_at) != (TCP_V4, ALIKE) {
            return None;
        }
        // The number; length and flags, window, checksum and urgent pointer.
        header[TCP_V4 + 4..TCP_V4 + 8].fill(0);
        header[TCP_V4 + 12..TCP_V4 + OPTIONS].fill(0);
        let mut sum = Sum::default();
        sum.add_field((frame.len() - TCP_V4) as u16);
        sum.add_field(protocol::TCP.into());
        sum.add(&header[TCP_V4 - 8..]);
        Some(sum)
    }

    /// Whether nothing may follow it in the same packet.
    fn is_final(&self) -> bool {
        self.flags.intersects(TcpFlags::URG | TcpFlags::PSH | TcpFlags::RST | TcpFlags::SYN | TcpFlags::FIN)
    }
}

/// Whether somebody has put it together already, or nobody has cut it.
fn is_merged(frame: &PacketBuf) -> bool {
    frame.rx.gso_size > 0 || !frame.rest().is_empty()
}

/// Where the TCP header begins of a whole packet that could be merged, in a frame of `len` bytes, of which `data` are the first.
#[inline]
fn tcp_of(data: &[u8], len: usize) -> Option<usize> {
    if data.len() < TCP_V4 + OPTIONS {
        return None;
    }
    match (u16_at(data, 12), data[IP]) {
        (0x0800, 0x45) => {
            let is_whole = usize::from(u16_at(data, IP + 2)) == len - IP && u16_at(data, IP + 6) & 0x3fff == 0;
            (is_whole && data[IP + 9] == protocol::TCP && is_valid(&chunk::<{ Ipv4Header::LEN }>(data, IP)))
                .then_some(TCP_V4)
        }
        (0x86dd, 0x60..=0x6f) => {
            let is_whole = data.len() >= TCP_V6 + OPTIONS && usize::from(u16_at(data, IP + 4)) == len - TCP_V6;
            (is_whole && data[IP + 6] == protocol::TCP).then_some(TCP_V6)
        }
        _ => None,
    }
}

/// How long an address is, by where TCP's header begins.
fn address_len(tcp: usize) -> usize {
    if tcp == TCP_V4 { 4 } else { 16 }
}

/// Addresses and ports, in the kernel's place the hash of the device.
#[inline]
fn bucket_of(data: &[u8], tcp: usize) -> usize {
    // Of an IPv6 address, its last words tell most.
    let (src, dst) = (u32_at(data, tcp - address_len(tcp) - 4), u32_at(data, tcp - 4));
    ((src ^ dst ^ u32_at(data, tcp)).wrapping_mul(0x9e37_79b9) >> 29) as usize
}

/// Ethernet header, addresses and ports; of IPv6 the flow label, too. Both frames have TCP's header at `tcp`.
fn is_same_flow(held: &[u8], new: &[u8], tcp: usize) -> bool {
    if chunk::<12>(held, 0) != chunk(new, 0) {
        return false;
    }
    if tcp == TCP_V4 {
        return chunk::<12>(held, TCP_V4 - 8) == chunk(new, TCP_V4 - 8);
    }
    let label = |data: &[u8]| u32_at(data, IP) & 0x000f_ffff;
    chunk::<36>(held, TCP_V6 - 32) == chunk(new, TCP_V6 - 32) && label(held) == label(new)
}

/// Mostly timestamps behind two bytes of padding, or none.
#[inline]
fn are_options_equal(held: &[u8], new: &[u8]) -> bool {
    match (<&[u8; 12]>::try_from(held), <&[u8; 12]>::try_from(new)) {
        (Ok(held), Ok(new)) => held == new,
        _ => held == new,
    }
}

/// So many bytes, whose number is known: they are compared in registers.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("a frame that is looked at has all headers")
}

#[inline(always)]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(chunk(bytes, at))
}

#[inline(always)]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(chunk(bytes, at))
}

#[cfg(test)]
mod tests;
