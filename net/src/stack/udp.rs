//! UDP (RFC 768): datagrams in, queued and charged by `truesize`, and datagrams out.

use crate::event::DropReason;
use crate::packet::{PacketBuf, PoolCache};
use crate::stack::complain::{Complaint, complain};
use crate::stack::counters::Mib;
use crate::stack::demux::{Binding, Demux, FourTuple};
use crate::stack::endpoint::Endpoint;
use crate::stack::error::SocketError;
use crate::stack::ip::{HEADROOM, Lower};
use crate::stack::ip_output::header_len;
use crate::stack::ip_settings::IpFields;
use crate::stack::listing::{SocketEntry, SocketProto};
use crate::stack::report::Report;
use crate::stack::socket::{Socket, SocketId, Sockets};
use crate::stack::socket_wq::{SocketWq, caller};
use crate::stack::udp_errors::ErrorQueue;
use crate::stack::udp_options::UdpOptions;
use crate::tcp_info::TcpState;
use crate::wire::checksum::Sum;
use crate::wire::ip::{Envelope, Fragments, IpHeader};
use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;
use crate::wire::udp::UdpHeader;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use wakeline_runtime::wait_queue::Events;

/// One shard's UDP.
#[derive(Debug)]
pub(crate) struct UdpLayer {
    demux: Demux<u32>,
    /// The last datagram's flow, its socket, and the demux's version then: datagrams come in runs (Linux's early demux serves
    /// the same end).
    recent: Option<(FourTuple, u32, u64)>,
}

/// A UDP socket. What it sends leaves at once, so there is no send buffer and it is always writable.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    pub(crate) local: Endpoint,
    pub(crate) binding: Binding,
    pub(crate) options: UdpOptions,
    pub(crate) peer: Option<Endpoint>,
    pub(crate) wq: SocketWq,
    pub(crate) error: Option<SocketError>,
    pub(crate) errors: ErrorQueue,
    queue: VecDeque<Datagram>,
    charged: usize,
    /// Datagrams that found the buffer full (`sk_drops`).
    pub(crate) drops: u64,
}

/// A datagram that has been pulled to its payload, and who sent it.
#[derive(Debug)]
struct Datagram {
    from: Endpoint,
    packet: PacketBuf,
}

impl UdpSocket {
    /// `__udp_enqueue_schedule_skb`: what fits, and always one datagram into an empty queue (docs/rxpath.md, rows 35 and 36).
    fn accepts(&self, truesize: usize) -> bool {
        self.queue.is_empty() || self.charged + truesize <= self.options.rcvbuf
    }

    /// `udp_poll`
    pub(crate) fn readiness(&self) -> Events {
        let mut events = Events::OUT | Events::WRNORM | Events::WRBAND;
        if !self.queue.is_empty() {
            events |= Events::IN | Events::RDNORM;
        }
        if self.error.is_some() || !self.errors.is_empty() {
            events |= Events::ERR;
        }
        events
    }

    /// What `ss` shows of it.
    pub(crate) fn list(&self) -> SocketEntry {
        let family = self.binding.family;
        let (local, peer) = (family.show(self.local), self.peer.map(|peer| family.show(peer)));
        let state = if peer.is_some() { TcpState::Established } else { TcpState::Closed };
        let entry = SocketEntry::new(SocketProto::Udp, state, local, peer);
        SocketEntry { recv_q: u32::try_from(self.charged).unwrap_or(u32::MAX), ..entry }
    }

    fn flow(&self) -> Option<FourTuple> {
        self.peer.map(|remote| FourTuple { local: self.local, remote })
    }
}

impl UdpLayer {
    /// A layer without sockets.
    pub(crate) fn new(secret: [u64; 4]) -> UdpLayer {
        UdpLayer { demux: Demux::new(secret), recent: None }
    }

    /// Which ports are in use.
    pub(crate) fn demux(&self) -> &Demux<u32> {
        &self.demux
    }

    /// `udp_rcv`. `packet` has been pulled to its UDP header.
    pub(crate) fn on_datagram(
        &mut self,
        sockets: &mut Sockets,
        ip: &IpHeader,
        mut packet: PacketBuf,
        lower: &mut Lower<'_>,
    ) {
        let v4 = ip.dst.is_ipv4();
        let header = match UdpHeader::parse(packet.data()) {
            Ok(header) => header,
            Err(malformed) => {
                count(lower, v4, (Mib::UdpInErrors, Mib::Udp6InErrors));
                let short = malformed == Malformed::Truncated;
                let reason = if short { DropReason::PktTooSmall } else { DropReason::UdpCsum };
                return lower.ip.drop_packet(packet, reason, lower.fx);
            }
        };
        packet.truncate(header.len.into());
        // RFC 8200 8.1: over IPv6 there has to be one. (RFC 6935's exception for tunnels is off, as in Linux.)
        let missing = !v4 && !header.has_checksum && lower.ip.must_verify(&packet);
        if missing || (lower.ip.must_verify(&packet) && !header.verify(ip.src, ip.dst, packet.data())) {
            count(lower, v4, (Mib::UdpInCsumErrors, Mib::Udp6InCsumErrors));
            count(lower, v4, (Mib::UdpInErrors, Mib::Udp6InErrors));
            return lower.ip.drop_packet(packet, DropReason::UdpCsum, lower.fx);
        }
        let flow =
            FourTuple { local: Endpoint::new(ip.dst, header.dst_port), remote: Endpoint::new(ip.src, header.src_port) };
        if ip.dst.is_multicast() || lower.ip.is_broadcast(ip.dst) {
            packet.pull(UdpHeader::LEN);
            return self.deliver_to_many(sockets, &flow, packet, lower);
        }
        match self.lookup(sockets, &flow) {
            Some(socket) => {
                packet.pull(UdpHeader::LEN);
                enqueue(socket, flow.remote, packet, lower);
            }
            None => {
                count(lower, v4, (Mib::UdpNoPorts, Mib::Udp6NoPorts));
                complain(lower, ip, &mut packet, Complaint::Port);
                lower.ip.drop_packet(packet, DropReason::NoSocket, lower.fx);
            }
        }
    }

    /// `__udp4_lib_mcast_deliver`: everybody who is bound there hears it, but who is connected to somebody else. As with
    /// IP_MULTICAST_ALL, Linux's default, it need not be the socket that has joined the group.
    #[cold]
    fn deliver_to_many(&mut self, sockets: &mut Sockets, flow: &FourTuple, packet: PacketBuf, lower: &mut Lower<'_>) {
        let v4 = flow.is_v4();
        let mut hearers = self.demux.all_bound(flow.local);
        hearers.retain(|index| {
            sockets.udp_ref(*index).is_some_and(|socket| socket.peer.is_none_or(|peer| peer == flow.remote))
        });
        let Some(last) = hearers.pop() else {
            count(lower, v4, (Mib::UdpIgnoredMulti, Mib::Udp6IgnoredMulti));
            return lower.ip.drop_packet(packet, DropReason::NoSocket, lower.fx);
        };
        for index in hearers {
            let Some(mut copy) = lower.ip.pool.alloc(0, packet.len()) else {
                lower.ip.drops.count(DropReason::Nomem);
                continue;
            };
            copy.put(packet.len()).copy_from_slice(packet.data());
            if let Some(socket) = sockets.udp_at(index) {
                enqueue(socket, flow.remote, copy, lower);
            }
        }
        if let Some(socket) = sockets.udp_at(last) {
            enqueue(socket, flow.remote, packet, lower);
        }
    }

    /// The socket that is connected to the sender.
    fn exact(&self, sockets: &Sockets, flow: &FourTuple) -> Option<u32> {
        let has_flow = |index| sockets.udp_ref(index).is_some_and(|socket| socket.flow().as_ref() == Some(flow));
        self.demux.exact(flow, has_flow)
    }

    /// Connected to the sender, or bound to the address, or to the port on any. A socket that is connected to somebody
    /// else is none of these.
    fn lookup<'a>(&mut self, sockets: &'a mut Sockets, flow: &FourTuple) -> Option<&'a mut UdpSocket> {
        if let Some((recent, index, version)) = &self.recent
            && *version == self.demux.version()
            && recent == flow
        {
            return sockets.udp_at(*index);
        }
        let index = self.find(sockets, flow)?;
        self.recent = Some((*flow, index, self.demux.version()));
        sockets.udp_at(index)
    }

    fn find(&self, sockets: &Sockets, flow: &FourTuple) -> Option<u32> {
        if let Some(index) = self.exact(sockets, flow) {
            return Some(index);
        }
        self.demux.bound(flow)
    }

    /// An ICMP error about a datagram of ours (`__udp4_lib_err`). As in Linux only connected sockets hear of it, and only
    /// of one that means that trying again is in vain; with IP_RECVERR all do, and of everything.
    pub(crate) fn on_error(&mut self, sockets: &mut Sockets, report: &Report, lower: &mut Lower<'_>) {
        let Report { flow, said, .. } = report;
        let connected = self.exact(sockets, flow);
        let Some(index) = connected.or_else(|| self.demux.bound(flow)) else { return };
        if let Some(mtu) = said.mtu {
            let _ = lower.ip.hear_of_path(flow.remote.ip(), mtu, lower.now, lower.fx);
        }
        let Some(socket) = sockets.udp_at(index) else { return };
        // Who lets datagrams be cut does not want to know how large they may be.
        let is_moot = said.mtu.is_some() && socket.options.fragments == Fragments::Freely;
        let is_told = socket.options.recverr || (said.is_hard && connected.is_some());
        if is_moot || !is_told {
            return;
        }
        if socket.options.recverr {
            socket.errors.push_report(report, socket.binding.family);
        }
        socket.error = Some(said.error);
        socket.wq.error_report(lower.fx);
    }

    /// A socket on `local`.
    pub(crate) fn bind(
        &mut self,
        sockets: &mut Sockets,
        local: Endpoint,
        binding: Binding,
        options: UdpOptions,
    ) -> Result<SocketId, SocketError> {
        if !sockets.has_room() {
            return Err(SocketError::NoBuffers);
        }
        if !self.demux.bind(local, sockets.next_index(), binding) {
            return Err(SocketError::AddrInUse);
        }
        let socket = UdpSocket {
            local,
            binding,
            options,
            peer: None,
            wq: SocketWq::new(),
            error: None,
            errors: ErrorQueue::default(),
            queue: VecDeque::new(),
            charged: 0,
            drops: 0,
        };
        sockets.insert(Socket::Udp(Box::new(socket)))
    }

    /// From now on datagrams go to `peer` and only its own come in. What is queued stays.
    pub(crate) fn connect(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
        peer: Endpoint,
        source: IpAddr,
    ) -> Result<(), SocketError> {
        let socket = sockets.udp(id)?;
        if let Some(old) = socket.flow() {
            self.demux.remove(&old, id.index());
        }
        let port = socket.local.port();
        if socket.local.ip().is_unspecified() {
            // The address that the route chooses is the socket's from now on.
            let chosen = Endpoint::new(source, port);
            self.demux.unbind(socket.local, id.index(), socket.binding.family);
            if !self.demux.bind(chosen, id.index(), socket.binding) {
                return Err(SocketError::AddrInUse);
            }
            socket.local = chosen;
        }
        socket.peer = Some(peer);
        socket.error = None;
        let flow = FourTuple { local: socket.local, remote: peer };
        if self.exact(sockets, &flow).is_some_and(|other| other != id.index()) {
            sockets.udp(id)?.peer = None;
            return Err(SocketError::AddrInUse);
        }
        let socket = sockets.udp(id)?;
        // Whoever else is bound there has what does not come from the peer.
        self.demux.hush(socket.local, id.index(), socket.binding.family);
        self.demux.insert(&flow, id.index());
        Ok(())
    }

    /// Sends one datagram, to the peer unless `to` is given.
    pub(crate) fn send(
        sockets: &mut Sockets,
        id: SocketId,
        payload: &[u8],
        to: Option<Endpoint>,
        lower: &mut Lower<'_>,
    ) -> Result<usize, SocketError> {
        let socket = sockets.udp(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let to = to.or(socket.peer).ok_or(SocketError::DestinationRequired)?;
        let (dst, v4) = (to.ip(), to.ip().is_ipv4());
        if to.port() == 0 {
            return Err(SocketError::InvalidInput);
        }
        let to_all = lower.ip.is_broadcast(dst);
        if to_all && !socket.options.broadcast {
            return Err(SocketError::PermissionDenied);
        }
        let len = UdpHeader::LEN + payload.len();
        // Of IPv4 the header counts as well, of IPv6 it does not.
        if len + if v4 { header_len(v4) } else { 0 } > usize::from(u16::MAX) {
            return Err(SocketError::MessageTooLong);
        }
        let src = match socket.local.ip() {
            any if any.is_unspecified() || any.is_multicast() || lower.ip.is_broadcast(any) => {
                lower.ip.source_for(dst, lower.now)?
            }
            // A mapped address and one of IPv6 do not reach each other.
            local if local.is_ipv4() != dst.is_ipv4() => return Err(SocketError::NetworkUnreachable),
            local => local,
        };
        // A group's and a broadcast's datagrams are only bound by the interface.
        let fragments = socket.options.fragments;
        let largest = lower.ip.largest_to(dst, fragments, lower.now)?;
        let is_large = len + header_len(v4) > largest;
        if is_large && matches!(fragments, Fragments::Never | Fragments::NeverProbing) {
            if socket.options.recverr {
                socket.errors.push_too_long(to, socket.binding.family, largest);
                socket.wq.error_report(lower.fx);
            }
            return Err(SocketError::MessageTooLong);
        }
        let Some(mut packet) = lower.ip.pool.alloc(HEADROOM + UdpHeader::LEN, payload.len()) else {
            count(lower, v4, (Mib::UdpSndbufErrors, Mib::Udp6SndbufErrors));
            return Err(SocketError::NoBuffers);
        };
        // What goes in pieces has nobody else to sum it.
        let sum = !lower.ip.config.checksum_offload || is_large;
        let mut sums = Sum::pseudo_header(src, dst, protocol::UDP, len);
        let seed = sums;
        if sum {
            sums.add_copying(packet.put(payload.len()), payload);
        } else {
            packet.put(payload.len()).copy_from_slice(payload);
        }
        let header =
            UdpHeader { src_port: socket.local.port(), dst_port: to.port(), len: len as u16, has_checksum: sum };
        let out = packet.push(UdpHeader::LEN).first_chunk_mut().expect("as many bytes as were pushed");
        header.emit(out, sum.then_some(sums));
        if !sum {
            UdpHeader::seed_checksum(packet.data_mut(), seed);
            packet.leave_checksum(UdpHeader::CHECKSUM_OFFSET);
        }
        count(lower, v4, (Mib::UdpOutDatagrams, Mib::Udp6OutDatagrams));
        let plain = Envelope::new(src, dst, protocol::UDP);
        let IpFields { tos, hop_limit } = socket.options.ip_fields(dst);
        let loops = to_all || socket.options.loops(dst);
        let envelope = Envelope { fragments, tos, hop_limit, loops, ..plain };
        lower.ip.send(packet, &envelope, lower.now, lower.fx)?;
        Ok(payload.len())
    }

    /// Takes, or with `peek` looks at, the oldest datagram; what does not fit into `buf` is lost, as in `recvfrom`.
    pub(crate) fn recv(
        sockets: &mut Sockets,
        id: SocketId,
        buf: &mut [u8],
        peek: bool,
        pool: &mut PoolCache,
    ) -> Result<(usize, SocketAddr), SocketError> {
        let socket = sockets.udp(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let Datagram { from, packet } = socket.queue.front().ok_or(SocketError::WouldBlock)?;
        let (from, n) = (socket.binding.family.show(*from), packet.len().min(buf.len()));
        buf[..n].copy_from_slice(&packet.data()[..n]);
        if !peek && let Some(datagram) = socket.queue.pop_front() {
            socket.charged -= datagram.packet.truesize();
            pool.free(datagram.packet);
            if socket.queue.is_empty() && socket.queue.capacity() > IDLE_CAPACITY {
                socket.queue = VecDeque::new();
            }
        }
        Ok((n, from))
    }

    /// Closes a socket; what was not read is lost.
    pub(crate) fn close(&mut self, sockets: &mut Sockets, id: SocketId, lower: &mut Lower<'_>) {
        let Ok(socket) = sockets.udp(id) else { return };
        if let Some(flow) = socket.flow() {
            self.demux.remove(&flow, id.index());
        }
        self.demux.unbind(socket.local, id.index(), socket.binding.family);
        if let Some(Socket::Udp(mut socket)) = sockets.remove(id.index()) {
            for group in socket.options.leave_all() {
                lower.ip.leave_group(group, lower.now, lower.fx);
            }
            socket.queue.drain(..).for_each(|datagram| lower.ip.pool.free(datagram.packet));
            socket.wq.close(lower.fx);
        }
    }

    /// The host goes down.
    pub(crate) fn shut_down(&mut self, sockets: &mut Sockets, lower: &mut Lower<'_>) {
        self.demux.clear();
        for index in sockets.indices() {
            if let Some(socket) = sockets.udp_at(index) {
                socket.error = Some(SocketError::NetworkDown);
                socket.wq.state_change(caller::CALL, lower.fx);
            }
        }
    }
}

/// A queue that was longer gives its memory back when it is empty.
const IDLE_CAPACITY: usize = 64;

fn enqueue(socket: &mut UdpSocket, from: Endpoint, packet: PacketBuf, lower: &mut Lower<'_>) {
    let (truesize, v4) = (packet.truesize(), from.ip().is_ipv4());
    if !socket.accepts(truesize) {
        socket.drops += 1;
        count(lower, v4, (Mib::UdpRcvbufErrors, Mib::Udp6RcvbufErrors));
        count(lower, v4, (Mib::UdpInErrors, Mib::Udp6InErrors));
        return lower.ip.drop_packet(packet, DropReason::SocketRcvbuff, lower.fx);
    }
    socket.charged += truesize;
    socket.queue.push_back(Datagram { from, packet });
    count(lower, v4, (Mib::UdpInDatagrams, Mib::Udp6InDatagrams));
    socket.wq.data_ready("IPPROTO_UDP", caller::UDP, lower.fx);
}

/// Counts one in the table of the datagram's family.
#[inline]
fn count(lower: &mut Lower<'_>, v4: bool, (mib, mib6): (Mib, Mib)) {
    lower.ip.counters.count(if v4 { mib } else { mib6 });
}
