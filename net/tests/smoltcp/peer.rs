//! smoltcp on a raw port: an interface, one TCP socket, and the loop that turns them.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use wakeline_net::emulated::RawPort;
use wakeline_runtime::time;

/// A smoltcp host with one TCP socket.
pub(crate) struct Peer {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    wire: Wire,
    began: time::Instant,
}

/// How far smoltcp lets a connection go on without being told to: beyond it the test is stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Where smoltcp's own connections come from.
const LOCAL_PORT: u16 = 50_000;

impl Peer {
    /// A host behind `port` whose socket has buffers of `rx` and `tx` bytes.
    pub(crate) fn new(port: RawPort, rx: usize, tx: usize) -> Peer {
        let mut wire = Wire { port, next: None };
        let mut config = Config::new(EthernetAddress(wire.port.mac()).into());
        config.random_seed = 1;
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addrs| {
            addrs.push(IpCidr::new(IpAddress::Ipv4(wire.port.addr()), 16)).unwrap();
            addrs.push(IpCidr::new(IpAddress::Ipv6(wire.port.addr_v6()), 64)).unwrap();
        });
        let mut sockets = SocketSet::new(Vec::new());
        let socket = tcp::Socket::new(tcp::SocketBuffer::new(vec![0; rx]), tcp::SocketBuffer::new(vec![0; tx]));
        let socket = sockets.add(socket);
        Peer { interface, sockets, socket, wire, began: time::Instant::now() }
    }

    /// Its address of the family of `of`.
    pub(crate) fn addr(&self, of: IpAddr) -> IpAddr {
        let same_family = |addr: &IpAddr| addr.is_ipv4() == of.is_ipv4();
        self.interface.ip_addrs().iter().map(|cidr| cidr.address().into()).find(same_family).unwrap()
    }

    pub(crate) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    pub(crate) fn listen(&mut self, port: u16) {
        self.socket().listen(port).unwrap();
    }

    pub(crate) async fn accept(&mut self) {
        self.until("accept", |socket| socket.may_send().then_some(())).await;
    }

    /// Whether somebody was there.
    pub(crate) async fn connect(&mut self, to: SocketAddr) -> bool {
        let Peer { interface, sockets, socket, .. } = self;
        let socket = sockets.get_mut::<tcp::Socket<'_>>(*socket);
        socket.connect(interface.context(), (IpAddress::from(to.ip()), to.port()), LOCAL_PORT).unwrap();
        self.until("connect", |socket| match socket.state() {
            tcp::State::Closed => Some(false),
            tcp::State::Established => Some(true),
            _ => None,
        })
        .await
    }

    pub(crate) async fn send_all(&mut self, bytes: &[u8]) {
        let mut sent = 0;
        self.until("send", |socket| {
            sent += socket.send_slice(&bytes[sent..]).unwrap();
            (sent == bytes.len()).then_some(())
        })
        .await;
    }

    pub(crate) async fn receive_exact(&mut self, bytes: &mut [u8]) {
        let mut received = 0;
        self.until("receive", |socket| {
            received += socket.recv_slice(&mut bytes[received..]).unwrap();
            (received == bytes.len()).then_some(())
        })
        .await;
    }

    /// Everything until the peer closes its direction.
    pub(crate) async fn receive_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.until("receive to the end", |socket| {
            let mut piece = [0; 4096];
            loop {
                match socket.recv_slice(&mut piece) {
                    Ok(0) => return None,
                    Ok(n) => all.extend_from_slice(&piece[..n]),
                    Err(tcp::RecvError::Finished) => return Some(()),
                    Err(tcp::RecvError::InvalidState) => panic!("the connection was reset after {} bytes", all.len()),
                }
            }
        })
        .await;
        all
    }

    /// Closes its direction.
    pub(crate) fn close(&mut self) {
        self.socket().close();
    }

    /// Goes on until its connection is gone from its table, or waits for what may still be under way.
    pub(crate) async fn closed(&mut self) {
        let over = [tcp::State::Closed, tcp::State::TimeWait];
        self.until("close", |socket| over.contains(&socket.state()).then_some(())).await;
    }

    /// Turns the loop for this long.
    pub(crate) async fn idle(&mut self, how_long: Duration) {
        let end = time::Instant::now() + how_long;
        while time::Instant::now() < end {
            self.poll();
            self.wait(end).await;
        }
    }

    /// Turns the loop until `done` gives something.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut tcp::Socket<'static>) -> Option<T>,
    ) -> T {
        let end = time::Instant::now() + PATIENCE;
        loop {
            self.poll();
            if let Some(done) = done(self.socket()) {
                // What the call has left behind is on its way before the caller goes on.
                self.poll();
                return done;
            }
            self.poll();
            // An answer may be there as soon as something is sent, and that poll has taken it.
            self.wait(end.min(time::Instant::now() + LOOK_AGAIN)).await;
            assert!(time::Instant::now() < end, "stuck in {what}: {:?}", self.socket().state());
        }
    }

    /// Waits for a frame, a timer of smoltcp's, or `end`.
    async fn wait(&mut self, end: time::Instant) {
        let deadline = self.interface.poll_at(self.now(), &self.sockets);
        let deadline = deadline.map_or(end, |at| self.began + Duration::from_micros(at.total_micros() as u64)).min(end);
        if let Ok(frame) = time::timeout_at(deadline, self.wire.port.recv()).await {
            self.wire.next = Some(frame);
        }
    }

    /// Takes what has come, and sends what there is to send.
    fn poll(&mut self) {
        let now = self.now();
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.began.elapsed().as_micros() as i64)
    }
}

/// A raw port as smoltcp's device.
struct Wire {
    port: RawPort,
    /// The frame that was waited for.
    next: Option<Vec<u8>>,
}

const MTU: usize = 1500;
const ETHERNET_HEADER: usize = 14;

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Transmit<'_>)> {
        let frame = self.next.take().or_else(|| self.port.try_recv())?;
        Some((Received(frame), Transmit(&self.port)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(&self.port))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU + ETHERNET_HEADER;
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Transmit<'a>(&'a RawPort);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.send(&frame).unwrap();
        result
    }
}
