//! An emulated TCP socket before it connects or listens: its settings, and perhaps its address.

use crate::host::machine::Machine;
use crate::host::socket::spread::Spread;
use crate::host::socket::tcp::{TcpListener, TcpStream, with_port};
use crate::sockopt::{Opt, Value};
use crate::stack::endpoint::Proto;
use crate::stack::error::SocketError;
use crate::stack::tcp::settings::{SettingFlags, Settings};
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// See the [module](self). Dropping it gives its address back.
pub(crate) struct TcpSocket {
    host: Arc<Machine>,
    is_v6: bool,
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    bound: Option<(Spread, SocketAddr)>,
}

impl TcpSocket {
    pub(crate) fn new(host: Arc<Machine>, is_v6: bool) -> TcpSocket {
        let settings = host.with_stack_recent(0, |stack, _, _| stack.tcp_settings());
        TcpSocket { host, is_v6, state: Mutex::new(State { settings, bound: None }) }
    }

    /// `getsockopt(2)`
    pub(crate) fn option(&self, opt: Opt) -> io::Result<Value> {
        let state = self.state.lock();
        match opt {
            opt if opt.is_of_v6() && !self.is_v6 => Err(SocketError::NotSupported.into()),
            Opt::OnlyV6 => Ok(Value::Flag(state.settings.flags.contains(SettingFlags::ONLY_V6))),
            opt => {
                let value = state.settings.get(opt)?;
                Ok(self.host.with_stack_recent(0, |stack, _, _| stack.by_name(opt, value)))
            }
        }
    }

    /// `setsockopt(2)`
    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        let mut state = self.state.lock();
        match (opt, value) {
            (opt, _) if opt.is_of_v6() && !self.is_v6 => Err(SocketError::OptionUnknown.into()),
            (Opt::OnlyV6, Value::Flag(_)) if state.bound.is_some() => Err(SocketError::InvalidInput.into()),
            (Opt::OnlyV6, Value::Flag(only)) => {
                state.settings.flags.set(SettingFlags::ONLY_V6, only);
                Ok(())
            }
            (opt, value) => {
                self.host.note_option(opt, value);
                let value = self.host.with_stack_recent(0, |stack, _, _| stack.by_number(opt, value))?;
                Ok(state.settings.set(opt, value)?)
            }
        }
    }

    /// `bind(2)`
    pub(crate) fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.bound.is_some() {
            return Err(SocketError::InvalidInput.into());
        }
        self.check_family(addr)?;
        let addr = with_port(&self.host, Proto::Tcp, addr)?;
        let settings = state.settings;
        let spread = Spread::open(self.host.clone(), |stack| stack.tcp_bind(addr, settings))?;
        state.bound = Some((spread, addr));
        Ok(())
    }

    /// `getsockname(2)`
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        let state = self.state.lock();
        Ok(state.bound.as_ref().map_or_else(|| self.nowhere(), |&(_, addr)| addr))
    }

    /// Begins to connect. The address that was bound is given back once the connection has it.
    pub(crate) fn start_connect(self, remote: SocketAddr) -> io::Result<TcpStream> {
        self.check_family(remote)?;
        let State { settings, bound } = self.state.into_inner();
        let local = bound.as_ref().map(|&(_, addr)| addr);
        TcpStream::start_connect_from(self.host, local, remote, settings)
    }

    /// `listen(2)`; a socket without an address is given a port.
    pub(crate) fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        if self.state.lock().bound.is_none() {
            self.bind(self.nowhere())?;
        }
        let State { settings, bound } = self.state.into_inner();
        let (spread, _) = bound.ok_or(SocketError::InvalidInput)?;
        TcpListener::listen(spread, backlog, settings)
    }

    fn nowhere(&self) -> SocketAddr {
        if self.is_v6 { ([0; 16], 0).into() } else { ([0; 4], 0).into() }
    }

    fn check_family(&self, addr: SocketAddr) -> Result<(), SocketError> {
        if addr.is_ipv6() == self.is_v6 { Ok(()) } else { Err(SocketError::AddrFamilyNotSupported) }
    }
}

impl std::fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpSocket").field("host", &self.host.name).field("addr", &self.local_addr()).finish()
    }
}
