//! The same transfer by this machine's kernel: its TCP at both ends, each in a network namespace of its own behind a TAP device,
//! and between them the link of [`bulk`](crate::bulk), in real time. So whoever doubts Linux's figures can make them again.

use crate::bulk::{BUFFER, Bulk, inbound};
use nix::sched::{CloneFlags, setns, unshare};
use socket2::{Domain, Socket, Type};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use wakeline::net::emulated::{Lan, Tap};
use wakeline::runtime::Builder;

/// Above those that a LAN gives to its hosts.
const SENDER: &str = "10.0.255.1";
const RECEIVER: &str = "10.0.255.2:5001";

/// One run, which takes its whole time. Gives the goodput in Mbit/s.
///
/// # Errors
/// What the operating system says about namespaces, TAP devices (both need root) and sockets; `NotFound` for a congestion
/// control that the kernel does not have.
pub(crate) fn run(bulk: &Bulk) -> io::Result<f64> {
    let address: SocketAddr = RECEIVER.parse().map_err(io::Error::other)?;
    let (receiver, sender) = (Namespace::new(&address.ip().to_string())?, Namespace::new(SENDER)?);
    let listener = receiver.within(move || TcpListener::bind(address))?;
    let choice = bulk.choice.name();
    let socket = sender.within(move || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_congestion(choice.as_bytes())?;
        Ok(socket)
    })?;
    let (outbound, seed, time) = (bulk.outbound(), bulk.seed, bulk.time);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let bytes = runtime.block_on(async move {
        let lan = Lan::with_seed(seed);
        let _receiving = lan.attach(receiver.tap)?;
        let _sending = lan.attach(sender.tap.egress(outbound).ingress(inbound()))?;
        let end = Instant::now() + time;
        let stream = socket.try_clone()?;
        let flooding = thread::spawn(move || flood(&stream, address));
        let bytes = wakeline::spawn_blocking(move || drain(&listener, end)).await.map_err(io::Error::other)?;
        // The connection may have ended already, which is what this wants.
        let _ = socket.shutdown(Shutdown::Both);
        flooding.join().map_err(|_| io::Error::other("the sender's thread has panicked"))?;
        bytes
    })?;
    Ok(bytes as f64 * 8.0 / time.as_secs_f64() / 1e6)
}

/// A network namespace with one address, and the other end of its cable.
struct Namespace {
    file: File,
    tap: Tap,
}

impl Namespace {
    fn new(address: &str) -> io::Result<Namespace> {
        let setup = |address: &str| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let tap = Tap::open_plain("tap0")?;
            ip(&format!("addr add {address}/16 dev tap0"))?;
            ip("link set tap0 up txqueuelen 10000")?;
            for sysctl in ["tcp_rmem", "tcp_wmem"] {
                fs::write(format!("/proc/sys/net/ipv4/{sysctl}"), format!("4096 {BUFFER} {BUFFER}"))?;
            }
            // What a run has learnt of the way must not help the next.
            fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")?;
            Ok(Namespace { file: File::open("/proc/thread-self/ns/net")?, tap })
        };
        on_a_thread(|| setup(address))
    }

    /// Runs `call` in this namespace. A socket belongs to it for good, whoever uses it later.
    fn within<T: Send>(&self, call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_a_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            call()
        })
    }
}

/// A namespace belongs to a thread, so one that changes it is not used again.
fn on_a_thread<T: Send>(call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(call).join()).map_err(|_| io::Error::other("a thread has panicked"))?
}

fn ip(args: &str) -> io::Result<()> {
    let output = Command::new("ip").args(args.split(' ')).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("ip {args}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// Sends until the connection is ended.
fn flood(mut socket: &Socket, address: SocketAddr) {
    let bytes = vec![0x5a; 64 << 10];
    if socket.connect(&address.into()).is_ok() {
        while socket.write_all(&bytes).is_ok() {}
    }
}

/// How many bytes could be read until `end`.
fn drain(listener: &TcpListener, end: Instant) -> io::Result<u64> {
    let (mut stream, _) = listener.accept()?;
    let (mut buf, mut total) = (vec![0; 256 << 10], 0);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) {
            return Ok(total);
        }
        stream.set_read_timeout(Some(left))?;
        match read(&mut stream, &mut buf)? {
            0 => return Ok(total),
            n => total += n as u64,
        }
    }
}

/// One read; 0 when the time is over.
fn read(stream: &mut TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    match stream.read(buf) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
