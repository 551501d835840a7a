//! Where one body runs: the operating system's network, and emulated hosts.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use wakeline::net::emulated::Lan;
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::{Builder, IoDriver};
use wakeline::time::timeout;

pub(crate) type Body = fn(&'static str) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `body` with the address to bind on each network, on one worker and on two. A body that hangs fails.
///
/// With the feature `io-uring` the operating system's network is there once more, by io_uring; where the kernel refuses that, it
/// is the same again.
pub(crate) fn on_both_networks(body: Body) {
    for workers in [1, 2] {
        let limit = Duration::from_secs(30);
        if cfg!(feature = "io-uring") {
            let runtime = builder(workers).io_driver(IoDriver::IoUring).build().unwrap();
            runtime.block_on(async {
                timeout(limit, wakeline::spawn(body("127.0.0.1:0"))).await.expect("hangs on io_uring").unwrap();
                timeout(limit, wakeline::spawn(body("[::1]:0"))).await.expect("hangs on io_uring with IPv6").unwrap();
            });
        }
        builder(workers).build().unwrap().block_on(async {
            timeout(limit, wakeline::spawn(body("127.0.0.1:0"))).await.expect("hangs on the OS").unwrap();
            let lan = Lan::with_seed(1);
            let host = lan.host("host").build().unwrap();
            timeout(limit, host.spawn(body("127.0.0.1:0"))).await.expect("hangs on loopback of a host").unwrap();
            timeout(limit, host.spawn(body("10.0.0.1:0"))).await.expect("hangs on a host's address").unwrap();
            let host = lan.host("four").cpus(4).build().unwrap();
            timeout(limit, host.spawn(body("10.0.0.2:0"))).await.expect("hangs on a host with four CPUs").unwrap();
            timeout(limit, wakeline::spawn(body("[::1]:0"))).await.expect("hangs on the OS's IPv6").unwrap();
            timeout(limit, host.spawn(body("[::1]:0"))).await.expect("hangs on IPv6 loopback").unwrap();
            let host = lan.host("six").cpus(4).build().unwrap();
            timeout(limit, host.spawn(body("[fd00::3]:0"))).await.expect("hangs on a host's IPv6 address").unwrap();
        });
    }
}

fn builder(workers: usize) -> Builder {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all();
    builder
}

pub(crate) async fn pair(bind: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(bind).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connecting = wakeline::spawn(async move { TcpStream::connect(addr).await.unwrap() });
    let (accepted, peer) = listener.accept().await.unwrap();
    let connected = connecting.await.unwrap();
    assert_eq!(connected.local_addr().unwrap(), peer);
    assert_eq!(connected.peer_addr().unwrap(), accepted.local_addr().unwrap());
    (connected, accepted)
}
