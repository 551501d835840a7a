//! A connection as a socket: a control block, who waits for it, and what they are told.

use crate::event::{DropReason, Event};
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::demux::FourTuple;
use crate::stack::effects::Effects;
use crate::stack::endpoint::Family;
use crate::stack::error::SocketError;
use crate::stack::ip::Lower;
use crate::stack::ip_settings::IpFields;
use crate::stack::socket_wq::{How, SocketWq, band, caller};
use crate::stack::tcp::control_block::{ControlBlock, Disposition, Notice};
use crate::stack::tcp::cut::send_cut;
use crate::stack::tcp::emit::{send_reset, send_segment};
use crate::stack::tcp::output::Outgoing;
use crate::stack::tcp::settings::Settings;
use crate::stack::tcp::state::State;
use wakeline_runtime::wait_queue::Events;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) flow: FourTuple,
    /// How the program sees the flow's addresses.
    pub(crate) family: Family,
    pub(crate) block: ControlBlock,
    pub(crate) wq: SocketWq,
    /// What the next call reports (`sk_err`).
    pub(crate) error: Option<SocketError>,
    /// What the network says, without ending the connection (`sk_err_soft`).
    pub(crate) soft_error: Option<SocketError>,
    pub(crate) owner: Owner,
    /// What the program has set.
    pub(crate) settings: Settings,
    /// Somebody found the send buffer full (`SOCK_NOSPACE`).
    pub(crate) no_space: bool,
    /// The user has shut down reading.
    pub(crate) read_shut_down: bool,
    /// The connection was made, and has ended; so reading finds an end rather than a missing peer.
    pub(crate) is_done: bool,
    /// What the sum of all connections' memory has for this one.
    pub(crate) charged: u32,
    /// Where the layer has it, too.
    pub(crate) listed: Listed,
    /// How much of its text the device has (`sk_wmem_alloc`), and how often that had taken everything when it was given the first
    /// of it. A simplification: it is text that counts, not what its buffers take (`truesize`).
    given: u32,
    given_since: u8,
}

bitflags::bitflags! {
    /// Which of the layer's lists and counts a connection stands in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Listed: u8 {
        /// Nobody holds it, and it is counted among those.
        const ORPHAN = 1 << 0;
        /// It has something to send at the end of the batch.
        const DEFERRED = 1 << 1;
        /// It has given the device as much as it may, and waits for a completion (`TSQ_THROTTLED`).
        const THROTTLED = 1 << 2;
    }
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A program's.
    Program,
    /// It waits in the accept queue of the listener at that place.
    Listener(u32),
    /// Nobody's: closed, and finishing on its own.
    Nobody,
}

impl Connection {
    /// A connection that nobody waits for yet.
    pub(crate) fn new(
        flow: FourTuple,
        family: Family,
        mut block: ControlBlock,
        owner: Owner,
        settings: Settings,
    ) -> Connection {
        block.configure_all(&settings);
        Connection {
            flow,
            family,
            block,
            wq: SocketWq::new(),
            error: None,
            soft_error: None,
            owner,
            settings,
            no_space: false,
            read_shut_down: false,
            is_done: false,
            charged: 0,
            listed: Listed::empty(),
            given: 0,
            given_since: 0,
        }
    }

    /// Sends everything that is due and allowed now, as far as the device may have it (`tcp_small_queue_check`), which has
    /// taken everything so many times. Says whether it waits for the device.
    #[inline]
    pub(crate) fn transmit(&mut self, tx_completions: u8, lower: &mut Lower<'_>) -> bool {
        if self.given_since != tx_completions {
            (self.given, self.given_since) = (0, tx_completions);
        }
        let mut limit = None;
        while self.block.has_something_due() {
            let is_full = self.given > 0 && self.given > *limit.get_or_insert_with(|| self.block.output_limit());
            if is_full || self.listed.contains(Listed::THROTTLED) {
                return true;
            }
            let queued = lower.fx.tx.len();
            let Some(mut outgoing) = self.block.poll_transmit(lower.now) else { break };
            if let Some(mib) = outgoing.again {
                lower.ip.counters.count(mib);
                lower.ip.counters.count(Mib::TcpRetransSegs);
                let (sport, dport, state) = (self.flow.local.port(), self.flow.remote.port(), self.block.state());
                lower.fx.tracer.emit(|| Event::TcpRetransmitSkb { sport, dport, state: state.name() });
            }
            let fields = self.ip_fields();
            let sums = !lower.ip.config.checksum_offload;
            let fields = IpFields { tos: fields.tos | outgoing.ecn, ..fields };
            let Outgoing { ref mut header, offset, len, gso_size, .. } = outgoing;
            if gso_size > 0 && lower.ip.config.cuts_itself {
                let put = |packet: &mut PacketBuf, at, len| self.block.put_text(packet, (offset + at, len), sums);
                send_cut(lower, &self.flow, (header, fields), (len, gso_size.into()), put);
            } else {
                let put = |packet: &mut PacketBuf| self.block.put_text(packet, (offset, len as usize), sums);
                send_segment(lower, &self.flow, (header, fields), (len as usize, gso_size), put);
            }
            // What went elsewhere than to the device is followed by no completion.
            if lower.fx.tx.len() > queued {
                self.given += len;
            }
        }
        self.block.note_limit(self.no_space, lower.now);
        if self.no_space && self.settings.notsent_lowat != u32::MAX && self.is_writable() {
            // `tcp_check_space`: what was sent has made room.
            self.no_space = false;
            self.wq.write_space(true, lower.fx);
        }
        false
    }

    /// What its segments' IP headers say. The bits of ECN are the control block's.
    #[inline]
    pub(crate) fn ip_fields(&self) -> IpFields {
        self.settings.ip.fields(self.flow.is_v4())
    }

    /// Does what the control block asks for after a segment or a timer; `before` is the state it was in.
    #[inline]
    pub(crate) fn apply(&mut self, done: Disposition, before: State, lower: &mut Lower<'_>) {
        self.trace_state(before, lower.fx);
        if let Some(reason) = done.drop {
            count_drop(lower, reason);
        }
        if let Some(reset) = done.reset {
            send_reset(lower, &self.flow, reset, self.ip_fields());
        }
        if done.notice.contains(Notice::FAILED) {
            self.fail(done.error, lower);
        } else if !done.notice.is_empty() {
            self.notify(done.notice, lower);
        }
    }

    /// Tells of a change of state.
    #[inline]
    pub(crate) fn trace_state(&self, before: State, fx: &Effects) {
        let after = self.block.state();
        if before == after {
            return;
        }
        let (sport, dport) = (self.flow.local.port(), self.flow.remote.port());
        let (oldstate, newstate) = (before.name(), after.name());
        fx.tracer.emit(|| Event::InetSockSetState { sport, dport, oldstate, newstate });
    }

    #[inline]
    fn notify(&mut self, notice: Notice, lower: &mut Lower<'_>) {
        if notice.contains(Notice::CONNECTED) {
            // Whoever waits to write is among those who hear of it.
            self.wq.state_change(caller::TCP_STATE, lower.fx);
            self.wq.wake_async(How::Io, band::OUT, caller::TCP_STATE, lower.fx);
        }
        if notice.contains(Notice::PEER_CLOSED) {
            self.is_done = true;
            // `tcp_fin`: first the change of state, then, below, the data. Half a close is no hang-up.
            self.wq.state_change(caller::TCP_FIN, lower.fx);
            let band = if self.block.state().may_send() { band::IN } else { band::HUP };
            self.wq.wake_async(How::WaitData, band, caller::TCP_FIN, lower.fx);
        }
        // `tcp_data_ready`; an end is something to read as well (`SOCK_DONE`).
        if notice.contains(Notice::PEER_CLOSED) || (notice.contains(Notice::READABLE) && self.is_readable()) {
            self.wq.data_ready("IPPROTO_TCP", caller::TCP_DATA, lower.fx);
        }
        if notice.contains(Notice::WRITABLE) && self.no_space && self.is_writable() {
            self.no_space = false;
            self.wq.write_space(self.block.state().may_send(), lower.fx);
        }
    }

    /// The connection is gone, and everybody hears of it.
    pub(crate) fn fail(&mut self, error: Option<SocketError>, lower: &mut Lower<'_>) {
        self.is_done = true;
        self.error = match error {
            // `tcp_write_err`: what the network said is better than "timed out".
            Some(SocketError::TimedOut) => self.soft_error.take().or(error),
            error => error,
        };
        if error == Some(SocketError::ConnectionReset) || error == Some(SocketError::ConnectionRefused) {
            let (sport, dport) = (self.flow.local.port(), self.flow.remote.port());
            lower.fx.tracer.emit(|| Event::TcpReceiveReset { sport, dport });
        }
        // `sk_error_report`, then `sk_state_change`.
        self.wq.error_report(lower.fx);
        self.wq.state_change(caller::CALL, lower.fx);
    }

    /// Whether at least a third of the send buffer is free, and little enough of it is unsent
    /// (`sk_stream_is_writeable`).
    #[inline]
    pub(crate) fn is_writable(&self) -> bool {
        u64::from(self.block.queued()) * 3 <= u64::from(self.block.sndbuf()) * 2 && self.may_write_more()
    }

    /// TCP_NOTSENT_LOWAT (`tcp_stream_memory_free`).
    #[inline]
    pub(crate) fn may_write_more(&self) -> bool {
        self.settings.notsent_lowat == u32::MAX || self.block.unsent() < self.settings.notsent_lowat
    }

    /// Whether there is as much to read as somebody wants at once: SO_RCVLOWAT, but no more than can come
    /// (`tcp_stream_is_readable`).
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        let readable = self.block.readable();
        readable > 0 && (readable >= self.settings.rcvlowat || self.block.is_window_closed() || self.has_ended())
    }

    /// Whether there is no peer yet, or no longer.
    pub(crate) fn has_no_peer(&self) -> bool {
        matches!(self.block.state(), State::Closed | State::SynSent)
    }

    /// Whether nothing more will come.
    fn has_ended(&self) -> bool {
        self.block.peer_closed() || self.read_shut_down || self.block.state() == State::Closed
    }

    /// `tcp_poll`
    pub(crate) fn readiness(&mut self) -> Events {
        let state = self.block.state();
        let closed = state == State::Closed;
        let peer_closed = self.block.peer_closed() || self.read_shut_down || (closed && self.is_done);
        let write_closed = !matches!(state, State::SynSent | State::SynReceived) && !state.may_send();
        let mut events = Events::empty();
        if closed || (peer_closed && write_closed) {
            events |= Events::HUP;
        }
        if peer_closed {
            events |= Events::IN | Events::RDNORM | Events::RDHUP;
        }
        if !matches!(state, State::SynSent | State::SynReceived) {
            if self.is_readable() {
                events |= Events::IN | Events::RDNORM;
            }
            if write_closed || self.is_writable() {
                events |= Events::OUT | Events::WRNORM;
            } else {
                self.no_space = true;
                self.wq.note_no_space();
            }
        }
        if self.error.is_some() {
            events |= Events::ERR;
        }
        events
    }
}

/// Counts a segment whose content was not used.
#[cold]
fn count_drop(lower: &mut Lower<'_>, reason: DropReason) {
    lower.ip.drops.count(reason);
    lower.fx.tracer.emit(|| Event::KfreeSkb { reason, len: 0 });
}
