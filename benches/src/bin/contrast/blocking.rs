//! A blocking thread per connection, on either network.

use crate::model::READ_MAX;
use crate::server::returned;
use std::io::{self, Read, Write};
use std::thread::Builder;

/// Serves whoever connects, until something fails.
pub(crate) fn serve<S: Read + Write + Send + 'static>(accept: impl Fn() -> io::Result<S>) -> io::Result<()> {
    loop {
        let stream = accept()?;
        returned(true);
        Builder::new().spawn(move || echo(stream))?;
    }
}

fn echo(mut stream: impl Read + Write) -> io::Result<()> {
    let mut buf = [0; READ_MAX];
    loop {
        let n = stream.read(&mut buf)?;
        returned(true);
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n])?;
    }
}
