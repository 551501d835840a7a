//! wakeline's tasks: on one worker of their own, on two, and on the one that has the load.

use crate::model::PORT;
use crate::tasks::{Serve, serve_on};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use wakeline::net::emulated::{Host, Lan};
use wakeline_benches::contestant::{Contestant, Wakeline};

pub(crate) fn one_worker(lan: &Lan) -> io::Result<Host> {
    on_workers(lan, 1)
}

pub(crate) fn two_workers(lan: &Lan) -> io::Result<Host> {
    on_workers(lan, 2)
}

pub(crate) fn with_the_load(lan: &Lan) -> io::Result<Host> {
    let host = lan.host("server").build()?;
    drop(host.spawn(serve()));
    Ok(host)
}

fn on_workers(lan: &Lan, workers: usize) -> io::Result<Host> {
    let lan = lan.clone();
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().spawn(move || -> io::Result<()> {
        let runtime = Wakeline::new(workers)?;
        runtime.block_on(async {
            let host = lan.host("server").build()?;
            let listener = host.run(bind()).await?;
            // Only now: who is told connects.
            let _ = tell.send(host.clone());
            host.spawn(serve_on::<Wakeline>(listener)).await.map_err(io::Error::other)?
        })
    })?;
    told.recv().map_err(|_| io::Error::other("the server has not started"))
}

async fn serve() -> io::Result<()> {
    serve_on::<Wakeline>(bind().await?).await
}

async fn bind() -> io::Result<<Wakeline as Serve>::Listener> {
    Wakeline::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await
}
