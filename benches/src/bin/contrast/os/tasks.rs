//! Tasks of wakeline, tokio and smol, on one worker and on two.

use crate::tasks::{Serve, serve_on};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use wakeline_benches::contestant::{Smol, Tokio, Wakeline};

pub(crate) fn wakeline_one(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve::<Wakeline>(1, ready)
}

pub(crate) fn wakeline_two(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve::<Wakeline>(2, ready)
}

pub(crate) fn tokio_one(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve::<Tokio>(1, ready)
}

pub(crate) fn tokio_two(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve::<Tokio>(2, ready)
}

pub(crate) fn smol_one(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve::<Smol>(1, ready)
}

pub(crate) fn smol_two(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve::<Smol>(2, ready)
}

fn serve<R: Serve>(workers: usize, ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()>
where
    R::Listener: Sync + 'static,
{
    let runtime = R::new(workers)?;
    runtime.block_on(async {
        let listener = R::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        ready(R::addr(&listener)?);
        // As a task, where the workers are: the thread that blocks here is none of them when there are two.
        R::join(runtime.spawn_from_outside(serve_on::<R>(listener))).await
    })
}
