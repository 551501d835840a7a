//! The blocking mode: a thread for each end of each connection, parked in the same sockets' wait queues.

use crate::args::{Args, Backend};
use crate::measure::{Latencies, Outcome, PROGRESS_STEP, Request, Start, Watch, addresses, progress};
use crate::tasks;
use indicatif::ProgressBar;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Barrier;
use std::thread::{self, Builder, Scope, ScopedJoinHandle};
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::Host;

/// A thread here needs little; the default of 2 MiB would only reserve addresses, but ten thousand times.
const STACK_BYTES: usize = 128 << 10;

pub(crate) fn run(args: &Args) -> io::Result<Outcome> {
    let network = match args.backend {
        Backend::Emulated => Some(tasks::hosts(args, true)?),
        Backend::Os => None,
    };
    let hosts = network.as_ref().map(|(_, hosts)| &hosts[..]);
    let (server_host, client_host) = (hosts.map(|hosts| &hosts[0]), hosts.map(|hosts| &hosts[1]));
    let (bind, connect) = addresses(args.backend);

    let here = server_host.map(Host::enter);
    let listener = TcpListener::bind(bind)?;
    drop(here);
    let target = match args.backend {
        Backend::Emulated => connect.to_owned(),
        Backend::Os => listener.local_addr()?.to_string(),
    };

    let latencies = Latencies::new();
    let bar = progress(args, "blocking");
    // Clients and the measuring thread meet twice: when all are connected, and when the measurement has started.
    let gate = Barrier::new(args.connections + 1);
    let outcome = thread::scope(|scope| -> io::Result<Outcome> {
        spawn(scope, || accept(scope, &listener, args.connections))?;
        let mut clients = Vec::with_capacity(args.connections);
        let mut streams = Vec::with_capacity(args.connections);
        {
            let _here = client_host.map(Host::enter);
            for _ in 0..args.connections {
                streams.push(TcpStream::connect(target.as_str())?);
            }
        }
        for (n, stream) in streams.into_iter().enumerate() {
            let (gate, bar, latencies) = (&gate, &bar, &latencies);
            clients.push(spawn(scope, move || {
                gate.wait();
                gate.wait();
                client(&stream, n, args, latencies.watch(), bar)
            })?);
        }
        gate.wait();
        let start = Start::now(hosts);
        gate.wait();
        for client in clients {
            client.join().map_err(|_| io::Error::other("a client thread has panicked"))??;
        }
        Ok(start.finish("blocking", latencies.take(), hosts))
    })?;
    bar.finish_and_clear();
    Ok(outcome)
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    body: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, body)
}

/// Accepts what the clients open, each connection on a thread of its own.
fn accept<'scope>(scope: &'scope Scope<'scope, '_>, listener: &TcpListener, connections: usize) -> io::Result<()> {
    for stream in listener.incoming().take(connections) {
        let stream = stream?;
        spawn(scope, move || echo(&stream))?;
    }
    Ok(())
}

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = [0; 1024];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n])?;
    }
}

fn client(stream: &TcpStream, connection: usize, args: &Args, mut watch: Watch, bar: &ProgressBar) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Request::new(connection, args.size);
    let requests = args.requests_per_connection();
    for number in 0..requests {
        exchange(stream, &mut request, connection, number)?;
        watch.lap();
        if number % PROGRESS_STEP == PROGRESS_STEP - 1 {
            bar.inc(PROGRESS_STEP);
        }
    }
    bar.inc(requests % PROGRESS_STEP);
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

/// One request and its echo. A request larger than the buffers on the way needs a second thread to write it.
fn exchange(mut stream: &TcpStream, request: &mut Request, connection: usize, number: u64) -> io::Result<()> {
    request.stamp(number);
    let (message, answer) = request.both();
    if message.len() <= tasks::IN_ONE_GO {
        stream.write_all(message)?;
        stream.read_exact(answer)?;
    } else {
        thread::scope(|scope| {
            let writer = spawn(scope, move || stream.write_all(message))?;
            let mut reader = stream;
            reader.read_exact(answer)?;
            writer.join().map_err(|_| io::Error::other("a writing thread has panicked"))?
        })?;
    }
    request.verify(connection, number)
}
