//! `setsockopt` and `getsockopt`: packetdrill's names, and the methods of the project's sockets that they mean.

use crate::args::{Args, errno, number_of};
use crate::model::Expr;
use crate::syscalls::{Descriptor, Socket};
use nix::errno::Errno;
use std::io;
use std::time::Duration;
use wakeline::net::TcpKeepalive;

/// The same call on whichever kind of TCP socket a descriptor is.
macro_rules! on_tcp {
    ($socket:expr, $it:ident => $call:expr) => {
        match $socket {
            Socket::Prepared($it) => $call,
            Socket::Stream($it) => $call,
            Socket::Listener($it) => $call,
            _ => Err(errno(Errno::ENOPROTOOPT)),
        }
    };
}

/// The same call on a bound socket of UDP.
macro_rules! on_udp {
    ($socket:expr, $it:ident => $call:expr) => {
        match $socket {
            Socket::Udp($it) => $call,
            _ => Err(errno(Errno::ENOPROTOOPT)),
        }
    };
}

/// The same call on any socket.
macro_rules! on_any {
    ($socket:expr, $it:ident => $call:expr) => {
        match $socket {
            Socket::Udp($it) => $call,
            other => on_tcp!(other, $it => $call),
        }
    };
}

impl Args<'_> {
    fn option(&self) -> Result<&str, String> {
        match self.get(2)? {
            Expr::Name(name) => Ok(name),
            other => Err(format!("{} does not know the option {other:?}", self.call.name)),
        }
    }

    /// Sets an option.
    ///
    /// # Errors
    /// When it is not supported.
    pub(crate) fn setsockopt(&self, descriptor: &Descriptor) -> Result<io::Result<()>, String> {
        let socket = &descriptor.state().socket;
        let name = self.option()?;
        if name == "SO_LINGER" {
            let linger = self.linger()?;
            return Ok(on_tcp!(socket, it => it.set_linger(linger)));
        }
        if name == "TCP_CONGESTION" {
            let Expr::Text(name) = self.get(3)? else { return Err("TCP_CONGESTION needs a name".into()) };
            return Ok(on_tcp!(socket, it => it.set_tcp_congestion(name)));
        }
        let value = self.input(3)?;
        let number = u32::try_from(value).map_err(|_| format!("{name} with {value}"))?;
        let seconds = Duration::from_secs(number.into());
        let keepalive = TcpKeepalive::new();
        Ok(match name {
            "SO_REUSEADDR" => on_tcp!(socket, it => it.set_reuseaddr(number != 0)),
            "SO_REUSEPORT" => on_tcp!(socket, it => it.set_reuseport(number != 0)),
            "SO_KEEPALIVE" => on_tcp!(socket, it => it.set_keepalive(number != 0)),
            "SO_RCVBUF" => on_any!(socket, it => it.set_recv_buffer_size(number)),
            "SO_SNDBUF" => on_any!(socket, it => it.set_send_buffer_size(number)),
            "SO_RCVLOWAT" => on_tcp!(socket, it => it.set_rcvlowat(number)),
            "SO_BROADCAST" => on_udp!(socket, it => it.set_broadcast(number != 0)),
            "IP_TTL" => on_any!(socket, it => it.set_ttl(number)),
            "IPV6_UNICAST_HOPS" => on_any!(socket, it => it.set_unicast_hops_v6(number)),
            "IP_TOS" => on_any!(socket, it => it.set_tos_v4(number)),
            "IPV6_TCLASS" => on_any!(socket, it => it.set_tclass_v6(number)),
            "TCP_NODELAY" => on_tcp!(socket, it => it.set_nodelay(number != 0)),
            "TCP_QUICKACK" => on_tcp!(socket, it => it.set_tcp_quickack(number != 0)),
            "TCP_NOTSENT_LOWAT" => on_tcp!(socket, it => it.set_tcp_notsent_lowat(number)),
            // Setting a time of it turns it on here, where Linux has SO_KEEPALIVE for that.
            "TCP_KEEPIDLE" => on_tcp!(socket, it => it.set_tcp_keepalive(&keepalive.with_time(seconds))),
            "TCP_KEEPINTVL" => on_tcp!(socket, it => it.set_tcp_keepalive(&keepalive.with_interval(seconds))),
            "TCP_KEEPCNT" => on_tcp!(socket, it => it.set_tcp_keepalive(&keepalive.with_retries(number))),
            "TCP_USER_TIMEOUT" => {
                let timeout = (number > 0).then(|| Duration::from_millis(number.into()));
                on_tcp!(socket, it => it.set_tcp_user_timeout(timeout))
            }
            "TCP_DEFER_ACCEPT" => on_tcp!(socket, it => it.set_tcp_defer_accept((number > 0).then_some(seconds))),
            other => return Err(format!("setsockopt({other}) is not supported")),
        })
    }

    /// `{onoff=1, linger=0}`
    fn linger(&self) -> Result<Option<Duration>, String> {
        let Expr::Struct(fields) = self.get(3)? else { return Err("SO_LINGER needs {onoff=1, linger=0}".into()) };
        let numbers = fields.iter().map(|(_, value)| number_of(value)).collect::<Result<Vec<_>, _>>()?;
        match numbers[..] {
            [0, _] => Ok(None),
            [_, seconds] => Ok(Some(Duration::from_secs(seconds.max(0).unsigned_abs()))),
            _ => Err("SO_LINGER needs {onoff=1, linger=0}".into()),
        }
    }

    /// What an option is.
    ///
    /// # Errors
    /// When it is not supported.
    pub(crate) fn got(&self, descriptor: &Descriptor) -> Result<io::Result<i64>, String> {
        let socket = &mut descriptor.state().socket;
        let seconds = |time: Option<Duration>| time.map_or(0, |time| time.as_secs() as i64);
        Ok(match self.option()? {
            "SO_ERROR" => match socket {
                Socket::Stream(stream) => stream.take_error().map(number_of_error),
                Socket::Failed(error) => Ok(number_of_error(error.take())),
                _ => Ok(0),
            },
            "SO_REUSEADDR" => on_tcp!(socket, it => it.reuseaddr().map(i64::from)),
            "SO_REUSEPORT" => on_tcp!(socket, it => it.reuseport().map(i64::from)),
            "SO_KEEPALIVE" => on_tcp!(socket, it => it.keepalive().map(i64::from)),
            "SO_RCVBUF" => on_any!(socket, it => it.recv_buffer_size().map(i64::from)),
            "SO_SNDBUF" => on_any!(socket, it => it.send_buffer_size().map(i64::from)),
            "SO_RCVLOWAT" => on_tcp!(socket, it => it.rcvlowat().map(i64::from)),
            "SO_BROADCAST" => on_udp!(socket, it => it.broadcast().map(i64::from)),
            "IP_TTL" => on_any!(socket, it => it.ttl().map(i64::from)),
            "IPV6_UNICAST_HOPS" => on_any!(socket, it => it.unicast_hops_v6().map(i64::from)),
            "IP_TOS" => on_any!(socket, it => it.tos_v4().map(i64::from)),
            "IPV6_TCLASS" => on_any!(socket, it => it.tclass_v6().map(i64::from)),
            "TCP_NODELAY" => on_tcp!(socket, it => it.nodelay().map(i64::from)),
            "TCP_QUICKACK" => on_tcp!(socket, it => it.tcp_quickack().map(i64::from)),
            "TCP_NOTSENT_LOWAT" => on_tcp!(socket, it => it.tcp_notsent_lowat().map(i64::from)),
            "TCP_MAXSEG" => on_tcp!(socket, it => it.tcp_mss().map(i64::from)),
            "TCP_KEEPIDLE" => on_tcp!(socket, it => it.tcp_keepalive_time().map(seconds)),
            "TCP_KEEPINTVL" => on_tcp!(socket, it => it.tcp_keepalive_interval().map(seconds)),
            "TCP_KEEPCNT" => on_tcp!(socket, it => it.tcp_keepalive_retries().map(i64::from)),
            "TCP_USER_TIMEOUT" => {
                on_tcp!(socket, it => it.tcp_user_timeout().map(|time| time.map_or(0, |time| time.as_millis() as i64)))
            }
            "TCP_DEFER_ACCEPT" => on_tcp!(socket, it => it.tcp_defer_accept().map(seconds)),
            other => return Err(format!("getsockopt({other}) is not supported")),
        })
    }
}

fn number_of_error(error: Option<io::Error>) -> i64 {
    error.and_then(|error| error.raw_os_error()).unwrap_or(0).into()
}
