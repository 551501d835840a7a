//! Addresses that lead nowhere, peers that say nothing or too much, and no room for more: on both networks the same.

use crate::both::{on_both_networks, pair};
use std::io::ErrorKind;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::Lan;
use wakeline::net::{TcpListener, TcpStream, UdpSocket};
use wakeline::runtime::Builder;
use wakeline::sync::watch;
use wakeline::time::{sleep, timeout};

#[test]
fn addresses_that_are_nobodys_are_refused() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let here = TcpListener::bind(bind).await.unwrap().local_addr().unwrap().ip();
            let (groups, foreign): (&[&str], _) = match here.is_ipv4() {
                true => (&["255.255.255.255:9", "224.0.0.1:9"], "192.0.2.1:0"),
                false => (&["[ff02::1]:9", "[ff05::2]:9"], "[2001:db8::1]:0"),
            };
            for group in groups {
                let error = TcpStream::connect(*group).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "{group}: {error}");
            }
            let error = TcpListener::bind(foreign).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
            let error = UdpSocket::bind(foreign).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
            let error = TcpStream::connect((here, 0)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        })
    });
}

/// A server whose patience with each line ends, by time or by length, serves on, whoever dawdles, babbles or has gone.
#[test]
fn who_dawdles_or_babbles_is_left_and_holds_up_nobody() {
    on_both_networks(|bind| {
        Box::pin(async move {
            const LINE_BYTES_MAX: usize = 100;
            let listener = TcpListener::bind(bind).await.unwrap();
            let addr = listener.local_addr().unwrap();
            // No clock, so that nobody is left before he could speak.
            let (time_is_up, patience) = watch::channel(false);
            wakeline::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut patience = patience.clone();
                    wakeline::spawn(async move {
                        let mut line = Vec::new();
                        let read = async {
                            let mut byte = [0];
                            while line.len() < LINE_BYTES_MAX && stream.read(&mut byte).await? == 1 && byte != *b"\n" {
                                line.push(byte[0]);
                            }
                            std::io::Result::Ok(line.len() < LINE_BYTES_MAX)
                        };
                        let may_answer = wakeline::select! {
                            read = read => read.unwrap_or(false),
                            _ = patience.wait_for(|is_over| *is_over) => false,
                        };
                        if may_answer { stream.write_all(&line).await } else { Ok(()) }
                    });
                }
            });
            let silent = TcpStream::connect(addr).await.unwrap();
            let mut drips = TcpStream::connect(addr).await.unwrap();
            let mut babbles = TcpStream::connect(addr).await.unwrap();
            drips.write_all(b"a").await.unwrap();
            babbles.write_all(&[b'x'; 4 * LINE_BYTES_MAX]).await.unwrap();
            drop(TcpStream::connect(addr).await.unwrap());
            for _ in 0..3 {
                let mut polite = TcpStream::connect(addr).await.unwrap();
                polite.write_all(b"hello\n").await.unwrap();
                let mut answer = String::new();
                polite.read_to_string(&mut answer).await.unwrap();
                assert_eq!(answer, "hello");
            }
            // Who was cut off within his text is told by a reset.
            assert_eq!(babbles.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            time_is_up.send(true).unwrap();
            for mut left in [silent, drips] {
                // A reset, if his first byte had not been read yet.
                assert_eq!(left.read(&mut [0; 8]).await.unwrap_or(0), 0);
            }
        })
    });
}

/// One side believes in a connection of which the other knows nothing any more.
#[test]
fn a_peer_that_has_forgotten_the_connection_is_found_out_by_writing() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, b) = pair(bind).await;
            let (mut reads, _writes) = b.into_split();
            drop(_writes);
            assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 0);
            // Half of it is open, and carries on.
            a.write_all(b"still there?").await.unwrap();
            reads.read_exact(&mut [0; 12]).await.unwrap();
            drop(reads);
            let error = loop {
                match a.write(b"and now?").await {
                    Ok(_) => sleep(Duration::from_millis(1)).await,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
        })
    });
}

/// Takes every socket that there is; says why there is no more.
async fn take_all(bind: &'static str) -> (Vec<UdpSocket>, std::io::Error) {
    let mut all = Vec::new();
    loop {
        match UdpSocket::bind(bind).await {
            Ok(socket) => all.push(socket),
            Err(error) => return (all, error),
        }
    }
}

fn is_too_many(error: &std::io::Error) -> bool {
    // EMFILE, of the process; ENFILE, of an emulated host.
    matches!(error.raw_os_error(), Some(24 | 23))
}

/// There is no room, then for one, then for all: the server waits a little after each failure, and loses nobody.
async fn a_server_without_room(bind: &'static str) {
    const PAUSE: Duration = Duration::from_millis(5);
    const CROWD: usize = 20;
    let listener = TcpListener::bind(bind).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (mut all, error) = take_all(bind).await;
    assert!(is_too_many(&error) && error.to_string().starts_with("Too many open files"), "{error}");
    assert!(is_too_many(&TcpStream::connect(addr).await.unwrap_err()));
    assert!(is_too_many(&TcpListener::bind(bind).await.unwrap_err()));

    let client = || async move {
        loop {
            let asked = async {
                let mut stream = TcpStream::connect(addr).await?;
                stream.write_all(b"ask").await?;
                let mut answer = [0; 3];
                stream.read_exact(&mut answer).await?;
                std::io::Result::Ok(answer)
            };
            match asked.await {
                Ok(answer) => break assert_eq!(&answer, b"ask"),
                Err(error) => assert!(is_too_many(&error), "{error}"),
            }
            sleep(PAUSE).await;
        }
    };
    // Room for the client's end.
    all.pop();
    let first = wakeline::spawn(client());
    sleep(PAUSE).await;
    for _ in 0..3 {
        match timeout(PAUSE, listener.accept()).await {
            Ok(Err(error)) => assert!(is_too_many(&error), "{error}"),
            // An emulated host has no descriptors that `accept` could lack; its clients try again.
            Err(_) if bind.starts_with("10.") => {}
            other => panic!("there is no room: {other:?}"),
        }
    }
    let server = wakeline::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((mut stream, _)) => drop(wakeline::spawn(async move {
                    let mut question = [0; 3];
                    stream.read_exact(&mut question).await.unwrap();
                    stream.write_all(&question).await.unwrap();
                })),
                Err(error) => {
                    assert!(is_too_many(&error), "{error}");
                    sleep(PAUSE).await;
                }
            }
        }
    });
    let crowd: Vec<_> = (0..CROWD).map(|_| wakeline::spawn(client())).collect();
    sleep(4 * PAUSE).await;
    assert!(!first.is_finished(), "there is no room for the server's end");
    drop(all);
    first.await.unwrap();
    for client in crowd {
        client.await.unwrap();
    }
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
}

#[test]
fn a_host_full_of_sockets_loses_no_connection() {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let host = Lan::with_seed(1).host("host").sockets_max(64).build().unwrap();
        timeout(Duration::from_secs(60), host.spawn(a_server_without_room("10.0.0.1:0"))).await.unwrap().unwrap();
    });
}

/// In a process of its own, as the limit is the process's.
#[test]
fn a_process_without_descriptors_loses_no_connection() {
    use nix::sys::resource::{Resource, setrlimit};
    const CHILD: &str = "WAKELINE_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let test = "bad_input::a_process_without_descriptors_loses_no_connection";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--test-threads", "1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, 64, 64).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let body = wakeline::spawn(a_server_without_room("127.0.0.1:0"));
        timeout(Duration::from_secs(30), body).await.expect("hangs").unwrap();
    });
}
