//! Generic segmentation offload (`tcp_gso_segment`): a super-segment leaves as the segments that it stands for, each in a frame
//! of its own, but route, neighbour and headers are found once for all of them.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::demux::FourTuple;
use crate::stack::ip::{HEADROOM, Lower};
use crate::stack::ip_settings::IpFields;
use crate::stack::tcp::emit::{copied_len, send_segment};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};

/// Sends `len` bytes of text in segments of `mss`, the last one of what is left. `put` puts as many bytes of the text into a
/// packet, from an offset on, and returns their sum.
pub(crate) fn send_cut(
    lower: &mut Lower<'_>,
    flow: &FourTuple,
    (header, fields): (&mut TcpHeader, IpFields),
    (len, mss): (u32, u32),
    mut put: impl FnMut(&mut PacketBuf, u32, usize) -> Sum,
) {
    let last = len.saturating_sub(1) / mss * mss;
    let (seq, flags) = (header.seq, header.flags);
    let (mut at, mut template) = (0, None::<Template>);
    while at < len {
        let n = mss.min(len - at);
        match &template {
            Some(template) if at < last => template.send(lower, seq + at, |packet| put(packet, at, n as usize)),
            _ => {
                let (is_first, is_last) = (at == 0, at == last);
                let others = if is_last { TcpFlags::empty() } else { TcpFlags::FIN | TcpFlags::PSH };
                header.seq = seq + at;
                header.flags = flags - others - if is_first { TcpFlags::empty() } else { TcpFlags::CWR };
                let queued = lower.fx.tx.len();
                send_segment(lower, flow, (header, fields), (n as usize, 0), |packet| put(packet, at, n as usize));
                // Unless it waits for its neighbour, or goes elsewhere than to the device.
                if is_first && lower.fx.tx.len() == queued + 1 {
                    template = lower.fx.tx.last().and_then(|frame| Template::of(frame, header, flow, n as usize));
                }
            }
        }
        at += n;
    }
}

/// The headers of all segments between the first and the last: they differ in sequence number and checksum.
struct Template {
    bytes: [u8; HEADERS_MAX],
    len: usize,
    /// Where the TCP header begins.
    tcp: usize,
    text_len: usize,
    /// Of the pseudo-header, and of the TCP header without what differs.
    sum: Sum,
    v4: bool,
}

/// Ethernet, IPv6, and the longest TCP header.
const HEADERS_MAX: usize = 14 + 40 + 60;

impl Template {
    /// From the first of the segments, which has `text_len` bytes of text.
    fn of(frame: &PacketBuf, header: &TcpHeader, flow: &FourTuple, text_len: usize) -> Option<Template> {
        let len = frame.len().checked_sub(text_len)?;
        let tcp = len.checked_sub(header.header_len())?;
        let mut bytes = [0; HEADERS_MAX];
        bytes.get_mut(..len)?.copy_from_slice(&frame.data()[..len]);
        TcpHeader::set_flags(&mut bytes[tcp..], header.flags - TcpFlags::CWR);
        let v4 = flow.is_v4();
        let (src, dst) = (flow.local.ip(), flow.remote.ip());
        let mut sum = Sum::pseudo_header(src, dst, protocol::TCP, header.header_len() + text_len);
        let mut summed = bytes;
        TcpHeader::set_seq(&mut summed[tcp..], SeqNumber(0));
        TcpHeader::set_checksum(&mut summed[tcp..], [0, 0]);
        sum.add(&summed[tcp..len]);
        Some(Template { bytes, len, tcp, text_len, sum, v4 })
    }

    #[inline]
    fn send(&self, lower: &mut Lower<'_>, seq: SeqNumber, put: impl FnOnce(&mut PacketBuf) -> Sum) {
        let ip = &mut *lower.ip;
        ip.counters.count(Mib::TcpOutSegs);
        let Some(mut packet) = ip.pool.alloc(HEADROOM + self.len, copied_len(self.text_len)) else {
            return ip.drops.count(DropReason::Nomem);
        };
        ip.counters.count(if self.v4 { Mib::IpOutRequests } else { Mib::Ip6OutRequests });
        let text = put(&mut packet);
        packet.push(self.len).copy_from_slice(&self.bytes[..self.len]);
        let header = &mut packet.data_mut()[self.tcp..];
        TcpHeader::set_seq(header, seq);
        if ip.config.checksum_offload {
            // What stands there is the pseudo-header's sum, which is the same for all.
            packet.leave_checksum_at(self.tcp, TcpHeader::CHECKSUM_OFFSET.into());
        } else {
            let mut sum = self.sum;
            sum.add_words(seq.0.into());
            sum.add_at(0, text);
            TcpHeader::set_checksum(header, sum.checksum());
        }
        ip.hand_over(packet, lower.fx);
    }
}
