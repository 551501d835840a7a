//! GRO and its like: what a stream costs the two hosts, by who does the work of cutting and joining: `cargo run --example gro`

use std::io::Result;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Lan, Mib, Offloads};
use wakeline::net::{TcpListener, TcpStream};

const BYTES: usize = 4_000_000;

#[wakeline::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    println!("{:<38}{:>12}{:>12}{:>12}{:>12}", "4 MB", "tx_packets", "rx_packets", "InSegs", "acks");
    for (what, sends, receives) in [
        ("nothing: a segment is a segment", Offloads::empty(), Offloads::empty()),
        ("generic-receive-offload", Offloads::empty(), Offloads::GENERIC_RECEIVE),
        ("and generic-segmentation-offload", Offloads::GENERIC_SEGMENTATION, Offloads::GENERIC_RECEIVE),
        ("the devices do it: TSO, rx-gro-hw", Offloads::all(), Offloads::all()),
    ] {
        let lan = Lan::with_seed(1);
        let sender = lan.host("sender").offloads(sends).build()?;
        let receiver = lan.host("receiver").offloads(receives).build()?;
        let listener = receiver.run(TcpListener::bind("0.0.0.0:7")).await?;
        let mut stream = sender.run(TcpStream::connect("receiver:7")).await?;
        let mut accepted = listener.accept().await?.0;
        let reading = receiver.spawn(async move { accepted.read_exact(&mut vec![0; BYTES]).await });
        stream.write_all(&vec![7; BYTES]).await?;
        reading.await??;
        // `ethtool -S` of both, and the receiver's `nstat`.
        let (tx, rx) = (sender.counters(), receiver.counters());
        let (sent, got, segments) = (tx.nic.tx_packets, rx.nic.rx_packets, rx.stack.get(Mib::TcpInSegs));
        println!("{what:<38}{sent:>12}{got:>12}{segments:>12}{:>12}", tx.nic.rx_packets);
    }
    Ok(())
}
