//! A blocking thread per connection. The host has a thread for its CPU.

use super::host_and_listener;
use crate::blocking;
use std::io;
use std::thread::Builder;
use wakeline::net::emulated::{Host, Lan};

pub(crate) fn serve(lan: &Lan) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    Builder::new().spawn(move || {
        blocking::serve(|| {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    })?;
    Ok(host)
}
