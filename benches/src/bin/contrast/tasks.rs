//! The echo server of tasks, written once for every runtime.

use crate::model::READ_MAX;
use crate::server::{counted, progress};
use futures_lite::io as futures;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use wakeline_benches::contestant::{Contestant, Smol, Tokio, Wakeline};

/// What a runtime's sockets are asked for here.
pub(crate) trait Serve: Contestant {
    type Listener: Send;

    fn bind(addr: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;
    fn addr(listener: &Self::Listener) -> io::Result<SocketAddr>;
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    /// Sends back what comes until the peer closes.
    fn echo(stream: Self::Stream) -> impl Future<Output = io::Result<()>> + Send;
}

/// The same for datagrams.
pub(crate) trait Receive: Contestant {
    type Socket: Send + Sync;

    fn bind_udp(addr: SocketAddr) -> impl Future<Output = io::Result<Self::Socket>> + Send;
    fn udp_addr(socket: &Self::Socket) -> io::Result<SocketAddr>;
    fn receive(socket: &Self::Socket, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Accepts for ever, a task for each connection.
pub(crate) async fn serve_on<R: Serve>(listener: R::Listener) -> io::Result<()>
where
    R::Listener: Sync,
{
    counted(async {
        loop {
            let stream = R::accept(&listener).await?;
            progress();
            R::detach(R::spawn(counted(R::echo(stream))));
        }
    })
    .await
}

/// The three call their sockets the same. With their features wakeline's streams have the traits of both, so it is said by whose they are
/// read.
macro_rules! serve {
    ($contestant:ident, $runtime:ident, $traits:path) => {
        impl Serve for $contestant {
            type Listener = $runtime::net::TcpListener;

            async fn bind(addr: SocketAddr) -> io::Result<Self::Listener> {
                $runtime::net::TcpListener::bind(addr).await
            }

            fn addr(listener: &Self::Listener) -> io::Result<SocketAddr> {
                listener.local_addr()
            }

            async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
                listener.accept().await.map(|(stream, _)| stream)
            }

            async fn echo(mut stream: Self::Stream) -> io::Result<()> {
                use $traits::{AsyncReadExt as _, AsyncWriteExt as _};
                stream.set_nodelay(true)?;
                let mut buf = [0; READ_MAX];
                loop {
                    let n = stream.read(&mut buf).await?;
                    progress();
                    if n == 0 {
                        return Ok(());
                    }
                    stream.write_all(&buf[..n]).await?;
                }
            }
        }

        impl Receive for $contestant {
            type Socket = $runtime::net::UdpSocket;

            async fn bind_udp(addr: SocketAddr) -> io::Result<Self::Socket> {
                $runtime::net::UdpSocket::bind(addr).await
            }

            fn udp_addr(socket: &Self::Socket) -> io::Result<SocketAddr> {
                socket.local_addr()
            }

            async fn receive(socket: &Self::Socket, buf: &mut [u8]) -> io::Result<usize> {
                socket.recv_from(buf).await.map(|(n, _)| n)
            }
        }
    };
}

serve!(Tokio, tokio, tokio::io);
serve!(Smol, smol, futures);
serve!(Wakeline, wakeline, futures);
