//! Where the examples play: server and client on two emulated hosts of one LAN, or both on the operating system's loopback.

use clap::{Parser, ValueEnum};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;

/// The network to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Two emulated hosts on one LAN.
    Emulated,
    /// Loopback of the operating system.
    Os,
}

/// The command line of the examples.
#[derive(Parser, Debug)]
#[command(max_term_width = 100)]
pub(crate) struct Args {
    /// The network to run on.
    #[arg(long, value_enum, default_value_t = Backend::Emulated)]
    pub(crate) backend: Backend,

    /// Only serve, on this address of the operating system's network, until Ctrl-C.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
}

/// Two places to run futures in.
pub(crate) struct Stage {
    hosts: Option<[Host; 2]>,
}

impl Stage {
    pub(crate) fn new(backend: Backend) -> io::Result<Stage> {
        let hosts = match backend {
            Backend::Os => None,
            Backend::Emulated => {
                let lan = Lan::with_seed(1);
                Some([lan.host("server").build()?, lan.host("client").build()?])
            }
        };
        Ok(Stage { hosts })
    }

    /// What a server binds: any free port, where its clients reach it.
    pub(crate) fn bind(&self) -> &'static str {
        if self.hosts.is_some() { "10.0.0.1:0" } else { "127.0.0.1:0" }
    }

    /// Runs `future` where the server stands.
    pub(crate) async fn server<F>(&self, future: F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.on(0, future).await
    }

    /// Runs `future` where the clients stand.
    pub(crate) async fn client<F>(&self, future: F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.on(1, future).await
    }

    async fn on<F>(&self, host: usize, future: F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = match &self.hosts {
            Some(hosts) => hosts[host].spawn(future),
            None => wakeline::spawn(future),
        };
        task.await.map_err(io::Error::other)
    }
}

/// Runs an example: with `--listen` its `serve`, otherwise its `play`. One line says what went wrong; the exit code is 2 for an
/// address that can not be served.
pub(crate) fn run<S, P>(name: &str, serve: impl FnOnce(String) -> S, play: impl FnOnce(Stage) -> P) -> ExitCode
where
    S: Future<Output = io::Result<()>>,
    P: Future<Output = io::Result<()>>,
{
    let args = Args::parse();
    let serves = args.listen.is_some();
    let result = Builder::new_multi_thread().enable_all().build().and_then(|runtime| {
        runtime.block_on(async {
            match args.listen {
                Some(addr) => serve(addr).await,
                None => play(Stage::new(args.backend)?).await,
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::from(if serves { 2 } else { 1 })
        }
    }
}

/// The next connection. An accept that fails is told, and tried again after a pause: most failures concern one connection only, and
/// who was refused for want of descriptors is still there when some are free.
///
/// # Errors
/// When the network is gone.
#[allow(dead_code, reason = "not every example accepts")]
pub(crate) async fn accept(name: &str, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Err(error) if error.kind() != io::ErrorKind::NetworkDown => {
                let advice = if is_too_many(&error) { ": close some, or allow more with `ulimit -n`" } else { "" };
                eprintln!("{name}: accept: {error}{advice}");
                wakeline::time::sleep(PAUSE).await;
            }
            accepted => return accepted,
        }
    }
}

/// `EMFILE` and `ENFILE`, which have no kind.
fn is_too_many(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(24 | 23))
}

/// After an accept that failed for want of descriptors there are none at once.
const PAUSE: Duration = Duration::from_millis(50);

/// An answer that is not the one that was expected.
#[allow(dead_code, reason = "not every example compares")]
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> io::Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("expected {expected:?}, got {got:?}")))
}
