//! What programs ask of TCP: RFC 9293 3.10.1 to 3.10.6, with the errors of Linux's system calls.

use crate::iov_iter::{IterDest, IterSource};
use crate::stack::counters::Mib;
use crate::stack::demux::{Binding, FourTuple, Target};
use crate::stack::endpoint::{Endpoint, Family, destination};
use crate::stack::error::SocketError;
use crate::stack::ip::Lower;
use crate::stack::socket::{Socket, SocketId, Sockets};
use crate::stack::socket_wq::{SocketWq, caller};
use crate::stack::tcp::connection::{Connection, Listed, Owner};
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::emit::send_reset;
use crate::stack::tcp::layer::{TcpLayer, mind_path};
use crate::stack::tcp::listen::Listener;
use crate::stack::tcp::settings::{SettingFlags, Settings};
use crate::stack::tcp::state::State;
use crate::stack::tcp::sysctl::TwReuse;
use crate::wire::tcp::SeqNumber;
use std::collections::VecDeque;
use std::net::{IpAddr, Shutdown, SocketAddr};

/// Whether two ends may have a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Availability {
    Taken,
    /// With the number to begin at, where one in TIME-WAIT is followed.
    Free {
        iss: Option<SeqNumber>,
    },
}

/// `net.ipv4.ip_local_port_range`
pub(crate) const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

impl TcpLayer {
    /// Gives an address to a socket that does not listen yet.
    pub(crate) fn bind(
        &mut self,
        sockets: &mut Sockets,
        local: Endpoint,
        family: Family,
        settings: Settings,
    ) -> Result<SocketId, SocketError> {
        let reuse_addr = settings.flags.contains(SettingFlags::REUSE_ADDR);
        let reuse_port = settings.flags.contains(SettingFlags::REUSE_PORT);
        if !reuse_addr && !reuse_port && self.demux.port_has_flows(local.port()) {
            // As in Linux without SO_REUSEADDR. A simplification: with it, Linux asks that the connections have it too.
            return Err(SocketError::AddrInUse);
        }
        let binding = Binding { hears: settings.hears, ..Binding::tcp(family, reuse_addr, reuse_port) };
        let listener = Listener {
            local,
            binding,
            backlog: None,
            accept_queue: VecDeque::new(),
            half_open: 0,
            young: 0,
            overflowed_at: None,
            wq: SocketWq::new(),
            settings,
            is_down: false,
        };
        if !self.demux.bind(local, sockets.next_index(), binding) {
            return Err(SocketError::AddrInUse);
        }
        sockets.insert(Socket::Listener(Box::new(listener))).inspect_err(|_| {
            self.demux.unbind(local, sockets.next_index(), binding.family);
        })
    }

    /// Passive OPEN of a bound socket; on one that listens already it changes the backlog.
    pub(crate) fn listen(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
        backlog: u32,
        settings: Settings,
    ) -> Result<(), SocketError> {
        let backlog = backlog.min(self.limits.somaxconn);
        let listener = sockets.listener(id)?;
        listener.binding.hears = settings.hears;
        if !self.demux.listen(listener.local, id.index(), listener.binding) {
            return Err(SocketError::AddrInUse);
        }
        listener.backlog = Some(backlog);
        listener.settings = settings;
        Ok(())
    }

    /// Active OPEN. `port_filter` says which ephemeral ports will do.
    pub(crate) fn connect(
        &mut self,
        sockets: &mut Sockets,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        settings: Settings,
        port_filter: &dyn Fn(u16) -> bool,
        lower: &mut Lower<'_>,
    ) -> Result<SocketId, SocketError> {
        let family = Family::of(&remote);
        let remote = destination(family, remote)?;
        let to = remote.ip();
        if to.is_multicast() || lower.ip.is_broadcast(to) {
            return Err(SocketError::NetworkUnreachable);
        }
        let source = lower.ip.source_for(to, lower.now)?;
        let (from, port) = match local.map(Endpoint::from) {
            Some(local) if local.ip().is_unspecified() => (source, local.port()),
            Some(local) if local.ip().is_ipv4() != to.is_ipv4() => return Err(SocketError::InvalidInput),
            Some(local) => (local.ip(), local.port()),
            None => (source, 0),
        };
        if !lower.ip.is_own(from) {
            return Err(SocketError::AddrNotAvailable);
        }
        let flow = if port == 0 {
            self.choose_port(sockets, (from, remote), port_filter, lower)?
        } else {
            FourTuple { local: Endpoint::new(from, port), remote }
        };
        let Availability::Free { iss } = self.availability(sockets, &flow, lower) else {
            return Err(SocketError::AddrNotAvailable);
        };
        let offer = self.offer(lower.ip, &flow, (settings.rcvbuf, settings.sndbuf));
        if let Some(Target::TimeWait(index)) = self.exact(sockets, &flow) {
            lower.ip.counters.count(Mib::TcpExtTWRecycled);
            self.forget_time_wait(index, &flow);
        }
        let iss = iss.unwrap_or_else(|| self.secrets.isn(&flow, lower.now));
        let mut block = ControlBlock::connect((flow.local.port(), remote.port()), iss, &offer, lower.now);
        mind_path(&mut block, &flow, lower);
        let connection = Connection::new(flow, family, block, Owner::Program, settings);
        connection.trace_state(State::Closed, lower.fx);
        let id = sockets.insert(Socket::Connection(Box::new(connection)))?;
        self.demux.insert(&flow, Target::Connection(id.index()));
        lower.ip.counters.count(Mib::TcpActiveOpens);
        self.settle(sockets, id.index(), lower);
        Ok(id)
    }

    /// RFC 6056 algorithm 3: the search begins at a place that only this host knows for this peer, and goes on from
    /// there with every connection.
    fn choose_port(
        &mut self,
        sockets: &Sockets,
        (from, remote): (IpAddr, Endpoint),
        filter: &dyn Fn(u16) -> bool,
        lower: &Lower<'_>,
    ) -> Result<FourTuple, SocketError> {
        let range = EPHEMERAL.len() as u32;
        let offset = self.secrets.port_offset(from, remote) % range;
        for _ in 0..range {
            let step = self.ports_chosen % range;
            self.ports_chosen = self.ports_chosen.wrapping_add(1);
            let port = EPHEMERAL.start() + ((offset + step) % range) as u16;
            let flow = FourTuple { local: Endpoint::new(from, port), remote };
            let free =
                self.availability(sockets, &flow, lower) != Availability::Taken && !self.demux.port_is_bound(port);
            if filter(port) && free {
                return Ok(flow);
            }
        }
        Err(SocketError::AddrNotAvailable)
    }

    /// Whether a connection may have these ends: there is none, or one in TIME-WAIT that may be followed.
    fn availability(&self, sockets: &Sockets, flow: &FourTuple, lower: &Lower<'_>) -> Availability {
        let index = match self.exact(sockets, flow) {
            None => return Availability::Free { iss: None },
            Some(Target::TimeWait(index)) => index,
            Some(_) => return Availability::Taken,
        };
        let allowed = match self.sysctls.tw_reuse {
            TwReuse::On => true,
            TwReuse::Loopback => lower.ip.is_own(flow.remote.ip()),
            TwReuse::Off => false,
        };
        match self.time_wait.get(index).and_then(|entry| entry.reusable(lower.now)) {
            Some(iss) if allowed => Availability::Free { iss: Some(iss) },
            _ => Availability::Taken,
        }
    }

    /// Takes the oldest connection of the accept queue, which may have ended in the meantime.
    pub(crate) fn accept(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(SocketId, SocketAddr), SocketError> {
        let listener = sockets.listener(id)?;
        let down = listener.is_down;
        while let Some(index) = sockets.listener(id)?.accept_queue.pop_front() {
            if let (Some(child), Some(connection)) = (sockets.id(index), sockets.connection_at(index)) {
                connection.owner = Owner::Program;
                return Ok((child, connection.family.show(connection.flow.remote)));
            }
        }
        Err(if down { SocketError::NetworkDown } else { SocketError::WouldBlock })
    }

    /// SEND: as much as there is room for.
    #[inline]
    pub(crate) fn send(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
        source: &(impl IterSource + ?Sized),
        lower: &mut Lower<'_>,
    ) -> Result<usize, SocketError> {
        let connection = sockets.connection(id)?;
        if let Some(error) = connection.error.take() {
            return Err(error);
        }
        match connection.block.state() {
            State::SynSent | State::SynReceived => return Err(SocketError::WouldBlock),
            state if !state.may_send() => return Err(SocketError::BrokenPipe),
            _ => {}
        }
        let scarce = self.memory.is_scarce() && connection.block.queued() > 0;
        let may_write = connection.may_write_more() && !scarce;
        let n = if may_write { connection.block.write(source, &mut lower.ip.pool) } else { 0 };
        let count = source.count();
        if n < count {
            connection.no_space = true;
            connection.wq.note_no_space();
        }
        if n == 0 && count > 0 {
            return Err(SocketError::WouldBlock);
        }
        self.settle(sockets, id.index(), lower);
        Ok(n)
    }

    /// RECEIVE: what is there; 0 at the end of the stream.
    #[inline]
    pub(crate) fn recv(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
        dest: &mut (impl IterDest + ?Sized),
        lower: &mut Lower<'_>,
    ) -> Result<usize, SocketError> {
        let connection = sockets.connection(id)?;
        if connection.block.readable() == 0 || dest.is_full() {
            return if dest.is_full() { Ok(0) } else { connection.nothing_to_read() };
        }
        let n = connection.block.read(dest, lower.now, &mut lower.ip.pool);
        if connection.block.has_something_due() && connection.block.state() != State::Closed {
            // A window update.
            self.settle(sockets, id.index(), lower);
        } else {
            self.memory.account(connection);
        }
        Ok(n)
    }

    /// RECEIVE with `MSG_PEEK`.
    pub(crate) fn peek(sockets: &mut Sockets, id: SocketId, buf: &mut [u8]) -> Result<usize, SocketError> {
        let connection = sockets.connection(id)?;
        match connection.block.peek(buf) {
            0 if !buf.is_empty() => connection.nothing_to_read(),
            n => Ok(n),
        }
    }

    /// Half of CLOSE.
    pub(crate) fn shutdown(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
        how: Shutdown,
        lower: &mut Lower<'_>,
    ) -> Result<(), SocketError> {
        let connection = sockets.connection(id)?;
        let before = connection.block.state();
        if before == State::Closed {
            // `inet_shutdown`: in vain, and yet whoever waits looks again.
            connection.wq.state_change(caller::CALL, lower.fx);
        }
        if matches!(before, State::Closed | State::SynSent) {
            return Err(SocketError::NotConnected);
        }
        if how != Shutdown::Write {
            connection.read_shut_down = true;
            connection.block.shut_down_read();
        }
        if how != Shutdown::Read {
            connection.block.shut_down_write();
        }
        connection.trace_state(before, lower.fx);
        // `sk_state_change`: whoever waits looks again.
        connection.wq.state_change(caller::CALL, lower.fx);
        self.settle(sockets, id.index(), lower);
        Ok(())
    }

    /// CLOSE, and ABORT where text is lost by it.
    pub(crate) fn close(&mut self, sockets: &mut Sockets, id: SocketId, lower: &mut Lower<'_>) {
        if sockets.listener(id).is_ok() {
            return self.close_listener(sockets, id, lower);
        }
        sockets.disown(id.index());
        // SO_LINGER with a time of zero: `tcp_disconnect`.
        let abort = sockets.connection_at(id.index()).is_some_and(|it| it.settings.linger() == Some(0));
        self.close_connection(sockets, id.index(), abort, lower);
    }

    /// Leaves a connection to itself; with `abort` what was not delivered is thrown away and the peer is told.
    fn close_connection(&mut self, sockets: &mut Sockets, index: u32, abort: bool, lower: &mut Lower<'_>) {
        let Some(connection) = sockets.connection_at(index) else { return };
        let before = connection.block.state();
        connection.owner = Owner::Nobody;
        connection.wq.close(lower.fx);
        let reset = if abort {
            let reset = connection.block.abort_reset();
            connection.block.abort(&mut lower.ip.pool);
            reset
        } else {
            connection.block.close(lower.now, &mut lower.ip.pool)
        };
        let mut mib = if abort { Mib::TcpExtTCPAbortOnData } else { Mib::TcpExtTCPAbortOnClose };
        let mut reset = reset;
        // What is left in FIN-WAIT-2 and TIME-WAIT is no connection any more.
        let goes_on = !matches!(connection.block.state(), State::Closed | State::FinWait2 | State::TimeWait);
        if goes_on && (self.orphans >= self.sysctls.max_orphans || self.memory.is_scarce()) {
            // `tcp_check_oom`
            (mib, reset) = (Mib::TcpExtTCPAbortOnMemory, connection.block.abort_reset());
            connection.block.abort(&mut lower.ip.pool);
        } else if goes_on {
            connection.listed |= Listed::ORPHAN;
            self.orphans += 1;
        }
        if let Some(reset) = reset {
            lower.ip.counters.count(mib);
            send_reset(lower, &connection.flow, reset, connection.ip_fields());
        }
        connection.trace_state(before, lower.fx);
        self.settle(sockets, index, lower);
    }

    /// A listener's half-open connections are forgotten, those that nobody accepted are reset.
    fn close_listener(&mut self, sockets: &mut Sockets, id: SocketId, lower: &mut Lower<'_>) {
        let index = id.index();
        // A look at every half-open connection of the shard: closing a listener is rare.
        let requests: Vec<_> =
            self.requests.iter().filter(|(_, r)| r.listener == index).map(|(at, r)| (at as u32, r.flow)).collect();
        for (at, flow) in requests {
            self.remove_request(sockets, at);
            self.demux.remove(&flow, Target::Request(at));
        }
        let Some(Socket::Listener(mut listener)) = sockets.remove(index) else { return };
        self.demux.unbind(listener.local, index, listener.binding.family);
        listener.wq.close(lower.fx);
        for child in listener.accept_queue {
            self.close_connection(sockets, child, true, lower);
        }
    }
}

impl Connection {
    /// What reading an empty queue means.
    fn nothing_to_read(&mut self) -> Result<usize, SocketError> {
        if self.block.peer_closed() {
            // `SOCK_DONE`: the end was reached, whatever has happened to the other direction since.
            return Ok(0);
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let ended = self.read_shut_down || self.is_done;
        match self.block.state() {
            _ if ended => Ok(0),
            State::Closed => Err(SocketError::NotConnected),
            _ => Err(SocketError::WouldBlock),
        }
    }

    /// What became of an attempt to connect.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] while nothing did, otherwise why it failed.
    pub(crate) fn connect_result(&mut self) -> Result<(), SocketError> {
        match self.block.state() {
            State::SynSent | State::SynReceived => Err(SocketError::WouldBlock),
            State::Closed => match self.error.take() {
                Some(error) => Err(error),
                // It was made, and has ended properly since.
                None if self.is_done => Ok(()),
                None => Err(SocketError::ConnectionRefused),
            },
            _ => Ok(()),
        }
    }
}
