//! The calls that may wait, as futures on the project's sockets.

use crate::args::errno;
use crate::flow::pattern;
use crate::syscalls::{Descriptor, Pending, Socket, Started, State, Value, ready, tcp_socket, unspecified};
use nix::errno::Errno;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use wakeline::io::{AsyncRead, AsyncWrite};
use wakeline::net::{TcpStream, UdpSocket};

impl Descriptor {
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

pub(crate) fn listen(descriptor: &Descriptor, backlog: u32) -> Started {
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

pub(crate) fn connect(descriptor: Arc<Descriptor>, to: SocketAddr) -> Pending {
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

pub(crate) fn accept(descriptor: Arc<Descriptor>, nonblocking: bool) -> Pending {
    Box::pin(async move {
        let listener = match &descriptor.state().socket {
            Socket::Listener(listener) => listener.clone(),
            _ => return Err(errno(Errno::EINVAL)),
        };
        let (stream, _peer) = listener.accept().await?;
        Ok(Value { new: Some(Descriptor::new(nonblocking, Socket::Stream(stream))), ..Value::default() })
    })
}

pub(crate) fn read(descriptor: Arc<Descriptor>, len: usize, peek: bool) -> Pending {
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

pub(crate) fn write(descriptor: Arc<Descriptor>, len: usize, to: Option<SocketAddr>, nonblocking: bool) -> Pending {
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

pub(crate) fn shutdown(descriptor: &Arc<Descriptor>, how: Shutdown) -> Started {
    ready(match &descriptor.state().socket {
        Socket::Stream(stream) => stream.shutdown(how).map(|()| Value::default()),
        _ => Err(errno(Errno::ENOTCONN)),
    })
}
