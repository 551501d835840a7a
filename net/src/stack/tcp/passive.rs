//! The passive open: LISTEN and SYN-RECEIVED (RFC 9293 3.10.7.2 and .4), by compact requests.

use crate::event::{DropReason, Event};
use crate::stack::counters::Mib;
use crate::stack::demux::{FourTuple, Target};
use crate::stack::ip::Lower;
use crate::stack::socket::{Socket, Sockets};
use crate::stack::tcp::connection::{Connection, Owner};
use crate::stack::tcp::control_block::{CHALLENGE_INTERVAL, ControlBlock, Reset};
use crate::stack::tcp::emit::{send_ack, send_reset, send_segment};
use crate::stack::tcp::layer::{Segment, TcpLayer, is_open};
use crate::stack::tcp::listen::Request;
use crate::stack::tcp::options::{Agreed, Features, syn_options, syn_window};
use crate::stack::tcp::rto::RttEstimator;
use crate::stack::tcp::timeouts::SYN_ACK_RETRIES;
use crate::stack::tcp::timestamps::{Timestamps, is_before};
use crate::wire::checksum::Sum;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use wakeline_runtime::wait_queue::Events;

impl TcpLayer {
    /// 3.10.7.2 LISTEN STATE, and 3.10.7.1 when nobody listens. `iss` is given by an entry in TIME-WAIT that a new
    /// connection takes the place of.
    pub(super) fn deliver_to_listener(
        &mut self,
        sockets: &mut Sockets,
        segment: Segment<'_>,
        iss: Option<SeqNumber>,
        lower: &mut Lower<'_>,
    ) {
        let Some(index) = self.demux.bound(&segment.flow) else { return self.refuse(segment, lower) };
        if sockets.listener_at(index).is_none_or(|listener| listener.backlog.is_none()) {
            return self.refuse(segment, lower);
        }
        let flags = segment.header.flags;
        // First, check for a RST.
        if flags.contains(TcpFlags::RST) {
            return lower.ip.drop_packet(segment.text, DropReason::TcpInvalidReset, lower.fx);
        }
        // Second, check for an ACK.
        if flags.contains(TcpFlags::ACK) {
            return self.refuse(segment, lower);
        }
        // Third, check for a SYN. (Fourth: anything else is dropped.)
        if !flags.contains(TcpFlags::SYN) {
            return lower.ip.drop_packet(segment.text, DropReason::TcpFlags, lower.fx);
        }
        self.on_syn(sockets, index, segment, iss, lower);
    }

    /// `tcp_conn_request`. Text and FIN that the SYN carries will be sent again.
    fn on_syn(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
        segment: Segment<'_>,
        iss: Option<SeqNumber>,
        lower: &mut Lower<'_>,
    ) {
        let room = self.requests.len() < self.limits.requests_max && sockets.has_room();
        let Some(listener) = sockets.listener_at(index) else { return self.refuse(segment, lower) };
        let full = if listener.accept_queue_is_full() {
            Some(Mib::TcpExtListenOverflows)
        } else if listener.syn_queue_is_full() || !room {
            Some(Mib::TcpExtTCPReqQFullDrop)
        } else {
            None
        };
        if let Some(mib) = full {
            lower.ip.counters.count(mib);
            lower.ip.counters.count(Mib::TcpExtListenDrops);
            return lower.ip.drop_packet(segment.text, DropReason::TcpListenOverflow, lower.fx);
        }
        listener.half_open += 1;
        let rcvbuf = listener.settings.rcvbuf;
        let Segment { flow, header, text } = segment;
        lower.ip.pool.free(text);
        let iss = iss.unwrap_or_else(|| self.secrets.isn(&flow, lower.now));
        let offer = self.offer(lower.ip, &flow, (0, 0));
        let agreed = Agreed::new(offer.mss, offer.features, header);
        let expires_at = lower.now.saturating_add(RttEstimator::new().rto());
        let (irs, sent_at) = (header.seq, lower.now);
        let request = Request { flow, listener: index, iss, irs, agreed, retries: 0, sent_at, expires_at };
        let place = self.requests.insert(request) as u32;
        self.demux.insert(flow, Target::Request(place));
        self.request_timers.arm(place, expires_at);
        self.send_syn_ack(&request, rcvbuf, lower);
    }

    fn send_syn_ack(&self, request: &Request, rcvbuf: u32, lower: &mut Lower<'_>) {
        let (offer, agreed) = (self.offer(lower.ip, &request.flow, (0, 0)), request.agreed);
        let timestamps = (Timestamps::new(offer.ts_offset).value(lower.now), agreed.ts_recent);
        let header = TcpHeader {
            src_port: request.flow.local.port(),
            dst_port: request.flow.remote.port(),
            seq: request.iss,
            ack: request.irs + 1,
            flags: TcpFlags::SYN | TcpFlags::ACK,
            window: syn_window(rcvbuf),
            urgent: 0,
            options: syn_options(offer.mss, agreed.snd_wscale.is_some(), agreed.features, timestamps),
        };
        send_segment(lower, &request.flow, &header, 0, |_| Sum::default());
    }

    /// `tcp_check_req`: a segment for a half-open connection. The steps are those of 3.10.7.4 in SYN-RECEIVED.
    pub(super) fn deliver_to_request(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
        segment: Segment<'_>,
        lower: &mut Lower<'_>,
    ) {
        let Some(&request) = self.requests.get(index as usize) else { return };
        let rcvbuf = sockets.listener_at(request.listener).map_or(0, |listener| listener.settings.rcvbuf);
        let Segment { header, ref text, .. } = segment;
        let (flags, rcv_nxt) = (header.flags, request.irs + 1);
        let recent = lower.now < request.sent_at.saturating_add(CHALLENGE_INTERVAL);
        if is_open(header) && header.seq == request.irs {
            // The SYN again: so is the SYN-ACK, but not at the peer's pace.
            if !recent {
                self.resend_syn_ack(index, rcvbuf, lower);
            }
            return lower.ip.pool.free(segment.text);
        }
        // First, check the sequence number.
        let window = u32::from(syn_window(rcvbuf));
        let end = header.seq + header.sequence_len(text.len());
        let old = request.agreed.features.contains(Features::TIMESTAMPS)
            && header.options.timestamps.is_some_and(|(value, _)| is_before(value, request.agreed.ts_recent));
        if old && !flags.contains(TcpFlags::RST) {
            // `tcp_check_req`: RFC 7323 5.3 R1.
            lower.ip.counters.count(Mib::TcpExtPAWSEstab);
        }
        let acceptable = !end.is_before(rcv_nxt) && !header.seq.is_after(rcv_nxt + window) && !old;
        if !acceptable || flags.contains(TcpFlags::SYN) {
            // Fourth, check the SYN bit; RFC 5961 4.2: it is answered like any other that is out of place.
            let answer = !flags.contains(TcpFlags::RST) && !recent;
            let flow = segment.flow;
            lower.ip.drop_packet(segment.text, DropReason::TcpOverwindow, lower.fx);
            if answer {
                send_ack(lower, &flow, request.iss + 1, rcv_nxt, syn_window(rcvbuf));
            }
            return;
        }
        // Second, check the RST bit: "return this connection to the LISTEN state".
        if flags.contains(TcpFlags::RST) {
            if header.seq == rcv_nxt {
                lower.ip.counters.count(Mib::TcpAttemptFails);
                self.remove_request(sockets, index);
                self.demux.remove(&request.flow);
                return lower.ip.pool.free(segment.text);
            }
            return lower.ip.drop_packet(segment.text, DropReason::TcpInvalidReset, lower.fx);
        }
        // Fifth, check the ACK field.
        if !flags.contains(TcpFlags::ACK) {
            return lower.ip.drop_packet(segment.text, DropReason::TcpFlags, lower.fx);
        }
        if header.ack != request.iss + 1 {
            send_reset(lower, &segment.flow, Reset::At(header.ack));
            return lower.ip.drop_packet(segment.text, DropReason::TcpInvalidAck, lower.fx);
        }
        self.establish(sockets, index, &request, segment, lower);
    }

    /// The handshake's last segment: the request becomes a connection in the accept queue (`tcp_v4_syn_recv_sock`).
    fn establish(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
        request: &Request,
        segment: Segment<'_>,
        lower: &mut Lower<'_>,
    ) {
        let place = sockets.next_index();
        let room = sockets.has_room();
        let Some(listener) = sockets.listener_at(request.listener) else { return self.refuse(segment, lower) };
        if listener.accept_queue_is_full() || !room {
            // The request stays, and so does the peer's belief; the SYN-ACK asks again.
            lower.ip.counters.count(Mib::TcpExtListenOverflows);
            lower.ip.counters.count(Mib::TcpExtListenDrops);
            return lower.ip.drop_packet(segment.text, DropReason::TcpListenOverflow, lower.fx);
        }
        listener.accept_queue.push_back(place);
        let (settings, family) = (listener.settings, listener.binding.family);
        let event = || Event::SkDataReady { protocol: "IPPROTO_TCP", func: "sock_def_readable" };
        lower.fx.tracer.emit(event);
        listener.wait.wake(Events::READABLE, 1, &mut lower.fx.wakes);
        lower.ip.counters.count(Mib::TcpPassiveOpens);
        let offer = self.offer(lower.ip, &request.flow, (settings.rcvbuf, settings.sndbuf));
        let FourTuple { local, remote } = request.flow;
        let block = ControlBlock::accept(
            (local.port(), remote.port()),
            (request.iss, request.irs),
            (&offer, request.agreed),
            (request.sent_at, request.retries > 0),
            lower.now,
        );
        let owner = Owner::Listener(request.listener);
        let connection = Connection::new(request.flow, family, block, owner, settings);
        self.remove_request(sockets, index);
        if sockets.insert(Socket::Connection(Box::new(connection))).is_ok() {
            self.demux.redirect(&request.flow, Target::Connection(place));
            self.deliver_to_connection(sockets, place, segment, lower);
        }
    }

    /// Takes a request out of its table; its place in the demux is the caller's concern.
    pub(super) fn remove_request(&mut self, sockets: &mut Sockets, index: u32) {
        self.request_timers.disarm(index);
        if let Some(request) = self.requests.try_remove(index as usize)
            && let Some(listener) = sockets.listener_at(request.listener)
        {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
    }

    fn resend_syn_ack(&mut self, index: u32, rcvbuf: u32, lower: &mut Lower<'_>) {
        let Some(request) = self.requests.get_mut(index as usize) else { return };
        // From now on its round trip cannot be measured.
        request.retries = request.retries.max(1);
        request.sent_at = lower.now;
        let request = *request;
        lower.ip.counters.count(Mib::TcpRetransSegs);
        self.send_syn_ack(&request, rcvbuf, lower);
    }

    /// `reqsk_timer_handler`: the SYN-ACK again, with back-off, or the end of the request.
    pub(super) fn on_request_timer(&mut self, sockets: &mut Sockets, index: u32, lower: &mut Lower<'_>) {
        let Some(request) = self.requests.get_mut(index as usize) else { return };
        if request.expires_at > lower.now {
            return self.request_timers.arm(index, request.expires_at);
        }
        let (flow, listener) = (request.flow, request.listener);
        if request.retries >= SYN_ACK_RETRIES {
            lower.ip.counters.count(Mib::TcpAttemptFails);
            self.remove_request(sockets, index);
            return self.demux.remove(&flow);
        }
        request.retries += 1;
        let mut timeout = RttEstimator::new();
        (0..request.retries).for_each(|_| timeout.back_off());
        request.expires_at = lower.now.saturating_add(timeout.rto());
        let expires_at = request.expires_at;
        self.request_timers.arm(index, expires_at);
        lower.ip.counters.count(Mib::TcpExtTCPTimeouts);
        let rcvbuf = sockets.listener_at(listener).map_or(0, |listener| listener.settings.rcvbuf);
        self.resend_syn_ack(index, rcvbuf, lower);
    }
}
