//! Tracepoints: through which functions a reader is woken, in four ways to wait: `cargo run --example trace`
//!
//! The names are the kernel's, as `trace-cmd record -e sched_waking -T` shows them there.

use std::io::Result;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event as EpollEvent};
use wakeline::net::event::{Event, Record};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};
use wakeline::net::poll::{Events, PollFd, poll};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::time::sleep;

#[wakeline::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    for way in ["read", "poll", "epoll", "signal"] {
        let records = one_message(way).await?;
        let waking = records.iter().find(|record| matches!(record.event, Event::SchedWaking { .. }));
        let Some(Record { event: Event::SchedWaking { stack, .. }, .. }) = waking else { continue };
        println!("{way}, {} events\n    {}", records.len(), stack.functions().join("\n  < "));
    }
    println!("\nall that is told of a read:");
    for Record { host, event, .. } in one_message("read").await? {
        println!("{host} {event}");
    }
    Ok(())
}

async fn one_message(way: &'static str) -> Result<Vec<Record>> {
    let lan = Lan::with_seed(1);
    let (server, client) = (lan.host("server").build()?, lan.host("client").build()?);
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await?;
    let mut near = client.run(TcpStream::connect("server:7")).await?;
    let mut far = listener.accept().await?.0;
    let reading = server.spawn(async move {
        let (epoll, process) = (Epoll::new()?, Process::new("server"));
        epoll.ctl(&far, Ctl::Add(EpollEvent::new(EpollFlags::IN, 0)))?;
        far.set_owner(&[&process])?;
        far.set_sig(Signal::rt(0))?;
        match way {
            "poll" => drop(poll(&mut [PollFd::new(&far, Events::IN)]).await?),
            "epoll" => drop(epoll.wait(&mut [EpollEvent::default()]).await?),
            "signal" => {
                far.set_async(Some(4))?;
                _ = process.wait_signal(SigSet::all()).await;
            }
            _ => drop(epoll), // and its item with it
        }
        far.read_exact(&mut [0; 5]).await
    });
    sleep(Duration::from_millis(1)).await;
    lan.trace().start();
    near.write_all(b"hello").await?;
    reading.await??;
    Ok(lan.trace().stop())
}
