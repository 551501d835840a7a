//! What programs ask of TCP: bind, listen, connect, accept, send, receive, shut down.

use crate::iov_iter::{IterDest, IterSource};
use crate::stack::effects::Effects;
use crate::stack::endpoint::Family;
use crate::stack::error::SocketError;
use crate::stack::ip::Lower;
use crate::stack::shard::Stack;
use crate::stack::socket::{Socket, SocketId};
use crate::stack::tcp::layer::TcpLayer;
use crate::stack::tcp::settings::{SettingFlags, Settings};
use crate::tcp_info::TcpInfo;
use std::net::{Shutdown, SocketAddr};
use wakeline_runtime::clock::Instant;

impl Stack {
    /// A listener on `local`, whose port has been chosen.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `AddrFamilyNotSupported`, `InvalidInput` without a port, `TooManySockets`.
    pub(crate) fn tcp_listen(
        &mut self,
        local: SocketAddr,
        backlog: u32,
        reuse_port: bool,
    ) -> Result<SocketId, SocketError> {
        let mut settings = self.tcp.default_settings();
        settings.flags |= SettingFlags::REUSE_ADDR;
        settings.flags.set(SettingFlags::REUSE_PORT, reuse_port);
        let id = self.tcp_bind(local, settings)?;
        self.tcp.listen(&mut self.sockets, id, backlog, settings)?;
        Ok(id)
    }

    /// Gives an address, whose port has been chosen, to a socket that does not listen yet.
    ///
    /// # Errors
    /// As [`tcp_listen`](Self::tcp_listen).
    pub(crate) fn tcp_bind(&mut self, local: SocketAddr, settings: Settings) -> Result<SocketId, SocketError> {
        let only = settings.flags.contains(SettingFlags::ONLY_V6);
        let family = if local.is_ipv6() { Family::V6 { only } } else { Family::V4 };
        let local = self.bindable(local)?;
        if !family.speaks(local.ip()) {
            return Err(SocketError::InvalidInput);
        }
        self.tcp.bind(&mut self.sockets, local, family, settings)
    }

    /// Lets a bound socket listen, with these settings from now on.
    ///
    /// # Errors
    /// `AddrInUse` when another one listens there, `Stale`.
    pub(crate) fn tcp_listen_on(&mut self, id: SocketId, backlog: u32, settings: Settings) -> Result<(), SocketError> {
        self.tcp.listen(&mut self.sockets, id, backlog, settings)
    }

    /// The settings of a new TCP socket.
    pub(crate) fn tcp_settings(&self) -> Settings {
        self.tcp.default_settings()
    }

    /// Begins to connect; an ephemeral port is chosen among those that `port_filter` accepts.
    ///
    /// # Errors
    /// `NetworkUnreachable`, `AddrNotAvailable` also when no port is left, `AddrFamilyNotSupported`, `TooManySockets`. What
    /// the peer says comes later, with [`tcp_connect_result`](Self::tcp_connect_result).
    #[cfg(any(test, fuzzing))]
    pub(crate) fn tcp_connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        port_filter: &dyn Fn(u16) -> bool,
        fx: &mut Effects,
    ) -> Result<SocketId, SocketError> {
        self.tcp_open(now, (local, remote), self.tcp.default_settings(), port_filter, fx)
    }

    /// The same, for a socket that has been prepared: perhaps bound, and with settings.
    ///
    /// # Errors
    /// As [`tcp_connect`](Self::tcp_connect).
    pub(crate) fn tcp_open(
        &mut self,
        now: Instant,
        (local, remote): (Option<SocketAddr>, SocketAddr),
        settings: Settings,
        port_filter: &dyn Fn(u16) -> bool,
        fx: &mut Effects,
    ) -> Result<SocketId, SocketError> {
        self.check_up()?;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.connect(&mut self.sockets, local, remote, settings, port_filter, lower)
    }

    /// Takes a connection out of a listener's accept queue.
    ///
    /// # Errors
    /// `WouldBlock` when it is empty, `NetworkDown`.
    pub(crate) fn tcp_accept(&mut self, listener: SocketId) -> Result<(SocketId, SocketAddr), SocketError> {
        self.tcp.accept(&mut self.sockets, listener)
    }

    /// How many connections wait in a listener's accept queue.
    #[cfg(test)]
    pub(crate) fn accept_backlog(&self, listener: SocketId) -> usize {
        match self.sockets.get(listener) {
            Ok(Socket::Listener(listener)) => listener.accept_queue.len(),
            _ => 0,
        }
    }

    /// Copies as much of `source` as fits into the send buffer, and sends what the windows allow.
    ///
    /// # Errors
    /// `WouldBlock` while connecting and when the buffer is full, `BrokenPipe` after the end, and whatever happened to
    /// the connection.
    #[inline]
    pub(crate) fn tcp_send(
        &mut self,
        now: Instant,
        id: SocketId,
        source: &(impl IterSource + ?Sized),
        fx: &mut Effects,
    ) -> Result<usize, SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.send(&mut self.sockets, id, source, lower)
    }

    /// Copies what has arrived into `dest`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has, `NotConnected`, and whatever happened to the connection.
    #[inline]
    pub(crate) fn tcp_recv(
        &mut self,
        now: Instant,
        id: SocketId,
        dest: &mut (impl IterDest + ?Sized),
        fx: &mut Effects,
    ) -> Result<usize, SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.recv(&mut self.sockets, id, dest, lower)
    }

    /// The same, leaving everything where it is.
    ///
    /// # Errors
    /// As [`tcp_recv`](Self::tcp_recv).
    pub(crate) fn tcp_peek(&mut self, id: SocketId, buf: &mut [u8]) -> Result<usize, SocketError> {
        TcpLayer::peek(&mut self.sockets, id, buf)
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NotConnected`.
    pub(crate) fn tcp_shutdown(
        &mut self,
        now: Instant,
        id: SocketId,
        how: Shutdown,
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.shutdown(&mut self.sockets, id, how, lower)
    }

    /// What became of [`tcp_connect`](Self::tcp_connect).
    ///
    /// # Errors
    /// `WouldBlock` while nothing did; otherwise why it failed.
    pub(crate) fn tcp_connect_result(&mut self, id: SocketId) -> Result<(), SocketError> {
        self.sockets.connection(id)?.connect_result()
    }

    /// `TCP_INFO` of a connection; of a listener, the lengths of its queues.
    ///
    /// # Errors
    /// `Stale`, `OptionUnknown` for UDP.
    pub(crate) fn tcp_info(&self, now: Instant, id: SocketId) -> Result<TcpInfo, SocketError> {
        match self.sockets.get(id)? {
            Socket::Connection(connection) => Ok(connection.block.info(now)),
            Socket::Listener(listener) => Ok(listener.info()),
            Socket::Udp(_) => Err(SocketError::OptionUnknown),
        }
    }

    /// How many connections are in TIME-WAIT.
    #[cfg(test)]
    pub(crate) fn time_wait_count(&self) -> usize {
        self.tcp.time_wait_len()
    }

    /// How many connections are in FIN-WAIT-2 without a user.
    #[cfg(test)]
    pub(crate) fn fin_wait_2_count(&self) -> usize {
        self.tcp.fin_wait_2_len()
    }

    /// How many connections are half open.
    #[cfg(test)]
    pub(crate) fn half_open_count(&self) -> usize {
        self.tcp.requests_len()
    }
}
