//! UDP datagrams of 64 bytes in one direction, in batches: every one compared, none lost.

use crate::emulated_echo::hosts;
use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket as StdUdpSocket};
use std::os::fd::AsRawFd;
use wakeline::net::UdpSocket;
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
        let running = wakeline::spawn(async move {
            let (mut requests, mut expected) = (Requests::of_connection(0), Requests::of_connection(0));
            let mut run = Run::new(until);
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
        });
        running.await.map_err(io::Error::other)?
    })
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
        assert_eq!(kernel(Until::Requests(10)).unwrap().requests, 10);
    }
}
