//! A blocking thread per connection; the main thread accepts.

use super::listen;
use crate::blocking;
use std::io;
use std::net::SocketAddr;

pub(crate) fn serve(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    let listener = listen()?;
    ready(listener.local_addr()?);
    blocking::serve(|| {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}
