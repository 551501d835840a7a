//! What programs ask of any socket: its options, addresses, readiness and errors, and its end.

use crate::sockopt::{Name, Opt, Value};
use crate::stack::busy_poll::BusyPoll;
use crate::stack::effects::Effects;
use crate::stack::endpoint::{Endpoint, Family, Proto};
use crate::stack::error::SocketError;
use crate::stack::hears::{DEVICE, LOOPBACK, NO_DEVICE};
use crate::stack::ip::Lower;
use crate::stack::shard::Stack;
use crate::stack::socket::{Socket, SocketId};
use crate::stack::socket_wq::SocketWq;
use crate::stack::tcp::calls::EPHEMERAL;
use crate::stack::tcp::layer::TcpLayer;
use std::net::SocketAddr;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::{Events, WaitList};

impl Stack {
    /// Closes a socket; its name is stale from now on. A TCP connection goes on until its FIN is through, or is reset
    /// when something was not read.
    pub(crate) fn close(&mut self, now: Instant, id: SocketId, fx: &mut Effects) {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        match self.sockets.get(id) {
            Ok(Socket::Udp(_)) => self.udp.close(&mut self.sockets, id, lower),
            Ok(_) => self.tcp.close(&mut self.sockets, id, lower),
            Err(_) => {}
        }
    }

    /// SO_ERROR: what happened, once.
    pub(crate) fn take_error(&mut self, id: SocketId) -> Option<SocketError> {
        match self.sockets.get_mut(id).ok()? {
            Socket::Connection(connection) => connection.error.take(),
            Socket::Udp(socket) => socket.error.take(),
            Socket::Listener(_) => None,
        }
    }

    /// `setsockopt(2)`. A listener's options are those of the connections that it will accept.
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range, `NotFound`, `OptionUnknown`, `Stale`.
    pub(crate) fn set_option(
        &mut self,
        now: Instant,
        id: SocketId,
        (opt, value): (Opt, Value),
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        let is_v4 = self.sockets.get(id)?.family() == Family::V4;
        if is_v4 && opt.is_of_v6() {
            return Err(SocketError::OptionUnknown);
        }
        if opt == Opt::OnlyV6 {
            // It has an address already.
            return Err(SocketError::InvalidInput);
        }
        let value = self.by_number(opt, value)?;
        if let Ok(socket) = self.sockets.udp(id) {
            socket.forget_way();
            if matches!(opt, Opt::BoundDevice | Opt::IncomingCpu) {
                socket.binding.hears.set(opt, value)?;
                self.udp.rebind(socket.local, id, socket.binding);
                return Ok(());
            }
            return socket.options.set(opt, value);
        }
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.set_option(&mut self.sockets, id, (opt, value), lower)
    }

    /// The number of an interface where a program gives its name, which any other value is already.
    ///
    /// # Errors
    /// `NoDevice`.
    pub(crate) fn by_number(&self, opt: Opt, value: Value) -> Result<Value, SocketError> {
        let (Opt::BoundDevice, Value::Name(name)) = (opt, value) else { return Ok(value) };
        let number = match name.as_str() {
            "" => NO_DEVICE,
            "lo" => LOOPBACK,
            name if *name == *self.ip.config.dev => DEVICE,
            _ => return Err(SocketError::NoDevice),
        };
        Ok(Value::Number(number.into()))
    }

    /// The other way round.
    pub(crate) fn by_name(&self, opt: Opt, value: Value) -> Value {
        let (Opt::BoundDevice, Value::Number(number)) = (opt, value) else { return value };
        let name = match number as u8 {
            LOOPBACK => "lo",
            DEVICE => &self.ip.config.dev,
            _ => "",
        };
        Name::new(name).map_or(value, Value::Name)
    }

    /// How a socket's readers poll busily, if they do; those of a listener do as the connections that it accepts.
    pub(crate) fn busy_poll(&self, id: SocketId) -> Option<BusyPoll> {
        let busy_poll = match self.sockets.get(id).ok()? {
            Socket::Connection(connection) => connection.settings.busy_poll,
            Socket::Listener(listener) => listener.settings.busy_poll,
            Socket::Udp(socket) => socket.options.busy_poll,
        };
        (busy_poll.usecs > 0).then_some(busy_poll)
    }

    /// `net.core.busy_read`, for sockets to come.
    pub(crate) fn set_busy_read(&mut self, usecs: u32) {
        self.ip.config.limits.busy_read_usecs = usecs;
        self.tcp.set_busy_read(usecs);
    }

    /// `getsockopt(2)`
    ///
    /// # Errors
    /// `OptionUnknown`, `NotSupported` for one of IPv6 on a socket of IPv4, `Stale`.
    pub(crate) fn option(&self, id: SocketId, opt: Opt) -> Result<Value, SocketError> {
        let socket = self.sockets.get(id)?;
        match (socket, opt, socket.family()) {
            // Asking is refused otherwise than setting (`do_ip_getsockopt`).
            (_, opt, Family::V4) if opt.is_of_v6() => Err(SocketError::NotSupported),
            (_, Opt::OnlyV6, Family::V6 { only }) => Ok(Value::Flag(only)),
            (Socket::Udp(socket), Opt::ReuseAddr, _) => Ok(Value::Flag(socket.binding.reuse_addr)),
            (Socket::Udp(socket), Opt::ReusePort, _) => Ok(Value::Flag(socket.binding.reuse_port)),
            // `sk_incoming_cpu_update`: where a flow is received, it always is.
            (Socket::Connection(_), Opt::IncomingCpu, _) => Ok(Value::Number(self.ip.config.shard.index)),
            (Socket::Udp(socket), Opt::IncomingCpu, _) if socket.peer.is_some() && socket.keeper.is_none() => {
                Ok(Value::Number(self.ip.config.shard.index))
            }
            (Socket::Udp(socket), Opt::BoundDevice | Opt::IncomingCpu, _) => socket.binding.hears.get(opt),
            (Socket::Udp(socket), opt, _) => socket.options.get(opt),
            _ => TcpLayer::option(&self.sockets, id, opt),
        }
        .map(|value| self.by_name(opt, value))
    }

    /// The socket's own address.
    ///
    /// # Errors
    /// `Stale`.
    pub(crate) fn local_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        Ok(match self.sockets.get(id)? {
            Socket::Connection(connection) => connection.family.show(connection.flow.local),
            Socket::Listener(listener) => listener.binding.family.show(listener.local),
            Socket::Udp(socket) => socket.binding.family.show(socket.local),
        })
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`, `Stale`.
    pub(crate) fn peer_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        match self.sockets.get(id)? {
            // `inet_getname`
            Socket::Connection(connection) if connection.has_no_peer() => Err(SocketError::NotConnected),
            Socket::Connection(connection) => Ok(connection.family.show(connection.flow.remote)),
            Socket::Listener(_) => Err(SocketError::NotConnected),
            Socket::Udp(socket) => {
                let peer = socket.peer.ok_or(SocketError::NotConnected)?;
                Ok(socket.binding.family.show(peer))
            }
        }
    }

    /// What `poll(2)` says of it. Asking a full socket whether it is writable is asking to be told when it is.
    pub(crate) fn readiness(&mut self, id: SocketId) -> Events {
        match self.sockets.get_mut(id) {
            Ok(Socket::Connection(connection)) => connection.readiness(),
            Ok(Socket::Listener(listener)) => match (listener.is_down, listener.accept_queue.is_empty()) {
                (true, _) => Events::ERR | Events::HUP,
                (false, true) => Events::empty(),
                (false, false) => Events::IN | Events::RDNORM,
            },
            Ok(Socket::Udp(socket)) => socket.readiness(),
            Err(_) => Events::ERR | Events::HUP,
        }
    }

    /// What of `interest` holds.
    ///
    /// # Errors
    /// `WouldBlock` for nothing.
    pub(crate) fn ready_for(&mut self, id: SocketId, interest: Events) -> Result<Events, SocketError> {
        let ready = self.readiness(id) & interest;
        if ready.is_empty() { Err(SocketError::WouldBlock) } else { Ok(ready) }
    }

    /// Who waits for a socket (`socket_wq.wait`): to be joined under the lock under which the condition was tested.
    pub(crate) fn wait_list(&mut self, id: SocketId) -> Option<&mut WaitList> {
        self.wq(id).map(|wq| &mut wq.wait)
    }

    /// The same, and whose signals it sends.
    pub(crate) fn wq(&mut self, id: SocketId) -> Option<&mut SocketWq> {
        self.sockets.wq(id)
    }

    /// Whether any socket, or connection that is still finishing, uses a local port.
    pub(crate) fn port_in_use(&self, proto: Proto, port: u16) -> bool {
        match proto {
            Proto::Tcp => self.tcp.demux().port_in_use(port),
            Proto::Udp => self.udp.demux().port_in_use(port),
        }
    }

    /// A free ephemeral port that `filter` accepts, for a socket that is bound to port 0.
    pub(crate) fn pick_port(&mut self, proto: Proto, filter: &dyn Fn(u16) -> bool) -> Option<u16> {
        let range = EPHEMERAL.len() as u32;
        let first = self.rng.below(range);
        let ports = (0..range).map(|step| EPHEMERAL.start() + ((first + step) % range) as u16);
        ports.into_iter().find(|&port| !self.port_in_use(proto, port) && filter(port))
    }

    /// An address that a socket may be bound to.
    pub(super) fn bindable(&self, local: SocketAddr) -> Result<Endpoint, SocketError> {
        self.check_up()?;
        let local = Endpoint::from(local);
        if local.port() == 0 {
            return Err(SocketError::InvalidInput);
        }
        let own = local.ip().is_unspecified() || self.ip.is_own(local.ip());
        if own { Ok(local) } else { Err(SocketError::AddrNotAvailable) }
    }

    pub(super) fn check_up(&self) -> Result<(), SocketError> {
        if self.is_down { Err(SocketError::NetworkDown) } else { Ok(()) }
    }
}
