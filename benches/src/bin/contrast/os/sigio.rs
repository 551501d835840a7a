//! Signal-driven: `O_ASYNC` with `F_SETSIG`, and a thread that sleeps in `sigwaitinfo`.
//!
//! The thread stands in no socket's wait queue. Each arrival at a socket of which it is the owner queues a real-time signal,
//! which names the descriptor; when the queue is full a plain `SIGIO` comes instead, and every connection is looked at.

use super::listen;
use crate::signal_loop::{self, About, Signalled};
use nix::unistd::{getpid, gettid};
use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

pub(crate) fn serve(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    let signals = Signals::blocked()?;
    let listener = listen()?;
    listener.set_nonblocking(true)?;
    signal_for(&listener, Owner::Thread)?;
    ready(listener.local_addr()?);
    signal_loop::serve(Os { listener, signals })
}

struct Os {
    listener: TcpListener,
    signals: Signals,
}

impl Signalled for Os {
    type Stream = TcpStream;

    fn accept(&mut self) -> io::Result<(i32, TcpStream)> {
        let (stream, _) = self.listener.accept()?;
        signal_for(&stream, Owner::Thread)?;
        Ok((stream.as_raw_fd(), stream))
    }

    fn wait(&mut self) -> io::Result<About> {
        Ok(match self.signals.next()? {
            Some(fd) if fd == self.listener.as_raw_fd() => About::Listener,
            Some(fd) => About::Connection(fd),
            None => About::Anybody,
        })
    }
}

/// Whom a file signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The one that asks.
    Thread,
    /// Any thread of this process.
    Process,
    /// Every process of a group.
    Group(u32),
}

/// Makes a file signal its owner.
pub(crate) fn signal_for(file: &impl AsFd, owner: Owner) -> io::Result<()> {
    let fd = file.as_fd().as_raw_fd();
    let owner = match owner {
        Owner::Thread => OwnerEx { kind: F_OWNER_TID, id: gettid().as_raw() },
        Owner::Process => OwnerEx { kind: F_OWNER_PID, id: getpid().as_raw() },
        Owner::Group(id) => OwnerEx { kind: F_OWNER_PGRP, id: i32::try_from(id).map_err(io::Error::other)? },
    };
    // SAFETY: the descriptor is borrowed from `file`, and F_SETOWN_EX only reads an `f_owner_ex`, which `owner` is.
    checked(unsafe { libc::fcntl(fd, F_SETOWN_EX, &raw const owner) })?;
    // SAFETY: the descriptor is borrowed from `file`, and F_SETSIG takes a number.
    checked(unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGRTMIN()) })?;
    // SAFETY: the descriptor is borrowed from `file`, and F_SETFL takes flags.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK) })?;
    Ok(())
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

// include/uapi/asm-generic/fcntl.h; libc has no names for them.
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_TID: libc::c_int = 0;
const F_OWNER_PID: libc::c_int = 1;
const F_OWNER_PGRP: libc::c_int = 2;

/// `struct f_owner_ex`
#[repr(C)]
struct OwnerEx {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// `siginfo_t` of a signal about a file (`_sigpoll`).
#[repr(C)]
struct SigPoll {
    signo: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    _align: libc::c_int,
    band: libc::c_long,
    fd: libc::c_int,
}

/// The signals that are taken, and not delivered.
#[derive(Clone, Copy)]
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks them in this thread, and so in those that it starts.
    pub(crate) fn blocked() -> io::Result<Signals> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises what it is given, which has room for a set.
        checked(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
        // SAFETY: `sigemptyset` has succeeded.
        let mut set = unsafe { set.assume_init() };
        for signal in [libc::SIGRTMIN(), libc::SIGIO] {
            // SAFETY: `set` is initialised, and both are numbers of signals.
            checked(unsafe { libc::sigaddset(&raw mut set, signal) })?;
        }
        // SAFETY: `set` is initialised; no old set is asked for.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if error == 0 { Ok(Signals(set)) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    /// Waits for one: which descriptor it is about, or `None` when signals were lost.
    pub(crate) fn next(&self) -> io::Result<Option<RawFd>> {
        loop {
            let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
            // SAFETY: the set is initialised, and `info` has room for what is written.
            match checked(unsafe { libc::sigwaitinfo(&raw const self.0, info.as_mut_ptr()) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(libc::SIGIO) => return Ok(None),
                Ok(_) => {
                    // SAFETY: `sigwaitinfo` has succeeded and so filled it in; a signal that F_SETSIG has chosen has the
                    // shape of `_sigpoll`, which is smaller than a `siginfo_t`, and is not aligned more strictly.
                    let poll = unsafe { info.as_ptr().cast::<SigPoll>().read() };
                    return Ok(Some(poll.fd));
                }
            }
        }
    }
}
