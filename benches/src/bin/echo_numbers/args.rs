//! Reading a command line.

use std::io;

/// The error of a command line that can not be understood; the program ends with code 2.
pub(crate) fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

/// `text` as a `T`, or an error that calls it no `what`.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, what: &str) -> io::Result<T> {
    text.parse().map_err(|_| invalid(format!("{text:?} is no {what}; see --help")))
}
