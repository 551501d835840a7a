//! Emulated TCP sockets: a connection, which lives in one shard, and a listener, which stands in all of them.

use crate::event::Event;
use crate::fasync::{AsFile, File};
use crate::host::busy_poll::busy_loop;
use crate::host::machine::{Machine, Time};
use crate::host::socket::attempt::{Place, Waiting, attempt, block, or_would_block, release, told, told_blocking};
use crate::host::socket::file::{Places, SocketFile};
use crate::host::socket::spread::Spread;
use crate::iov_iter::{IterDest, IterSource};
use crate::sockopt::{Opt, Value};
use crate::stack::effects::Effects;
use crate::stack::endpoint::Proto;
use crate::stack::error::SocketError;
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use crate::stack::socket_wq::{IN_POLL, IN_WAIT_DATA};
use crate::stack::tcp::settings::Settings;
use crate::syscall::Syscall;
use crate::tcp_info::TcpInfo;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot};

/// One end of a connection. Dropping it closes it.
pub(crate) struct TcpStream {
    host: Arc<Machine>,
    cpu: usize,
    id: SocketId,
}

impl TcpStream {
    /// Sends the SYN. The stream is connected once [`TcpStream::poll_connected`] says so.
    pub(crate) fn start_connect(host: Arc<Machine>, remote: SocketAddr) -> io::Result<TcpStream> {
        let settings = host.with_stack_recent(0, |stack, _, _| stack.tcp_settings());
        TcpStream::start_connect_from(host, None, remote, settings)
    }

    /// The same from a local address that was bound, with settings. Where the port is given, it says which CPU the
    /// connection belongs to.
    pub(crate) fn start_connect_from(
        host: Arc<Machine>,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        settings: Settings,
    ) -> io::Result<TcpStream> {
        host.tracer.enter_call(Syscall::Connect, 0);
        let far = remote.ip().to_canonical();
        // What a host sends to itself stays on the CPU that sends it; so that no two CPUs choose the same ends, each has
        // ports of its own for that.
        let source = || host.with_stack_recent(0, |stack, now, _| stack.source_towards(now, far));
        let source = if host.cpu_count() > 1 { source() } else { None };
        let home = |port: u16| match source {
            Some(source) => host.cpu_of_flow((far, remote.port()), (source, port)),
            None => usize::from(port) % host.cpu_count(),
        };
        let fixed = local.map(|local| local.port()).filter(|&port| port != 0);
        let cpu = fixed.map_or_else(|| host.deal_cpu(), home);
        let returns_home = |port: u16| home(port) == cpu;
        let open = |stack: &mut Stack, now, fx: &mut Effects| {
            stack.tcp_open(now, (local, remote), settings, &returns_home, fx).map_err(io::Error::from)
        };
        match host.with_stack(cpu, open) {
            Ok(id) => Ok(TcpStream { host, cpu, id }),
            Err(error) => host.tracer.exit_call(Syscall::Connect, Err(error), |_| 0),
        }
    }

    /// What came out of the accept queue of `cpu`.
    pub(crate) fn accepted(host: Arc<Machine>, cpu: usize, id: SocketId) -> TcpStream {
        TcpStream { host, cpu, id }
    }

    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>, slot: &mut WaitSlot) -> Poll<io::Result<()>> {
        let polled = self.try_connected(cx.waker(), slot);
        polled.map(|result| self.host.tracer.exit_call(Syscall::Connect, result, |()| 0))
    }

    fn try_connected(&self, waker: &Waker, slot: &mut WaitSlot) -> Poll<io::Result<()>> {
        self.attempt(Time::Recent, waker, slot, Events::WRITABLE, |stack, id, _, _| stack.tcp_connect_result(id))
    }

    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        dest: &mut (impl IterDest + ?Sized),
    ) -> Poll<io::Result<usize>> {
        let is_new = !slot.is_set();
        told(&self.host, dest.call(), is_new, || self.try_recv(cx.waker(), slot, dest), |&n| n)
    }

    fn try_recv(
        &self,
        waker: &Waker,
        slot: &mut WaitSlot,
        dest: &mut (impl IterDest + ?Sized),
    ) -> Poll<io::Result<usize>> {
        let interest = Events::READABLE | Events::RDHUP | IN_WAIT_DATA;
        self.attempt(Time::Recent, waker, slot, interest, |stack, id, now, fx| recv(stack, id, now, dest, fx))
    }

    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let is_new = !slot.is_set();
        let call = (Syscall::Recvfrom, buf.len());
        let interest = Events::READABLE | Events::RDHUP | IN_WAIT_DATA;
        let peek = || self.attempt(Time::Recent, cx.waker(), slot, interest, |stack, id, _, _| stack.tcp_peek(id, buf));
        told(&self.host, call, is_new, peek, |&n| n)
    }

    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        source: &(impl IterSource + ?Sized),
    ) -> Poll<io::Result<usize>> {
        let is_new = !slot.is_set();
        told(&self.host, source.call(), is_new, || self.try_send(cx.waker(), slot, source), |&n| n)
    }

    fn try_send(
        &self,
        waker: &Waker,
        slot: &mut WaitSlot,
        source: &(impl IterSource + ?Sized),
    ) -> Poll<io::Result<usize>> {
        let call = |stack: &mut Stack, id, now, fx: &mut Effects| stack.tcp_send(now, id, source, fx);
        let sent = self.attempt(Time::Now, waker, slot, Events::WRITABLE, call);
        // The call returns when the frames have left the stack.
        if let Poll::Ready(Ok(n)) = sent {
            self.host.tracer.emit(|| Event::SockSendLength { ret: u32::try_from(n).unwrap_or(u32::MAX) });
        }
        sent
    }

    /// Waits until one of `interest` holds; gives what holds.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        interest: Events,
    ) -> Poll<io::Result<Events>> {
        self.attempt(Time::Recent, cx.waker(), slot, interest | IN_POLL, |stack, id, _, _| {
            let ready = stack.readiness(id) & (interest | Events::ERR | Events::HUP);
            if ready.is_empty() { Err(SocketError::WouldBlock) } else { Ok(ready) }
        })
    }

    pub(crate) fn connected_blocking(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut slot = WaitSlot::new();
        let result = block(timeout, |waker| self.try_connected(waker, &mut slot));
        self.release(&mut slot);
        self.host.tracer.exit_call(Syscall::Connect, result, |()| 0)
    }

    /// `MSG_DONTWAIT`: the caller joins no queue, so a signal for what arrives just afterwards is not withheld from him.
    pub(crate) fn recv_now(&self, dest: &mut (impl IterDest + ?Sized)) -> io::Result<usize> {
        let call = dest.call();
        let mut attempt = || {
            let received = self.host.with_stack_recent(self.cpu, |stack, now, fx| recv(stack, self.id, now, dest, fx));
            if received == Err(SocketError::WouldBlock) {
                Poll::Pending
            } else {
                Poll::Ready(received.map_err(Into::into))
            }
        };
        let recv = || match (attempt(), self.host.busy_poll(self.cpu, self.id)) {
            (Poll::Pending, Some(how)) => busy_loop(&self.host, self.cpu, how, true, attempt),
            (polled, _) => polled,
        };
        told_blocking(&self.host, call, || or_would_block(recv()), |&n| n)
    }

    /// The same for a write. Who finds no room is told when there is some.
    pub(crate) fn send_now(&self, source: &(impl IterSource + ?Sized)) -> io::Result<usize> {
        let send = |stack: &mut Stack, now, fx: &mut Effects| send(stack, self.id, now, source, fx);
        let send = || Ok(self.host.with_stack(self.cpu, send)?);
        told_blocking(&self.host, source.call(), send, |&n| n)
    }

    pub(crate) fn recv_blocking(
        &self,
        dest: &mut (impl IterDest + ?Sized),
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        if timeout == Some(Duration::ZERO) {
            return self.recv_now(dest);
        }
        let (mut slot, (call, size)) = (WaitSlot::new(), dest.call());
        let mut attempt = |waker: &Waker| self.try_recv(waker, &mut slot, dest);
        self.host.tracer.enter_call(call, size);
        let result = block(timeout, |waker| {
            let polled = attempt(waker);
            match self.host.busy_poll(self.cpu, self.id) {
                Some(how) if polled.is_pending() => busy_loop(&self.host, self.cpu, how, false, || attempt(waker)),
                _ => polled,
            }
        });
        self.release(&mut slot);
        self.host.tracer.exit_call(call, result, |&n| n)
    }

    pub(crate) fn send_blocking(
        &self,
        source: &(impl IterSource + ?Sized),
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        if timeout == Some(Duration::ZERO) {
            return self.send_now(source);
        }
        let (mut slot, (call, size)) = (WaitSlot::new(), source.call());
        self.host.tracer.enter_call(call, size);
        let result = block(timeout, |waker| self.try_send(waker, &mut slot, source));
        self.release(&mut slot);
        self.host.tracer.exit_call(call, result, |&n| n)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.host.with_stack(self.cpu, |stack, now, fx| stack.tcp_shutdown(now, self.id, how, fx)).map_err(Into::into)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.query(|stack, id| stack.local_addr(id))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.query(|stack, id| stack.peer_addr(id))
    }

    /// `getsockopt(2)`
    pub(crate) fn option(&self, opt: Opt) -> io::Result<Value> {
        self.query(|stack, id| stack.option(id, opt))
    }

    /// `setsockopt(2)`
    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        self.host.note_option(opt, value);
        self.host
            .with_stack(self.cpu, |stack, now, fx| stack.set_option(now, self.id, (opt, value), fx))
            .map_err(Into::into)
    }

    /// `TCP_INFO`
    pub(crate) fn info(&self) -> io::Result<TcpInfo> {
        self.host.with_stack(self.cpu, |stack, now, _| stack.tcp_info(now, self.id)).map_err(Into::into)
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.host.with_stack_recent(self.cpu, |stack, _, _| stack.take_error(self.id)).map(Into::into)
    }

    /// Leaves the wait queue: for owners of slots that go away before the stream does.
    pub(crate) fn release(&self, slot: &mut WaitSlot) {
        // A connection's waiters are shared ones: all were told, so there is nothing to pass on.
        let _ = release(self.place(), slot);
    }

    fn query<R>(&self, f: impl FnOnce(&mut Stack, SocketId) -> Result<R, SocketError>) -> io::Result<R> {
        self.host.with_stack_recent(self.cpu, |stack, _, _| f(stack, self.id)).map_err(Into::into)
    }

    fn attempt<R>(
        &self,
        time: Time,
        waker: &Waker,
        slot: &mut WaitSlot,
        interest: Events,
        call: impl FnOnce(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        attempt(self.place(), time, Waiting { waker, slot, interest, mode: Mode::Shared }, call)
    }

    /// The socket as `poll` sees it.
    pub(crate) fn file(&self) -> SocketFile {
        SocketFile::new(self.host.clone(), [(self.cpu, self.id)])
    }

    fn place(&self) -> Place<'_> {
        Place { host: &self.host, cpu: self.cpu, id: self.id }
    }
}

/// `recv(2)` without waiting.
#[inline]
pub(crate) fn recv(
    stack: &mut Stack,
    id: SocketId,
    now: Instant,
    dest: &mut (impl IterDest + ?Sized),
    fx: &mut Effects,
) -> Result<usize, SocketError> {
    let n = stack.tcp_recv(now, id, dest, fx)?;
    let ret = u32::try_from(n).unwrap_or(u32::MAX);
    if n > 0 {
        fx.tracer.emit(|| Event::SkbCopyDatagramIovec { len: ret });
        fx.tracer.emit(|| {
            let port = |addr: Result<SocketAddr, SocketError>| addr.map_or(0, |addr| addr.port());
            Event::TcpRcvSpaceAdjust { sport: port(stack.local_addr(id)), dport: port(stack.peer_addr(id)) }
        });
    }
    fx.tracer.emit(|| Event::SockRecvLength { ret });
    Ok(n)
}

/// `send(2)` without waiting.
#[inline]
pub(crate) fn send(
    stack: &mut Stack,
    id: SocketId,
    now: Instant,
    source: &(impl IterSource + ?Sized),
    fx: &mut Effects,
) -> Result<usize, SocketError> {
    let n = stack.tcp_send(now, id, source, fx)?;
    fx.tracer.emit(|| Event::SockSendLength { ret: u32::try_from(n).unwrap_or(u32::MAX) });
    Ok(n)
}

impl AsFile for TcpStream {
    fn fasync_file(&self) -> io::Result<Arc<File>> {
        let file = self.host.with_stack_recent(self.cpu, |stack, _, fx| {
            Some(stack.wq(self.id)?.file(|| Arc::new(File::new(fx.tracer.clone()))).clone())
        });
        file.ok_or_else(|| SocketError::Stale.into())
    }

    fn set_fasync(&self, on: bool) -> io::Result<()> {
        self.fasync_file()?;
        self.host.with_stack_recent(self.cpu, |stack, _, _| {
            if let Some(wq) = stack.wq(self.id) {
                wq.set_fasync(on);
            }
        });
        Ok(())
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.host.with_stack(self.cpu, |stack, now, fx| stack.close(now, self.id, fx));
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("TcpStream");
        debug.field("host", &self.host.name);
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            debug.field("peer", &peer);
        }
        debug.finish()
    }
}

/// A listener on every shard of its host. Dropping it closes it and resets what was not accepted.
///
/// # Simplification
/// With N CPUs it is N listeners, as N `SO_REUSEPORT` sockets with one per CPU would be: each has a backlog of its own.
pub(crate) struct TcpListener {
    sockets: Spread,
}

impl TcpListener {
    pub(crate) fn bind(host: Arc<Machine>, addr: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
        let addr = with_port(&host, Proto::Tcp, addr)?;
        let sockets = Spread::open(host, |stack| stack.tcp_listen(addr, backlog, false))?;
        Ok(TcpListener { sockets })
    }

    /// Lets a bound socket listen.
    pub(crate) fn listen(sockets: Spread, backlog: u32, settings: Settings) -> io::Result<TcpListener> {
        sockets.each(|stack, id, _| stack.tcp_listen_on(id, backlog, settings))?;
        Ok(TcpListener { sockets })
    }

    /// `getsockopt(2)`
    pub(crate) fn option(&self, opt: Opt) -> io::Result<Value> {
        self.sockets.query(|stack, id| stack.option(id, opt))
    }

    /// `setsockopt(2)`
    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        self.sockets.set_option(opt, value)
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        slots: &mut Places,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let is_new = !slots.is_set();
        told(self.sockets.host(), (Syscall::Accept4, 0), is_new, || self.try_accept(cx.waker(), slots), |_| 0)
    }

    fn try_accept(&self, waker: &Waker, slots: &mut Places) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.sockets
            .attempt(Mode::Exclusive, waker, slots, Events::READABLE, |stack, id, _, _| stack.tcp_accept(id))
            .map_ok(|(cpu, (id, peer))| (TcpStream::accepted(self.sockets.host().clone(), cpu, id), peer))
    }

    pub(crate) fn accept_blocking(&self, timeout: Option<Duration>) -> io::Result<(TcpStream, SocketAddr)> {
        let mut slots = Places::new();
        let accept = || block(timeout, |waker| self.try_accept(waker, &mut slots));
        let result = told_blocking(self.sockets.host(), (Syscall::Accept4, 0), accept, |_| 0);
        self.release(&mut slots);
        result
    }

    pub(crate) fn as_file(&self) -> &dyn AsFile {
        &self.sockets
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets.query(|stack, id| stack.local_addr(id))
    }

    pub(crate) fn release(&self, slots: &mut Places) {
        self.sockets.release(slots);
    }

    /// The socket as `poll` sees it.
    pub(crate) fn file(&self) -> SocketFile {
        self.sockets.file()
    }
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpListener").field("sockets", &self.sockets).finish()
    }
}

/// Replaces port 0 by a free one.
pub(crate) fn with_port(host: &Machine, protocol: Proto, mut addr: SocketAddr) -> io::Result<SocketAddr> {
    if addr.port() == 0 {
        let port = host.with_stack_recent(0, |stack, _, _| stack.pick_port(protocol, &|_| true));
        addr.set_port(port.ok_or(SocketError::AddrInUse)?);
    }
    Ok(addr)
}
