//! The servers that are compared, each for a process of its own. Nothing is shared between them but the code that would not
//! differ: hyper, the answer to a request, and the store.

mod epoll;
mod key_value;
mod ring;
mod smol;
mod tokio_shaped;

use crate::invalid;
use crate::who::{Runtime, Who};
use ::wakeline::runtime::IoDriver;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio_shaped::{tokio, wakeline};

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Sends back what comes.
    Echo,
    /// HTTP/1.1, by hyper.
    Hello,
    /// The store of the example `key_value`.
    KeyValue,
}

impl Service {
    const ALL: [Service; 3] = [Service::Echo, Service::Hello, Service::KeyValue];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Echo => "echo",
            Service::Hello => "hello",
            Service::KeyValue => "key-value",
        }
    }

    /// # Errors
    /// `InvalidInput` when there is none with this name.
    pub(crate) fn by_name(name: &str) -> io::Result<Service> {
        let found = Service::ALL.into_iter().find(|service| service.name() == name);
        found.ok_or_else(|| invalid(format!("there is no service {name}; see --help")))
    }
}

/// How much an echo reads at once.
const ECHO_BYTES: usize = 4096;
const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Serves for ever; tells `ready` where once it listens.
///
/// # Errors
/// Those of the listener; `InvalidInput` for what nobody compares.
pub(crate) fn serve(service: Service, who: Who, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    match (who.runtime, service) {
        (Runtime::Wakeline, _) => wakeline::serve(service, wakeline::builder(who.workers).build()?, ready),
        (Runtime::WakelineRing, Service::Echo) => wakeline::serve(service, by_ring(who.workers)?, ready),
        (Runtime::Tokio, _) => tokio::serve(service, tokio::builder(who.workers).build()?, ready),
        (Runtime::Smol, Service::Echo) => smol::serve(who.workers, ready),
        (Runtime::Epoll, Service::Echo) => epoll::serve(who.workers, ready),
        (Runtime::Ring, Service::Echo) => ring::serve(ready),
        (Runtime::WakelineRing | Runtime::Smol | Runtime::Epoll | Runtime::Ring, _) => {
            Err(invalid(format!("{} has no {}", who.name(), service.name())))
        }
    }
}

/// A runtime that goes by io_uring, and by nothing else.
fn by_ring(workers: usize) -> io::Result<::wakeline::runtime::Runtime> {
    let runtime = wakeline::builder(workers).io_driver(IoDriver::IoUring).build()?;
    let refusal = runtime.handle().io_driver_refusal().map(str::to_owned);
    refusal.map_or(Ok(runtime), |why| Err(io::Error::other(why)))
}

/// hyper's answer to every request.
mod hello {
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::{Request, Response};
    use std::convert::Infallible;

    pub(super) async fn answer(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::from("hello\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::short;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::mpsc;
    use std::time::Duration;
    use wakeline_benches::load;

    /// The servers end with the process.
    fn start(service: Service, who: Who) -> SocketAddr {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || serve(service, who, |addr| tell.send(addr).unwrap()));
        told.recv().unwrap()
    }

    #[test]
    fn every_echo_answers_both_loads() {
        for who in Who::all() {
            // The kernel may refuse it.
            if matches!(who.runtime, Runtime::Ring | Runtime::WakelineRing) && io_uring::IoUring::new(8).is_err() {
                continue;
            }
            let addr = start(Service::Echo, who);
            assert!(load::run(addr, 8, Duration::from_millis(20)).unwrap().requests > 0, "{who:?}");
            assert!(short::run(addr, Duration::from_millis(20)).unwrap().requests > 0, "{who:?}");
        }
    }

    #[test]
    fn hello_and_the_store_answer_on_both_runtimes() {
        let check = |service: Service, asked: &str, begins: &str| {
            for who in [Runtime::Wakeline.with(1), Runtime::Tokio.with(1)] {
                let mut stream = TcpStream::connect(start(service, who)).unwrap();
                stream.write_all(asked.as_bytes()).unwrap();
                let mut answer = vec![0; begins.len()];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(String::from_utf8_lossy(&answer), begins, "{who:?}");
            }
        };
        check(Service::Hello, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n");
        check(Service::KeyValue, "SET a 1\r\nGET a\r\nINCR a\r\n", "+OK\r\n$1\r\n1\r\n:2\r\n");
        check(Service::KeyValue, "*1\r\nx\r\n", "-ERR Protocol error: expected '$'\r\n");
    }
}
