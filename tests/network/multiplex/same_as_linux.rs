//! The emulated epoll and poll beside the kernel's: one sequence of operations on both, and the same answers.
//!
//! The kernel's sockets are this process's own, on its loopback. So that what was sent has arrived before the next
//! question, the thread stays on one CPU and lets datagrams to itself pass through that CPU's backlog behind it.

use super::{World, at_once, settle};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::epoll::{Epoll as OsEpoll, EpollCreateFlags, EpollEvent, EpollFlags as OsFlags, EpollTimeout};
use nix::unistd::Pid;
use socket2::{SockRef, Socket};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::poll::{Events, PollFd, Source, poll_blocking};
use wakeline::net::{TcpSocket, TcpStream, UdpSocket};

const CASES: u64 = 150;
const STEPS: usize = 80;
const CONNECTIONS: usize = 3;

/// What is watched: the connections' ends at the server, then a listener, a UDP socket, one whose peer is not there, and
/// the other epoll.
const LISTENER: usize = CONNECTIONS;
const UDP: usize = CONNECTIONS + 1;
const LONELY: usize = CONNECTIONS + 2;
const OTHER: usize = CONNECTIONS + 3;
const FILES: usize = CONNECTIONS + 4;

/// One step; the same for both networks.
#[derive(Clone, Debug)]
enum Step {
    /// The client of a connection writes.
    Send(usize, usize),
    /// The server's end is read, without waiting.
    Recv(usize, usize),
    /// The server writes, the client reads nothing.
    Answer(usize),
    ShutDownClient(usize),
    /// And the client reads to the end: Linux delays the acknowledgement of a FIN that nobody has seen, by the real time.
    ShutDownServer(usize, Shutdown),
    CloseClient(usize),
    CloseServer(usize),
    Connect,
    Accept,
    SendDatagram,
    RecvDatagram,
    /// To where nobody is.
    SendInVain,
    TakeError,
    Add(usize, usize, u32),
    Modify(usize, usize, u32),
    Delete(usize, usize),
    Wait(usize, usize),
}

fn step(rng: &mut fastrand::Rng) -> Step {
    let at = rng.usize(..CONNECTIONS);
    let (epoll, file) = (rng.usize(..2), rng.usize(..FILES));
    match rng.u8(..100) {
        0..14 => Step::Send(at, rng.usize(1..100)),
        14..24 => Step::Recv(at, [1, 50, 1000][rng.usize(..3)]),
        24..27 => Step::Answer(at),
        27..30 => Step::ShutDownClient(at),
        30..33 => Step::ShutDownServer(at, [Shutdown::Read, Shutdown::Write, Shutdown::Both][rng.usize(..3)]),
        33..36 => Step::CloseClient(at),
        36..38 => Step::CloseServer(at),
        38..41 => Step::Connect,
        41..44 => Step::Accept,
        44..48 => Step::SendDatagram,
        48..52 => Step::RecvDatagram,
        52..54 => Step::SendInVain,
        54..55 => Step::TakeError,
        55..70 => Step::Add(epoll, file, flags(rng)),
        70..77 => Step::Modify(epoll, file, flags(rng)),
        77..80 => Step::Delete(epoll, file),
        _ => Step::Wait(epoll, rng.usize(1..4)),
    }
}

fn flags(rng: &mut fastrand::Rng) -> u32 {
    let what = [0x1, 0x1, 0x1 | 0x2000, 0x4, 0x1 | 0x4, 0x5 | 0x2000 | 0x40 | 0x100, 0][rng.usize(..7)];
    let how = [0, 0, 0, 1 << 31, 1 << 31, 1 << 30, 1 << 28, (1 << 31) | (1 << 30)][rng.usize(..8)];
    what | how
}

/// The answer to a step, in words that both networks have.
type Answer = String;

/// The kernel's network.
struct Os {
    epolls: [OsEpoll; 2],
    clients: Vec<Option<std::net::TcpStream>>,
    servers: Vec<Option<std::net::TcpStream>>,
    listener: std::net::TcpListener,
    waiting: Vec<std::net::TcpStream>,
    udp: std::net::UdpSocket,
    sender: std::net::UdpSocket,
    lonely: std::net::UdpSocket,
    barrier: std::net::UdpSocket,
}

/// The emulated one.
struct Emulated {
    world: World,
    epolls: [Epoll; 2],
    clients: Vec<Option<TcpStream>>,
    servers: Vec<Option<TcpStream>>,
    waiting: Vec<TcpStream>,
    udp: UdpSocket,
    sender: UdpSocket,
    lonely: UdpSocket,
}

fn os_pair(listener: &std::net::TcpListener) -> (std::net::TcpStream, std::net::TcpStream) {
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = loop {
        match listener.accept() {
            Ok((server, _)) => break server,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    };
    client.set_nonblocking(true).unwrap();
    server.set_nonblocking(true).unwrap();
    (client, server)
}

fn os_udp() -> std::net::UdpSocket {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn number(result: std::io::Result<usize>) -> Answer {
    match result {
        Ok(n) => n.to_string(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

impl Os {
    fn new() -> Os {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (clients, servers) = (0..CONNECTIONS).map(|_| os_pair(&listener)).map(|(a, b)| (Some(a), Some(b))).unzip();
        let (udp, sender, lonely, barrier) = (os_udp(), os_udp(), os_udp(), os_udp());
        sender.connect(udp.local_addr().unwrap()).unwrap();
        let nowhere = os_udp().local_addr().unwrap();
        lonely.connect(nowhere).unwrap();
        barrier.connect(barrier.local_addr().unwrap()).unwrap();
        barrier.set_nonblocking(false).unwrap();
        let epolls = [(); 2].map(|()| OsEpoll::new(EpollCreateFlags::empty()).unwrap());
        Os { epolls, clients, servers, listener, waiting: Vec::new(), udp, sender, lonely, barrier }
    }

    /// What is under way, and what it causes, goes before these.
    fn settle(&self) {
        for stream in self.clients.iter().chain(&self.servers).flatten() {
            // An acknowledgement that is owed goes now.
            SockRef::from(stream).set_tcp_quickack(true).unwrap();
        }
        for _ in 0..4 {
            self.barrier.send(b"x").unwrap();
            self.barrier.recv(&mut [0]).unwrap();
        }
    }

    fn with_file<R>(&self, epoll: usize, file: usize, f: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        match file {
            LISTENER => Some(f(self.listener.as_fd())),
            UDP => Some(f(self.udp.as_fd())),
            LONELY => Some(f(self.lonely.as_fd())),
            OTHER => Some(f(self.epolls[1 - epoll].0.as_fd())),
            at => self.servers[at].as_ref().map(|stream| f(stream.as_fd())),
        }
    }

    fn take(&mut self, step: &Step) -> Answer {
        let done = |it: bool| it.to_string();
        let answer = match *step {
            Step::Send(at, n) => self.clients[at].as_mut().map(|stream| number(stream.write(&vec![1; n]))),
            Step::Recv(at, n) => self.servers[at].as_mut().map(|stream| number(stream.read(&mut vec![0; n]))),
            Step::Answer(at) => self.servers[at].as_mut().map(|stream| number(stream.write(&[1; 9]))),
            Step::ShutDownClient(at) => self.clients[at].as_ref().map(|it| done(it.shutdown(Shutdown::Write).is_ok())),
            Step::ShutDownServer(at, how) => {
                let result = self.servers[at].as_ref().map(|it| done(it.shutdown(how).is_ok()));
                if let Some(client) = &mut self.clients[at] {
                    while client.read(&mut [0; 99]).is_ok_and(|n| n > 0) {}
                }
                result
            }
            Step::CloseClient(at) => self.clients[at].take().map(|_| done(true)),
            Step::CloseServer(at) => self.servers[at].take().map(|_| done(true)),
            Step::Connect => {
                self.waiting.push(std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap());
                None
            }
            Step::Accept => Some(number(self.listener.accept().map(|_| 1))),
            Step::SendDatagram => Some(number(self.sender.send(b"hello"))),
            Step::RecvDatagram => Some(number(self.udp.recv(&mut [0; 9]))),
            Step::SendInVain => Some(number(self.lonely.send(b"x"))),
            Step::TakeError => Some(format!("{:?}", self.lonely.take_error().unwrap().map(|error| error.kind()))),
            Step::Add(epoll, file, flags) => self.with_file(epoll, file, |fd| {
                let event = EpollEvent::new(OsFlags::from_bits_retain(flags as i32), file as u64);
                format!("{:?}", self.epolls[epoll].add(fd, event).err().map(|errno| errno as i32))
            }),
            Step::Modify(epoll, file, flags) => self.with_file(epoll, file, |fd| {
                let mut event = EpollEvent::new(OsFlags::from_bits_retain(flags as i32), file as u64);
                format!("{:?}", self.epolls[epoll].modify(fd, &mut event).err().map(|errno| errno as i32))
            }),
            Step::Delete(epoll, file) => self.with_file(epoll, file, |fd| {
                format!("{:?}", self.epolls[epoll].delete(fd).err().map(|errno| errno as i32))
            }),
            Step::Wait(epoll, most) => {
                let mut events = vec![EpollEvent::empty(); most];
                let told = self.epolls[epoll].wait(&mut events, EpollTimeout::ZERO).unwrap();
                Some(list(events[..told].iter().map(|event| (event.data(), event.events().bits() as u32))))
            }
        };
        self.settle();
        answer.unwrap_or_default()
    }
}

fn list(events: impl Iterator<Item = (u64, u32)>) -> Answer {
    events.map(|(data, events)| format!("{data}:{events:#x} ")).collect()
}

impl Emulated {
    async fn new() -> Emulated {
        let world = World::new().await;
        let (mut clients, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            let (client, server) = world.pair().await;
            clients.push(Some(client));
            servers.push(Some(server));
        }
        let udp = world.server.run(UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
        let sender = world.client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
        world.client.run(sender.connect("server:7001")).await.unwrap();
        let lonely = world.server.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
        lonely.connect("10.0.0.2:9".parse::<std::net::SocketAddr>().unwrap()).await.unwrap();
        let epolls = [(); 2].map(|()| Epoll::new().unwrap());
        Emulated { world, epolls, clients, servers, waiting: Vec::new(), udp, sender, lonely }
    }

    fn file(&self, epoll: usize, file: usize) -> Option<&dyn Source> {
        match file {
            LISTENER => Some(&self.world.listener),
            UDP => Some(&self.udp),
            LONELY => Some(&self.lonely),
            OTHER => Some(&self.epolls[1 - epoll]),
            at => self.servers[at].as_ref().map(|stream| stream as &dyn Source),
        }
    }

    fn ctl(&self, epoll: usize, file: usize, op: Ctl) -> Option<Answer> {
        let source = self.file(epoll, file)?;
        Some(format!("{:?}", self.epolls[epoll].ctl(source, op).err().map(|error| error.raw_os_error().unwrap())))
    }

    async fn take(&mut self, step: &Step) -> Answer {
        let done = |it: bool| it.to_string();
        let event = |flags, file| Event::new(EpollFlags::from_bits_retain(flags), file as u64);
        let answer = match *step {
            Step::Send(at, n) => self.clients[at].as_mut().map(|it| number(at_once(it.write(&vec![1; n])))),
            Step::Recv(at, n) => self.servers[at].as_mut().map(|it| number(at_once(it.read(&mut vec![0; n])))),
            Step::Answer(at) => self.servers[at].as_mut().map(|it| number(at_once(it.write(&[1; 9])))),
            Step::ShutDownClient(at) => self.clients[at].as_ref().map(|it| done(it.shutdown(Shutdown::Write).is_ok())),
            Step::ShutDownServer(at, how) => {
                let result = self.servers[at].as_ref().map(|it| done(it.shutdown(how).is_ok()));
                settle().await;
                if let Some(client) = &mut self.clients[at] {
                    while at_once(client.read(&mut [0; 99])).is_ok_and(|n| n > 0) {}
                }
                result
            }
            Step::CloseClient(at) => self.clients[at].take().map(|_| done(true)),
            Step::CloseServer(at) => self.servers[at].take().map(|_| done(true)),
            Step::Connect => {
                self.waiting.push(self.world.client.run(TcpStream::connect("server:7000")).await.unwrap());
                None
            }
            Step::Accept => Some(number(at_once(self.world.listener.accept()).map(|_| 1))),
            Step::SendDatagram => Some(number(at_once(self.sender.send(b"hello")))),
            Step::RecvDatagram => Some(number(at_once(self.udp.recv(&mut [0; 9])))),
            Step::SendInVain => Some(number(at_once(self.lonely.send(b"x")))),
            Step::TakeError => Some(format!("{:?}", self.lonely.take_error().unwrap().map(|error| error.kind()))),
            Step::Add(epoll, file, flags) => self.ctl(epoll, file, Ctl::Add(event(flags, file))),
            Step::Modify(epoll, file, flags) => self.ctl(epoll, file, Ctl::Mod(event(flags, file))),
            Step::Delete(epoll, file) => self.ctl(epoll, file, Ctl::Del),
            Step::Wait(epoll, most) => {
                let mut events = vec![Event::default(); most];
                let told = self.epolls[epoll].wait_blocking(&mut events, Some(Duration::ZERO)).unwrap();
                Some(list(events[..told].iter().map(|event| (event.data, event.events.bits()))))
            }
        };
        // As long as an acknowledgement is delayed.
        wakeline::time::sleep(Duration::from_millis(50)).await;
        answer.unwrap_or_default()
    }
}

/// This thread, and so its packets to itself, stay where they are.
fn stay_on_one_cpu() {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let cpu = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu).unwrap()).unwrap();
    let mut one = CpuSet::new();
    one.set(cpu).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
}

#[wakeline::test(start_paused = true)]
async fn random_operations_are_answered_as_linux_answers_them() {
    stay_on_one_cpu();
    let (mut told, mut refused) = (0, 0);
    for seed in 0..CASES {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut os, mut emulated) = (Os::new(), Emulated::new().await);
        let mut steps = Vec::new();
        for _ in 0..STEPS {
            let next = step(&mut rng);
            let (expected, answer) = (os.take(&next), emulated.take(&next).await);
            steps.push(format!("{next:x?} -> {expected}"));
            assert_eq!(answer, expected, "seed {seed}, after\n{}", steps.join("\n"));
            told += usize::from(matches!(next, Step::Wait(..)) && !expected.is_empty());
            refused += usize::from(expected.starts_with("Some("));
        }
    }
    assert!(
        told > 1000 && refused > 500,
        "it shows too little: {told} waits told something, {refused} calls were refused"
    );
}

/// The state of a file, for which poll is asked on both networks.
#[wakeline::test(start_paused = true)]
async fn poll_has_the_masks_of_linux_in_every_state() {
    stay_on_one_cpu();
    let everything = Events::READABLE | Events::WRITABLE | Events::RDHUP | Events::ERR | Events::HUP;
    let (mut os, mut emulated) = (Os::new(), Emulated::new().await);
    let check = |os: &Os, emulated: &Emulated, state: &str, file: usize, expected: u32| {
        let on_linux = os.with_file(0, file, |fd| state_of(fd, everything));
        let mut fds = [PollFd::new(emulated.file(0, file).unwrap(), everything)];
        poll_blocking(&mut fds, Some(Duration::ZERO)).unwrap();
        let bits = |events| format!("{:?}", Events::from_bits_retain(events));
        assert_eq!(bits(on_linux.expect("the file is open")), bits(expected), "Linux, {state}");
        assert_eq!(bits(fds[0].revents.bits()), bits(expected), "emulated, {state}");
    };
    let (readable, writable) = (0x41, 0x104);
    check(&os, &emulated, "a listener", LISTENER, 0);
    check(&os, &emulated, "connected", 0, writable);
    check(&os, &emulated, "UDP", UDP, writable | 0x200);
    let mut states: Vec<(&str, Vec<Step>, usize, u32)> = vec![
        ("a connection waits to be accepted", vec![Step::Connect], LISTENER, readable),
        ("data", vec![Step::Send(0, 9)], 0, readable | writable),
        ("data and the end", vec![Step::ShutDownClient(0)], 0, readable | writable | 0x2000),
        ("both directions closed", vec![Step::ShutDownServer(0, Shutdown::Write)], 0, readable | writable | 0x2010),
        ("the peer has reset", vec![Step::Answer(1), Step::CloseClient(1)], 1, readable | writable | 0x2018),
        ("the reset was told", vec![Step::Recv(1, 1)], 1, readable | writable | 0x2010),
        ("reading shut down", vec![Step::ShutDownServer(2, Shutdown::Read)], 2, readable | writable | 0x2000),
        ("and writing", vec![Step::ShutDownServer(2, Shutdown::Write)], 2, readable | writable | 0x2010),
        ("a datagram", vec![Step::SendDatagram], UDP, readable | writable | 0x200),
        ("an error of UDP", vec![Step::SendInVain], LONELY, writable | 0x208),
        ("the error was told", vec![Step::TakeError], LONELY, writable | 0x200),
        ("an epoll with nothing", vec![], OTHER, 0),
        ("an epoll with something", vec![Step::Add(1, UDP, 1)], OTHER, readable),
    ];
    for (state, steps, file, expected) in states.drain(..) {
        for step in steps {
            let (expected, answer) = (os.take(&step), emulated.take(&step).await);
            assert_eq!(answer, expected, "{state}: {step:?}");
        }
        check(&os, &emulated, state, file, expected);
    }
    // A socket that was never connected.
    let unconnected = emulated.world.server.run(async { TcpSocket::new_v4() }).await.unwrap();
    let mut fds = [PollFd::new(&unconnected, everything)];
    poll_blocking(&mut fds, Some(Duration::ZERO)).unwrap();
    let on_linux = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert_eq!(state_of(on_linux.as_fd(), everything), 0x114);
    assert_eq!(fds[0].revents.bits(), 0x114);
}

/// What the kernel says of a file.
fn state_of(fd: BorrowedFd<'_>, of: Events) -> u32 {
    let epoll = OsEpoll::new(EpollCreateFlags::empty()).unwrap();
    epoll.add(fd, EpollEvent::new(OsFlags::from_bits_retain(of.bits() as i32), 0)).unwrap();
    let mut event = [EpollEvent::empty()];
    epoll.wait(&mut event, EpollTimeout::ZERO).unwrap();
    event[0].events().bits() as u32
}
