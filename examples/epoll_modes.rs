//! Level, edge, one-shot and exclusive: what epolls tell after each step: `cargo run --example epoll_modes`

use std::io::Result;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::task::JoinSet;
use wakeline::time::sleep;

const IN: EpollFlags = EpollFlags::IN;
const MODES: [(&str, EpollFlags); 3] =
    [("level", IN), ("edge", IN.union(EpollFlags::ET)), ("one-shot", IN.union(EpollFlags::ONESHOT))];

#[wakeline::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    let host = Lan::with_seed(1).host("host").build()?;
    let listener = host.run(TcpListener::bind("127.0.0.1:7000")).await?;
    let mut near = host.run(TcpStream::connect("127.0.0.1:7000")).await?;
    let mut far = listener.accept().await?.0;
    let epolls = MODES.map(|(_, flags)| watch(&far, flags)).into_iter().collect::<Result<Vec<Epoll>>>()?;
    println!("{:<32}{}", "", MODES.map(|(name, _)| format!("{name:>10}")).concat());
    for step in
        ["two bytes come", "nothing happens", "one byte is read", "two more come", "EPOLL_CTL_MOD", "all is read"]
    {
        match step {
            "two bytes come" | "two more come" => near.write_all(b"xx").await?,
            "one byte is read" => far.read_exact(&mut [0]).await?,
            "all is read" => far.read_exact(&mut [0; 3]).await?,
            "EPOLL_CTL_MOD" => {
                let mut armed = epolls.iter().zip(MODES);
                armed.try_for_each(|(epoll, (_, flags))| epoll.ctl(&far, Ctl::Mod(Event::new(flags, 0))))?;
            }
            _ => {}
        }
        sleep(Duration::from_millis(1)).await;
        let events = |epoll: &Epoll| epoll.wait_blocking(&mut [Event::default()], Some(Duration::ZERO)).unwrap_or(0);
        println!("{step:<32}{}", epolls.iter().map(|epoll| format!("{:>10}", events(epoll))).collect::<String>());
    }
    for flags in [IN, IN | EpollFlags::EXCLUSIVE] {
        let mut herd = JoinSet::new();
        for epoll in (0..4).map(|_| watch(&far, flags)) {
            herd.spawn(async move { epoll?.wait(&mut [Event::default()]).await });
        }
        sleep(Duration::from_millis(1)).await;
        near.write_all(b"x").await?;
        sleep(Duration::from_millis(1)).await;
        let woken = std::iter::from_fn(|| herd.try_join_next()).count();
        println!("an epoll each, {flags:?}: {woken} of 4 sleepers woken");
        far.read_exact(&mut [0]).await?;
    }
    Ok(())
}

fn watch(stream: &TcpStream, flags: EpollFlags) -> Result<Epoll> {
    Epoll::new().and_then(|epoll| epoll.ctl(stream, Ctl::Add(Event::new(flags, 0))).map(|()| epoll))
}
