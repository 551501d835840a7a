//! What one side leaves to the other: whatever host and device offload, the bytes arrive, and where both do, few frames carry
//! them.

use crate::lab::{Lab, within};
use crate::tcp::{echo_one, in_both_roles, pattern};
use nix::sys::socket::{setsockopt, sockopt};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Offloads, Tap};
use wakeline::net::{TcpStream, UdpSocket};

const BYTES: usize = 2 << 20;

async fn bulk(server: String) {
    let (mut reader, mut writer) = TcpStream::connect(server).await.unwrap().into_split();
    let writing = wakeline::spawn(async move {
        writer.write_all(&pattern(BYTES)).await.unwrap();
        writer.close().await.unwrap();
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.unwrap();
    assert!(back == pattern(BYTES), "{} bytes came back, or others", back.len());
    writing.await.unwrap();
}

/// Echoes [`BYTES`] in both roles and over both families; gives how many frames of ours that took, and of the kernel's.
fn frames(tap: fn(&str) -> std::io::Result<Tap>, offloads: Offloads, check: fn(u64, u64)) {
    within(&[], move || async move {
        let lab = Lab::with(tap("tap0").unwrap(), offloads);
        in_both_roles(&lab, echo_one, bulk).await;
        let carried = lab.port.carried();
        assert!(carried.rx_bytes > 4 * BYTES as u64 && carried.tx_bytes > 4 * BYTES as u64, "{carried:?}");
        check(carried.tx_packets, carried.rx_packets);
        lab.finish().await;
    });
}

/// As many as full frames would be.
const FULL: u64 = 4 * BYTES as u64 / 1448;

#[test]
fn a_plain_device_carries_plain_frames() {
    frames(Tap::open_plain, Offloads::all(), |ours, kernels| {
        assert!(ours >= FULL && kernels >= FULL, "{ours} frames of ours, {kernels} of the kernel's");
    });
}

#[test]
fn the_kernels_super_segments_are_cut_for_a_host_without_offloads() {
    frames(Tap::open, Offloads::empty(), |ours, kernels| {
        assert!(ours >= FULL && kernels < FULL, "{ours} frames of ours, {kernels} of the kernel's");
    });
}

#[test]
fn super_segments_pass_as_they_are_where_both_sides_offload() {
    frames(Tap::open, Offloads::all(), |ours, kernels| {
        assert!(ours < FULL / 2 && kernels < FULL, "{ours} frames of ours, {kernels} of the kernel's");
    });
}

/// `UDP_SEGMENT`: the kernel hands down many datagrams as one frame.
#[test]
fn the_kernels_batches_of_datagrams_are_cut() {
    within(&[], || async {
        let lab = Lab::with(Tap::open("tap0").unwrap(), Offloads::all());
        for (any, ours) in [("0.0.0.0:9", lab.host.addrs()[0]), ("[::]:9", lab.host.addrs()[1])] {
            let receiver = lab.host.run(UdpSocket::bind(any)).await.unwrap();
            let sender = std::net::UdpSocket::bind(any).unwrap();
            setsockopt(&sender, sockopt::UdpGsoSegment, &1000).unwrap();
            sender.send_to(&pattern(20_500), (ours, 9)).unwrap();
            let mut got = Vec::new();
            while got.len() < 20_500 {
                let mut datagram = [0; 2000];
                let (n, _) = receiver.recv_from(&mut datagram).await.unwrap();
                assert!(n == 1000 || got.len() == 20_000, "{n} bytes");
                got.extend_from_slice(&datagram[..n]);
            }
            assert!(got == pattern(20_500));
        }
        lab.finish().await;
    });
}
