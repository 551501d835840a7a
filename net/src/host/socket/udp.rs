//! Emulated UDP sockets, which stand in every shard of their host.

use crate::extended_error::ExtendedError;
use crate::fasync::AsFile;
use crate::host::busy_poll::busy_loop;
use crate::host::counters::Setting;
use crate::host::machine::{Machine, Time};
use crate::host::socket::attempt::{Place, Waiting, attempt, block, tell_would_block, told, told_blocking};
use crate::host::socket::file::{Places, SocketFile};
use crate::host::socket::spread::Spread;
use crate::host::socket::tcp::with_port;
use crate::recv_meta::RecvMeta;
use crate::sockopt::{Opt, Sharing, Value};
use crate::stack::effects::Effects;
use crate::stack::endpoint::INTERFACE;
use crate::stack::endpoint::Proto;
use crate::stack::error::SocketError;
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use crate::stack::socket_wq::IN_POLL;
use crate::syscall::Syscall;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot};

/// A bound UDP socket. Dropping it closes it.
///
/// Once it has a peer, all its datagrams are of one flow, and so arrive at one CPU: its member there is the *keeper*, which
/// nobody needs to look beyond. What comes to another member all the same, the stack brings to the keeper.
pub(crate) struct UdpSocket {
    sockets: Spread,
    peer: Mutex<Option<SocketAddr>>,
    /// The keeper's CPU, or [`NOBODY`].
    keeper: Setting,
    /// Where the last datagram went that was for somebody else, and by which CPU.
    last: Mutex<Option<(SocketAddr, usize)>>,
}

/// No keeper: there is no peer, or only one CPU.
const NOBODY: u32 = u32::MAX;

impl UdpSocket {
    pub(crate) fn bind(host: Arc<Machine>, addr: SocketAddr, sharing: Sharing) -> io::Result<UdpSocket> {
        let addr = with_port(&host, Proto::Udp, addr)?;
        let sockets = Spread::open(host, |stack| stack.udp_open(addr, sharing))?;
        Ok(UdpSocket { sockets, peer: Mutex::new(None), keeper: Setting::new(NOBODY), last: Mutex::new(None) })
    }

    /// Only datagrams from `peer` are received from here on, and `send` goes there.
    pub(crate) fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        let host = self.sockets.host();
        let mut left = Vec::new();
        let keeper = {
            // Two who connect it do so one after the other, and nobody is woken meanwhile.
            let mut known = self.peer();
            let keeper = self.cpu_towards(peer)?;
            let others = (0..host.cpu_count()).filter(|&cpu| cpu != keeper);
            // The keeper first, so that it takes what the others no longer do.
            for cpu in [keeper].into_iter().chain(others) {
                let connect = |stack: &mut Stack, now, _: &mut Effects| {
                    stack.udp_connect(now, self.sockets.member(cpu), peer, keeper as u32)
                };
                left.push(host.with_stack_recent(cpu, connect)?);
            }
            if host.cpu_count() > 1 {
                self.keeper.set(keeper as u32);
            }
            *known = Some(peer);
            keeper
        };
        for left in left {
            host.with_stack(keeper, |stack, now, fx| stack.udp_take_over(now, self.sockets.member(keeper), left, fx))?;
        }
        // Whoever waits where nothing comes any more looks again.
        for cpu in (0..host.cpu_count()).filter(|&cpu| cpu != keeper) {
            let id = self.sockets.member(cpu);
            host.with_stack_recent(cpu, |stack, _, fx| stack.wait_list(id).map(|list| list.wake_all(&mut fx.wakes)));
        }
        Ok(())
    }

    pub(crate) fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        let is_new = !slot.is_set();
        let call = (Syscall::Sendto, buf.len());
        told(self.sockets.host(), call, is_new, || self.try_send_to(cx.waker(), slot, buf, to), |&n| n)
    }

    fn try_send_to(
        &self,
        waker: &Waker,
        slot: &mut WaitSlot,
        buf: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        let (place, waiting) = self.sending(waker, slot, to)?;
        attempt(place, Time::Now, waiting, |stack, id, now, fx| stack.udp_send_to(now, id, buf, to, fx))
    }

    /// Sends datagrams of `segment` bytes each, in one entry into the stack; of 0 one.
    pub(crate) fn poll_send_segments(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        message: (&[u8], u16),
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        let (place, waiting) = self.sending(cx.waker(), slot, to)?;
        attempt(place, Time::Now, waiting, |stack, id, now, fx| stack.udp_send_segments(now, id, message, to, fx))
    }

    /// Takes a datagram, or those that go together, with what is known of it.
    pub(crate) fn poll_recv_msg(
        &self,
        cx: &mut Context<'_>,
        slots: &mut Places,
        buf: &mut [u8],
    ) -> Poll<io::Result<RecvMeta>> {
        let call = |stack: &mut Stack, id, _, _: &mut Effects| stack.udp_recv_msg(id, buf);
        self.attempt(Mode::Exclusive, cx.waker(), slots, Events::READABLE, call)
    }

    /// Sends to the peer what fits, in one entry into the stack. An error about a datagram that is not the first is kept for
    /// the next call.
    pub(crate) fn poll_send_many<B: AsRef<[u8]>>(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        datagrams: &[B],
    ) -> Poll<io::Result<usize>> {
        let is_new = !slot.is_set();
        let send = || {
            let (place, waiting) = self.sending(cx.waker(), slot, None)?;
            attempt(place, Time::Now, waiting, |stack, id, now, fx| {
                let datagrams = datagrams.iter().map(AsRef::as_ref);
                stack.udp_send_many(now, id, datagrams, fx)
            })
        };
        told(self.sockets.host(), (Syscall::Sendmmsg, datagrams.len()), is_new, send, |&n| n)
    }

    /// Takes what there is, up to the number of `bufs`, in one entry into the stack.
    pub(crate) fn poll_recv_many<B: AsMut<[u8]>>(
        &self,
        cx: &mut Context<'_>,
        slots: &mut Places,
        bufs: &mut [B],
        received: &mut Vec<(usize, SocketAddr)>,
    ) -> Poll<io::Result<usize>> {
        if bufs.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (is_new, vlen) = (!slots.is_set(), bufs.len());
        let call = |stack: &mut Stack, id, _, _: &mut Effects| {
            let bufs = bufs.iter_mut().map(AsMut::as_mut);
            stack.udp_recv_many(id, bufs, received)
        };
        let recv = || self.attempt(Mode::Exclusive, cx.waker(), slots, Events::READABLE, call);
        told(self.sockets.host(), (Syscall::Recvmmsg, vlen), is_new, recv, |&n| n)
    }

    /// Where a datagram is sent from: the CPU where the answer will arrive, so that a flow stays on one CPU.
    fn sending<'a>(
        &'a self,
        waker: &'a Waker,
        slot: &'a mut WaitSlot,
        to: Option<SocketAddr>,
    ) -> io::Result<(Place<'a>, Waiting<'a>)> {
        let host = self.sockets.host();
        let cpu = match (host.cpu_count(), self.keeper(), to) {
            (1, ..) | (_, None, None) => 0,
            (_, Some(keeper), _) => keeper,
            (_, None, Some(to)) => self.cpu_towards_again(to)?,
        };
        let place = Place { host, cpu, id: self.sockets.member(cpu) };
        Ok((place, Waiting { waker, slot, interest: Events::WRITABLE, mode: Mode::Shared }))
    }

    /// The same as [`cpu_towards`](UdpSocket::cpu_towards), which mostly has the answer of the last time. Should the host have
    /// other addresses by now, another CPU than the answer's sends, which does no harm.
    fn cpu_towards_again(&self, to: SocketAddr) -> io::Result<usize> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cpu)) = last.filter(|(last, _)| *last == to) {
            return Ok(cpu);
        }
        let cpu = self.cpu_towards(to)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((to, cpu));
        Ok(cpu)
    }

    /// The CPU at which answers from `to` arrive. What the host sends to itself stays on one.
    fn cpu_towards(&self, to: SocketAddr) -> io::Result<usize> {
        let (host, id, far) = (self.sockets.host(), self.sockets.member(0), to.ip().to_canonical());
        let (port, local) = host.with_stack_recent(0, |stack, now, _| {
            Ok::<_, SocketError>((stack.local_addr(id)?.port(), stack.udp_source_towards(now, id, far)))
        })?;
        Ok(local.map_or(0, |local| host.cpu_of_flow((far, to.port()), (local, port))))
    }

    /// Ready for some of `interest`. Who only asks takes nothing, so it waits beside the others.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        slots: &mut Places,
        interest: Events,
    ) -> Poll<io::Result<Events>> {
        let interest = interest | Events::ERR | Events::HUP;
        let call = |stack: &mut Stack, id, _, _: &mut Effects| stack.ready_for(id, interest);
        self.attempt(Mode::Shared, cx.waker(), slots, interest | IN_POLL, call)
    }

    /// Tries `call` on the member that keeps what comes, or on each while there is no peer; when it would block, the caller
    /// waits there.
    fn attempt<R>(
        &self,
        mode: Mode,
        waker: &Waker,
        places: &mut Places,
        interest: Events,
        mut call: impl FnMut(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        let Some(mut keeper) = self.keeper() else {
            return self.sockets.attempt(mode, waker, places, interest, call).map_ok(|(_, value)| value);
        };
        loop {
            let mut other = None;
            let polled = self.sockets.attempt_at(keeper, mode, waker, places, interest, |stack, id, now, fx| {
                let result = call(stack, id, now, fx);
                if matches!(result, Err(SocketError::WouldBlock)) {
                    other = stack.udp_keeper(id);
                }
                // It has another peer now, and nobody may wait here.
                if other.is_some() { Err(SocketError::Stale) } else { result }
            });
            match other {
                Some(other) => keeper = other as usize,
                None => return polled,
            }
        }
    }

    /// The CPU whose member keeps what comes, once there is a peer; the same CPU sends.
    fn keeper(&self) -> Option<usize> {
        Some(self.keeper.get()).filter(|&cpu| cpu != NOBODY).map(|cpu| cpu as usize)
    }

    pub(crate) fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        slots: &mut Places,
        buf: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let is_new = !slots.is_set();
        let call = (Syscall::Recvfrom, buf.len());
        told(self.sockets.host(), call, is_new, || self.try_recv_from(cx.waker(), slots, buf, peek), |&(n, _)| n)
    }

    fn try_recv_from(
        &self,
        waker: &Waker,
        slots: &mut Places,
        buf: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let call = |stack: &mut Stack, id, _, _: &mut Effects| stack.udp_recv_from(id, buf, peek);
        self.attempt(Mode::Exclusive, waker, slots, Events::READABLE, call)
    }

    pub(crate) fn send_to_blocking(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let mut slot = WaitSlot::new();
        let send = || block(None, |waker| self.try_send_to(waker, &mut slot, buf, to));
        told_blocking(self.sockets.host(), (Syscall::Sendto, buf.len()), send, |&n| n)
    }

    pub(crate) fn recv_from_blocking(
        &self,
        buf: &mut [u8],
        peek: bool,
        timeout: Option<Duration>,
    ) -> io::Result<(usize, SocketAddr)> {
        let mut slots = Places::new();
        let (host, size) = (self.sockets.host(), buf.len());
        let recv = || {
            block(timeout, |waker| {
                let polled = self.try_recv_from(waker, &mut slots, buf, peek);
                match host.busy_poll(0, self.sockets.member(0)) {
                    Some(how) if polled.is_pending() => {
                        busy_loop(host, 0, how, false, || self.try_recv_from(waker, &mut slots, buf, peek))
                    }
                    _ => polled,
                }
            })
        };
        let result = told_blocking(host, (Syscall::Recvfrom, size), recv, |&(n, _)| n);
        self.release(&mut slots);
        result
    }

    /// `IP_ADD_MEMBERSHIP` and `IP_DROP_MEMBERSHIP`. The interface is named by its address; unspecified is any.
    pub(crate) fn membership_v4(&self, group: Ipv4Addr, interface: Ipv4Addr, joins: bool) -> io::Result<()> {
        if !self.sockets.query(|stack, _| Ok(stack.has_interface(interface)))? {
            return Err(SocketError::NoDevice.into());
        }
        self.sockets.on_each(|stack, id, now, fx| stack.udp_membership(now, id, (group.into(), joins), fx))
    }

    /// The same for IPv6, where the interface has a number; 0 is any.
    pub(crate) fn membership_v6(&self, group: Ipv6Addr, interface: u32, joins: bool) -> io::Result<()> {
        if interface != 0 && interface != INTERFACE {
            return Err(SocketError::NoDevice.into());
        }
        self.sockets.on_each(|stack, id, now, fx| stack.udp_membership(now, id, (group.into(), joins), fx))
    }

    /// `getsockopt(2)`
    pub(crate) fn option(&self, opt: Opt) -> io::Result<Value> {
        if opt == Opt::Mtu {
            let mtu =
                self.sockets.host().with_stack_recent(0, |stack, now, _| stack.udp_mtu(now, self.sockets.member(0)))?;
            return Ok(Value::Number(mtu as u32));
        }
        self.sockets.query(|stack, id| stack.option(id, opt))
    }

    /// `setsockopt(2)`
    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        self.sockets.set_option(opt, value)
    }

    /// Tells that a call which was begun is not waited for any more: it would have.
    pub(crate) fn told_would_block(&self, call: Syscall) -> io::Error {
        tell_would_block(self.sockets.host(), call)
    }

    /// What was reported about a datagram that was sent, once, by whichever CPU heard of it.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.sockets.find(|stack, id| stack.take_error(id)).map(Into::into)
    }

    pub(crate) fn as_file(&self) -> &dyn AsFile {
        &self.sockets
    }

    /// What was reported about one datagram, by whichever CPU heard of it (`MSG_ERRQUEUE`).
    pub(crate) fn try_recv_error(&self) -> io::Result<ExtendedError> {
        Ok(self.sockets.find(|stack, id| stack.udp_take_report(id)).ok_or(SocketError::WouldBlock)?)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets.query(|stack, id| stack.local_addr(id))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        (*self.peer()).ok_or_else(|| SocketError::NotConnected.into())
    }

    pub(crate) fn release(&self, slots: &mut Places) {
        self.sockets.release(slots);
    }

    /// The socket as `poll` sees it.
    pub(crate) fn file(&self) -> SocketFile {
        self.sockets.file()
    }

    fn peer(&self) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpSocket").field("sockets", &self.sockets).finish()
    }
}
