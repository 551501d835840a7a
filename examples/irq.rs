//! Hard and soft interrupts: a shared line, a handler with a thread, and who runs the softirq: `cargo run --example irq`

use std::io::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wakeline::net::UdpSocket;
use wakeline::net::emulated::{IrqReturn, Lan, NicModel};
use wakeline::time::sleep;

static ASKED: AtomicU64 = AtomicU64::new(0);
static RAN: AtomicU64 = AtomicU64::new(0);

#[wakeline::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    let lan = Lan::with_seed(1);
    // An e1000 has one line, level-triggered, which other devices may share.
    let host = lan.host("host").nic(NicModel::E1000).build()?;
    let line = host.irq(24)?;
    // Another device's handler: its interrupt it was if the line goes down with it.
    let other = line.clone();
    let serial = line.request("serial", move || {
        ASKED.fetch_add(1, Ordering::Relaxed);
        other.lower();
        IrqReturn::Handled
    })?;
    for _ in 0..3 {
        line.raise();
        sleep(Duration::from_millis(1)).await;
    }
    println!(
        "a shared line, raised 3 times: all handlers were asked, the second {} times",
        ASKED.load(Ordering::Relaxed)
    );
    drop(serial);

    let other = line.clone();
    let thread = move || {
        RAN.fetch_add(1, Ordering::Relaxed);
        other.lower();
    };
    let disk = line.request_threaded("disk", || IrqReturn::WakeThread, thread)?;
    line.raise();
    sleep(Duration::from_millis(1)).await;
    println!("IRQ_WAKE_THREAD: the thread ran {} time, the line was masked until then", RAN.load(Ordering::Relaxed));
    drop(disk);

    // From the host to itself: no device interrupts, so the sender raises NET_RX, which wakes ksoftirqd.
    let socket = host.run(UdpSocket::bind("127.0.0.1:9")).await?;
    for _ in 0..5 {
        socket.send_to(b"to myself", "127.0.0.1:9").await?;
        socket.recv_from(&mut [0; 16]).await?;
    }
    println!("5 datagrams over the loopback: ksoftirqd was woken {} times", host.counters().ksoftirqd_wakeups);
    for path in ["/proc/interrupts", "/proc/softirqs"] {
        println!("\n$ cat {path}\n{}", host.proc_file(path)?);
    }
    Ok(())
}
