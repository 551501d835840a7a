//! The virtio header that a TAP device puts before each frame: what one side has left to the other (`struct virtio_net_hdr`).
//!
//! A checksum that is still to be made, and super-segments that are still to be cut, pass the device as they are, in both
//! directions. Who takes a frame says what it takes; the link does the rest (`nic/segmentation.rs`).

use crate::event::DropReason;
use crate::packet::{IpSummed, PacketBuf, PoolCache};
use crate::wire::checksum::checksum;
use crate::wire::completion::{Transport, complete};
use crate::wire::ethernet::{EtherType, EthernetHeader};
use zerocopy::byteorder::native_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header, in the byte order of the machine, as a TAP device has it unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: U16,
    gso_size: U16,
    csum_start: U16,
    csum_offset: U16,
}

/// The checksum from `csum_start` on is to be stored `csum_offset` behind that.
const F_NEEDS_CSUM: u8 = 1;
/// The checksum has been verified.
const F_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// Beside the type: the segments have ECN's CWR bit, which whoever cuts them knows how to treat.
const GSO_ECN: u8 = 0x80;

impl VnetHeader {
    pub(crate) const LEN: usize = size_of::<VnetHeader>();

    /// What is left to do to `frame`, for the kernel.
    pub(crate) fn of(frame: &PacketBuf) -> VnetHeader {
        let mut header = VnetHeader::default();
        let Some((start, at)) = frame.left_checksum() else { return header };
        header.flags = F_NEEDS_CSUM;
        header.csum_start = as_u16(start);
        header.csum_offset = as_u16(at - start);
        if frame.rx.gso_size > 0 {
            let data = frame.data();
            let is_v6 = EthernetHeader::parse(data).is_ok_and(|ethernet| ethernet.ethertype == EtherType::Ipv6);
            header.gso_type = if is_v6 { GSO_TCPV6 } else { GSO_TCPV4 };
            header.gso_size = U16::new(frame.rx.gso_size);
            let tcp_header = data.get(start + 12).map_or(0, |offset| usize::from(offset >> 4) * 4);
            header.hdr_len = as_u16(start + tcp_header);
        }
        header
    }

    /// Notes on a frame that the kernel has sent what is left to do to it, and adds it to `out`. Datagrams that were to be cut
    /// are cut here: no device of ours does.
    ///
    /// # Errors
    /// Why the frame is lost: the header says what can not be of it.
    pub(crate) fn apply(
        self,
        mut frame: PacketBuf,
        pool: &mut PoolCache,
        out: &mut Vec<PacketBuf>,
    ) -> Result<(), DropReason> {
        let (start, offset) = (usize::from(self.csum_start.get()), usize::from(self.csum_offset.get()));
        if self.flags & F_NEEDS_CSUM != 0 {
            frame.leave_checksum_at(start, offset);
            if frame.left_checksum().is_none() {
                return Err(DropReason::PktTooSmall);
            }
        } else if self.flags & F_DATA_VALID != 0 {
            frame.rx.ip_summed = IpSummed::Unnecessary;
        }
        let size = self.gso_size.get();
        match self.gso_type & !GSO_ECN {
            GSO_NONE => {}
            GSO_TCPV4 | GSO_TCPV6 if frame.left_checksum().is_some() && size > 0 => {
                let headers = usize::from(self.hdr_len.get()).clamp(start, frame.len());
                frame.rx.gso_size = size;
                frame.rx.gso_segs = (frame.len() - headers).div_ceil(usize::from(size)) as u16;
            }
            GSO_UDP_L4 if size > 0 => return cut_datagrams(&frame, usize::from(size), pool, out),
            _ => return Err(DropReason::UnhandledProto),
        }
        out.push(frame);
        Ok(())
    }
}

/// Positions in a frame fit: it has at most 64 KiB and its headers stand at its beginning.
fn as_u16(n: usize) -> U16 {
    U16::new(u16::try_from(n).unwrap_or(u16::MAX))
}

const UDP_HEADER: usize = 8;

/// `__udp_gso_segment`: datagrams of `size` bytes of text each, the last of what is left, with their checksums.
fn cut_datagrams(
    frame: &PacketBuf,
    size: usize,
    pool: &mut PoolCache,
    out: &mut Vec<PacketBuf>,
) -> Result<(), DropReason> {
    let transport = Transport::find(frame.data()).ok_or(DropReason::IpInhdr)?;
    let headers = transport.start + UDP_HEADER;
    let (head, text) = frame.data()[..transport.end].split_at(headers);
    for (number, text) in text.chunks(size).enumerate() {
        let mut packet = pool.alloc(0, headers + text.len()).ok_or(DropReason::Nomem)?;
        packet.put(headers).copy_from_slice(head);
        packet.put(text.len()).copy_from_slice(text);
        let data = packet.data_mut();
        let datagram_len = (UDP_HEADER + text.len()) as u16;
        data[transport.start + 4..transport.start + 6].copy_from_slice(&datagram_len.to_be_bytes());
        let ip = &mut data[EthernetHeader::LEN..transport.start];
        if ip[0] >> 4 == 4 {
            let total_len = ip.len() as u16 + datagram_len;
            ip[2..4].copy_from_slice(&total_len.to_be_bytes());
            let ident = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(number as u16);
            ip[4..6].copy_from_slice(&ident.to_be_bytes());
            ip[10..12].fill(0);
            let sum = checksum(ip);
            ip[10..12].copy_from_slice(&sum);
        } else {
            ip[4..6].copy_from_slice(&datagram_len.to_be_bytes());
        }
        complete(data);
        out.push(packet);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nic::checksumming::{Verdict, verify};
    use crate::packet::Pool;
    use crate::wire::ipv4::{Ipv4Header, protocol};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    /// An IPv4 frame of `protocol` with `len` bytes behind the IP header, all of them 7.
    fn frame(pool: &Pool, protocol: u8, len: usize) -> PacketBuf {
        let mut frame = pool.cache().alloc(0, 34 + len).unwrap();
        frame.put(14).copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        let header = Ipv4Header::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), protocol, len);
        header.emit(frame.put(Ipv4Header::LEN).first_chunk_mut().unwrap());
        frame.put(len).fill(7);
        frame
    }

    fn apply(header: VnetHeader, frame: PacketBuf, pool: &Pool) -> Result<Vec<PacketBuf>, DropReason> {
        let mut out = Vec::new();
        header.apply(frame, &mut pool.cache(), &mut out)?;
        Ok(out)
    }

    #[test]
    fn what_is_left_goes_out_and_comes_in_alike() {
        let pool = Pool::new(1 << 20);
        let mut sent = frame(&pool, protocol::TCP, 5020);
        sent.data_mut()[34 + 12] = 5 << 4;
        assert_eq!(VnetHeader::of(&sent), VnetHeader::default(), "nothing was left to the device");
        sent.leave_checksum_at(34, 16);
        (sent.rx.gso_size, sent.rx.gso_segs) = (1000, 5);
        let header = VnetHeader::of(&sent);
        assert_eq!(
            (
                header.flags,
                header.gso_type,
                header.hdr_len.get(),
                header.gso_size.get(),
                header.csum_start.get(),
                header.csum_offset.get()
            ),
            (F_NEEDS_CSUM, GSO_TCPV4, 54, 1000, 34, 16)
        );
        let got = apply(header, frame(&pool, protocol::TCP, 5020), &pool).unwrap();
        assert_eq!((got[0].left_checksum(), got[0].rx.gso_size, got[0].rx.gso_segs), (Some((34, 50)), 1000, 5));
    }

    #[test]
    fn datagrams_are_cut() {
        let pool = Pool::new(1 << 20);
        let header = VnetHeader {
            flags: F_NEEDS_CSUM,
            gso_type: GSO_UDP_L4,
            gso_size: 1000.into(),
            csum_start: 34.into(),
            csum_offset: 6.into(),
            ..VnetHeader::default()
        };
        let got = apply(header, frame(&pool, protocol::UDP, 8 + 2500), &pool).unwrap();
        let lens: Vec<_> = got.iter().map(|frame| frame.len() - 42).collect();
        assert_eq!(lens, [1000, 1000, 500]);
        for frame in &got {
            let ip = Ipv4Header::parse(&frame.data()[14..]).unwrap();
            assert_eq!((ip.payload_len(), verify(frame)), (frame.len() - 34, Verdict::Good));
        }
    }

    #[test]
    fn what_can_not_be_is_lost_with_a_reason() {
        let pool = Pool::new(1 << 20);
        let check =
            |header, reason| assert_eq!(apply(header, frame(&pool, protocol::TCP, 100), &pool).unwrap_err(), reason);
        let outside = VnetHeader {
            flags: F_NEEDS_CSUM,
            csum_start: 5000.into(),
            csum_offset: 16.into(),
            ..VnetHeader::default()
        };
        check(outside, DropReason::PktTooSmall);
        check(
            VnetHeader { gso_type: GSO_TCPV4, gso_size: 1000.into(), ..VnetHeader::default() },
            DropReason::UnhandledProto,
        );
        check(VnetHeader { gso_type: 3, gso_size: 1000.into(), ..VnetHeader::default() }, DropReason::UnhandledProto);
    }

    proptest! {
        #[test]
        fn no_header_panics(header in any::<[u8; 10]>(), len in 0_usize..3000, transport in any::<[u8; 20]>(), six in any::<bool>()) {
            let pool = Pool::new(1 << 22);
            let mut frame = frame(&pool, header[0], len);
            let n = len.min(20);
            frame.data_mut()[34..34 + n].copy_from_slice(&transport[..n]);
            if six {
                frame.data_mut()[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
            }
            if let Ok(mut frames) = apply(VnetHeader::read_from_bytes(&header).unwrap(), frame, &pool) {
                crate::nic::segmentation::finish(&mut frames, crate::nic::offloads::Offloads::empty(), &mut pool.cache());
                let _headers: Vec<_> = frames.iter().map(VnetHeader::of).collect();
            }
        }
    }
}
