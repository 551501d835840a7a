//! Signal-driven I/O on emulated sockets: `fasync`, the second list of `struct socket_wq`.
//!
//! Who sleeps in a socket's wait queue is woken by it. A program that sleeps nowhere, or elsewhere, can have the socket send a
//! *signal* instead: to an owner, each time something happens, whether or not anybody waits. It carries no data and promises
//! nothing but that it is worth looking. This is `O_ASYNC` of Linux, with its rules:
//!
//! - A signal is sent for each arrival, not for a state: data that was not read causes no second one, the next segment does.
//! - A socket on which somebody sleeps in a read sends none for data (`SOCKWQ_ASYNC_WAITDATA`): he hears of it anyway. This is
//!   so of streams; a reader of datagrams and one who accepts do not count, in Linux either.
//! - That there is room is told after somebody found none, once (`SOCKWQ_ASYNC_NOSPACE`). Emulated UDP always has room.
//! - When a peer closes, two are sent, for `tcp_fin` wakes twice.
//! - Without [`set_sig`](Fcntl::set_sig) it is a plain [`SIGIO`](Signal::IO), of which one at most is pending. A real-time
//!   signal says what happened where, and is queued; when the queue is full, a plain `SIGIO` says that signals were lost: look
//!   at every socket.
//!
//! Signals are taken by threads ([`Process::sigwaitinfo`]) or by tasks ([`Process::signals`]); none interrupts anything.
//! Urgent data is ignored by the emulated TCP, so there is no `SIGURG`.
//!
//! # Examples
//! ```
//! use futures_lite::StreamExt;
//! use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
//! use wakeline_net::emulated::Lan;
//! use wakeline_net::fasync::{Fcntl, Process, SigCode, SigSet, Signal};
//! use wakeline_net::{TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = wakeline_runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let lan = Lan::new();
//!     let host = lan.host("host").build()?;
//!     let task = host.spawn(async {
//!         let listener = TcpListener::bind("127.0.0.1:7000").await?;
//!         let mut client = TcpStream::connect("127.0.0.1:7000").await?;
//!         let (mut server, _) = listener.accept().await?;
//!
//!         let process = Process::new("server");
//!         server.set_owner(&[&process])?;
//!         server.set_sig(Signal::rt(0))?;
//!         server.set_async(Some(4))?;
//!
//!         client.write_all(b"hello").await?;
//!         let info = process.signals(SigSet::all()).next().await.expect("it does not end");
//!         assert_eq!((info.code, info.fd), (SigCode::PollIn, Some(4)));
//!         let mut letters = [0; 5];
//!         server.read_exact(&mut letters).await?;
//!         std::io::Result::Ok(())
//!     });
//!     task.await??;
//!     Ok(())
//! })
//! # }
//! ```

mod fcntl;
mod file;
mod process;
mod signal;

pub use fcntl::Fcntl;
pub(crate) use fcntl::{AsFile, sealed};
pub(crate) use file::File;
pub use process::{Process, Signals};
pub use signal::{SigCode, SigInfo, SigSet, Signal};
