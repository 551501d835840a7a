//! Segments that nobody has sent.

use crate::packet::PacketBuf;
use crate::stack::socket::SocketId;
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::testing::world::*;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;

/// A frame with a segment from the client's address to the server's.
pub(crate) fn forge(header: &TcpHeader, text: &[u8]) -> Vec<u8> {
    forge_to(SERVER, header, text)
}

/// A frame with a segment for `to` from the other host's address.
pub(crate) fn forge_to(to: usize, header: &TcpHeader, text: &[u8]) -> Vec<u8> {
    let from = 1 - to;
    let len = header.header_len() + text.len();
    let mut sum = Sum::pseudo_header(ADDR[from].into(), ADDR[to].into(), protocol::TCP, len);
    sum.add(text);
    let mut tcp = vec![0; header.header_len()];
    header.emit(&mut tcp, Some(sum));
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv4Header::LEN]);
    EthernetHeader { dst: MAC[to], src: MAC[from], ethertype: EtherType::Ipv4 }.emit(&mut ethernet);
    Ipv4Header::new(ADDR[from], ADDR[to], protocol::TCP, len).emit(&mut ip);
    [&ethernet[..], &ip, &tcp, text].concat()
}

pub(crate) fn inject(world: &mut World, bytes: &[u8]) {
    inject_to(world, SERVER, bytes);
}

pub(crate) fn inject_to(world: &mut World, to: usize, bytes: &[u8]) {
    if let Some(frame) = PacketBuf::from_bytes(&world.pool, bytes) {
        world.call(to, |stack, now, fx| {
            stack.on_frame(now, frame, fx);
            stack.on_batch_end(now, fx);
        });
    }
}

pub(crate) fn block(world: &mut World, id: SocketId) -> &ControlBlock {
    block_of(world, SERVER, id)
}

pub(crate) fn block_of(world: &mut World, host: usize, id: SocketId) -> &ControlBlock {
    &world.stacks[host].sockets.connection_at(id.index()).unwrap().block
}

/// A header that the client could have sent now: exactly in order, with a timestamp of this moment.
pub(crate) fn in_order(world: &mut World, client: SocketId, server: SocketId, flags: TcpFlags) -> TcpHeader {
    let src_port = world.stacks[CLIENT].local_addr(client).unwrap().port();
    let (_, rcv_nxt, _) = block(world, server).time_wait_variables();
    let (snd_nxt, _, _) = block(world, server).send_variables();
    let now = world.now;
    let recent = block(world, server).timestamp(now);
    let timestamps =
        world.stacks[CLIENT].sockets.connection_at(client.index()).map(|c| (c.block.timestamp(now), recent));
    let (ack, options) = (SeqNumber(snd_nxt), TcpOptions { timestamps, ..TcpOptions::default() });
    TcpHeader { src_port, dst_port: 7, seq: rcv_nxt, ack, flags, window: 1000, urgent: 0, options }
}

/// The server's SYN-ACK for a client that has just sent its SYN to port 7.
pub(crate) fn answer_to_syn(world: &mut World, client: SocketId) -> TcpHeader {
    let dst_port = world.stacks[CLIENT].local_addr(client).unwrap().port();
    let now = world.now;
    let (snd_nxt, _, _) = block_of(world, CLIENT, client).send_variables();
    let timestamps = Some((1, block_of(world, CLIENT, client).timestamp(now)));
    let options = TcpOptions {
        mss: Some(1460),
        timestamps,
        sack_permitted: true,
        window_scale: Some(7),
        ..TcpOptions::default()
    };
    let (flags, ack) = (TcpFlags::SYN | TcpFlags::ACK, SeqNumber(snd_nxt));
    TcpHeader { src_port: 7, dst_port, seq: SeqNumber(77), ack, flags, window: 1000, urgent: 0, options }
}
