//! NAPI under load, deferred, busily polled, and in a thread: `cargo run --example napi`

use std::io::Result;
use std::time::Duration;
use wakeline::net::UdpSocket;
use wakeline::net::emulated::{Host, Lan, NapiSettings};
use wakeline::time::sleep;

#[wakeline::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    let lan = Lan::with_seed(1);
    let (host, client) = (lan.host("host").build()?, lan.host("client").build()?);
    let socket = host.run(UdpSocket::bind("0.0.0.0:9")).await?;
    let sender = client.run(UdpSocket::bind("0.0.0.0:0")).await?;
    sender.send_to(b"who is it?", "10.0.0.1:9").await?; // finds the neighbour
    socket.recv_from(&mut [0; 16]).await?;
    println!("{:<30}packets  irqs  polls  by readers", "");
    let one_by_one = async || {
        for _ in 0..100 {
            sender.send_to(b"datagram", "10.0.0.1:9").await?;
            socket.recv_from(&mut [0; 16]).await?;
            sleep(Duration::from_micros(20)).await;
        }
        Result::Ok(())
    };
    show("100, one by one", &host, one_by_one()).await?;
    let deferred =
        NapiSettings { defer_hard_irqs: 2, gro_flush_timeout: Duration::from_micros(200), ..NapiSettings::default() };
    host.set_napi(deferred)?;
    show("the same, interrupts deferred", &host, one_by_one()).await?;
    socket.set_busy_poll(Some(Duration::from_micros(50))).and_then(|()| socket.set_prefer_busy_poll(true))?;
    show("the same, polled by readers", &host, one_by_one()).await?;
    socket.set_busy_poll(None)?;
    host.set_napi(NapiSettings { threaded: true, ..NapiSettings::default() })?;
    show("the same, in a thread", &host, one_by_one()).await?;
    host.set_napi(NapiSettings::default())?;
    let all_at_once = async {
        host.pause();
        for _ in 0..200 {
            sender.send_to(b"datagram", "10.0.0.1:9").await?;
        }
        host.resume();
        Ok(())
    };
    show("200 waited in the ring", &host, all_at_once).await?;
    println!("a poll brings at most 64; /proc/net/softnet_stat:\n{}", host.proc_file("/proc/net/softnet_stat")?);
    Ok(())
}

async fn show(what: &str, host: &Host, traffic: impl Future<Output = Result<()>>) -> Result<()> {
    let before = host.counters();
    traffic.await?;
    sleep(Duration::from_millis(5)).await;
    let after = host.counters();
    let (packets, irqs) = (after.packets - before.packets, after.irqs - before.irqs);
    let polls = after.napi_polls - before.napi_polls;
    let busily = after.busy_poll_rx_packets - before.busy_poll_rx_packets;
    println!("{what:<30}{packets:>7}{irqs:>6}{polls:>7}{busily:>12}");
    Ok(())
}
