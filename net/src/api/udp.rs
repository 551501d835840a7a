//! UDP for tasks.

use crate::api::budget::budgeted;
use crate::api::options::{UdpBindOptions, udp_options};
use crate::api::resolve::{ToSocketAddrs, first_of, no_address, resolve, target_of};
use crate::extended_error::ExtendedError;
use crate::fasync::{AsFile, Fcntl, sealed::Sealed};
use crate::host::socket::file::{Places, SocketFile};
use crate::host::socket::udp as emulated;
use crate::netns::Netns;
use crate::os;
use crate::recv_meta::RecvMeta;
use crate::sockopt::{Opt, Value};
use socket2::SockRef;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use wakeline_runtime::wait_queue::WaitSlot;

/// A UDP socket, on whichever network the task stood that bound it.
///
/// # Cancel safety
/// A call that is dropped before it is ready has sent or taken no datagram.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use wakeline_net::UdpSocket;
///
/// let socket = UdpSocket::bind("0.0.0.0:5300").await?;
/// let mut datagram = [0; 1500];
/// let (len, peer) = socket.recv_from(&mut datagram).await?;
/// socket.send_to(&datagram[..len], peer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UdpSocket(pub(crate) Socket);

#[derive(Debug)]
pub(crate) enum Socket {
    Os(os::UdpSocket),
    Emulated(emulated::UdpSocket),
}

impl UdpSocket {
    /// Binds to the first address of `target` that can be bound.
    ///
    /// # Errors
    /// Those of looking the name up; `AddrInUse`, `AddrNotAvailable` and the others of `bind(2)`.
    pub async fn bind(target: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        UdpSocket::bind_with(target, UdpBindOptions::new()).await
    }

    /// The same with options that an address is bound with.
    ///
    /// # Errors
    /// As [`bind`](UdpSocket::bind); `Unsupported` where the operating system has no such option.
    pub async fn bind_with(target: impl ToSocketAddrs, options: UdpBindOptions) -> io::Result<UdpSocket> {
        let target = target_of(&target);
        let addrs = resolve(target).await?;
        first_of(addrs, |addr| match Netns::current() {
            Netns::Os => {
                let socket = os::options::udp_socket(addr, options.sharing)?;
                socket.set_nonblocking(true)?;
                Ok(UdpSocket(Socket::Os(os::UdpSocket::from_std(socket)?)))
            }
            Netns::Emulated(host) => {
                Ok(UdpSocket(Socket::Emulated(emulated::UdpSocket::bind(host, addr, options.sharing)?)))
            }
        })
    }

    /// Fixes the peer: [`send`](UdpSocket::send) goes there, and only its datagrams are received.
    ///
    /// # Errors
    /// Those of looking the name up, and of `connect(2)`.
    pub async fn connect(&self, target: impl ToSocketAddrs) -> io::Result<()> {
        let target = target_of(&target);
        let addrs = resolve(target).await?;
        first_of(addrs, |addr| match &self.0 {
            Socket::Os(socket) => socket.connect(addr),
            Socket::Emulated(socket) => socket.connect(addr),
        })
    }

    /// Sends one datagram to the peer given to [`connect`](UdpSocket::connect).
    ///
    /// # Errors
    /// `NotConnected` (on Linux `EDESTADDRREQ`) without a peer; `ConnectionRefused` when an earlier datagram met a closed port; and the others of
    /// `send(2)`.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.send_datagram(buf, None).await
    }

    /// Sends one datagram to the first address of `target`.
    ///
    /// # Errors
    /// Those of looking the name up, and of `sendto(2)`.
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = target_of(&target);
        let addr = resolve(target).await?.first().copied().ok_or_else(no_address)?;
        self.send_datagram(buf, Some(addr)).await
    }

    /// Takes one datagram from the peer; what does not fit into `buf` is cut off.
    ///
    /// # Errors
    /// Those of `recv(2)`.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_datagram(buf, false).await?.0)
    }

    /// Takes one datagram; what does not fit into `buf` is cut off.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_datagram(buf, false).await
    }

    /// As [`recv_from`](UdpSocket::recv_from), but leaves the datagram in the queue.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_datagram(buf, true).await
    }

    /// Sends datagrams to the peer given to [`connect`](UdpSocket::connect), in their order, as `sendmmsg(2)` does; gives how many
    /// were sent. On an emulated host all of them go down in one entry into the stack, and by one doorbell; on the operating
    /// system's network each costs a call.
    ///
    /// # Errors
    /// Those of [`send`](UdpSocket::send) about the first datagram. An error about a later one is told by the next call.
    pub async fn send_many<B: AsRef<[u8]>>(&self, datagrams: &[B]) -> io::Result<usize> {
        let mut wait = Slots::new(self);
        poll_fn(|cx| match &self.0 {
            Socket::Os(socket) => {
                many(datagrams.len(), |at| socket.poll_send(cx, &mut wait.os, datagrams[at].as_ref()).map_ok(drop))
            }
            Socket::Emulated(socket) => budgeted(cx, |cx| socket.poll_send_many(cx, &mut wait.os, datagrams)),
        })
        .await
    }

    /// Takes as many datagrams as there are and as `bufs` has room for, at least one, as `recvmmsg(2)` does; gives how many. Each
    /// lies in the buffer of its number, and its length and sender stand behind what `received` had. What does not fit into
    /// its buffer is cut off.
    ///
    /// # Errors
    /// Those of [`recv_from`](UdpSocket::recv_from) about the first datagram. An error about a later one is told by the next call.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(socket: wakeline_net::UdpSocket) -> std::io::Result<()> {
    /// let mut bufs = [[0; 1500]; 64];
    /// let mut received = Vec::with_capacity(bufs.len());
    /// socket.recv_many(&mut bufs, &mut received).await?;
    /// for (buf, (len, peer)) in bufs.iter().zip(received) {
    ///     println!("{peer}: {:?}", &buf[..len]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv_many<B: AsMut<[u8]>>(
        &self,
        bufs: &mut [B],
        received: &mut Vec<(usize, SocketAddr)>,
    ) -> io::Result<usize> {
        let mut wait = Slots::new(self);
        poll_fn(|cx| match &self.0 {
            Socket::Os(socket) => many(bufs.len(), |at| {
                let one = socket.poll_recv_from(cx, &mut wait.os, bufs[at].as_mut());
                one.map_ok(|one| received.push(one))
            }),
            Socket::Emulated(socket) => {
                budgeted(cx, |cx| socket.poll_recv_many(cx, &mut wait.emulated, bufs, received))
            }
        })
        .await
    }

    /// Sends `buf` to the peer given to [`connect`](UdpSocket::connect) as datagrams of `segment` bytes each, of which the last
    /// may be shorter, in one call (`UDP_SEGMENT`); 0 sends it as one datagram. None of them is sent in pieces.
    /// [`set_udp_segment`](UdpSocket::set_udp_segment) does so for every call.
    ///
    /// # Errors
    /// Those of [`send`](UdpSocket::send); with Linux's numbers `EMSGSIZE` (`EINVAL` before Linux 6.14) for a segment that the
    /// way does not take, or more than a packet can count, and `EINVAL` for more than 128 segments; `Unsupported` where the
    /// operating system can not.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use wakeline_net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("0.0.0.0:0").await?;
    /// socket.connect("server:4433").await?;
    /// socket.send_segments(&[7; 12_000], 1200).await?; // ten datagrams
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_segments(&self, buf: &[u8], segment: u16) -> io::Result<usize> {
        self.send_message(buf, segment, None).await
    }

    /// The same to the first address of `target`.
    ///
    /// # Errors
    /// Those of looking the name up, and of [`send_segments`](UdpSocket::send_segments).
    pub async fn send_segments_to(&self, buf: &[u8], segment: u16, target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = target_of(&target);
        let addr = resolve(target).await?.first().copied().ok_or_else(no_address)?;
        self.send_message(buf, segment, Some(addr)).await
    }

    /// Takes one datagram with what is known of it, as `recvmsg(2)` does: how it was to be treated
    /// ([`set_recv_tos_v4`](UdpSocket::set_recv_tos_v4), [`set_recv_tclass_v6`](UdpSocket::set_recv_tclass_v6)), and with
    /// [`set_udp_gro`](UdpSocket::set_udp_gro) perhaps several of one sender.
    ///
    /// # Errors
    /// Those of `recvmsg(2)`; `Unsupported` where only the standard library's calls are known.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(socket: wakeline_net::UdpSocket) -> std::io::Result<()> {
    /// socket.set_udp_gro(true)?;
    /// let mut buf = vec![0; 65_535];
    /// let meta = socket.recv_msg(&mut buf).await?;
    /// for datagram in buf[..meta.len].chunks(meta.gro_size.unwrap_or(usize::MAX)) {
    ///     println!("{}: {datagram:?}", meta.from);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv_msg(&self, buf: &mut [u8]) -> io::Result<RecvMeta> {
        let mut wait = Slots::new(self);
        poll_fn(|cx| match &self.0 {
            Socket::Os(socket) => socket.poll_recv_msg(cx, &mut wait.os, buf),
            Socket::Emulated(socket) => budgeted(cx, |cx| socket.poll_recv_msg(cx, &mut wait.emulated, buf)),
        })
        .await
    }

    /// Joins a group of IPv4 on the interface with this address; `0.0.0.0` lets the network choose.
    ///
    /// # Errors
    /// `InvalidInput` for what is no group, `AddrInUse` when the socket has joined it already, `ENODEV` for an address that
    /// is not the interface's.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.get_ref().join_multicast_v4(&group, &interface),
            Socket::Emulated(socket) => socket.membership_v4(group, interface, true),
        }
    }

    /// Leaves a group of IPv4.
    ///
    /// # Errors
    /// `AddrNotAvailable` when the socket has not joined it.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.get_ref().leave_multicast_v4(&group, &interface),
            Socket::Emulated(socket) => socket.membership_v4(group, interface, false),
        }
    }

    /// Joins a group of IPv6 on the interface with this number; 0 lets the network choose.
    ///
    /// # Errors
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.get_ref().join_multicast_v6(group, interface),
            Socket::Emulated(socket) => socket.membership_v6(*group, interface, true),
        }
    }

    /// Leaves a group of IPv6.
    ///
    /// # Errors
    /// As [`leave_multicast_v4`](UdpSocket::leave_multicast_v4).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.get_ref().leave_multicast_v6(group, interface),
            Socket::Emulated(socket) => socket.membership_v6(*group, interface, false),
        }
    }

    /// The address that was bound, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Socket::Os(socket) => socket.local_addr(),
            Socket::Emulated(socket) => socket.local_addr(),
        }
    }

    /// The peer given to [`connect`](UdpSocket::connect).
    ///
    /// # Errors
    /// `NotConnected` without one.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Socket::Os(socket) => socket.peer_addr(),
            Socket::Emulated(socket) => socket.peer_addr(),
        }
    }

    /// The error that is pending on the socket, which is cleared (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Socket::Os(socket) => socket.take_error(),
            Socket::Emulated(socket) => Ok(socket.take_error()),
        }
    }

    /// Takes what the network has said about one datagram of the socket's, the oldest first, where
    /// [`set_recverr`](UdpSocket::set_recverr) keeps it (`MSG_ERRQUEUE`). It does not wait: that there is something, a call
    /// that sends or receives says by failing.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; `Unsupported` where the operating system has no such queue.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use wakeline_net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("0.0.0.0:0").await?;
    /// socket.set_recverr(true)?;
    /// socket.send_to(b"anybody?", "10.0.0.9:33434").await?;
    /// if socket.recv_from(&mut [0; 64]).await.is_err() {
    ///     let told = socket.try_recv_error()?;
    ///     println!("{} about {}, says {:?}", told.error(), told.destination, told.offender);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_recv_error(&self) -> io::Result<ExtendedError> {
        match &self.0 {
            Socket::Os(socket) => os::error_queue::recv_error(SockRef::from(socket.get_ref())),
            Socket::Emulated(socket) => socket.try_recv_error(),
        }
    }

    /// The socket, if it is an emulated one.
    pub(crate) fn emulated(&self) -> Option<&emulated::UdpSocket> {
        match &self.0 {
            Socket::Os(_) => None,
            Socket::Emulated(socket) => Some(socket),
        }
    }

    pub(crate) fn file(&self) -> Option<SocketFile> {
        self.emulated().map(emulated::UdpSocket::file)
    }

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match &self.0 {
            Socket::Os(socket) => os::options::get(SockRef::from(socket.get_ref()), opt),
            Socket::Emulated(socket) => socket.option(opt),
        }
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => os::options::set(SockRef::from(socket.get_ref()), opt, value),
            Socket::Emulated(socket) => socket.set_option(opt, value),
        }
    }

    async fn send_datagram(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let mut wait = Slots::new(self);
        poll_fn(|cx| match &self.0 {
            Socket::Os(socket) => match to {
                Some(to) => socket.poll_send_to(cx, &mut wait.os, buf, to),
                None => socket.poll_send(cx, &mut wait.os, buf),
            },
            Socket::Emulated(socket) => budgeted(cx, |cx| socket.poll_send_to(cx, &mut wait.os, buf, to)),
        })
        .await
    }

    async fn send_message(&self, buf: &[u8], segment: u16, to: Option<SocketAddr>) -> io::Result<usize> {
        let mut wait = Slots::new(self);
        poll_fn(|cx| match &self.0 {
            Socket::Os(socket) => socket.poll_send_segments(cx, &mut wait.os, (buf, segment), to),
            Socket::Emulated(socket) => {
                budgeted(cx, |cx| socket.poll_send_segments(cx, &mut wait.os, (buf, segment), to))
            }
        })
        .await
    }

    async fn recv_datagram(&self, buf: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        let mut wait = Slots::new(self);
        poll_fn(|cx| self.poll_recv(cx, &mut wait, buf, peek)).await
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        wait: &mut Slots<'_>,
        buf: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        match &self.0 {
            Socket::Os(socket) if peek => socket.poll_peek_from(cx, &mut wait.os, buf),
            Socket::Os(socket) => socket.poll_recv_from(cx, &mut wait.os, buf),
            Socket::Emulated(socket) => budgeted(cx, |cx| socket.poll_recv_from(cx, &mut wait.emulated, buf, peek)),
        }
    }
}

udp_options!(UdpSocket);

/// Does `one` for each number below `count` until it would wait or fails; gives how often it was done. The first one decides
/// about waiting and errors.
fn many(count: usize, mut one: impl FnMut(usize) -> Poll<io::Result<()>>) -> Poll<io::Result<usize>> {
    for at in 0..count {
        match one(at) {
            Poll::Ready(Ok(())) => {}
            _ if at > 0 => return Poll::Ready(Ok(at)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(count))
}

/// The places of one call in the wait queues, given back when it ends or is dropped.
struct Slots<'a> {
    socket: &'a UdpSocket,
    os: WaitSlot,
    emulated: Places,
}

impl<'a> Slots<'a> {
    fn new(socket: &'a UdpSocket) -> Self {
        Slots { socket, os: WaitSlot::new(), emulated: Places::new() }
    }
}

impl Drop for Slots<'_> {
    fn drop(&mut self) {
        match &self.socket.0 {
            Socket::Os(socket) => socket.release(&mut self.os),
            Socket::Emulated(socket) => socket.release(&mut self.emulated),
        }
    }
}

impl Sealed for UdpSocket {
    fn emulated(&self) -> Option<&dyn AsFile> {
        match &self.0 {
            Socket::Emulated(socket) => Some(socket.as_file()),
            _ => None,
        }
    }
}

impl Fcntl for UdpSocket {}
