//! The servers on tokio and on wakeline: their public names are the same, so one text serves both, letter by letter. Only hyper
//! meets each by adapters of its own.

use super::key_value::{READ_BYTES, STORE_BYTES, Session};
use super::{ANY_PORT, ECHO_BYTES, Service, hello};

macro_rules! servers {
    ($runtime:ident, $ext:path, $timer:expr, $io:expr) => {
        pub(super) mod $runtime {
            use super::{ANY_PORT, ECHO_BYTES, READ_BYTES, STORE_BYTES, Service, Session, hello};
            use crate::store::Store;
            use hyper::server::conn::http1;
            use hyper::service::service_fn;
            use std::future::Future;
            use std::io;
            use std::net::SocketAddr;
            use std::sync::Arc;
            use $ext::{AsyncReadExt, AsyncWriteExt};
            use $runtime::net::{TcpListener, TcpStream};
            use $runtime::runtime::{Builder, Runtime};

            /// One worker is the current-thread runtime.
            pub(in super::super) fn builder(workers: usize) -> Builder {
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

            pub(in super::super) fn serve(
                service: Service,
                runtime: Runtime,
                ready: impl FnOnce(SocketAddr),
            ) -> io::Result<()> {
                runtime.block_on(async move {
                    let listener = TcpListener::bind(ANY_PORT).await?;
                    ready(listener.local_addr()?);
                    match service {
                        Service::Echo => accept(listener, echo).await,
                        Service::Hello => accept(listener, hello).await,
                        Service::KeyValue => {
                            let store = Arc::new(Store::new(STORE_BYTES));
                            accept(listener, move |stream| key_value(stream, store.clone())).await
                        }
                    }
                })
            }

            async fn accept<F>(listener: TcpListener, connection: impl Fn(TcpStream) -> F) -> io::Result<()>
            where
                F: Future<Output = io::Result<()>> + Send + 'static,
            {
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    drop($runtime::spawn(connection(stream)));
                }
            }

            async fn echo(mut stream: TcpStream) -> io::Result<()> {
                let mut buf = [0; ECHO_BYTES];
                loop {
                    match stream.read(&mut buf).await? {
                        0 => return Ok(()),
                        n => stream.write_all(&buf[..n]).await?,
                    }
                }
            }

            async fn hello(stream: TcpStream) -> io::Result<()> {
                let mut http = http1::Builder::new();
                http.timer($timer);
                http.serve_connection($io(stream), service_fn(hello::answer)).await.map_err(io::Error::other)
            }

            async fn key_value(mut stream: TcpStream, store: Arc<Store>) -> io::Result<()> {
                let mut session = Session::default();
                let mut chunk = vec![0; READ_BYTES];
                loop {
                    let n = stream.read(&mut chunk).await?;
                    if n == 0 {
                        return Ok(());
                    }
                    let stays = session.take(&chunk[..n], &store);
                    stream.write_all(&session.output).await?;
                    session.output.clear();
                    if !stays {
                        return Ok(());
                    }
                }
            }
        }
    };
}

servers!(tokio, tokio::io, hyper_util::rt::TokioTimer::new(), hyper_util::rt::TokioIo::new);
servers!(wakeline, futures_lite::io, wakeline::hyper::HyperTimer::new(), std::convert::identity);
