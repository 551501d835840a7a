//! From a header and a text to a frame on its way down.

use crate::event::{DropReason, Event};
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::demux::FourTuple;
use crate::stack::ip::{HEADROOM, Lower};
use crate::stack::ip_settings::IpFields;
use crate::stack::tcp::control_block::Reset;
use crate::stack::tcp::send_queue::COPY_BREAK;
use crate::wire::checksum::Sum;
use crate::wire::ip::Envelope;
use crate::wire::ipv4::protocol;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;

/// Sends a segment whose `len` bytes of text `put` puts into it, returning their sum. With a `gso_size` the device cuts it.
#[inline]
pub(crate) fn send_segment(
    lower: &mut Lower<'_>,
    flow: &FourTuple,
    (header, fields): (&TcpHeader, IpFields),
    (len, gso_size): (usize, u16),
    put: impl FnOnce(&mut PacketBuf) -> Sum,
) {
    let ip = &mut *lower.ip;
    ip.counters.count(Mib::TcpOutSegs);
    let header_len = header.header_len();
    let Some(mut packet) = ip.pool.alloc(HEADROOM + header_len, copied_len(len)) else {
        // As if the device had lost it: the timers bring it back.
        return ip.drops.count(DropReason::Nomem);
    };
    let (src, dst) = (flow.local.ip(), flow.remote.ip());
    let text = put(&mut packet);
    let sums = (!ip.config.checksum_offload).then(|| {
        let mut sum = Sum::pseudo_header(src, dst, protocol::TCP, header_len + len);
        sum.add_at(0, text);
        sum
    });
    header.emit(packet.push(header_len), sums);
    if sums.is_none() {
        let seed = Sum::pseudo_header(src, dst, protocol::TCP, header_len + len);
        TcpHeader::seed_checksum(packet.data_mut(), seed);
        packet.leave_checksum(TcpHeader::CHECKSUM_OFFSET);
    }
    if gso_size > 0 {
        let segs = len.div_ceil(gso_size.into());
        (packet.rx.gso_size, packet.rx.gso_segs) = (gso_size, segs as u16);
        ip.counters.count_many(Mib::TcpOutSegs, segs as u64 - 1);
    }
    // Who is refused by the route hears of it when the timers give up, or from ICMP.
    let envelope = Envelope { tos: fields.tos, hop_limit: fields.hop_limit, ..Envelope::new(src, dst, protocol::TCP) };
    let _ = ip.send(packet, &envelope, lower.now, lower.fx);
}

/// How much room a segment with so much text needs for it: none where it refers to it.
#[inline]
pub(crate) const fn copied_len(len: usize) -> usize {
    if len < COPY_BREAK { len } else { 0 }
}

/// Sends a segment without text.
pub(crate) fn send_bare(lower: &mut Lower<'_>, flow: &FourTuple, header: &TcpHeader, fields: IpFields) {
    send_segment(lower, flow, (header, fields), (0, 0), |_| Sum::default());
}

/// Sends a segment that only acknowledges; with timestamps where the connection has them.
pub(crate) fn send_ack(
    lower: &mut Lower<'_>,
    flow: &FourTuple,
    (seq, ack): (SeqNumber, SeqNumber),
    window: u16,
    timestamps: Option<(u32, u32)>,
    fields: IpFields,
) {
    let options = TcpOptions { timestamps, ..TcpOptions::default() };
    let header = TcpHeader { window, options, ..bare(flow, seq, ack, TcpFlags::ACK) };
    send_bare(lower, flow, &header, fields);
}

/// Sends a reset.
pub(crate) fn send_reset(lower: &mut Lower<'_>, flow: &FourTuple, reset: Reset, fields: IpFields) {
    let header = match reset {
        Reset::At(seq) => bare(flow, seq, SeqNumber(0), TcpFlags::RST),
        Reset::Abort { seq, ack } => bare(flow, seq, ack, TcpFlags::RST | TcpFlags::ACK),
    };
    lower.ip.counters.count(Mib::TcpOutRsts);
    let (sport, dport) = (header.src_port, header.dst_port);
    lower.fx.tracer.emit(|| Event::TcpSendReset { sport, dport });
    send_bare(lower, flow, &header, fields);
}

/// RFC 9293 3.10.7.1: the reset that answers a segment for which there is no connection. Never to a reset.
pub(crate) fn refuse(lower: &mut Lower<'_>, flow: &FourTuple, header: &TcpHeader, text_len: usize, fields: IpFields) {
    if header.flags.contains(TcpFlags::RST) {
        return;
    }
    let reset = if header.flags.contains(TcpFlags::ACK) {
        Reset::At(header.ack)
    } else {
        Reset::Abort { seq: SeqNumber(0), ack: header.seq + header.sequence_len(text_len) }
    };
    send_reset(lower, flow, reset, fields);
}

fn bare(flow: &FourTuple, seq: SeqNumber, ack: SeqNumber, flags: TcpFlags) -> TcpHeader {
    TcpHeader {
        src_port: flow.local.port(),
        dst_port: flow.remote.port(),
        seq,
        ack,
        flags,
        window: 0,
        urgent: 0,
        options: TcpOptions::default(),
    }
}
