//! The tables around the control blocks: who is meant by a segment, whose timer has come, who has something to send.

use crate::event::{DropReason, Event};
use crate::packet::PacketBuf;
use crate::stack::config::{Limits, StackConfig};
use crate::stack::counters::Mib;
use crate::stack::demux::{Demux, FourTuple, Target};
use crate::stack::endpoint::Endpoint;
use crate::stack::error::SocketError;
use crate::stack::hears::Ingress;
use crate::stack::ip::{IpLayer, Lower};
use crate::stack::ip_output::header_len;
use crate::stack::ip_settings::IpFields;
use crate::stack::report::Said;
use crate::stack::socket::Sockets;
use crate::stack::socket_wq::caller;
use crate::stack::tcp::challenge::ChallengeLimit;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::connection::{Listed, Owner};
use crate::stack::tcp::control_block::{ControlBlock, Disposition, Notice};
use crate::stack::tcp::cookies::Cookies;
use crate::stack::tcp::emit::{refuse, send_ack};
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::isn::Secrets;
use crate::stack::tcp::listen::Request;
use crate::stack::tcp::memory::Memory;
use crate::stack::tcp::options::{Features, Offer};
use crate::stack::tcp::state::State;
use crate::stack::tcp::sysctl::TcpSysctls;
#[cfg(test)]
use crate::stack::tcp::timewait::Substate;
use crate::stack::tcp::timewait::{TimeWaitTable, Verdict};
use crate::stack::timers::TimerHeap;
use crate::wire::ip::{ECN_MASK, IpHeader};
use crate::wire::malformed::Malformed;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use slab::Slab;
use wakeline_runtime::clock::Instant;

/// One shard's TCP.
pub(crate) struct TcpLayer {
    pub(super) demux: Demux<Target>,
    /// The connection to which the last segment went, and the table's version then.
    last_found: (u32, u64),
    pub(super) requests: Slab<Request>,
    pub(super) request_timers: TimerHeap,
    pub(super) secrets: Secrets,
    pub(super) cookies: Cookies,
    pub(super) challenges: ChallengeLimit,
    /// How many connections nobody holds any more.
    pub(super) orphans: u32,
    pub(super) memory: Memory,
    pub(super) limits: Limits,
    pub(super) sysctls: TcpSysctls,
    /// How many ephemeral ports were chosen (RFC 6056's `next_ephemeral`).
    pub(super) ports_chosen: u32,
    pub(super) time_wait: TimeWaitTable,
    timers: TimerHeap,
    /// Connections that have something to send, or to stop, at the end of the batch.
    deferred: Vec<u32>,
    /// Connections that have more to send than the device may have at once.
    throttled: Vec<u32>,
    /// How often the device has taken all that it was given. The count wraps, and few bits do: who takes an old account for the
    /// present one waits for the device once more.
    tx_completions: u8,
}

/// A segment that was found to be sound: where it belongs, its header, and the text that follows it.
pub(crate) struct Segment<'a> {
    pub(super) flow: FourTuple,
    pub(super) header: &'a TcpHeader,
    /// DSCP and ECN of its IP header.
    pub(super) tos: u8,
    pub(super) text: PacketBuf,
}

impl Segment<'_> {
    /// What a reset says that no socket sends: the DSCP of the segment that it answers (`ip_send_unicast_reply`).
    pub(super) fn mirrored(&self) -> IpFields {
        IpFields { tos: self.tos & !ECN_MASK, ..IpFields::DEFAULT }
    }
}

/// A bound on the work of one call.
const TIMERS_PER_CALL: usize = 1024;

impl TcpLayer {
    /// A layer without connections.
    pub(crate) fn new(config: &StackConfig) -> TcpLayer {
        TcpLayer {
            demux: Demux::new(config.secret),
            last_found: (u32::MAX, 0),
            requests: Slab::new(),
            request_timers: TimerHeap::new(),
            secrets: Secrets::new(config.secret),
            cookies: Cookies::new(config.secret),
            challenges: ChallengeLimit::new(config.tcp.challenge_ack_limit, config.secret),
            orphans: 0,
            memory: Memory::new(config.tcp.mem_max),
            limits: config.limits,
            sysctls: config.tcp,
            ports_chosen: 0,
            time_wait: TimeWaitTable::new(config.limits.time_wait_max),
            timers: TimerHeap::new(),
            deferred: Vec::new(),
            throttled: Vec::new(),
            tx_completions: 0,
        }
    }

    /// `tcp_v4_rcv`. `packet` has been pulled to its TCP header.
    #[inline]
    pub(crate) fn on_segment(
        &mut self,
        sockets: &mut Sockets,
        ip: &IpHeader,
        packet: PacketBuf,
        lower: &mut Lower<'_>,
    ) {
        lower.ip.counters.count(Mib::TcpInSegs);
        let mut header = TcpHeader::default();
        let text_at = match header.read(packet.data()) {
            Ok(text_at) => text_at,
            Err(malformed) => return on_malformed(packet, malformed, lower),
        };
        if let Some(last) = packet.rest().last() {
            // `tcp_gro_complete`: these flags are the last one's.
            header.flags |= TcpHeader::flags_of(last.pulled(text_at)) & (TcpFlags::FIN | TcpFlags::PSH);
        }
        let Some(packet) = verify(ip, packet, lower) else { return };
        let segment = segment(ip, &header, text_at, packet);
        let found = self.find(sockets, &segment.flow);
        // Both ends of a connection are one host's, as was seen when it was made.
        let is_known = matches!(found, Some(Target::Connection(_))) && !ip.to_group;
        if !is_known && !lower.ip.is_unicast(ip) {
            // RFC 9293 MUST-57: never to a broadcast or multicast address.
            return lower.ip.drop_packet(segment.text, DropReason::Otherhost, lower.fx);
        }
        match found {
            Some(Target::Connection(index)) => self.deliver_to_connection(sockets, index, segment, lower),
            Some(Target::Request(index)) => self.deliver_to_request(sockets, index, segment, lower),
            Some(Target::TimeWait(index)) => self.deliver_to_time_wait(sockets, index, segment, lower),
            None => self.deliver_to_listener(sockets, segment, None, lower),
        }
    }

    /// What belongs to exactly this flow.
    #[inline]
    pub(super) fn exact(&self, sockets: &Sockets, flow: &FourTuple) -> Option<Target> {
        self.demux.exact(flow, |target| match target {
            Target::Connection(index) => sockets.connection_ref(index).is_some_and(|it| it.flow == *flow),
            Target::Request(index) => self.requests.get(index as usize).is_some_and(|it| it.flow == *flow),
            Target::TimeWait(index) => self.time_wait.get(index).is_some_and(|it| it.flow == *flow),
        })
    }

    /// The same for one who has found a connection before: often it is the same.
    #[inline]
    fn find(&mut self, sockets: &Sockets, flow: &FourTuple) -> Option<Target> {
        let (last, version) = self.last_found;
        if version == self.demux.version() && sockets.connection_ref(last).is_some_and(|it| it.flow == *flow) {
            return Some(Target::Connection(last));
        }
        let found = self.exact(sockets, flow);
        if let Some(Target::Connection(index)) = found {
            self.last_found = (index, self.demux.version());
        }
        found
    }

    /// Gives a segment to its connection. What follows from it is sent at the end of the batch, so that one
    /// acknowledgement answers all of a connection's segments.
    #[inline]
    pub(super) fn deliver_to_connection(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
        segment: Segment<'_>,
        lower: &mut Lower<'_>,
    ) {
        let Some(connection) = sockets.connection_at(index) else { return };
        let Segment { header, tos, text, .. } = segment;
        if self.memory.is_scarce() && !text.is_empty() && connection.block.readable() > 0 {
            // A simplification: with the text goes the acknowledgement, which the next segment brings again.
            lower.ip.counters.count(Mib::TcpExtTCPRcvQDrop);
            return lower.ip.drop_packet(text, DropReason::ProtoMem, lower.fx);
        }
        let (data_len, block) = (text.whole_len() as u32, &mut connection.block);
        let (snd_nxt, snd_una, snd_wnd) = block.send_variables();
        lower.fx.tracer.emit(|| Event::TcpProbe { data_len, snd_nxt, snd_una, snd_wnd });
        let before = block.state();
        let IpLayer { pool, counters, .. } = &mut *lower.ip;
        let done = block.on_segment(
            Arrival { now: lower.now, header, ecn: tos & ECN_MASK, pool, counters, challenges: &mut self.challenges },
            text,
        );
        connection.apply(done, before, lower);
        if connection.block.send_variables().1 != snd_una {
            // `sk_dst_confirm`: who acknowledges something new is there.
            lower.ip.confirm(connection.flow.remote.ip(), lower.now);
        }
        self.memory.account(connection);
        if matches!(connection.block.state(), State::Closed | State::TimeWait) {
            self.settle(sockets, index, lower);
        } else if connection.block.has_something_due() {
            if !connection.listed.contains(Listed::DEFERRED) {
                connection.listed |= Listed::DEFERRED;
                self.deferred.push(index);
            }
        } else {
            connection.block.note_limit(connection.no_space, lower.now);
            self.timers.arm(index, connection.block.next_timer());
        }
    }

    /// Whether [`flush`](Self::flush) has something to do.
    #[inline]
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// The end of a batch: sends what its segments have made due.
    pub(crate) fn flush(&mut self, sockets: &mut Sockets, lower: &mut Lower<'_>) {
        let mut deferred = std::mem::take(&mut self.deferred);
        for index in deferred.drain(..) {
            if let Some(connection) = sockets.connection_at(index) {
                connection.listed -= Listed::DEFERRED;
                self.settle(sockets, index, lower);
            }
        }
        self.deferred = deferred;
    }

    /// The device has taken all that it was given. Says whether a connection waits for that.
    #[inline]
    pub(crate) fn note_tx_completion(&mut self) -> bool {
        self.tx_completions = self.tx_completions.wrapping_add(1);
        !self.throttled.is_empty()
    }

    /// `tcp_tsq_handler`: what was given to the device has left it.
    pub(crate) fn on_tx_completion(&mut self, sockets: &mut Sockets, lower: &mut Lower<'_>) {
        for index in std::mem::take(&mut self.throttled) {
            if let Some(connection) = sockets.connection_at(index) {
                connection.listed -= Listed::THROTTLED;
                self.settle(sockets, index, lower);
            }
        }
    }

    /// Brings everything about a connection in line with its control block: what is due is sent, its timer armed, and
    /// what has ended leaves the tables.
    #[inline]
    pub(super) fn settle(&mut self, sockets: &mut Sockets, index: u32, lower: &mut Lower<'_>) {
        let Some(connection) = sockets.connection_at(index) else { return };
        if connection.transmit(self.tx_completions, lower) && !connection.listed.contains(Listed::THROTTLED) {
            connection.listed |= Listed::THROTTLED;
            self.throttled.push(index);
        }
        self.memory.account(connection);
        match connection.block.state() {
            State::Closed => self.retire(sockets, index, lower),
            State::TimeWait => self.enter_time_wait(sockets, index, lower),
            // Nobody will read what may still come, so it need not be a connection (`tcp_time_wait`).
            State::FinWait2 if connection.owner == Owner::Nobody => self.enter_time_wait(sockets, index, lower),
            _ => self.timers.arm(index, connection.block.next_timer()),
        }
    }

    fn enter_time_wait(&mut self, sockets: &mut Sockets, index: u32, lower: &mut Lower<'_>) {
        let Some(connection) = sockets.connection_at(index) else { return };
        let (flow, variables) = (connection.flow, connection.block.remains(connection.ip_fields().tos));
        connection.block.abort(&mut lower.ip.pool);
        match self.time_wait.insert(flow, variables, lower.now) {
            Some(entry) => self.demux.redirect(&flow, Target::Connection(index), Target::TimeWait(entry)),
            None => {
                lower.ip.counters.count(Mib::TcpExtTCPTimeWaitOverflow);
                self.demux.remove(&flow, Target::Connection(index));
            }
        }
        self.release(sockets, index, lower);
    }

    /// A connection in CLOSED leaves the tables.
    #[cold]
    fn retire(&mut self, sockets: &mut Sockets, index: u32, lower: &mut Lower<'_>) {
        let Some(connection) = sockets.connection_at(index) else { return };
        let flow = connection.flow;
        self.demux.remove(&flow, Target::Connection(index));
        self.release(sockets, index, lower);
    }

    /// Stops a connection's timer, and frees it when it has no owner. An owner keeps what can still be read.
    fn release(&mut self, sockets: &mut Sockets, index: u32, lower: &mut Lower<'_>) {
        self.timers.disarm(index);
        let Some(connection) = sockets.connection_at(index) else { return };
        if connection.owner == Owner::Nobody {
            connection.block.abort(&mut lower.ip.pool);
            connection.wq.state_change(caller::CALL, lower.fx);
            self.orphans -= u32::from(connection.listed.contains(Listed::ORPHAN));
            self.memory.release(connection);
            sockets.remove(index);
        }
    }

    /// 3.10.7.4 for TIME-WAIT.
    fn deliver_to_time_wait(&mut self, sockets: &mut Sockets, index: u32, segment: Segment<'_>, lower: &mut Lower<'_>) {
        let rfc1337 = self.sysctls.rfc1337;
        let verdict = self.time_wait.on_segment(index, segment.header, segment.text.whole_len(), rfc1337, lower.now);
        let entry = self.time_wait.get(index).copied();
        // When nobody listens any more, it is acknowledged like any other that is out of place.
        if let Verdict::Reopen { iss } = verdict
            && self.demux.bound(&segment.flow, Ingress::of(&segment.text, lower.ip.config.shard.index)).is_some()
        {
            lower.ip.counters.count(Mib::TcpExtTWRecycled);
            self.forget_time_wait(index, &segment.flow);
            return self.deliver_to_listener(sockets, segment, Some(iss), lower);
        }
        let Some(entry) = entry else { return lower.ip.pool.free(segment.text) };
        if verdict == Verdict::Reset {
            // Linux's `TCP_TW_RST`.
            self.forget_time_wait(index, &entry.flow);
            return self.refuse(segment, lower);
        }
        lower.ip.pool.free(segment.text);
        match verdict {
            Verdict::Acknowledge | Verdict::Reopen { .. } => {
                let numbers = (entry.remains.snd_nxt, entry.remains.rcv_nxt);
                let timestamps = entry.timestamps(self.secrets.ts_offset(&entry.flow), lower.now);
                let fields = IpFields { tos: entry.remains.tos, ..IpFields::DEFAULT };
                send_ack(lower, &entry.flow, numbers, entry.remains.window, timestamps, fields);
            }
            Verdict::Skip(mib) => lower.ip.counters.count(mib),
            Verdict::Delete => self.forget_time_wait(index, &entry.flow),
            Verdict::Ignore | Verdict::Reset => {}
        }
    }

    /// Ends an entry before its time.
    pub(super) fn forget_time_wait(&mut self, index: u32, flow: &FourTuple) {
        self.time_wait.remove(index);
        self.demux.remove(flow, Target::TimeWait(index));
    }

    /// Answers a segment that has nobody to go to.
    #[cold]
    pub(super) fn refuse(&mut self, segment: Segment<'_>, lower: &mut Lower<'_>) {
        refuse(lower, &segment.flow, segment.header, segment.text.whole_len(), segment.mirrored());
        lower.ip.drop_packet(segment.text, DropReason::NoSocket, lower.fx);
    }

    /// When [`on_timer`](Self::on_timer) wants to be called.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        let connections = self.timers.next_deadline().min(self.request_timers.next_deadline());
        connections.min(self.time_wait.next_deadline())
    }

    /// Does what is due, up to a bound; the rest is due still.
    pub(crate) fn on_timer(&mut self, sockets: &mut Sockets, lower: &mut Lower<'_>) {
        for _ in 0..TIMERS_PER_CALL {
            let Some(index) = self.timers.pop_due(lower.now) else { break };
            self.on_connection_timer(sockets, index, lower);
        }
        for _ in 0..TIMERS_PER_CALL {
            let Some(index) = self.request_timers.pop_due(lower.now) else { break };
            self.on_request_timer(sockets, index, lower);
        }
        for _ in 0..TIMERS_PER_CALL {
            let Some((index, entry)) = self.time_wait.pop_expired(lower.now) else { break };
            lower.ip.counters.count(Mib::TcpExtTW);
            self.demux.remove(&entry.flow, Target::TimeWait(index));
        }
    }

    fn on_connection_timer(&mut self, sockets: &mut Sockets, index: u32, lower: &mut Lower<'_>) {
        let Some(connection) = sockets.connection_at(index) else { return };
        let before = connection.block.state();
        let IpLayer { pool, counters, .. } = &mut *lower.ip;
        let done = connection.block.on_timer(lower.now, pool, counters);
        connection.apply(done, before, lower);
        self.settle(sockets, index, lower);
    }

    /// An ICMP error, or a neighbour that cannot be found, concerns a segment of ours. RFC 5927: it ends only an attempt
    /// to connect; an established connection remembers it.
    pub(crate) fn on_error(
        &mut self,
        sockets: &mut Sockets,
        flow: &FourTuple,
        seq: SeqNumber,
        said: Said,
        lower: &mut Lower<'_>,
    ) {
        let index = match self.exact(sockets, flow) {
            Some(Target::Connection(index)) => index,
            Some(Target::Request(index)) => return self.on_request_error(sockets, index, seq, said.error, lower),
            _ => return,
        };
        let Some(connection) = sockets.connection_at(index) else { return };
        if !connection.block.is_outstanding(seq) {
            return lower.ip.counters.count(Mib::TcpExtOutOfWindowIcmps);
        }
        let error = said.error;
        if let Some(mtu) = said.mtu {
            // RFC 1191: the path is narrower than was thought; that ends nothing.
            let _ = lower.ip.hear_of_path(flow.remote.ip(), mtu, lower.now, lower.fx);
            mind_path(&mut connection.block, flow, lower);
            return self.settle(sockets, index, lower);
        }
        let before = connection.block.state();
        if before.is_synchronized() {
            connection.soft_error = Some(error);
            return;
        }
        lower.ip.counters.count(Mib::TcpAttemptFails);
        connection.block.abort(&mut lower.ip.pool);
        let done = Disposition { notice: Notice::FAILED, error: Some(error), ..Disposition::default() };
        connection.apply(done, before, lower);
        self.settle(sockets, index, lower);
    }

    /// What this end offers to a peer.
    pub(super) fn offer(&self, ip: &IpLayer, flow: &FourTuple, (rcvbuf, sndbuf): (u32, u32)) -> Offer {
        let headers = header_len(flow.is_v4()) + TcpHeader::LEN;
        let mss = ip.mtu().saturating_sub(headers).min(u16::MAX.into()) as u16;
        let mut features = self.sysctls.features();
        features.set(Features::IPV6, !flow.is_v4());
        Offer {
            mss,
            rcvbuf,
            sndbuf,
            buffers_grow: self.limits.buffers_grow,
            out_of_order_max: self.limits.out_of_order_max as u32,
            features,
            mtu: ip.mtu().min(u16::MAX.into()) as u16,
            mtu_probing: self.sysctls.mtu_probing,
            rto_min: self.sysctls.rto_min,
            ts_offset: self.secrets.ts_offset(flow),
            congestion: self.limits.congestion,
            paced: self.limits.paced,
            gso_max: ip.config.gso_max,
        }
    }

    /// Which congestion control new connections have.
    pub(super) fn default_congestion(&self) -> CongestionChoice {
        self.limits.congestion
    }

    /// How many entries are in TIME-WAIT.
    #[cfg(test)]
    pub(crate) fn time_wait_len(&self) -> usize {
        self.time_wait.count(Substate::TimeWait)
    }

    /// How many bytes all connections hold.
    #[cfg(test)]
    pub(crate) fn memory_held(&self) -> u64 {
        self.memory.held()
    }

    /// How many entries are in FIN-WAIT-2.
    #[cfg(test)]
    pub(crate) fn fin_wait_2_len(&self) -> usize {
        self.time_wait.count(Substate::FinWait2)
    }

    /// How many connections are half open.
    #[cfg(test)]
    pub(crate) fn requests_len(&self) -> usize {
        self.requests.len()
    }

    /// The host goes down: every connection ends, nobody is told outside.
    pub(crate) fn shut_down(&mut self, sockets: &mut Sockets, lower: &mut Lower<'_>) {
        self.demux.clear();
        self.requests.clear();
        self.time_wait.clear();
        self.timers = TimerHeap::new();
        self.request_timers = TimerHeap::new();
        for index in sockets.indices() {
            if let Some(connection) = sockets.connection_at(index) {
                let before = connection.block.state();
                connection.block.abort(&mut lower.ip.pool);
                let error = (before != State::Closed).then_some(SocketError::NetworkDown);
                let error = error.or(connection.error);
                connection.fail(error, lower);
                self.release(sockets, index, lower);
            } else if let Some(listener) = sockets.listener_at(index) {
                listener.is_down = true;
                (listener.half_open, listener.young) = (0, 0);
                listener.wq.state_change(caller::CALL, lower.fx);
            }
        }
    }

    /// Which socket is bound to an address, for tests and tables.
    pub(crate) fn demux(&self) -> &Demux<Target> {
        &self.demux
    }
}

/// Keeps a connection's segments to what is known of its path.
pub(super) fn mind_path(block: &mut ControlBlock, flow: &FourTuple, lower: &Lower<'_>) {
    let mtu = lower.ip.path_mtu(flow.remote.ip(), lower.now);
    if mtu < lower.ip.mtu() {
        block.on_path_mtu(mtu, header_len(flow.is_v4()) + TcpHeader::LEN, lower.now);
    }
}

#[cold]
fn on_malformed(packet: PacketBuf, malformed: Malformed, lower: &mut Lower<'_>) {
    lower.ip.counters.count(Mib::TcpInErrs);
    let short = malformed == Malformed::Truncated;
    let reason = if short { DropReason::PktTooSmall } else { DropReason::TcpFlags };
    lower.ip.drop_packet(packet, reason, lower.fx);
}

/// The check of `tcp_v4_rcv` before the lookup: the checksum.
#[inline]
fn verify(ip: &IpHeader, packet: PacketBuf, lower: &mut Lower<'_>) -> Option<PacketBuf> {
    if lower.ip.must_verify(ip, &packet) && !TcpHeader::verify(ip.src, ip.dst, packet.len(), packet.pieces()) {
        lower.ip.counters.count(Mib::TcpInCsumErrors);
        lower.ip.counters.count(Mib::TcpInErrs);
        lower.ip.drop_packet(packet, DropReason::TcpCsum, lower.fx);
        return None;
    }
    Some(packet)
}

#[inline]
fn segment<'a>(ip: &IpHeader, header: &'a TcpHeader, header_len: usize, mut packet: PacketBuf) -> Segment<'a> {
    packet.pull(header_len);
    let flow =
        FourTuple { local: Endpoint::new(ip.dst, header.dst_port), remote: Endpoint::new(ip.src, header.src_port) };
    Segment { flow, header, tos: ip.tos, text: packet }
}

/// Whether a segment asks for a connection.
pub(super) fn is_open(header: &TcpHeader) -> bool {
    header.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) == TcpFlags::SYN
}
