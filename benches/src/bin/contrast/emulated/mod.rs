//! The models on the emulated network: each builds a host named `server`, and serves on it as its fellow does on the operating
//! system's.

pub(crate) mod blocking;
pub(crate) mod completion;
pub(crate) mod epoll;
pub(crate) mod fasync;
pub(crate) mod pool;
pub(crate) mod tasks;

use crate::model::PORT;
use std::io;
use std::net::Ipv4Addr;
use wakeline::net::blocking::TcpListener;
use wakeline::net::emulated::{Host, Lan};

/// A host whose CPU has a thread, and its listener.
fn host_and_listener(lan: &Lan) -> io::Result<(Host, TcpListener)> {
    let host = lan.host("server").build_threaded()?;
    let listener = {
        let _here = host.enter();
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?
    };
    Ok((host, listener))
}
