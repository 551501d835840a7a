//! UDP (RFC 768): datagrams in, queued and charged by `truesize`, and datagrams out.

use crate::event::DropReason;
use crate::packet::{PacketBuf, PoolCache};
use crate::recv_meta::RecvMeta;
use crate::stack::complain::{Complaint, complain};
use crate::stack::counters::Mib;
use crate::stack::demux::{Binding, Demux, FourTuple};
use crate::stack::dst::Dst;
use crate::stack::effects::Stray;
use crate::stack::endpoint::Endpoint;
use crate::stack::error::SocketError;
use crate::stack::hears::{DEVICE, Ingress};
use crate::stack::ip::{HEADROOM, IpLayer, Lower};
use crate::stack::ip_output::{PACKET_MAX, header_len};
use crate::stack::ip_settings::IpFields;
use crate::stack::listing::{SocketEntry, SocketProto};
use crate::stack::report::Report;
use crate::stack::socket::{Socket, SocketId, Sockets};
use crate::stack::socket_wq::{SocketWq, caller};
use crate::stack::udp_early::Early;
use crate::stack::udp_errors::ErrorQueue;
use crate::stack::udp_options::UdpOptions;
use crate::tcp_info::TcpState;
use crate::wire::checksum::Sum;
use crate::wire::ip::{Envelope, Fragments, IpHeader};
use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;
use crate::wire::udp::UdpHeader;
use std::collections::VecDeque;
use std::mem::take;
use std::net::{IpAddr, SocketAddr};
use wakeline_runtime::wait_queue::Events;

/// One shard's UDP.
#[derive(Debug)]
pub(crate) struct UdpLayer {
    demux: Demux<u32>,
    early: Option<Early>,
}

/// A UDP socket. What it sends leaves at once, so there is no send buffer and it is always writable.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    pub(crate) local: Endpoint,
    pub(crate) binding: Binding,
    pub(crate) options: UdpOptions,
    pub(crate) peer: Option<Endpoint>,
    /// Once it has a peer, the CPU whose member keeps all that comes for the socket, where that is another one.
    pub(crate) keeper: Option<u32>,
    way: Option<Box<Way>>,
    pub(crate) wq: SocketWq,
    pub(crate) error: Option<SocketError>,
    pub(crate) errors: ErrorQueue,
    queue: VecDeque<Datagram>,
    charged: usize,
    /// Datagrams that found the buffer full (`sk_drops`).
    pub(crate) drops: u64,
}

/// What all datagrams to a socket's peer have in common.
#[derive(Debug)]
struct Way {
    dst: Dst,
    /// The socket's and the peer's.
    ports: [u16; 2],
    /// The sum of the pseudo-header without the length.
    pseudo: Sum,
    /// The largest payload.
    room: usize,
    v4: bool,
}

/// What a member has kept that is another one's to keep from now on.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    queue: VecDeque<Datagram>,
    errors: ErrorQueue,
}

/// A datagram that has been pulled to its payload, and who sent it.
#[derive(Debug)]
struct Datagram {
    from: Endpoint,
    /// Type of service, or traffic class.
    tos: u8,
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

    /// What its datagrams have in common may be something else now.
    pub(crate) fn forget_way(&mut self) {
        self.way = None;
    }

    /// Takes the oldest datagram, of which `buf` gets what fits.
    #[inline]
    fn take(&mut self, buf: &mut [u8], pool: &mut PoolCache) -> usize {
        let Some(Datagram { packet, .. }) = self.queue.pop_front() else { return 0 };
        let n = copy_out(&packet, buf);
        self.charged -= packet.truesize();
        pool.free(packet);
        if self.queue.is_empty() && self.queue.capacity() > IDLE_CAPACITY {
            self.queue = VecDeque::new();
        }
        n
    }

    fn flow(&self) -> Option<FourTuple> {
        self.peer.map(|remote| FourTuple { local: self.local, remote })
    }
}

impl UdpLayer {
    /// A layer without sockets.
    pub(crate) fn new(secret: [u64; 4]) -> UdpLayer {
        UdpLayer { demux: Demux::new(secret), early: None }
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
        let must_verify = lower.ip.must_verify(ip, &packet);
        let missing = !v4 && !header.has_checksum && must_verify;
        if missing || (must_verify && !header.verify(ip.src, ip.dst, packet.data())) {
            count(lower, v4, (Mib::UdpInCsumErrors, Mib::Udp6InCsumErrors));
            count(lower, v4, (Mib::UdpInErrors, Mib::Udp6InErrors));
            return lower.ip.drop_packet(packet, DropReason::UdpCsum, lower.fx);
        }
        let flow =
            FourTuple { local: Endpoint::new(ip.dst, header.dst_port), remote: Endpoint::new(ip.src, header.src_port) };
        if ip.dst.is_multicast() || lower.ip.is_broadcast(ip.dst) {
            packet.pull(UdpHeader::LEN);
            return self.deliver_to_many(sockets, (&flow, ip.tos), packet, lower);
        }
        match self.find(sockets, &flow, Ingress::of(&packet, lower.ip.config.shard.index)) {
            Some(index) => {
                packet.pull(UdpHeader::LEN);
                self.early = Early::new(&packet, ip, flow.remote, index, self.versions(lower.ip));
                let Some(socket) = sockets.udp_at(index) else { return };
                enqueue(socket, (flow.remote, ip.tos), packet, lower);
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
    fn deliver_to_many(
        &mut self,
        sockets: &mut Sockets,
        (flow, tos): (&FourTuple, u8),
        packet: PacketBuf,
        lower: &mut Lower<'_>,
    ) {
        let v4 = flow.is_v4();
        let mut hearers = self.demux.all_bound(flow.local);
        let at = Ingress::of(&packet, lower.ip.config.shard.index);
        hearers.retain(|index| {
            sockets.udp_ref(*index).is_some_and(|socket| {
                socket.binding.hears.admits(at) && socket.peer.is_none_or(|peer| peer == flow.remote)
            })
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
                enqueue(socket, (flow.remote, tos), copy, lower);
            }
        }
        if let Some(socket) = sockets.udp_at(last) {
            enqueue(socket, (flow.remote, tos), packet, lower);
        }
    }

    /// The socket that is connected to the sender.
    fn exact(&self, sockets: &Sockets, flow: &FourTuple) -> Option<u32> {
        let has_flow = |index| sockets.udp_ref(index).is_some_and(|socket| socket.flow().as_ref() == Some(flow));
        self.demux.exact(flow, has_flow)
    }

    /// A frame whose headers are those of the last datagram: it goes to the same socket. Gives back any other.
    #[inline]
    pub(crate) fn on_early(
        &mut self,
        sockets: &mut Sockets,
        mut frame: PacketBuf,
        lower: &mut Lower<'_>,
    ) -> Option<PacketBuf> {
        let Some(early) = &self.early else { return Some(frame) };
        let Some(v4) = early.strip(&mut frame, self.versions(lower.ip)) else { return Some(frame) };
        let Some(socket) = sockets.udp_at(early.socket) else { return Some(frame) };
        count(lower, v4, (Mib::IpInReceives, Mib::Ip6InReceives));
        count(lower, v4, (Mib::IpInDelivers, Mib::Ip6InDelivers));
        enqueue(socket, (early.from, early.tos), frame, lower);
        None
    }

    /// The next datagram takes the long way.
    #[cfg(test)]
    pub(crate) fn forget_early(&mut self) {
        self.early = None;
    }

    /// A socket hears from elsewhere.
    pub(crate) fn rebind(&mut self, local: Endpoint, id: SocketId, binding: Binding) {
        self.demux.rebind(local, id.index(), binding);
    }

    /// What `early` depends on.
    #[inline]
    fn versions(&self, ip: &IpLayer) -> [u64; 2] {
        [self.demux.version(), ip.version()]
    }

    /// Connected to the sender, or bound to the address, or to the port on any. A socket that is connected to somebody
    /// else is none of these.
    fn find(&self, sockets: &Sockets, flow: &FourTuple, at: Ingress) -> Option<u32> {
        let admits = |index: &u32| sockets.udp_ref(*index).is_some_and(|socket| socket.binding.hears.admits(at));
        self.exact(sockets, flow).filter(admits).or_else(|| self.demux.bound(flow, at))
    }

    /// An ICMP error about a datagram of ours (`__udp4_lib_err`). As in Linux only connected sockets hear of it, and only
    /// of one that means that trying again is in vain; with IP_RECVERR all do, and of everything.
    ///
    /// Every shard hears of it, and only one member of the socket: of a connected one that which keeps what comes, of any other
    /// one the `first` that heard.
    pub(crate) fn on_error(&mut self, sockets: &mut Sockets, report: &Report, first: bool, lower: &mut Lower<'_>) {
        let Report { flow, said, .. } = report;
        let connected = self.exact(sockets, flow);
        if !first && connected.is_none() {
            return;
        }
        // What routers say comes through the device.
        let at = Ingress { device: DEVICE, cpu: lower.ip.config.shard.index as u8 };
        let Some(index) = connected.or_else(|| self.demux.bound(flow, at)) else { return };
        if let Some(mtu) = said.mtu {
            let _ = lower.ip.hear_of_path(flow.remote.ip(), mtu, lower.now, lower.fx);
        }
        let Some(socket) = sockets.udp_at(index).filter(|socket| socket.keeper.is_none()) else { return };
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
            return Err(SocketError::TooManySockets);
        }
        if !self.demux.bind(local, sockets.next_index(), binding) {
            return Err(SocketError::AddrInUse);
        }
        let socket = UdpSocket {
            local,
            binding,
            options,
            peer: None,
            keeper: None,
            way: None,
            wq: SocketWq::new(),
            error: None,
            errors: ErrorQueue::default(),
            queue: VecDeque::new(),
            charged: 0,
            drops: 0,
        };
        sockets.insert(Socket::Udp(Box::new(socket)))
    }

    /// From now on datagrams go to `peer` and only its own come in. What is queued stays, unless the member of another CPU is the
    /// `keeper` of what comes: then it is returned.
    pub(crate) fn connect(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
        (peer, keeper): (Endpoint, Option<u32>),
        source: IpAddr,
    ) -> Result<Leftovers, SocketError> {
        let socket = sockets.udp(id)?;
        if let Some(old) = socket.flow() {
            self.demux.remove(&old, id.index());
        }
        socket.way = None;
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
        socket.keeper = keeper;
        if keeper.is_none() {
            return Ok(Leftovers::default());
        }
        socket.charged = 0;
        Ok(Leftovers { queue: take(&mut socket.queue), errors: take(&mut socket.errors) })
    }

    /// What another member has kept before this one was the keeper.
    pub(crate) fn take_over(
        sockets: &mut Sockets,
        id: SocketId,
        left: Leftovers,
        lower: &mut Lower<'_>,
    ) -> Result<(), SocketError> {
        let socket = sockets.udp(id)?;
        for Datagram { from, tos, packet } in left.queue {
            keep(socket, (from, tos), packet, lower);
        }
        if socket.errors.append(left.errors) {
            socket.wq.error_report(lower.fx);
        }
        Ok(())
    }

    /// A datagram that came to another member of its socket.
    #[cold]
    pub(crate) fn on_stray(&mut self, sockets: &mut Sockets, stray: Stray, lower: &mut Lower<'_>) {
        let Stray { flow, tos, packet, .. } = stray;
        let index = self.exact(sockets, &flow);
        match index.and_then(|index| sockets.udp_at(index)) {
            Some(socket) => keep(socket, (flow.remote, tos), packet, lower),
            // It was closed meanwhile, or has another peer.
            None => lower.ip.drop_packet(packet, DropReason::NoSocket, lower.fx),
        }
    }

    /// Sends one datagram, to the peer unless `to` is given.
    #[inline]
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
        if to.is_none()
            && let Some(way) = &socket.way
            && payload.len() <= way.room
            && lower.ip.holds(&way.dst, lower.now)
        {
            return way.send(payload, lower);
        }
        UdpLayer::send_slowly(socket, payload, to, lower)
    }

    /// The same where the way has to be found.
    #[inline(never)]
    fn send_slowly(
        socket: &mut UdpSocket,
        payload: &[u8],
        to: Option<Endpoint>,
        lower: &mut Lower<'_>,
    ) -> Result<usize, SocketError> {
        let is_to_peer = to.is_none();
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
        let is_left = lower.ip.config.checksum_offload && !is_large;
        let pseudo = Sum::pseudo_header(src, dst, protocol::UDP, len);
        write(&mut packet, payload, [socket.local.port(), to.port()], pseudo, is_left);
        count(lower, v4, (Mib::UdpOutDatagrams, Mib::Udp6OutDatagrams));
        let plain = Envelope::new(src, dst, protocol::UDP);
        let IpFields { tos, hop_limit } = socket.options.ip_fields(dst);
        let loops = to_all || socket.options.loops(dst);
        let envelope = Envelope { fragments, tos, hop_limit, loops, ..plain };
        lower.ip.send(packet, &envelope, lower.now, lower.fx)?;
        if is_to_peer {
            let ports = [socket.local.port(), to.port()];
            socket.way = lower.ip.dst(&envelope, lower.now).map(|dst| Box::new(Way::new(dst, &envelope, ports)));
        }
        Ok(payload.len())
    }

    /// `UDP_SEGMENT`: sends datagrams of `segment` bytes each, the last of them perhaps shorter; none of them in pieces.
    ///
    /// # Simplification
    /// They are cut here, and not by the device or just above it: nothing below sees them as one.
    pub(crate) fn send_segments(
        sockets: &mut Sockets,
        id: SocketId,
        (payload, segment): (&[u8], u16),
        to: Option<Endpoint>,
        lower: &mut Lower<'_>,
    ) -> Result<usize, SocketError> {
        let socket = sockets.udp(id)?;
        let dst = to.or(socket.peer).ok_or(SocketError::DestinationRequired)?.ip();
        let headers = header_len(dst.is_ipv4()) + UdpHeader::LEN;
        let segment = usize::from(segment);
        let largest = lower.ip.largest_to(dst, socket.options.fragments, lower.now)?;
        if payload.len() + headers > PACKET_MAX || headers + payload.len().min(segment) > largest {
            return Err(SocketError::MessageTooLong);
        }
        if payload.len() > segment * UDP_MAX_SEGMENTS {
            return Err(SocketError::InvalidInput);
        }
        if payload.is_empty() {
            return UdpLayer::send(sockets, id, payload, to, lower);
        }
        for datagram in payload.chunks(segment) {
            UdpLayer::send(sockets, id, datagram, to, lower)?;
        }
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
        let Datagram { from, packet, .. } = socket.queue.front().ok_or(SocketError::WouldBlock)?;
        let from = socket.binding.family.show(*from);
        let n = if peek { copy_out(packet, buf) } else { socket.take(buf, pool) };
        Ok((n, from))
    }

    /// The same, with what is known of it. With UDP_GRO as many datagrams as the first one's sender has sent with the same length
    /// lie in `buf` behind each other, the last of them perhaps shorter.
    ///
    /// # Simplification
    /// Linux merges when they arrive, so only what has come together is one, and cuts off what does not fit. Here they are
    /// put together when they are taken, and what does not fit stays.
    pub(crate) fn recv_msg(
        sockets: &mut Sockets,
        id: SocketId,
        buf: &mut [u8],
        pool: &mut PoolCache,
    ) -> Result<RecvMeta, SocketError> {
        let socket = sockets.udp(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let &Datagram { from, tos, ref packet } = socket.queue.front().ok_or(SocketError::WouldBlock)?;
        let size = packet.len();
        let mut len = socket.take(buf, pool);
        let is_truncated = size > len;
        let (mut merged, mut last) = (1, len);
        let room = buf.len().min(PACKET_MAX);
        while socket.options.gro && !is_truncated && last == size && merged < UDP_GRO_CNT_MAX {
            let fits = |next: &Datagram| {
                let n = next.packet.len();
                next.from == from && next.tos == tos && (1..=size).contains(&n) && len + n <= room
            };
            if !socket.queue.front().is_some_and(fits) {
                break;
            }
            last = socket.take(&mut buf[len..], pool);
            (len, merged) = (len + last, merged + 1);
        }
        Ok(RecvMeta {
            len,
            from: socket.binding.family.show(from),
            is_truncated,
            tos: socket.options.tells_tos(from.ip().is_ipv4()).then_some(tos),
            gro_size: (merged > 1).then_some(size),
        })
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

impl Way {
    fn new(dst: Dst, envelope: &Envelope, ports: [u16; 2]) -> Way {
        let v4 = envelope.dst.is_ipv4();
        let pseudo = Sum::pseudo_header(envelope.src, envelope.dst, protocol::UDP, 0);
        Way { ports, pseudo, room: dst.largest - header_len(v4) - UdpHeader::LEN, v4, dst }
    }

    /// Sends one datagram, for which there is room.
    #[inline]
    fn send(&self, payload: &[u8], lower: &mut Lower<'_>) -> Result<usize, SocketError> {
        let Some(mut packet) = lower.ip.pool.alloc(HEADROOM + UdpHeader::LEN, payload.len()) else {
            count(lower, self.v4, (Mib::UdpSndbufErrors, Mib::Udp6SndbufErrors));
            return Err(SocketError::NoBuffers);
        };
        let mut pseudo = self.pseudo;
        pseudo.add_field((UdpHeader::LEN + payload.len()) as u16);
        write(&mut packet, payload, self.ports, pseudo, lower.ip.config.checksum_offload);
        count(lower, self.v4, (Mib::UdpOutDatagrams, Mib::Udp6OutDatagrams));
        lower.ip.send_along(&self.dst, packet, lower.fx);
        Ok(payload.len())
    }
}

/// Writes a datagram into an empty packet: payload, header, and the checksum, or what the device is to make it from.
#[inline(always)]
fn write(packet: &mut PacketBuf, payload: &[u8], [src_port, dst_port]: [u16; 2], pseudo: Sum, is_left: bool) {
    let mut sums = pseudo;
    if is_left {
        packet.put(payload.len()).copy_from_slice(payload);
    } else {
        sums.add_copying(packet.put(payload.len()), payload);
    }
    let len = (UdpHeader::LEN + payload.len()) as u16;
    let header = UdpHeader { src_port, dst_port, len, has_checksum: !is_left };
    let out = packet.push(UdpHeader::LEN).first_chunk_mut().expect("as many bytes as were pushed");
    header.emit(out, (!is_left).then_some(sums));
    if is_left {
        UdpHeader::seed_checksum(packet.data_mut(), pseudo);
        packet.leave_checksum(UdpHeader::CHECKSUM_OFFSET);
    }
}

#[inline]
fn copy_out(packet: &PacketBuf, buf: &mut [u8]) -> usize {
    let n = packet.len().min(buf.len());
    buf[..n].copy_from_slice(&packet.data()[..n]);
    n
}

/// How many datagrams are received as one (`UDP_GRO_CNT_MAX`), and sent as one (`UDP_MAX_SEGMENTS`).
const UDP_GRO_CNT_MAX: usize = 64;
const UDP_MAX_SEGMENTS: usize = 128;

/// A queue that was longer gives its memory back when it is empty.
const IDLE_CAPACITY: usize = 64;

#[inline]
fn enqueue(socket: &mut UdpSocket, (from, tos): (Endpoint, u8), packet: PacketBuf, lower: &mut Lower<'_>) {
    match socket.keeper {
        None => keep(socket, (from, tos), packet, lower),
        Some(keeper) => {
            let flow = FourTuple { local: socket.local, remote: from };
            lower.fx.strays.push(Stray { keeper, flow, tos, packet });
        }
    }
}

fn keep(socket: &mut UdpSocket, (from, tos): (Endpoint, u8), packet: PacketBuf, lower: &mut Lower<'_>) {
    let (truesize, v4) = (packet.truesize(), from.ip().is_ipv4());
    if !socket.accepts(truesize) {
        socket.drops += 1;
        count(lower, v4, (Mib::UdpRcvbufErrors, Mib::Udp6RcvbufErrors));
        count(lower, v4, (Mib::UdpInErrors, Mib::Udp6InErrors));
        return lower.ip.drop_packet(packet, DropReason::SocketRcvbuff, lower.fx);
    }
    socket.charged += truesize;
    socket.queue.push_back(Datagram { from, tos, packet });
    count(lower, v4, (Mib::UdpInDatagrams, Mib::Udp6InDatagrams));
    socket.wq.data_ready("IPPROTO_UDP", caller::UDP, lower.fx);
}

/// Counts one in the table of the datagram's family.
#[inline]
fn count(lower: &mut Lower<'_>, v4: bool, (mib, mib6): (Mib, Mib)) {
    lower.ip.counters.count(if v4 { mib } else { mib6 });
}
