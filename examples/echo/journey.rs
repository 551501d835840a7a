//! One request's journey through the receive path, stage by stage.

use crate::args::Args;
use crate::measure::Request;
use crate::tasks::{exchange, hosts, runtime, serve};
use std::io;
use wakeline::net::event::Record;
use wakeline::net::{TcpListener, TcpStream};

/// Requests before the one that is shown, so that it meets warm caches and a known neighbour.
const WARM_UP: u64 = 1_000;

/// Traces one request on two emulated hosts and prints every event between its write and its answer.
pub(crate) fn print(args: &Args) -> io::Result<()> {
    let size = args.size.min(1024);
    let records = runtime(args)?.block_on(async {
        let (lan, [server, client]) = hosts(&Args { loss: 0.0, ..plain(args) }, false)?;
        let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await?;
        let serving = server.spawn(serve(listener));
        let traced = client.spawn(async move {
            let mut stream = TcpStream::connect("server:7000").await?;
            stream.set_nodelay(true)?;
            let mut request = Request::new(0, size);
            for number in 0..WARM_UP {
                exchange(&mut stream, &mut request, 0, number).await?;
            }
            lan.trace().start();
            exchange(&mut stream, &mut request, 0, WARM_UP).await?;
            Ok::<_, io::Error>(lan.trace().stop())
        });
        let records = traced.await.map_err(io::Error::other)?;
        serving.abort();
        records
    })?;
    show(size, &records);
    Ok(())
}

fn plain(args: &Args) -> Args {
    Args { delay: std::time::Duration::ZERO, requests: None, listen: None, ..*args }
}

fn show(size: usize, records: &[Record]) {
    println!("The journey of one {size}-byte request and its echo, with the kernel's event names:");
    println!("{:>10} {:>8}  {:<7} event", "ns", "+ns", "host");
    let Some(first) = records.first() else { return };
    let mut previous = first.at;
    for record in records {
        println!(
            "{:>10} {:>8}  {:<7} {}",
            (record.at - first.at).as_nanos(),
            (record.at - previous).as_nanos(),
            record.host,
            record.event
        );
        previous = record.at;
    }
    println!("(each line costs about a clock reading and an entry in the log, which the run below does not pay)\n");
}
