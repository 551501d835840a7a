//! The script's system calls, made with the project's own sockets.
//!
//! A call is a future. One with an end time is spawned and goes on by itself; any other is polled once, because time does
//! not pass in it: what it would wait for is `EAGAIN` on a descriptor that does not block, and a fault on one that does.

use crate::flow::pattern;
use crate::model::{Call, Expr};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wakeline::io::{AsyncRead, AsyncWrite};
use wakeline::net::emulated::Host;
use wakeline::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use wakeline::task::JoinHandle;

/// A call that has begun.
pub(crate) struct Started {
    pub(crate) future: Pending,
    pub(crate) nonblocking: bool,
}

type Pending = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// What came of a call.
pub(crate) type Finished = io::Result<Value>;

/// A call's result.
#[derive(Default)]
pub(crate) struct Value {
    number: i64,
    /// A new descriptor, which the script names by its expected result.
    new: Option<Arc<Descriptor>>,
    /// What was read, or written into an argument, and is not what it should be.
    wrong: Option<String>,
}

impl Value {
    fn number(n: usize) -> Value {
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
const DEFAULT_PORT: u16 = 8080;

pub(crate) struct Descriptor(Mutex<State>);

pub(crate) struct State {
    nonblocking: bool,
    pub(crate) socket: Socket,
    /// How far the streams of pattern bytes have come.
    read: u32,
    written: u32,
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
    fn new(nonblocking: bool, socket: Socket) -> Arc<Descriptor> {
        let state = State { nonblocking, socket, read: 0, written: 0, connecting: None };
        Arc::new(Descriptor(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls something on the stream.
    async fn with_stream<R>(
        &self,
        mut f: impl FnMut(&mut State, Option<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> io::Result<R> {
        poll_fn(|cx| {
            let state = &mut *self.state();
            let mut socket = std::mem::replace(&mut state.socket, Socket::Connecting);
            let polled = match &mut socket {
                Socket::Stream(stream) => f(state, Some(stream), cx),
                Socket::Connecting => f(state, None, cx),
                Socket::Failed(error) => Poll::Ready(Err(error.take().unwrap_or_else(|| errno(Errno::ENOTCONN)))),
                _ => Poll::Ready(Err(errno(Errno::ENOTCONN))),
            };
            state.socket = socket;
            polled
        })
        .await
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

fn tcp_socket(v4: bool) -> io::Result<TcpSocket> {
    if v4 { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// "Any address", of the same family.
fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn fd_of(call: &Call) -> Option<i64> {
    match call.args.first() {
        Some(Expr::Number(fd)) => Some(*fd),
        _ => None,
    }
}

fn ready(finished: Finished) -> Started {
    Started { future: Box::pin(std::future::ready(finished)), nonblocking: false }
}

fn listen(descriptor: &Descriptor, backlog: u32) -> Started {
    let socket = &mut descriptor.state().socket;
    ready(match std::mem::replace(socket, Socket::Failed(None)) {
        Socket::Prepared(prepared) => prepared.listen(backlog).map(|listener| {
            *socket = Socket::Listener(Arc::new(listener));
            Value::default()
        }),
        other => {
            *socket = other;
            Err(errno(Errno::EINVAL))
        }
    })
}

fn connect(descriptor: Arc<Descriptor>, to: SocketAddr) -> Pending {
    Box::pin(async move {
        if matches!(descriptor.state().socket, Socket::Udp(_) | Socket::Unbound) {
            let socket = udp_of(&descriptor, to.ip()).await?;
            socket.connect(to).await?;
            return Ok(Value::default());
        }
        let before = std::mem::replace(&mut descriptor.state().socket, Socket::Connecting);
        let attempt = match before {
            Socket::Prepared(socket) => socket.connect(to),
            // Linux makes a new attempt with the same socket; ours are used up by one.
            Socket::Failed(_) => tcp_socket(to.is_ipv4())?.connect(to),
            other => {
                let name = if matches!(other, Socket::Connecting) { Errno::EALREADY } else { Errno::EISCONN };
                descriptor.state().socket = other;
                return Err(errno(name));
            }
        };
        match attempt.await {
            Ok(stream) => {
                descriptor.state().socket = Socket::Stream(stream);
                Ok(Value::default())
            }
            Err(error) => {
                let kept = error.raw_os_error().map(io::Error::from_raw_os_error);
                descriptor.state().socket = Socket::Failed(kept);
                Err(error)
            }
        }
    })
}

/// The UDP socket of a descriptor, bound to any port if it was not yet.
async fn udp_of(descriptor: &Arc<Descriptor>, peer: IpAddr) -> io::Result<Arc<UdpSocket>> {
    if let Socket::Udp(socket) = &descriptor.state().socket {
        return Ok(socket.clone());
    }
    let socket = Arc::new(UdpSocket::bind((unspecified(peer), 0)).await?);
    descriptor.state().socket = Socket::Udp(socket.clone());
    Ok(socket)
}

fn accept(descriptor: Arc<Descriptor>, nonblocking: bool) -> Pending {
    Box::pin(async move {
        let listener = match &descriptor.state().socket {
            Socket::Listener(listener) => listener.clone(),
            _ => return Err(errno(Errno::EINVAL)),
        };
        let (stream, _peer) = listener.accept().await?;
        Ok(Value { new: Some(Descriptor::new(nonblocking, Socket::Stream(stream))), ..Value::default() })
    })
}

fn read(descriptor: Arc<Descriptor>, len: usize, peek: bool) -> Pending {
    Box::pin(async move {
        let mut bytes = vec![0; len];
        let udp = match &descriptor.state().socket {
            Socket::Udp(socket) => Some(socket.clone()),
            _ => None,
        };
        if let Some(socket) = udp {
            let received = if peek { socket.peek_from(&mut bytes).await } else { socket.recv_from(&mut bytes).await };
            let (n, _from) = received?;
            return Ok(Value { wrong: wrong_bytes(&bytes[..n], 0), ..Value::number(n) });
        }
        let read = descriptor.with_stream(|state, stream, cx| {
            let Some(stream) = stream else { return Poll::Pending };
            let polled =
                if peek { pin!(stream.peek(&mut bytes)).poll(cx) } else { Pin::new(stream).poll_read(cx, &mut bytes) };
            polled.map_ok(|n| {
                let wrong = wrong_bytes(&bytes[..n], state.read);
                state.read += if peek { 0 } else { n as u32 };
                Value { wrong, ..Value::number(n) }
            })
        });
        read.await
    })
}

/// Says so when bytes are not those of the pattern.
fn wrong_bytes(bytes: &[u8], offset: u32) -> Option<String> {
    let at = bytes.iter().zip(offset..).position(|(byte, n)| *byte != pattern(n))?;
    Some(format!("the byte at offset {} of the stream is not the one that was sent there", offset as usize + at))
}

fn write(descriptor: Arc<Descriptor>, len: usize, to: Option<SocketAddr>, nonblocking: bool) -> Pending {
    Box::pin(async move {
        let udp = matches!(descriptor.state().socket, Socket::Udp(_) | Socket::Unbound);
        if udp {
            let peer = to.map_or(IpAddr::from([0; 4]), |to| to.ip());
            let socket = udp_of(&descriptor, peer).await?;
            let bytes: Vec<u8> = (0..len as u32).map(pattern).collect();
            let sent = match to {
                Some(to) => socket.send_to(&bytes, to).await,
                None => socket.send(&bytes).await,
            };
            return sent.map(Value::number);
        }
        let mut done = 0;
        let written = descriptor.with_stream(|state, stream, cx| {
            let Some(stream) = stream else { return Poll::Pending };
            loop {
                let bytes: Vec<u8> = (0..(len - done) as u32).map(|n| pattern(state.written + n)).collect();
                match Pin::new(&mut *stream).poll_write(cx, &bytes) {
                    Poll::Ready(Ok(n)) => {
                        state.written += n as u32;
                        done += n;
                        if done == len || nonblocking {
                            return Poll::Ready(Ok(Value::number(done)));
                        }
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        written.await
    })
}

fn shutdown(descriptor: &Arc<Descriptor>, how: Shutdown) -> Started {
    ready(match &descriptor.state().socket {
        Socket::Stream(stream) => stream.shutdown(how).map(|()| Value::default()),
        _ => Err(errno(Errno::ENOTCONN)),
    })
}

/// A call's arguments, read as the call needs them.
pub(crate) struct Args<'a> {
    pub(crate) call: &'a Call,
    local: IpAddr,
    remote: IpAddr,
}

impl Args<'_> {
    pub(crate) fn get(&self, at: usize) -> Result<&Expr, String> {
        let missing = || format!("{} needs {} arguments at least", self.call.name, at + 1);
        self.call.args.get(at).ok_or_else(missing)
    }

    pub(crate) fn number(&self, at: usize) -> Result<i64, String> {
        number_of(self.get(at)?)
    }

    fn length(&self, at: usize) -> Result<usize, String> {
        usize::try_from(self.number(at)?).map_err(|_| format!("a length of {}", self.call.name))
    }

    /// Whether the flags at `at` hold `name`.
    fn has_flag(&self, at: usize, name: &str) -> bool {
        self.call.args.get(at).is_some_and(|flags| names_of(flags).contains(&name))
    }

    /// Refuses flags that change what a call does and are not known here.
    fn only(&self, at: Option<usize>, known: &[&str]) -> Result<(), String> {
        let names = at.and_then(|at| self.call.args.get(at)).map(names_of).unwrap_or_default();
        match names.iter().find(|name| !known.contains(name)) {
            Some(name) => Err(format!("the flag {name} of {} is not supported", self.call.name)),
            None => Ok(()),
        }
    }

    fn how(&self, at: usize) -> Result<Shutdown, String> {
        match self.get(at)? {
            Expr::Name(name) if name == "SHUT_RD" => Ok(Shutdown::Read),
            Expr::Name(name) if name == "SHUT_WR" => Ok(Shutdown::Write),
            Expr::Name(name) if name == "SHUT_RDWR" => Ok(Shutdown::Both),
            other => Err(format!("shutdown does not know {other:?}")),
        }
    }

    /// `...`, or `{sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("192.0.2.1")}`.
    fn address(&self, at: usize, default: IpAddr) -> Result<SocketAddr, String> {
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

    fn socket(&self) -> Result<Started, String> {
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

    fn fcntl(&self, descriptor: &Descriptor) -> Result<Started, String> {
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
    fn ioctl(&self, descriptor: &Descriptor) -> Result<Started, String> {
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
    fn output(&self, at: usize, actual: i64) -> Result<Option<String>, String> {
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

    fn getsockopt(&self, descriptor: &Descriptor) -> Result<Started, String> {
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

fn names_of(expr: &Expr) -> Vec<&str> {
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
fn errno_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("{:?}", Errno::from_raw(number)),
        None => format!("({error})"),
    }
}

fn errno_of(name: &str) -> Option<Errno> {
    (1..134).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)
}
