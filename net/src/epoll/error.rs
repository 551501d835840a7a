//! Why `epoll_ctl(2)` refuses.

use std::io;

/// What is wrong with an operation on an epoll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CtlError {
    /// The descriptor is watched already (`EEXIST`).
    Exists,
    /// The descriptor is not watched (`ENOENT`).
    NotFound,
    /// Flags that do not go together, or an epoll added to itself (`EINVAL`).
    Invalid,
    /// Epolls would watch each other in a circle, or be stacked too high (`ELOOP`).
    Loop,
    /// The epoll watches as many descriptors as it may (`ENOSPC`).
    NoSpace,
    /// A socket that has not been connected and does not listen. A simplification: in Linux it is the same file afterwards.
    Unconnected,
}

impl From<CtlError> for io::Error {
    fn from(error: CtlError) -> io::Error {
        io::Error::from_raw_os_error(match error {
            CtlError::Exists => libc::EEXIST,
            CtlError::NotFound => libc::ENOENT,
            CtlError::Invalid => libc::EINVAL,
            CtlError::Loop => libc::ELOOP,
            CtlError::NoSpace => libc::ENOSPC,
            CtlError::Unconnected => {
                let why = "an epoll watches what is connected or listens; add the socket when it does";
                return io::Error::new(io::ErrorKind::Unsupported, why);
            }
        })
    }
}
