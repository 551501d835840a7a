//! UDP datagrams of 64 bytes in one direction, in batches: every one compared, none lost.

use crate::emulated_echo::hosts;
use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket as StdUdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;
use wakeline::net::UdpSocket;
use wakeline::net::emulated::{Host, Lan};
use wakeline::runtime::Builder;

/// Datagrams that are sent before the receiver looks: a NAPI poll's weight.
pub const BATCH: usize = 64;

/// Millions of datagrams a second, of a run that counts batches.
#[must_use]
pub fn mpps(measured: Measured) -> f64 {
    measured.rate() * BATCH as f64 / 1e6
}

/// Two emulated hosts and one task on one worker, a call for each datagram. The receiver's host has `others` more bound
/// sockets.
///
/// # Errors
/// Those of the sockets, and a wrong or missing datagram.
pub fn emulated(until: Until, others: usize) -> io::Result<Measured> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (_bystanders, sender, receiver) = sockets(others).await?;
        let running = wakeline::spawn(async move {
            let (mut requests, mut expected) = (Requests::of_connection(0), Requests::of_connection(0));
            let mut run = Run::new(until);
            let mut buf = [0; SIZE];
            while run.goes_on() {
                for _ in 0..BATCH {
                    sender.send(requests.next_request()).await?;
                }
                for _ in 0..BATCH {
                    let n = receiver.recv(&mut buf).await?;
                    check(&mut expected, &buf, n)?;
                }
            }
            Ok(run.finish())
        });
        running.await.map_err(io::Error::other)?
    })
}

/// The same with calls for batches.
///
/// # Errors
/// Those of the sockets, and a wrong or missing datagram.
pub fn emulated_in_batches(until: Until, others: usize) -> io::Result<Measured> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (_bystanders, sender, receiver) = sockets(others).await?;
        let running = wakeline::spawn(in_batches(sender, receiver, Run::new(until)));
        running.await.map_err(io::Error::other)?
    })
}

/// One flow, in calls for batches, by one task.
async fn in_batches(sender: UdpSocket, receiver: UdpSocket, mut run: Run) -> io::Result<Measured> {
    let (mut requests, mut expected) = (Requests::of_connection(0), Requests::of_connection(0));
    let (mut outgoing, mut incoming) = ([[0; SIZE]; BATCH], [[0; SIZE]; BATCH]);
    let mut received = Vec::with_capacity(BATCH);
    while run.goes_on() {
        outgoing.iter_mut().for_each(|datagram| *datagram = *requests.next_request());
        let mut sent = 0;
        while sent < BATCH {
            sent += sender.send_many(&outgoing[sent..]).await?;
        }
        received.clear();
        while received.len() < BATCH {
            let from = received.len();
            receiver.recv_many(&mut incoming[from..], &mut received).await?;
        }
        for (datagram, &(n, _)) in incoming.iter().zip(&received) {
            check(&mut expected, datagram, n)?;
        }
    }
    Ok(run.finish())
}

/// Two emulated hosts with `cpus` CPUs each, on as many workers; for each CPU a task with a flow of its own, whose frames arrive
/// at that CPU. The sum of all flows: each worker does for its flow what the one worker of `cpus == 1` does.
///
/// # Errors
/// Those of the sockets, a wrong or missing datagram, and that no port's flow is at home on a CPU.
pub fn emulated_on_cpus(until: Until, cpus: usize) -> io::Result<Measured> {
    Builder::new_multi_thread().worker_threads(cpus).enable_all().build()?.block_on(async move {
        let lan = Lan::with_seed(1);
        let server = lan.host("server").cpus(cpus).build()?;
        let client = lan.host("client").cpus(cpus).build()?;
        let mut flows = Vec::new();
        for cpu in 0..cpus {
            flows.push(flow_at_home(&server, &client, cpu).await?);
        }
        let running: Vec<_> =
            flows.into_iter().map(|(from, to)| wakeline::spawn(in_batches(from, to, Run::new(until)))).collect();
        let mut sum = Measured { requests: 0, elapsed: Duration::ZERO };
        for flow in running {
            let Measured { requests, elapsed } = flow.await.map_err(io::Error::other)??;
            sum.requests += requests;
            sum.elapsed = sum.elapsed.max(elapsed);
        }
        Ok(sum)
    })
}

/// What [`emulated_on_cpus`] does on one CPU, `times` at once, which share nothing but the machine: what it gives to so many threads.
///
/// # Errors
/// Those of [`emulated_on_cpus`].
pub fn emulated_apart(until: Until, times: usize) -> io::Result<Measured> {
    let threads: Vec<_> = (0..times).map(|_| std::thread::spawn(move || emulated_on_cpus(until, 1))).collect();
    let mut sum = Measured { requests: 0, elapsed: Duration::ZERO };
    for thread in threads {
        let Measured { requests, elapsed } = thread.join().map_err(|_| io::Error::other("a flow panicked"))??;
        sum.requests += requests;
        sum.elapsed = sum.elapsed.max(elapsed);
    }
    Ok(sum)
}

/// A sender and a receiver, connected to each other, whose datagrams arrive at `cpu` on either host.
async fn flow_at_home(server: &Host, client: &Host, cpu: usize) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..PORTS_TRIED {
        let receiver = server.run(UdpSocket::bind("0.0.0.0:0")).await?;
        let sender = client.run(UdpSocket::bind("0.0.0.0:0")).await?;
        client.run(sender.connect((server.addr(), receiver.local_addr()?.port()))).await?;
        server.run(receiver.connect(sender.local_addr()?)).await?;
        // The first datagrams ask where the hosts are.
        ask(&sender, &receiver).await?;
        ask(&receiver, &sender).await?;
        let before = (polled(server, cpu)?, polled(client, cpu)?);
        for _ in 0..PROBES {
            ask(&sender, &receiver).await?;
            ask(&receiver, &sender).await?;
        }
        let after = (polled(server, cpu)?, polled(client, cpu)?);
        if after.0 - before.0 == PROBES && after.1 - before.1 == PROBES {
            return Ok((sender, receiver));
        }
    }
    Err(io::Error::other(format!("no flow arrives at CPU {cpu}")))
}

/// Every fourth flow of two CPUs is at home.
const PORTS_TRIED: usize = 256;
/// How many datagrams show where a flow arrives.
const PROBES: u64 = 8;

async fn ask(from: &UdpSocket, to: &UdpSocket) -> io::Result<()> {
    from.send(b"?").await?;
    to.recv(&mut [0; SIZE]).await.map(drop)
}

/// How many frames a CPU has processed.
fn polled(host: &Host, cpu: usize) -> io::Result<u64> {
    let text = host.proc_file("/proc/net/softnet_stat")?;
    let column = text.lines().nth(cpu).and_then(|line| line.split_whitespace().next());
    column.and_then(|hex| u64::from_str_radix(hex, 16).ok()).ok_or_else(|| io::Error::other("no such CPU"))
}

/// A receiver on one host, beside `others` that nobody sends to, and a sender on another that is connected to it.
async fn sockets(others: usize) -> io::Result<(Vec<UdpSocket>, UdpSocket, UdpSocket)> {
    let (server, client) = hosts()?;
    let mut bystanders = Vec::new();
    for port in 0..others {
        bystanders.push(server.run(UdpSocket::bind(format!("0.0.0.0:{}", 10_000 + port))).await?);
    }
    let receiver = server.run(UdpSocket::bind("0.0.0.0:7000")).await?;
    let sender = client.run(UdpSocket::bind("0.0.0.0:0")).await?;
    client.run(sender.connect("server:7000")).await?;
    Ok((bystanders, sender, receiver))
}

/// The kernel's loopback by one thread, with the kernel's calls for batches.
///
/// # Errors
/// Those of the sockets, and a wrong or missing datagram.
pub fn kernel(until: Until) -> io::Result<Measured> {
    let receiver = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.connect(receiver.local_addr()?)?;
    let (mut requests, mut expected) = (Requests::of_connection(0), Requests::of_connection(0));
    let mut run = Run::new(until);
    let mut outgoing = [[0; SIZE]; BATCH];
    let mut incoming = [[0; SIZE]; BATCH];
    let mut sending = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut receiving = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    while run.goes_on() {
        outgoing.iter_mut().for_each(|datagram| *datagram = *requests.next_request());
        let slices: Vec<_> = outgoing.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
        let nobody = [None::<SockaddrIn>; BATCH];
        let sent = sendmmsg(sender.as_raw_fd(), &mut sending, &slices, nobody, [], MsgFlags::empty())?;
        if sent.count() != BATCH {
            return Err(io::Error::other("a datagram was not sent"));
        }
        let mut slices: Vec<_> = incoming.iter_mut().map(|datagram| [IoSliceMut::new(datagram)]).collect();
        let received = recvmmsg(receiver.as_raw_fd(), &mut receiving, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let lengths: Vec<_> = received.map(|datagram| datagram.bytes).collect();
        if lengths.len() != BATCH {
            return Err(io::Error::other("a datagram was lost"));
        }
        for (datagram, n) in incoming.iter().zip(lengths) {
            check(&mut expected, datagram, n)?;
        }
    }
    Ok(run.finish())
}

/// Compares the next datagram, of which `n` bytes have come.
fn check(expected: &mut Requests, datagram: &[u8; SIZE], n: usize) -> io::Result<()> {
    expected.next_request();
    if n != SIZE {
        return Err(io::Error::other("a datagram was cut off"));
    }
    expected.check(datagram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_datagram_is_lost() {
        assert_eq!(emulated(Until::Requests(10), 5).unwrap().requests, 10);
        assert_eq!(emulated_in_batches(Until::Requests(10), 5).unwrap().requests, 10);
        assert_eq!(emulated_on_cpus(Until::Requests(10), 2).unwrap().requests, 20);
        assert_eq!(emulated_apart(Until::Requests(10), 2).unwrap().requests, 20);
        assert_eq!(kernel(Until::Requests(10)).unwrap().requests, 10);
    }
}
