//! A network card as `ethtool` shows it: rings, RSS, and interrupts held back by moderation: `cargo run --example nic`
//!
//! Sixteen flows of datagrams, a datagram each 10 us of virtual time. What is counted is the same in every run.

use std::io::Result;
use std::time::Duration;
use wakeline::net::UdpSocket;
use wakeline::net::emulated::{Coalesce, Host, Lan, Rxfh};
use wakeline::time::sleep;

#[wakeline::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build()?;
    let client = lan.host("client").build()?;
    let _listening = server.run(UdpSocket::bind("0.0.0.0:9")).await?;
    let mut flows = Vec::new();
    for _ in 0..16 {
        flows.push(client.run(UdpSocket::bind("0.0.0.0:0")).await?);
    }
    println!("$ ethtool -g eth0\n{}\n$ ethtool -l eth0\n{}", server.ring_param(), server.channels());

    send(&flows, 160).await?;
    show("RSS spreads the flows over the queues", &server);
    // `ethtool -X eth0 equal 1`: the hash stays, the table says queue 0.
    let rxfh = server.rxfh()?;
    server.set_rxfh(&Rxfh { indirection: vec![0; rxfh.indirection.len()], ..rxfh.clone() })?;
    send(&flows, 160).await?;
    show("all of the indirection table is queue 0", &server);

    println!("\ninterrupts for 1000 packets");
    for (usecs, frames, adaptive) in [(0, 1, false), (50, 0, false), (200, 8, false), (0, 1, true)] {
        let coalesce = Coalesce { rx_usecs: usecs, rx_frames: frames, adaptive_rx: adaptive };
        server.set_coalesce(coalesce)?;
        let before = server.counters().irqs;
        send(&flows, 1000).await?;
        let (irqs, used) = (server.counters().irqs - before, server.coalesce().rx_usecs);
        println!("{irqs:>5}  rx-usecs {usecs} rx-frames {frames} adaptive-rx {adaptive}; rx-usecs in use: {used}");
    }
    println!("\n$ ethtool -c eth0\n{}", server.coalesce());
    Ok(())
}

async fn send(flows: &[UdpSocket], packets: usize) -> Result<()> {
    for flow in flows.iter().cycle().take(packets) {
        flow.send_to(b"datagram", "10.0.0.1:9").await?;
        sleep(Duration::from_micros(10)).await;
    }
    sleep(Duration::from_millis(1)).await;
    Ok(())
}

fn show(what: &str, host: &Host) {
    let packets: Vec<u64> = host.ethtool_stats().queues.iter().map(|queue| queue.rx_packets).collect();
    println!("{what}: rx_packets by queue {packets:?}");
}
