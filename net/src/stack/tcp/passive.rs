//! The passive open: LISTEN (RFC 9293 3.10.7.2), where a SYN becomes a compact request, or a cookie; and the moment in
//! which either becomes a connection in the accept queue.

use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::demux::{FourTuple, Target};
use crate::stack::hears::Ingress;
use crate::stack::ip::Lower;
use crate::stack::socket::{Socket, Sockets};
use crate::stack::socket_wq::caller;
use crate::stack::tcp::connection::{Connection, Owner};
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::cookies::{VALID, stamp, unstamp};
use crate::stack::tcp::emit::send_bare;
use crate::stack::tcp::layer::{Segment, TcpLayer, mind_path};
use crate::stack::tcp::listen::{Listener, Request};
use crate::stack::tcp::options::{Agreed, Features, syn_ecn, syn_options, syn_window};
use crate::stack::tcp::settings::Settings;
use crate::stack::tcp::sysctl::SynCookies;
use crate::stack::tcp::timestamps::Timestamps;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use wakeline_runtime::clock::Instant;

/// What is done with a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// It becomes a request.
    Remember,
    /// It is answered with a cookie.
    Cookie,
    /// It is dropped, and counted under this name as well.
    Drop(Option<Mib>),
}

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
        let at = Ingress::of(&segment.text, lower.ip.config.shard.index);
        let Some(index) = self.demux.bound(&segment.flow, at) else { return self.refuse(segment, lower) };
        if sockets.listener_at(index).is_none_or(|listener| listener.backlog.is_none()) {
            return self.refuse(segment, lower);
        }
        let flags = segment.header.flags;
        // First, check for a RST.
        if flags.contains(TcpFlags::RST) {
            return lower.ip.drop_packet(segment.text, DropReason::TcpInvalidReset, lower.fx);
        }
        // Second, check for an ACK: it may bring back a cookie.
        if flags.contains(TcpFlags::ACK) {
            return match self.request_of_cookie(sockets, index, &segment, lower) {
                Some(request) => self.establish_from_cookie(sockets, &request, segment, lower),
                None => self.refuse(segment, lower),
            };
        }
        // Third, check for a SYN. (Fourth: anything else is dropped.) Linux: so is a SYN that ends what it opens.
        if !flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::FIN) {
            return lower.ip.drop_packet(segment.text, DropReason::TcpFlags, lower.fx);
        }
        self.on_syn(sockets, index, segment, iss, lower);
    }

    /// `tcp_conn_request`. Text that the SYN carries will be sent again.
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
        let admission = self.admit(listener, room, iss.is_some(), lower);
        if let Admission::Drop(mib) = admission {
            mib.into_iter().for_each(|mib| lower.ip.counters.count(mib));
            lower.ip.counters.count(Mib::TcpExtListenDrops);
            return lower.ip.drop_packet(segment.text, DropReason::TcpListenOverflow, lower.fx);
        }
        let settings = listener.settings;
        let Segment { flow, header, text, .. } = segment;
        lower.ip.pool.free(text);
        let iss = iss.unwrap_or_else(|| self.secrets.isn(&flow, lower.now));
        let offer = self.offer(lower.ip, &flow, (0, 0));
        let agreed = Agreed::new(offer.mss, offer.features, header);
        let request = Request::new((flow, index), (iss, header.seq), agreed, lower.now);
        if admission == Admission::Cookie {
            listener.overflowed_at = Some(lower.now);
            return self.send_cookie(&request, header, &settings, lower);
        }
        listener.half_open += 1;
        listener.young += 1;
        let place = self.requests.insert(request) as u32;
        self.demux.insert(&flow, Target::Request(place));
        self.request_timers.arm(place, request.expires_at);
        self.send_syn_ack(&request, &settings, self.clock_of(&flow, lower.now), lower);
    }

    /// Linux's order of the questions. One that takes the place of an entry in TIME-WAIT is not asked all of them.
    fn admit(&self, listener: &Listener, room: bool, reopens: bool, lower: &mut Lower<'_>) -> Admission {
        let syncookies = self.sysctls.syncookies;
        let full = listener.syn_queue_is_full() || !room;
        let flooded = (syncookies == SynCookies::Always || full) && !reopens;
        if flooded && syncookies == SynCookies::Off {
            return Admission::Drop(Some(Mib::TcpExtTCPReqQFullDrop));
        }
        if flooded {
            // `tcp_syn_flood_action`
            lower.ip.counters.count(Mib::TcpExtTCPReqQFullDoCookies);
        }
        if listener.accept_queue_is_full() {
            return Admission::Drop(Some(Mib::TcpExtListenOverflows));
        }
        if flooded {
            return Admission::Cookie;
        }
        let most = self.sysctls.max_syn_backlog;
        let scarce = most.saturating_sub(listener.half_open) < most >> 2;
        if !room || (!reopens && syncookies == SynCookies::Off && scarce) {
            return Admission::Drop(None);
        }
        Admission::Remember
    }

    /// The clock that a flow's timestamps show.
    pub(super) fn clock_of(&self, flow: &FourTuple, now: Instant) -> u32 {
        Timestamps::new(self.secrets.ts_offset(flow)).value(now)
    }

    pub(super) fn send_syn_ack(&self, request: &Request, settings: &Settings, ts_value: u32, lower: &mut Lower<'_>) {
        let (offer, agreed) = (self.offer(lower.ip, &request.flow, (0, 0)), request.agreed);
        let timestamps = (ts_value, agreed.ts_recent);
        let header = TcpHeader {
            src_port: request.flow.local.port(),
            dst_port: request.flow.remote.port(),
            seq: request.iss,
            ack: request.irs + 1,
            flags: TcpFlags::SYN | TcpFlags::ACK | syn_ecn(agreed.features, true),
            window: syn_window(settings.rcvbuf),
            urgent: 0,
            options: syn_options(offer.mss, agreed.snd_wscale.is_some(), agreed.features, timestamps),
        };
        send_bare(lower, &request.flow, &header, settings.ip.fields(request.flow.is_v4()));
    }

    /// Answers a SYN and forgets it.
    fn send_cookie(&self, request: &Request, syn: &TcpHeader, settings: &Settings, lower: &mut Lower<'_>) {
        let mut request = *request;
        let (flow, now) = (request.flow, lower.now);
        let mss = syn.options.mss.unwrap_or(Agreed::default_mss(request.flow.is_v4()));
        request.iss = self.cookies.make(&flow, request.irs, mss, now);
        if !request.agreed.features.contains(Features::TIMESTAMPS) {
            // Nothing would bring these back.
            request.agreed.snd_wscale = None;
            request.agreed.features = Features::empty();
        }
        lower.ip.counters.count(Mib::TcpExtSyncookiesSent);
        let offset = self.secrets.ts_offset(&flow);
        let stamp = stamp(Timestamps::new(0).value(now), &request.agreed).wrapping_add(offset);
        self.send_syn_ack(&request, settings, stamp, lower);
    }

    /// `cookie_v4_check`: the request that a cookie stands for, if this segment brings one back and there was a reason
    /// to give any out.
    fn request_of_cookie(
        &self,
        sockets: &mut Sockets,
        index: u32,
        segment: &Segment<'_>,
        lower: &mut Lower<'_>,
    ) -> Option<Request> {
        let Segment { flow, header, .. } = segment;
        let listener = sockets.listener_at(index)?;
        let recent = listener.overflowed_at.is_some_and(|at| lower.now < at.saturating_add(VALID));
        if self.sysctls.syncookies == SynCookies::Off || !recent || header.flags.contains(TcpFlags::SYN) {
            return None;
        }
        let (iss, irs) = (header.ack - 1, header.seq - 1);
        let Some(mss) = self.cookies.check(flow, irs, iss, lower.now) else {
            lower.ip.counters.count(Mib::TcpExtSyncookiesFailed);
            return None;
        };
        let (options, flags) = self.syn_of_cookie(flow, header, mss);
        let offer = self.offer(lower.ip, flow, (0, 0));
        let syn = TcpHeader { options, flags, ..(*header).clone() };
        let agreed = Agreed::new(offer.mss, offer.features, &syn);
        lower.ip.counters.count(Mib::TcpExtSyncookiesRecv);
        // When the SYN-ACK was sent is not known, so its round trip cannot be measured.
        Some(Request { is_repeated: true, ..Request::new((*flow, index), (iss, irs), agreed, lower.now) })
    }

    /// What the SYN's options and flags were, as far as the cookie and the timestamp say.
    fn syn_of_cookie(&self, flow: &FourTuple, header: &TcpHeader, mss: u16) -> (TcpOptions, TcpFlags) {
        let mut flags = TcpFlags::SYN;
        let mut options = TcpOptions { mss: Some(mss), ..TcpOptions::default() };
        if let Some((value, echo)) = header.options.timestamps {
            let (shift, sack, ecn) = unstamp(echo.wrapping_sub(self.secrets.ts_offset(flow)));
            options.timestamps = Some((value, echo));
            options.window_scale = shift;
            options.sack_permitted = sack;
            flags.set(TcpFlags::ECE | TcpFlags::CWR, ecn);
        }
        (options, flags)
    }

    fn establish_from_cookie(
        &mut self,
        sockets: &mut Sockets,
        request: &Request,
        segment: Segment<'_>,
        lower: &mut Lower<'_>,
    ) {
        match self.create_child(sockets, request, lower) {
            Some(place) => {
                self.demux.insert(&request.flow, Target::Connection(place));
                self.deliver_to_connection(sockets, place, segment, lower);
            }
            // The peer believes that it is connected, and sends again.
            None => lower.ip.drop_packet(segment.text, DropReason::TcpListenOverflow, lower.fx),
        }
    }

    /// The handshake is complete: a connection in the accept queue, if there is room for one (`tcp_v4_syn_recv_sock`).
    pub(super) fn create_child(
        &mut self,
        sockets: &mut Sockets,
        request: &Request,
        lower: &mut Lower<'_>,
    ) -> Option<u32> {
        let place = sockets.next_index();
        let room = sockets.has_room();
        let listener = sockets.listener_at(request.listener)?;
        if listener.accept_queue_is_full() || !room {
            lower.ip.counters.count(Mib::TcpExtListenOverflows);
            lower.ip.counters.count(Mib::TcpExtListenDrops);
            return None;
        }
        listener.accept_queue.push_back(place);
        let (settings, family) = (listener.settings, listener.binding.family);
        listener.wq.data_ready("IPPROTO_TCP", caller::TCP_CHILD, lower.fx);
        lower.ip.counters.count(Mib::TcpPassiveOpens);
        let offer = self.offer(lower.ip, &request.flow, (settings.rcvbuf, settings.sndbuf));
        let FourTuple { local, remote } = request.flow;
        let mut block = ControlBlock::accept(
            (local.port(), remote.port()),
            (request.iss, request.irs),
            (&offer, request.agreed),
            (request.sent_at, request.is_repeated),
            lower.now,
        );
        mind_path(&mut block, &request.flow, lower);
        let owner = Owner::Listener(request.listener);
        let connection = Connection::new(request.flow, family, block, owner, settings);
        // There is room, as was seen above.
        sockets.insert(Socket::Connection(Box::new(connection))).ok().map(|id| id.index())
    }
}
