//! A flood of SYNs from peers that do not exist, at a host that goes on serving.
//!
//! ```sh
//! cargo run --release --example syn_flood -- --syns 1000000
//! ```
//! The flood comes from a port of its own on the LAN, each SYN from another address and port. Meanwhile one connection that
//! was there before asks and is answered, and new ones are made. The SYN queue is full after the first few hundred, so
//! everybody else gets a cookie; what the flood costs the host is shown at the end, as `nstat` and `ss` show it.

use clap::Parser;
use etherparse::PacketBuilder;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan, Mib, RawPort};
use wakeline::net::{TcpListener, TcpStream};

#[derive(Parser)]
struct Args {
    /// How many SYNs are sent.
    #[arg(long, default_value_t = 20_000)]
    syns: u32,
    /// How many of them between two breaths, in which others have their turn.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: u32,
}

const PORT: u16 = 7;

#[wakeline::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build()?;
    let client = lan.host("client").build()?;
    let listener = server.run(TcpListener::bind(("0.0.0.0", PORT))).await?;
    server.spawn(serve(listener));
    let mut before = client.run(TcpStream::connect(("server", PORT))).await?;
    ask(&mut before).await?;

    let port = lan.raw_port()?;
    let IpAddr::V4(target) = server.addr() else { return Err("the server has no address of IPv4".into()) };
    let started = Instant::now();
    let (mut asked, mut connected, mut slowest) = (0, 0, Duration::ZERO);
    for n in 0..args.syns {
        port.send(&syn(&port, target, n)?)?;
        if n % args.burst != 0 {
            continue;
        }
        wakeline::task::yield_now().await;
        if n % (args.burst * 64) == 0 {
            let at = Instant::now();
            ask(&mut before).await?;
            asked += 1;
            ask(&mut client.run(TcpStream::connect(("server", PORT))).await?).await?;
            connected += 1;
            slowest = slowest.max(at.elapsed());
        }
    }
    let took = started.elapsed();
    println!("{} SYNs in {took:.2?}, {:.0} a second", args.syns, f64::from(args.syns) / took.as_secs_f64());
    println!(
        "meanwhile {asked} answers on a connection from before, {connected} new ones; the slowest pair took {slowest:.2?}"
    );
    report(&server);
    Ok(())
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        wakeline::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            wakeline::io::copy(&mut reader, &mut writer).await
        });
    }
}

async fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"are you there?").await?;
    stream.read_exact(&mut [0; 14]).await
}

/// The n-th SYN: from an address somewhere in the Internet, to which this LAN has no route, and a port.
fn syn(port: &RawPort, target: Ipv4Addr, n: u32) -> Result<Vec<u8>, Box<dyn Error>> {
    // Odd, so that all come once before any comes again.
    let chance = n.wrapping_mul(0x9e37_79b1);
    let [a, b, c, d] = chance.to_be_bytes();
    let source = [11 + a % 100, b, c, d];
    let builder = PacketBuilder::ethernet2(port.mac(), [2, 0, 0, 0, 0, 1])
        .ipv4(source, target.octets(), 64)
        .tcp(1024 + (chance as u16 % 60_000), PORT, chance, 64_240)
        .syn();
    let mut frame = Vec::with_capacity(builder.size(0));
    builder.write(&mut frame, &[])?;
    Ok(frame)
}

fn report(server: &Host) {
    let counters = server.counters();
    for mib in [
        Mib::TcpExtTCPReqQFullDoCookies,
        Mib::TcpExtSyncookiesSent,
        Mib::TcpExtSyncookiesRecv,
        Mib::TcpExtSyncookiesFailed,
        Mib::TcpExtListenOverflows,
        Mib::TcpExtListenDrops,
    ] {
        println!("{:<32}{}", mib.name(), counters.stack.get(mib));
    }
    let half_open = server.sockets().iter().filter(|entry| entry.state.name() == "SYN-RECV").count();
    println!("{half_open} half-open connections");
    for (reason, n) in counters.drops.iter() {
        println!("{reason:<32}{n}");
    }
}
