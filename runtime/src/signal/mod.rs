//! Signals of Unix, as streams.
//!
//! A [`Signal`] has a pipe of its own: the handler, which `signal-hook` installs, writes a byte into it, and the reactor
//! tells that it is readable. So there is no driver for signals, and nothing but the handler is the process's.

use crate::io::Source;
use crate::wait_queue::{Events, WaitSlot};
use futures_core::Stream;
use mio::net::UnixStream;
use signal_hook::SigId;
use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level::{pipe, unregister};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Which signal; the named ones are those that programs wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalKind(i32);

impl SignalKind {
    /// The signal of this number.
    #[must_use]
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// Its number.
    #[must_use]
    pub const fn as_raw_value(&self) -> i32 {
        self.0
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:ident;)*) => {
        impl SignalKind {$(
            $(#[$doc])*
            #[must_use]
            pub const fn $name() -> SignalKind {
                SignalKind(libc::$number)
            }
        )*}
    };
}

kinds! {
    /// SIGALRM: a timer of `alarm(2)` has run out. Ends the process by default.
    alarm = SIGALRM;
    /// SIGCHLD: a child has ended, stopped or gone on. Ignored by default.
    child = SIGCHLD;
    /// SIGHUP: the terminal is gone; daemons read their configuration again. Ends the process by default.
    hangup = SIGHUP;
    /// SIGINT: Ctrl-C. Ends the process by default.
    interrupt = SIGINT;
    /// SIGIO: a descriptor is ready. Ends the process by default.
    io = SIGIO;
    /// SIGPIPE: a write to a pipe that nobody reads; Rust programs ignore it from the beginning.
    pipe = SIGPIPE;
    /// SIGQUIT: Ctrl-\. Ends the process with a core dump by default.
    quit = SIGQUIT;
    /// SIGTERM: please end. Ends the process by default.
    terminate = SIGTERM;
    /// SIGUSR1. Ends the process by default.
    user_defined1 = SIGUSR1;
    /// SIGUSR2. Ends the process by default.
    user_defined2 = SIGUSR2;
    /// SIGWINCH: the terminal has another size. Ignored by default.
    window_change = SIGWINCH;
}

impl From<i32> for SignalKind {
    fn from(number: i32) -> SignalKind {
        SignalKind(number)
    }
}

impl From<SignalKind> for i32 {
    fn from(kind: SignalKind) -> i32 {
        kind.0
    }
}

/// Listens for a signal.
///
/// From the first call for it on, the signal does not do what it does by default, as long as the process lives and even when
/// nobody listens any more; what the program had installed before is called too. Each stream hears of each signal.
///
/// # Errors
/// `InvalidInput` for signals that can not be handled (SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV) or do not exist; that no
/// descriptor is left: a stream takes two.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_io`.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use wakeline_runtime::signal::{SignalKind, signal};
///
/// let mut hangups = signal(SignalKind::hangup())?;
/// while let Some(()) = hangups.recv().await {
///     println!("reading the configuration again");
/// }
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    if kind.0 <= 0 || FORBIDDEN.contains(&kind.0) {
        let text = format!("the signal {} can not be handled", kind.0);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let (told, tells) = std::os::unix::net::UnixStream::pair()?;
    told.set_nonblocking(true)?;
    let source = Source::new(UnixStream::from_std(told), Events::READABLE)?;
    let action = pipe::register(kind.0, tells)?;
    Ok(Signal { source, slot: WaitSlot::new(), action, kind })
}

/// Waits for the next Ctrl-C (SIGINT).
///
/// After the first call Ctrl-C ends the program no more, as [`signal`] says. One that comes while no such future is there
/// is not heard: who must hear each keeps a stream of [`SignalKind::interrupt`].
///
/// # Errors
/// Those of [`signal`], and that the runtime is shutting down.
///
/// # Panics
/// As [`signal`].
///
/// # Cancel safety
/// A Ctrl-C that comes when the future has been dropped is lost.
pub async fn ctrl_c() -> io::Result<()> {
    match signal(SignalKind::interrupt())?.recv().await {
        Some(()) => Ok(()),
        None => Err(io::Error::other("the runtime is shutting down: no signal will be heard")),
    }
}

/// The stream of a signal, made by [`signal`].
///
/// As the kernel, it coalesces: however often the signal came since the last look, it is told once. A signal that comes
/// after the stream was made is never missed.
///
/// # Cancel safety
/// Yes: a signal that came while nobody waited is told to whoever waits next.
pub struct Signal {
    source: Source<UnixStream>,
    slot: WaitSlot,
    action: SigId,
    kind: SignalKind,
}

impl Signal {
    /// Waits for the signal; `None` when the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Signal::recv), for who polls.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let heard = self.source.poll_io(cx, &mut self.slot, Events::READABLE, |mut pipe| drain(&mut pipe));
        heard.map(Result::ok)
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.get_mut().poll_recv(cx)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        unregister(self.action);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Takes all that the handler wrote, which is one piece of news. The handler fills the pipe at most, so this ends.
fn drain(pipe: &mut impl Read) -> io::Result<()> {
    let mut heard = false;
    loop {
        match pipe.read(&mut [0; 256]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => heard = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && heard => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
