//! The asynchronous mode: server and clients are tasks.

use crate::args::{Args, Backend, Driver};
use crate::measure::{Latencies, Outcome, PROGRESS_STEP, Request, Start, Watch, addresses, progress};
use indicatif::ProgressBar;
use std::future::Future;
use std::io;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan, Netem};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::{Builder, IoDriver, Runtime};
use wakeline::task::JoinHandle;

/// Accepts for ever, and gives each connection a task that sends back what it reads.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        // A connection that fails concerns nobody but its client, who sees it fail too.
        drop(wakeline::spawn(echo(stream)));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Small, because a connection that is idle should cost little; a larger request takes several reads.
    let mut buf = [0; 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

/// One client: `requests` requests, one after the other, every byte of every echo compared.
pub(crate) async fn client(
    mut stream: TcpStream,
    connection: usize,
    requests: u64,
    size: usize,
    mut watch: Watch,
    bar: ProgressBar,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Request::new(connection, size);
    for number in 0..requests {
        exchange(&mut stream, &mut request, connection, number).await?;
        watch.lap();
        if number % PROGRESS_STEP == PROGRESS_STEP - 1 {
            bar.inc(PROGRESS_STEP);
        }
    }
    bar.inc(requests % PROGRESS_STEP);
    Ok(())
}

/// One request and its echo. A request that is larger than the buffers on the way is read while it is written.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    request: &mut Request,
    connection: usize,
    number: u64,
) -> io::Result<()> {
    request.stamp(number);
    let (message, answer) = request.both();
    if message.len() <= IN_ONE_GO {
        stream.write_all(message).await?;
        stream.read_exact(answer).await?;
    } else {
        let (mut reader, mut writer) = stream.split();
        wakeline::io::try_zip(writer.write_all(message), reader.read_exact(answer)).await?;
    }
    request.verify(connection, number)
}

/// What fits into the buffers of a connection whose peer echoes in pieces.
pub(crate) const IN_ONE_GO: usize = 16 << 10;

/// Two hosts on one LAN; the impairments are on the client's link.
pub(crate) fn hosts(args: &Args, threaded: bool) -> io::Result<(Lan, [Host; 2])> {
    let lan = Lan::with_seed(args.seed);
    let netem = Netem::new().delay(args.delay).loss(args.loss).limit(usize::MAX);
    let server = lan.host("server").cpus(args.cpus);
    let client = lan.host("client").cpus(args.cpus).link(netem);
    let hosts = if threaded {
        [server.build_threaded()?, client.build_threaded()?]
    } else {
        [server.build()?, client.build()?]
    };
    Ok((lan, hosts))
}

pub(crate) fn runtime(args: &Args) -> io::Result<Runtime> {
    let mut builder = match args.workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if args.workers > 1 {
        builder.worker_threads(args.workers);
    }
    let driver = match args.driver {
        Driver::Mio => IoDriver::Mio,
        Driver::IoUring => IoDriver::IoUring,
    };
    builder.enable_all().io_driver(driver).build()
}

pub(crate) fn run(args: &Args) -> io::Result<Outcome> {
    runtime(args)?.block_on(async {
        // Everything runs in tasks: the main future would be polled by its own rules.
        wakeline::spawn(measured(Setup::of(args))).await.map_err(io::Error::other)?
    })
}

/// What the measuring task owns.
struct Setup {
    backend: Backend,
    connections: usize,
    requests: u64,
    size: usize,
    bar: ProgressBar,
    network: Option<[Host; 2]>,
    _lan: Option<Lan>,
}

impl Setup {
    fn of(args: &Args) -> io::Result<Setup> {
        let network = match args.backend {
            Backend::Emulated => Some(hosts(args, false)?),
            Backend::Os => None,
        };
        let (lan, network) = network.unzip();
        Ok(Setup {
            backend: args.backend,
            connections: args.connections,
            requests: args.requests_per_connection(),
            size: args.size,
            bar: progress(args, "async"),
            network,
            _lan: lan,
        })
    }

    /// Spawns where the server stands.
    fn spawn_server<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.network {
            Some([server, _]) => server.spawn(future),
            None => wakeline::spawn(future),
        }
    }

    /// Spawns where the clients stand.
    fn spawn_client<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.network {
            Some([_, client]) => client.spawn(future),
            None => wakeline::spawn(future),
        }
    }
}

async fn measured(setup: io::Result<Setup>) -> io::Result<Outcome> {
    let setup = setup?;
    let (bind, connect) = addresses(setup.backend);
    let listener = setup.spawn_server(TcpListener::bind(bind)).await.map_err(io::Error::other)??;
    let target = match setup.backend {
        Backend::Emulated => connect.to_owned(),
        Backend::Os => listener.local_addr()?.to_string(),
    };
    let server = setup.spawn_server(serve(listener));

    let connecting: Vec<_> = (0..setup.connections)
        .map(|_| {
            let target = target.clone();
            setup.spawn_client(async move { TcpStream::connect(target).await })
        })
        .collect();
    let mut streams = Vec::with_capacity(setup.connections);
    for stream in connecting {
        streams.push(stream.await.map_err(io::Error::other)??);
    }

    let hosts = setup.network.as_ref().map(|hosts| &hosts[..]);
    let latencies = Latencies::new();
    let start = Start::now(hosts);
    let clients: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(n, stream)| {
            setup.spawn_client(client(stream, n, setup.requests, setup.size, latencies.watch(), setup.bar.clone()))
        })
        .collect();
    for client in clients {
        client.await.map_err(io::Error::other)??;
    }
    let outcome = start.finish("async", latencies.take(), hosts);
    setup.bar.finish_and_clear();
    server.abort();
    Ok(outcome)
}
