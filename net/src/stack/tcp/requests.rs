//! Half-open connections: SYN-RECEIVED of a passive open (RFC 9293 3.10.7.4), one compact request each.

use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::demux::Target;
use crate::stack::error::SocketError;
use crate::stack::ip::Lower;
use crate::stack::socket::Sockets;
use crate::stack::tcp::control_block::Reset;
use crate::stack::tcp::emit::{send_ack, send_reset};
use crate::stack::tcp::layer::{Segment, TcpLayer, is_open};
use crate::stack::tcp::listen::Request;
use crate::stack::tcp::options::{Features, syn_window};
use crate::stack::tcp::rto::RttEstimator;
use crate::stack::tcp::settings::Settings;
use crate::stack::tcp::timestamps::is_before;
use crate::wire::tcp::{SeqNumber, TcpFlags};

impl TcpLayer {
    /// `tcp_check_req`: a segment for a half-open connection. The steps are those of 3.10.7.4 in SYN-RECEIVED.
    pub(super) fn deliver_to_request(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
        segment: Segment<'_>,
        lower: &mut Lower<'_>,
    ) {
        let Some(&request) = self.requests.get(index as usize) else { return };
        let Some(settings) = sockets.listener_at(request.listener).map(|listener| listener.settings) else { return };
        let Segment { header, ref text, .. } = segment;
        let (flags, rcv_nxt) = (header.flags, request.irs + 1);
        if is_open(header) && header.seq == request.irs {
            // The SYN again: so is the SYN-ACK, but not at the peer's pace.
            if self.may_answer(index, lower) {
                self.resend_syn_ack(index, &settings, lower);
            }
            return lower.ip.pool.free(segment.text);
        }
        // First, check the sequence number.
        let window = u32::from(syn_window(settings.rcvbuf));
        let end = header.seq + header.sequence_len(text.whole_len());
        let old = request.agreed.features.contains(Features::TIMESTAMPS)
            && header.options.timestamps.is_some_and(|(value, _)| is_before(value, request.agreed.ts_recent));
        if old && !flags.contains(TcpFlags::RST) {
            // `tcp_check_req`: RFC 7323 5.3 R1.
            lower.ip.counters.count(Mib::TcpExtPAWSEstab);
        }
        let acceptable = !end.is_before(rcv_nxt) && !header.seq.is_after(rcv_nxt + window) && !old;
        if !acceptable || flags.contains(TcpFlags::SYN) {
            // Fourth, check the SYN bit; RFC 5961 4.2: it is answered like any other that is out of place.
            let answer = !flags.contains(TcpFlags::RST) && self.may_answer(index, lower);
            let flow = segment.flow;
            lower.ip.drop_packet(segment.text, DropReason::TcpOverwindow, lower.fx);
            if answer {
                let stamped = request.agreed.features.contains(Features::TIMESTAMPS);
                let timestamps = (self.clock_of(&flow, lower.now), request.agreed.ts_recent);
                let (numbers, fields) = ((request.iss + 1, rcv_nxt), settings.ip.fields(flow.is_v4()));
                send_ack(lower, &flow, numbers, syn_window(settings.rcvbuf), stamped.then_some(timestamps), fields);
            }
            return;
        }
        // Second, check the RST bit: "return this connection to the LISTEN state".
        if flags.contains(TcpFlags::RST) {
            if header.seq == rcv_nxt {
                lower.ip.counters.count(Mib::TcpAttemptFails);
                self.abandon_request(sockets, index, &request, lower);
                return lower.ip.pool.free(segment.text);
            }
            return lower.ip.drop_packet(segment.text, DropReason::TcpInvalidReset, lower.fx);
        }
        // Fifth, check the ACK field.
        if !flags.contains(TcpFlags::ACK) {
            return lower.ip.drop_packet(segment.text, DropReason::TcpFlags, lower.fx);
        }
        if header.ack != request.iss + 1 {
            send_reset(lower, &segment.flow, Reset::At(header.ack), segment.mirrored());
            return lower.ip.drop_packet(segment.text, DropReason::TcpInvalidAck, lower.fx);
        }
        if self.is_deferred(sockets, &request) && end == rcv_nxt {
            // "While TCP_DEFER_ACCEPT is active, drop bare ACK."
            lower.ip.counters.count(Mib::TcpExtTCPDeferAcceptDrop);
            self.requests[index as usize].is_acked = true;
            return lower.ip.pool.free(segment.text);
        }
        self.establish(sockets, index, &request, segment, lower);
    }

    fn is_deferred(&self, sockets: &mut Sockets, request: &Request) -> bool {
        let listener = sockets.listener_at(request.listener);
        listener.is_some_and(|listener| request.timeouts < listener.defer_accept())
    }

    /// The handshake's last segment: the request becomes a connection in the accept queue.
    fn establish(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
        request: &Request,
        segment: Segment<'_>,
        lower: &mut Lower<'_>,
    ) {
        if let Some(place) = self.create_child(sockets, request, lower) {
            self.remove_request(sockets, index);
            self.demux.redirect(&request.flow, Target::Request(index), Target::Connection(place));
            return self.deliver_to_connection(sockets, place, segment, lower);
        }
        if self.sysctls.abort_on_overflow {
            send_reset(lower, &request.flow, Reset::At(segment.header.ack), segment.mirrored());
            self.abandon_request(sockets, index, request, lower);
        } else {
            // The request stays, and so does the peer's belief; the SYN-ACK asks again.
            self.requests[index as usize].is_acked = true;
        }
        lower.ip.drop_packet(segment.text, DropReason::TcpListenOverflow, lower.fx);
    }

    /// An ICMP error about a SYN-ACK (`tcp_req_err`): a peer that cannot be reached will not answer.
    pub(super) fn on_request_error(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
        seq: SeqNumber,
        error: SocketError,
        lower: &mut Lower<'_>,
    ) {
        let Some(&request) = self.requests.get(index as usize) else { return };
        if seq != request.iss {
            lower.ip.counters.count(Mib::TcpExtOutOfWindowIcmps);
        } else if matches!(error, SocketError::HostUnreachable | SocketError::NetworkUnreachable) {
            lower.ip.counters.count(Mib::TcpExtListenDrops);
            self.remove_request(sockets, index);
            self.demux.remove(&request.flow, Target::Request(index));
        }
    }

    /// Ends a request before its time.
    fn abandon_request(&mut self, sockets: &mut Sockets, index: u32, request: &Request, lower: &mut Lower<'_>) {
        lower.ip.counters.count(Mib::TcpExtEmbryonicRsts);
        self.remove_request(sockets, index);
        self.demux.remove(&request.flow, Target::Request(index));
    }

    /// Takes a request out of its table; its place in the demux is the caller's concern.
    pub(super) fn remove_request(&mut self, sockets: &mut Sockets, index: u32) {
        self.request_timers.disarm(index);
        if let Some(request) = self.requests.try_remove(index as usize)
            && let Some(listener) = sockets.listener_at(request.listener)
        {
            listener.half_open = listener.half_open.saturating_sub(1);
            listener.young = listener.young.saturating_sub(u32::from(request.timeouts == 0));
        }
    }

    fn may_answer(&mut self, index: u32, lower: &Lower<'_>) -> bool {
        self.requests.get_mut(index as usize).is_some_and(|request| request.may_answer(lower.now))
    }

    fn resend_syn_ack(&mut self, index: u32, settings: &Settings, lower: &mut Lower<'_>) {
        let Some(request) = self.requests.get_mut(index as usize) else { return };
        // From now on its round trip cannot be measured.
        request.is_repeated = true;
        request.sent_at = lower.now;
        let request = *request;
        // `tcp_rtx_synack`
        lower.ip.counters.count(Mib::TcpRetransSegs);
        lower.ip.counters.count(Mib::TcpExtTCPSynRetrans);
        self.send_syn_ack(&request, settings, self.clock_of(&request.flow, lower.now), lower);
    }

    /// `reqsk_timer_handler`: the SYN-ACK again, with back-off, or the end of the request.
    pub(super) fn on_request_timer(&mut self, sockets: &mut Sockets, index: u32, lower: &mut Lower<'_>) {
        let Some(request) = self.requests.get_mut(index as usize) else { return };
        if request.expires_at > lower.now {
            return self.request_timers.arm(index, request.expires_at);
        }
        let Some(listener) = sockets.listener_at(request.listener) else { return };
        let (defer, settings) = (listener.defer_accept(), listener.settings);
        let spent = request.timeouts >= listener.syn_ack_retries(self.sysctls.synack_retries);
        // `syn_ack_recalc`: who waits for data is not asked again until the last moment.
        let waits = request.is_acked && request.timeouts < defer;
        let resend = !request.is_acked || defer == 0 || request.timeouts + 1 >= defer;
        lower.ip.counters.count(Mib::TcpExtTCPTimeouts);
        if spent && !waits {
            let flow = request.flow;
            lower.ip.counters.count(Mib::TcpAttemptFails);
            self.remove_request(sockets, index);
            return self.demux.remove(&flow, Target::Request(index));
        }
        listener.young = listener.young.saturating_sub(u32::from(request.timeouts == 0));
        request.timeouts = request.timeouts.saturating_add(1);
        let mut timeout = RttEstimator::new();
        (0..request.timeouts).for_each(|_| timeout.back_off());
        request.expires_at = lower.now.saturating_add(timeout.rto());
        let expires_at = request.expires_at;
        self.request_timers.arm(index, expires_at);
        if resend {
            self.resend_syn_ack(index, &settings, lower);
        }
    }
}
