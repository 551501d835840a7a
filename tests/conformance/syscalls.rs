//! The script's system calls, made with the project's own sockets.
//!
//! A call is a future. One with an end time is spawned and goes on by itself; any other is polled once, because time does
//! not pass in it: what it would wait for is `EAGAIN` on a descriptor that does not block, and a fault on one that does.

use crate::args::{Args, errno, errno_name};
use crate::calls::{accept, connect, listen, read, shutdown, write};
use crate::model::{Call, Expr};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wakeline::net::emulated::Host;
use wakeline::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use wakeline::task::JoinHandle;

/// A call that has begun.
pub(crate) struct Started {
    pub(crate) future: Pending,
    pub(crate) nonblocking: bool,
}

pub(crate) type Pending = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// What came of a call.
pub(crate) type Finished = io::Result<Value>;

/// A call's result.
#[derive(Default)]
pub(crate) struct Value {
    pub(crate) number: i64,
    /// A new descriptor, which the script names by its expected result.
    pub(crate) new: Option<Arc<Descriptor>>,
    /// What was read, or written into an argument, and is not what it should be.
    pub(crate) wrong: Option<String>,
}

impl Value {
    pub(crate) fn number(n: usize) -> Value {
        Value { number: n as i64, ..Value::default() }
    }
}

/// The open descriptors, by the numbers that the script gives them.
pub(crate) struct Descriptors {
    host: Host,
    local: IpAddr,
    remote: IpAddr,
    table: BTreeMap<i64, Arc<Descriptor>>,
    bound_port: u16,
}

/// The port that `...` binds and connects to.
pub(crate) const DEFAULT_PORT: u16 = 8080;

pub(crate) struct Descriptor(Mutex<State>);

pub(crate) struct State {
    pub(crate) nonblocking: bool,
    pub(crate) socket: Socket,
    /// How far the streams of pattern bytes have come.
    pub(crate) read: u32,
    pub(crate) written: u32,
    /// A connect that goes on in the background.
    connecting: Option<JoinHandle<()>>,
}

pub(crate) enum Socket {
    /// TCP, before it connects or listens.
    Prepared(TcpSocket),
    Connecting,
    Failed(Option<io::Error>),
    Listener(Arc<TcpListener>),
    Stream(TcpStream),
    /// UDP, not bound yet.
    Unbound,
    Udp(Arc<UdpSocket>),
}

impl Descriptor {
    pub(crate) fn new(nonblocking: bool, socket: Socket) -> Arc<Descriptor> {
        let state = State { nonblocking, socket, read: 0, written: 0, connecting: None };
        Arc::new(Descriptor(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Descriptors {
    pub(crate) fn new(host: Host, local: IpAddr, remote: IpAddr) -> Descriptors {
        Descriptors { host, local, remote, table: BTreeMap::new(), bound_port: DEFAULT_PORT }
    }

    /// The port that was bound last.
    pub(crate) fn bound_port(&self) -> u16 {
        self.bound_port
    }

    /// Begins a call.
    ///
    /// # Errors
    /// When the call, or one of its arguments, is not supported.
    pub(crate) fn start(&mut self, call: &Call) -> Result<Started, String> {
        let args = Args { call, local: self.local, remote: self.remote };
        let _here = self.host.enter();
        if call.name == "socket" {
            return args.socket();
        }
        if call.name == "poll" {
            return args.poll(&self.table);
        }
        let fd = args.number(0)?;
        let Some(descriptor) = self.table.get(&fd).cloned() else { return Ok(ready(Err(errno(Errno::EBADF)))) };
        let mut nonblocking = descriptor.state().nonblocking;
        let future: Pending = match call.name.as_str() {
            "bind" => return self.bind(&args, &descriptor),
            "listen" => return Ok(listen(&descriptor, args.number(1)?.clamp(0, 1 << 20) as u32)),
            "connect" => connect(descriptor, args.address(1, self.remote)?),
            "accept" | "accept4" => accept(descriptor, call.name == "accept4" && args.has_flag(3, "SOCK_NONBLOCK")),
            "close" => {
                self.table.remove(&fd);
                // An attempt to connect holds its descriptor, too.
                if let Some(task) = descriptor.state().connecting.take() {
                    task.abort();
                }
                return Ok(ready(Ok(Value::default())));
            }
            "read" | "recv" | "recvfrom" => {
                let at = if call.name == "read" { None } else { Some(3) };
                nonblocking |= at.is_some_and(|at| args.has_flag(at, "MSG_DONTWAIT"));
                args.only(at, &["MSG_DONTWAIT", "MSG_PEEK"])?;
                read(descriptor, args.length(2)?, at.is_some_and(|at| args.has_flag(at, "MSG_PEEK")))
            }
            "write" | "send" | "sendto" => {
                let at = if call.name == "write" { None } else { Some(3) };
                nonblocking |= at.is_some_and(|at| args.has_flag(at, "MSG_DONTWAIT"));
                args.only(at, &["MSG_DONTWAIT", "MSG_NOSIGNAL"])?;
                let to = if call.name == "sendto" { Some(args.address(4, self.remote)?) } else { None };
                write(descriptor, args.length(2)?, to, nonblocking)
            }
            "shutdown" => return Ok(shutdown(&descriptor, args.how(1)?)),
            "fcntl" => return args.fcntl(&descriptor),
            "ioctl" => return args.ioctl(&descriptor),
            "setsockopt" => return args.setsockopt(&descriptor).map(|set| ready(set.map(|()| Value::default()))),
            "getsockopt" => return args.getsockopt(&descriptor),
            other => return Err(format!("the call {other} is not supported")),
        };
        Ok(Started { future, nonblocking })
    }

    /// Runs a call that takes no time.
    ///
    /// # Errors
    /// When it blocks.
    pub(crate) fn run_now(&self, mut future: Pending, nonblocking: bool, call: &Call) -> Result<Finished, String> {
        let polled = {
            let _here = self.host.enter();
            future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        match polled {
            Poll::Ready(finished) => Ok(finished),
            Poll::Pending if !nonblocking => Err(format!(
                "{} would block here; a call that may is given an end: +0...0.1 {}(...)",
                call.name, call.name
            )),
            Poll::Pending if call.name == "connect" => {
                let task = self.host.spawn(async move { drop(future.await) });
                if let Some(descriptor) = fd_of(call).and_then(|fd| self.table.get(&fd)) {
                    descriptor.state().connecting = Some(task);
                }
                Ok(Err(errno(Errno::EINPROGRESS)))
            }
            Poll::Pending => Ok(Err(errno(Errno::EAGAIN))),
        }
    }

    /// Compares a call's result, and keeps the descriptor that it has made.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn verify(&mut self, call: &Call, finished: Finished) -> Result<(), String> {
        let expected = match &call.errno {
            Some(name) => format!("{} {name}", call.result),
            None => call.result.to_string(),
        };
        match finished {
            Ok(value) => {
                let is_descriptor = value.new.is_some() && call.result >= 0;
                if !is_descriptor && (call.errno.is_some() || value.number != call.result) {
                    return Err(format!("{} returned {}, expected {expected}", call.name, value.number));
                }
                if let Some(wrong) = value.wrong {
                    return Err(format!("{}: {wrong}", call.name));
                }
                if let Some(descriptor) = value.new {
                    self.table.insert(call.result, descriptor);
                }
                Ok(())
            }
            Err(error) => {
                let name = errno_name(&error);
                if call.result == -1 && call.errno.as_ref().is_none_or(|expected| *expected == name) {
                    return Ok(());
                }
                Err(format!("{} returned -1 {name}, expected {expected}", call.name))
            }
        }
    }

    fn bind(&mut self, args: &Args<'_>, descriptor: &Arc<Descriptor>) -> Result<Started, String> {
        let addr = args.address(1, unspecified(self.local))?;
        self.bound_port = addr.port();
        match &descriptor.state().socket {
            Socket::Prepared(socket) => return Ok(ready(socket.bind(addr).map(|()| Value::default()))),
            Socket::Unbound => {}
            _ => return Ok(ready(Err(errno(Errno::EINVAL)))),
        }
        let descriptor = descriptor.clone();
        Ok(Started {
            nonblocking: false,
            future: Box::pin(async move {
                let socket = UdpSocket::bind(addr).await?;
                descriptor.state().socket = Socket::Udp(Arc::new(socket));
                Ok(Value::default())
            }),
        })
    }
}

pub(crate) fn tcp_socket(v4: bool) -> io::Result<TcpSocket> {
    if v4 { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// "Any address", of the same family.
pub(crate) fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn fd_of(call: &Call) -> Option<i64> {
    match call.args.first() {
        Some(Expr::Number(fd)) => Some(*fd),
        _ => None,
    }
}

pub(crate) fn ready(finished: Finished) -> Started {
    Started { future: Box::pin(std::future::ready(finished)), nonblocking: false }
}
