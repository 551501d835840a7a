//! System calls by the kernel's names and numbers, as traces tell them.

use std::io;

macro_rules! syscalls {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $number:literal, $argument:literal;)*) => {
        /// A system call, or what takes its place: a call of a task is told when it is begun and when it has its result, however
        /// often it is polled in between.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Syscall { $($(#[$doc])* $variant,)* }

        impl Syscall {
            /// The call's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Syscall::$variant => $name,)* }
            }

            /// Its number on x86-64, which `raw_syscalls` tells.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self { $(Syscall::$variant => $number,)* }
            }

            /// What the kernel calls the argument that says how much; empty where there is none.
            #[must_use]
            pub const fn argument(self) -> &'static str {
                match self { $(Syscall::$variant => $argument,)* }
            }

            /// The tracepoint of its beginning.
            pub(crate) const fn enter(self) -> &'static str {
                match self { $(Syscall::$variant => concat!("sys_enter_", $name),)* }
            }

            /// The tracepoint of its end.
            pub(crate) const fn exit(self) -> &'static str {
                match self { $(Syscall::$variant => concat!("sys_exit_", $name),)* }
            }
        }
    };
}

syscalls! {
    /// A stream is read.
    Read = "read", 0, "count";
    /// A stream is written.
    Write = "write", 1, "count";
    /// `poll(2)`
    Poll = "poll", 7, "nfds";
    /// A stream is read into several buffers.
    Readv = "readv", 19, "vlen";
    /// A stream is written from several buffers.
    Writev = "writev", 20, "vlen";
    /// A connection is made.
    Connect = "connect", 42, "";
    /// A datagram is sent.
    Sendto = "sendto", 44, "len";
    /// A datagram is received, or a stream looked at.
    Recvfrom = "recvfrom", 45, "size";
    /// `epoll_wait(2)`
    EpollWait = "epoll_wait", 232, "maxevents";
    /// `select(2)`, as the C library calls it.
    Select = "pselect6", 270, "n";
    /// A connection is accepted.
    Accept4 = "accept4", 288, "";
    /// Many datagrams are received at once.
    Recvmmsg = "recvmmsg", 299, "vlen";
    /// Many datagrams are sent at once.
    Sendmmsg = "sendmmsg", 307, "vlen";
}

/// What a call gives back: a count, or an error's number below zero.
pub(crate) fn return_value<T>(result: &io::Result<T>, count: impl FnOnce(&T) -> usize) -> i64 {
    match result {
        Ok(value) => i64::try_from(count(value)).unwrap_or(i64::MAX),
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn names_and_results_are_the_kernels() {
        assert_eq!((Syscall::EpollWait.enter(), Syscall::Read.exit()), ("sys_enter_epoll_wait", "sys_exit_read"));
        let would_block = Err::<usize, _>(Error::from_raw_os_error(libc::EAGAIN));
        assert_eq!(return_value(&would_block, |&n| n), -11);
        assert_eq!(return_value(&Err::<(), _>(ErrorKind::Other.into()), |()| 0), -5);
        assert_eq!(return_value(&Ok(7), |&n| n), 7);
    }
}
