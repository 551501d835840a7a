//! How connections end, and what calls say afterwards: on both networks the same.

use crate::both::{on_both_networks, pair};
use crate::options::socket_for;
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};

/// Resets the connection of which `stream` is one end, as its peer sees it.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn kind<T>(result: std::io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

#[test]
fn a_reset_is_told_once_and_then_the_connection_is_gone() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, b) = pair(bind).await;
            reset(b);
            assert_eq!(kind(a.read(&mut [0; 8]).await), Err(ErrorKind::ConnectionReset));
            assert_eq!(kind(a.read(&mut [0; 8]).await), Ok(0), "told once");
            assert_eq!(kind(a.write(b"x").await), Err(ErrorKind::BrokenPipe));
            assert_eq!(kind(a.shutdown(Shutdown::Write)), Err(ErrorKind::NotConnected));
            assert_eq!(kind(a.peer_addr()), Err(ErrorKind::NotConnected));
            assert!(a.local_addr().is_ok() && a.take_error().unwrap().is_none());
            let (a, b) = pair(bind).await;
            reset(b);
            // Whoever asks first hears of it.
            a.readable().await.unwrap();
            assert_eq!(a.take_error().unwrap().map(|error| error.kind()), Some(ErrorKind::ConnectionReset));
            assert!(a.take_error().unwrap().is_none());
        })
    });
}

#[test]
fn a_writer_hears_of_a_reset() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, b) = pair(bind).await;
            reset(b);
            a.readable().await.unwrap();
            assert_eq!(kind(a.write(b"x").await), Err(ErrorKind::ConnectionReset));
            assert_eq!(kind(a.write(b"x").await), Err(ErrorKind::BrokenPipe));
        })
    });
}

/// The peer has closed, so that it resets; and as its FIN came first, the writer's pipe is broken (`tcp_reset`).
#[test]
fn writing_to_somebody_who_has_closed_breaks_the_pipe() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, b) = pair(bind).await;
            drop(b);
            assert_eq!(kind(a.read(&mut [0; 8]).await), Ok(0));
            assert_eq!(kind(a.write(b"is anybody there?").await), Ok(17));
            while a.take_error().unwrap().is_none() {
                wakeline::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(kind(a.write(b"x").await), Err(ErrorKind::BrokenPipe));
        })
    });
}

#[test]
fn shutting_down_may_be_repeated_and_ends_one_direction() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            a.write_all(b"before").await.unwrap();
            a.shutdown(Shutdown::Write).unwrap();
            a.shutdown(Shutdown::Write).unwrap();
            assert_eq!(kind(a.write(b"x").await), Err(ErrorKind::BrokenPipe));
            let mut all = Vec::new();
            b.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"before");
            // Both directions, from both sides.
            b.shutdown(Shutdown::Both).unwrap();
            assert_eq!(kind(b.read(&mut [0; 8]).await), Ok(0));
            assert_eq!(kind(b.write(b"x").await), Err(ErrorKind::BrokenPipe));
            assert_eq!(kind(a.read(&mut [0; 8]).await), Ok(0));
        })
    });
}

/// SHUT_RD tells nobody, and what comes all the same can be read.
#[test]
fn shutting_down_the_reading_side_stops_the_waiting_only() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            a.shutdown(Shutdown::Read).unwrap();
            assert_eq!(kind(a.read(&mut [0; 8]).await), Ok(0));
            b.write_all(b"late").await.unwrap();
            let mut late = [0; 8];
            let n = loop {
                match a.read(&mut late).await.unwrap() {
                    0 => wakeline::time::sleep(Duration::from_millis(1)).await,
                    n => break n,
                }
            };
            assert_eq!(&late[..n], b"late");
            a.write_all(b"still").await.unwrap();
            b.read_exact(&mut [0; 5]).await.unwrap();
        })
    });
}

#[test]
fn a_sleeping_reader_is_woken_by_a_shutdown_of_its_own_side() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (a, _b) = pair(bind).await;
            let (mut read, write) = a.into_split();
            let reader = wakeline::spawn(async move { read.read(&mut [0; 8]).await });
            wakeline::time::sleep(Duration::from_millis(5)).await;
            let stream = write;
            drop(stream);
            // Its FIN is no end of this side's reading.
            wakeline::time::sleep(Duration::from_millis(5)).await;
            assert!(!reader.is_finished());
            drop(_b);
            assert_eq!(kind(reader.await.unwrap()), Ok(0));
        })
    });
}

#[test]
fn both_may_close_at_the_same_time() {
    on_both_networks(|bind| {
        Box::pin(async move {
            for _ in 0..20 {
                let (mut a, mut b) = pair(bind).await;
                a.write_all(b"from a").await.unwrap();
                b.write_all(b"from b").await.unwrap();
                a.shutdown(Shutdown::Write).unwrap();
                b.shutdown(Shutdown::Write).unwrap();
                let (mut at_a, mut at_b) = (String::new(), String::new());
                a.read_to_string(&mut at_a).await.unwrap();
                b.read_to_string(&mut at_b).await.unwrap();
                assert_eq!((at_a.as_str(), at_b.as_str()), ("from b", "from a"));
            }
        })
    });
}

#[test]
fn what_was_reset_while_it_waited_can_still_be_accepted() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let from = client.local_addr().unwrap();
            reset(client);
            wakeline::time::sleep(Duration::from_millis(5)).await;
            let (mut accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, from);
            assert_eq!(kind(accepted.read(&mut [0; 8]).await), Err(ErrorKind::ConnectionReset));
        })
    });
}

#[test]
fn two_ends_have_one_connection() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let to = listener.local_addr().unwrap();
            let from = |addr: SocketAddr| {
                let socket = socket_for(bind);
                socket.set_reuseaddr(true).unwrap();
                socket.bind(addr).unwrap();
                socket
            };
            let first = from(SocketAddr::new(to.ip(), 0));
            let addr = first.local_addr().unwrap();
            let second = from(addr);
            let _connected = first.connect(to).await.unwrap();
            assert_eq!(kind(second.connect(to).await.map(drop)), Err(ErrorKind::AddrNotAvailable));
        })
    });
}

#[test]
fn a_listener_that_closes_resets_who_waits() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let to = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(to).await.unwrap();
            drop(listener);
            assert_eq!(kind(client.read(&mut [0; 8]).await), Err(ErrorKind::ConnectionReset));
            assert_eq!(kind(TcpStream::connect(to).await.map(drop)), Err(ErrorKind::ConnectionRefused));
        })
    });
}

/// SO_LINGER with a time: the drop waits for nobody, and what was written arrives.
#[test]
fn a_drop_never_waits_and_loses_nothing() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            a.set_linger(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(a.linger().unwrap(), Some(Duration::from_secs(20)));
            // More than the peer's window takes while it does not read.
            let mut sent = 0;
            let chunk = vec![5; 64 << 10];
            while let Ok(n) = wakeline::time::timeout(Duration::from_millis(50), a.write(&chunk)).await {
                sent += n.unwrap();
            }
            let started = std::time::Instant::now();
            drop(a);
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            let mut all = Vec::new();
            b.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), sent);
        })
    });
}
