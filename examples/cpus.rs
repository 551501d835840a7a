//! Several CPUs share the work: RSS by flow, RPS by softirq, RFS after the reader; with `softnet_stat`: `cargo run --example cpus`

use std::io::Result;
use std::time::Duration;
use wakeline::net::UdpSocket;
use wakeline::net::emulated::{Host, Lan};
use wakeline::time::sleep;

const FLOWS: usize = 64;

#[wakeline::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    let lan = Lan::with_seed(1);
    let client = lan.host("client").build()?;
    let mut flows = Vec::new();
    for _ in 0..FLOWS {
        flows.push(client.run(UdpSocket::bind("0.0.0.0:0")).await?);
    }
    // A queue pair, a softirq mask and a shard of the stack for each CPU; a flow stays on its CPU.
    let sharded = lan.host("sharded").cpus(8).build()?;
    let _listening = sharded.run(UdpSocket::bind("0.0.0.0:9")).await?;
    send(&flows, &sharded).await?;
    show("64 flows, eight CPUs, eight queues", &sharded)?;

    // One queue: CPU 0 takes every interrupt.
    let single = lan.host("single").cpus(4).queues(1).build()?;
    let _listening = single.run(UdpSocket::bind("0.0.0.0:9")).await?;
    send(&flows, &single).await?;
    show("four CPUs, one queue", &single)?;
    // RPS hands packets on by their hash: echo e > /sys/class/net/eth0/queues/rx-0/rps_cpus
    single.set_rps_cpus(0b1110)?;
    send(&flows, &single).await?;
    show("the same and then RPS to CPUs 1 to 3; the tenth column counts interrupts between CPUs", &single)?;
    // RFS: a flow goes where its reader runs.
    single.set_rfs(256);
    for flow in &flows {
        let from = (client.addr(), flow.local_addr()?.port()).into();
        single.record_reader(from, (single.addr(), 9).into(), 3)?;
    }
    send(&flows, &single).await?;
    show("the same again, and then every reader ran on CPU 3", &single)
}

async fn send(flows: &[UdpSocket], to: &Host) -> Result<()> {
    for flow in flows.iter().cycle().take(20 * FLOWS) {
        flow.send_to(b"datagram", (to.addr(), 9)).await?;
        sleep(Duration::from_micros(10)).await;
    }
    Ok(())
}

fn show(what: &str, host: &Host) -> Result<()> {
    println!("# {what}\n$ cat /proc/net/softnet_stat\n{}", host.proc_file("/proc/net/softnet_stat")?);
    Ok(())
}
