//! A call's arguments, and the calls that need nothing but them.

use crate::model::{Call, Expr};
use crate::syscalls::{DEFAULT_PORT, Descriptor, Socket, Started, Value, ready, tcp_socket};
use nix::errno::Errno;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A call's arguments, read as the call needs them.
pub(crate) struct Args<'a> {
    pub(crate) call: &'a Call,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
}

impl Args<'_> {
    pub(crate) fn get(&self, at: usize) -> Result<&Expr, String> {
        let missing = || format!("{} needs {} arguments at least", self.call.name, at + 1);
        self.call.args.get(at).ok_or_else(missing)
    }

    pub(crate) fn number(&self, at: usize) -> Result<i64, String> {
        number_of(self.get(at)?)
    }

    pub(crate) fn length(&self, at: usize) -> Result<usize, String> {
        usize::try_from(self.number(at)?).map_err(|_| format!("a length of {}", self.call.name))
    }

    /// Whether the flags at `at` hold `name`.
    pub(crate) fn has_flag(&self, at: usize, name: &str) -> bool {
        self.call.args.get(at).is_some_and(|flags| names_of(flags).contains(&name))
    }

    /// Refuses flags that change what a call does and are not known here.
    pub(crate) fn only(&self, at: Option<usize>, known: &[&str]) -> Result<(), String> {
        let names = at.and_then(|at| self.call.args.get(at)).map(names_of).unwrap_or_default();
        match names.iter().find(|name| !known.contains(name)) {
            Some(name) => Err(format!("the flag {name} of {} is not supported", self.call.name)),
            None => Ok(()),
        }
    }

    pub(crate) fn how(&self, at: usize) -> Result<Shutdown, String> {
        match self.get(at)? {
            Expr::Name(name) if name == "SHUT_RD" => Ok(Shutdown::Read),
            Expr::Name(name) if name == "SHUT_WR" => Ok(Shutdown::Write),
            Expr::Name(name) if name == "SHUT_RDWR" => Ok(Shutdown::Both),
            other => Err(format!("shutdown does not know {other:?}")),
        }
    }

    /// `...`, or `{sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("192.0.2.1")}`.
    pub(crate) fn address(&self, at: usize, default: IpAddr) -> Result<SocketAddr, String> {
        let mut addr = SocketAddr::new(default, DEFAULT_PORT);
        let Expr::Struct(fields) = self.get(at)? else { return Ok(addr) };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("sin_port" | "sin6_port", Expr::Function(_, args)) => {
                    let port = args.first().map_or(Err("htons needs a number".into()), number_of)?;
                    addr.set_port(u16::try_from(port).map_err(|_| format!("{port} is no port"))?);
                }
                ("sin_addr" | "sin6_addr", Expr::Function(_, args)) => {
                    if let Some(Expr::Text(text)) = args.iter().find(|arg| matches!(arg, Expr::Text(_))) {
                        addr.set_ip(self.translate(text)?);
                    }
                }
                _ => {}
            }
        }
        Ok(addr)
    }

    /// packetdrill's own addresses stand for the two ends.
    fn translate(&self, text: &str) -> Result<IpAddr, String> {
        match text {
            "192.168.0.1" => Ok(self.local),
            "192.0.2.1" => Ok(self.remote),
            _ => text.parse().map_err(|_| format!("{text:?} is no address")),
        }
    }

    pub(crate) fn socket(&self) -> Result<Started, String> {
        let kind = names_of(self.get(1)?);
        let stream = kind.contains(&"SOCK_STREAM");
        if !stream && !kind.contains(&"SOCK_DGRAM") {
            return Err(format!("a socket of {kind:?} is not supported"));
        }
        let nonblocking = kind.contains(&"SOCK_NONBLOCK");
        let v4 = match self.get(0)? {
            Expr::Name(name) => name == "AF_INET",
            _ => self.local.is_ipv4(),
        };
        let socket = if stream { tcp_socket(v4).map(Socket::Prepared) } else { Ok(Socket::Unbound) };
        Ok(ready(socket.map(|socket| Value { new: Some(Descriptor::new(nonblocking, socket)), ..Value::default() })))
    }

    pub(crate) fn fcntl(&self, descriptor: &Descriptor) -> Result<Started, String> {
        const O_RDWR: i64 = 2;
        const O_NONBLOCK: i64 = 0x800;
        let mut state = descriptor.state();
        match self.get(1)? {
            Expr::Name(name) if name == "F_GETFL" => {
                let number = O_RDWR | if state.nonblocking { O_NONBLOCK } else { 0 };
                Ok(ready(Ok(Value { number, ..Value::default() })))
            }
            Expr::Name(name) if name == "F_SETFL" => {
                state.nonblocking = self.has_flag(2, "O_NONBLOCK");
                Ok(ready(Ok(Value::default())))
            }
            other => Err(format!("fcntl does not know {other:?}")),
        }
    }

    /// SIOCINQ, by looking at what can be read.
    pub(crate) fn ioctl(&self, descriptor: &Descriptor) -> Result<Started, String> {
        match self.get(1)? {
            Expr::Name(name) if name == "SIOCINQ" || name == "FIONREAD" => {}
            other => return Err(format!("ioctl does not know {other:?}")),
        }
        let Socket::Stream(stream) = &descriptor.state().socket else { return Ok(ready(Err(errno(Errno::EINVAL)))) };
        let mut bytes = vec![0; 8 << 20];
        let peeked = pin!(stream.peek(&mut bytes)).poll(&mut Context::from_waker(Waker::noop()));
        let readable = match peeked {
            Poll::Ready(Ok(n)) => n as i64,
            _ => 0,
        };
        Ok(ready(Ok(Value { wrong: self.output(2, readable)?, ..Value::default() })))
    }

    /// Compares what a call puts where its argument `at` points to.
    pub(crate) fn output(&self, at: usize, actual: i64) -> Result<Option<String>, String> {
        let expected = match self.get(at)? {
            Expr::Ellipsis => return Ok(None),
            Expr::Array(items) => items.first().map_or(Err("an empty array".into()), number_of)?,
            other => number_of(other)?,
        };
        Ok((actual != expected).then(|| format!("it gave {actual}, expected {expected}")))
    }

    pub(crate) fn input(&self, at: usize) -> Result<i64, String> {
        match self.get(at)? {
            Expr::Array(items) => items.first().map_or(Err("an empty array".into()), number_of),
            other => number_of(other),
        }
    }

    pub(crate) fn getsockopt(&self, descriptor: &Descriptor) -> Result<Started, String> {
        let value = match self.got(descriptor)? {
            Ok(actual) => Ok(Value { wrong: self.output(3, actual)?, ..Value::default() }),
            Err(error) => Err(error),
        };
        Ok(ready(value))
    }
}

pub(crate) fn number_of(expr: &Expr) -> Result<i64, String> {
    match expr {
        Expr::Number(n) => Ok(*n),
        Expr::Name(name) => match errno_of(name) {
            Some(errno) => Ok(errno as i64),
            None => Err(format!("{name} is not known here")),
        },
        other => Err(format!("{other:?} is no number")),
    }
}

pub(crate) fn names_of(expr: &Expr) -> Vec<&str> {
    match expr {
        Expr::Name(name) => vec![name],
        Expr::Or(parts) => parts.iter().flat_map(names_of).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}

/// `EAGAIN` and the like.
pub(crate) fn errno_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("{:?}", Errno::from_raw(number)),
        None => format!("({error})"),
    }
}

fn errno_of(name: &str) -> Option<Errno> {
    (1..134).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)
}
