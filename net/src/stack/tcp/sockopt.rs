//! `setsockopt(2)` and `getsockopt(2)` on TCP sockets.

use crate::sockopt::{Opt, Value};
use crate::stack::busy_poll::BusyPoll;
use crate::stack::error::SocketError;
use crate::stack::ip::Lower;
use crate::stack::socket::{Socket, SocketId, Sockets};
use crate::stack::tcp::layer::TcpLayer;
use crate::stack::tcp::settings::Settings;

impl TcpLayer {
    /// Linux's defaults within this host's limits: those of a new socket.
    pub(crate) fn default_settings(&self) -> Settings {
        let (rcvbuf, sndbuf) = (self.limits.rcvbuf as u32, self.limits.sndbuf as u32);
        let mut settings = Settings::new(rcvbuf, sndbuf, self.default_congestion());
        settings.busy_poll = BusyPoll::new(self.limits.busy_read_usecs);
        settings
    }

    /// `net.core.busy_read`
    pub(crate) fn set_busy_read(&mut self, usecs: u32) {
        self.limits.busy_read_usecs = usecs;
    }

    /// Sets an option of a connection, or of a listener for the connections that it will accept.
    ///
    /// # Errors
    /// Those of [`Settings::set`]; `Stale`, and `OptionUnknown` for UDP.
    pub(crate) fn set_option(
        &mut self,
        sockets: &mut Sockets,
        id: SocketId,
        (opt, value): (Opt, Value),
        lower: &mut Lower<'_>,
    ) -> Result<(), SocketError> {
        match sockets.get_mut(id)? {
            Socket::Listener(listener) => {
                listener.settings.set(opt, value)?;
                listener.binding.hears = listener.settings.hears;
                self.demux.rebind(listener.local, id.index(), listener.binding);
                return Ok(());
            }
            Socket::Udp(_) => return Err(SocketError::OptionUnknown),
            Socket::Connection(connection) => {
                connection.settings.set(opt, value)?;
                connection.block.configure(&connection.settings, opt);
            }
        }
        self.settle(sockets, id.index(), lower);
        Ok(())
    }

    /// Reads an option.
    ///
    /// # Errors
    /// `Stale`, `OptionUnknown`.
    pub(crate) fn option(sockets: &Sockets, id: SocketId, opt: Opt) -> Result<Value, SocketError> {
        match sockets.get(id)? {
            Socket::Listener(listener) => listener.settings.get(opt),
            Socket::Udp(_) => Err(SocketError::OptionUnknown),
            Socket::Connection(connection) => match opt {
                Opt::RcvBuf => Ok(Value::Number(connection.block.rcvbuf())),
                Opt::SndBuf => Ok(Value::Number(connection.block.sndbuf())),
                Opt::QuickAck => Ok(Value::Flag(connection.block.is_quick_ack())),
                Opt::MaxSeg => Ok(Value::Number(connection.block.mss())),
                opt => connection.settings.get(opt),
            },
        }
    }
}
