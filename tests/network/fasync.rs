//! Signals of emulated sockets: what is sent, what is not, and who gets it. The measured answers are in `tests/traces`.

use futures_lite::StreamExt;
use futures_lite::future::poll_once;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::fasync::{Fcntl, Process, SigCode, SigInfo, SigSet, Signal};
use wakeline::net::{TcpListener, TcpStream, UdpSocket, blocking};
use wakeline::wait_queue::Events;

const SEMANTICS: &str = include_str!("../traces/semantics.txt");
const RT: Option<Signal> = Signal::rt(0);

/// A connection from one host to another, accepted.
async fn pair(lan: &Lan) -> (TcpStream, TcpStream, [Host; 2]) {
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await.unwrap();
    let near = client.run(TcpStream::connect("server:7")).await.unwrap();
    let (far, _) = server.run(listener.accept()).await.unwrap();
    (near, far, [server, client])
}

fn owned_by(socket: &impl Fcntl, signal: Option<Signal>) -> Process {
    let process = Process::new("test");
    socket.set_owner(&[&process]).unwrap();
    socket.set_sig(signal).unwrap();
    socket.set_async(Some(4)).unwrap();
    process
}

/// Takes everything that is pending.
fn pending(process: &Process) -> Vec<SigInfo> {
    std::iter::from_fn(|| process.sigtimedwait(SigSet::all(), Duration::ZERO)).collect()
}

async fn settle() {
    wakeline::time::sleep(Duration::from_millis(5)).await;
}

/// docs/rxpath.md, row 46: a signal for each segment, none while somebody sleeps in a read.
#[wakeline::test(start_paused = true)]
async fn a_signal_is_sent_for_each_segment_and_none_while_somebody_reads() {
    let lan = Lan::with_seed(1);
    let (mut client, mut server, _hosts) = pair(&lan).await;
    let process = owned_by(&server, RT);
    let mut send = async |bytes: &[u8]| {
        client.write_all(bytes).await.unwrap();
        settle().await;
        pending(&process).len()
    };
    let first = send(b"1").await;
    let unread = send(b"2").await;
    server.read_exact(&mut [0; 2]).await.unwrap();

    let reader = wakeline::spawn(async move {
        let n = server.read(&mut [0; 8]).await.unwrap();
        (n, server)
    });
    settle().await;
    let with_sleeper = send(b"3").await;
    let (read, mut server) = reader.await.unwrap();
    let sleeper_gone = send(b"4").await;
    server.read_exact(&mut [0; 1]).await.unwrap();
    drop(client);
    settle().await;
    let closed = pending(&process);
    drop(server);
    let line = format!(
        "SIGIO: no sleeper, 1 segment -> signals={first} ; 2nd segment, data still unread -> {unread} ; a thread asleep in \
         recv() -> signals={with_sleeper} recv={read} ; sleeper gone -> {sleeper_gone} ; peer close -> {}",
        closed.len()
    );
    assert!(SEMANTICS.lines().any(|measured| measured == line), "{line}");
    assert!(closed.iter().all(|info| info.code == SigCode::PollIn), "half a close is no hang-up: {closed:?}");
}

/// docs/rxpath.md, row 47: of a standard signal one is pending, real-time ones are queued.
#[wakeline::test(start_paused = true)]
async fn standard_signals_coalesce_and_real_time_ones_queue() {
    let mut counts = Vec::new();
    for signal in [None, RT] {
        let lan = Lan::with_seed(1);
        let (mut client, server, _hosts) = pair(&lan).await;
        let process = owned_by(&server, signal);
        for _ in 0..5 {
            client.write_all(b"segment").await.unwrap();
            settle().await;
        }
        counts.push(pending(&process));
    }
    let [plain, queued] = &counts[..] else { panic!() };
    let line = format!(
        "SIGIO blocked, 5 segments: plain SIGIO delivered={} , F_SETSIG rt signal delivered={}",
        plain.len(),
        queued.len()
    );
    assert!(SEMANTICS.lines().any(|measured| measured == line), "{line}");
    assert_eq!((plain[0].code, plain[0].fd, plain[0].band), (SigCode::Kernel, None, Events::empty()));
    let SigInfo { signal, code, fd, band, .. } = queued[0];
    assert_eq!((signal.number(), code.number(), fd, band.bits()), (34, 1, Some(4), 0x41));
}

/// docs/rxpath.md, row 47: what does not fit into the queue becomes a plain SIGIO, once.
#[wakeline::test(start_paused = true)]
async fn a_full_queue_is_told_by_a_plain_sigio() {
    let lan = Lan::with_seed(1);
    let (mut client, server, _hosts) = pair(&lan).await;
    let process = Process::with_sigpending_max("test", 2);
    server.set_owner(&[&process]).unwrap();
    server.set_sig(RT).unwrap();
    server.set_async(Some(9)).unwrap();
    for _ in 0..5 {
        client.write_all(b"segment").await.unwrap();
        settle().await;
    }
    assert!(process.sigpending().contains(Signal::IO));
    let taken: Vec<_> = pending(&process).iter().map(|info| (info.signal.number(), info.fd)).collect();
    assert_eq!(taken, [(29, None), (34, Some(9)), (34, Some(9))], "the lowest number first");
    client.write_all(b"segment").await.unwrap();
    settle().await;
    assert_eq!(pending(&process).len(), 1, "there is room again");
}

/// `SOCKWQ_ASYNC_NOSPACE`: that there is room is told to who found none, once.
#[wakeline::test(start_paused = true)]
async fn room_is_told_once_and_only_after_there_was_none() {
    let lan = Lan::with_seed(1);
    let (mut client, mut server, _hosts) = pair(&lan).await;
    let process = owned_by(&client, RT);
    client.write_all(&[0; 1000]).await.unwrap();
    server.read_exact(&mut [0; 1000]).await.unwrap();
    settle().await;
    assert_eq!(pending(&process), [], "it was never full");
    let chunk = vec![0; 1 << 16];
    let mut queued = 0;
    loop {
        match poll_once(client.write(&chunk)).await {
            Some(n) => queued += n.unwrap(),
            None if pending(&process).is_empty() => break,
            None => {}
        }
        settle().await;
    }
    let mut buf = vec![0; 1 << 16];
    while queued > 0 {
        queued -= server.read(&mut buf).await.unwrap();
        settle().await;
    }
    let told: Vec<_> = pending(&process).iter().map(|info| (info.code, info.band)).collect();
    assert_eq!(told, [(SigCode::PollOut, Events::WRITABLE)]);
}

#[wakeline::test(start_paused = true)]
async fn a_connection_to_accept_a_reset_and_a_connect_are_told() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await.unwrap();
    let process = owned_by(&listener, RT);
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(client.run(TcpStream::connect("server:7")).await.unwrap());
    }
    settle().await;
    assert_eq!(pending(&process).len(), 8, "one for each, on whichever CPU it came");
    let (accepted, _) = listener.accept().await.unwrap();
    let process = owned_by(&accepted, RT);
    for stream in &streams {
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(streams);
    settle().await;
    assert_eq!(pending(&process).iter().map(|info| info.code).collect::<Vec<_>>(), [SigCode::PollErr]);
}

/// F_SETOWN: a group, nobody, and a process that has gone. O_ASYNC: off, and the socket's end.
#[wakeline::test(start_paused = true)]
async fn signals_follow_the_owner_and_end_with_the_file() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build().unwrap();
    let receiver = host.run(UdpSocket::bind("0.0.0.0:5000")).await.unwrap();
    let sender = host.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let send = async || {
        sender.send_to(b"datagram", "10.0.0.1:5000").await.unwrap();
        settle().await;
    };
    let (first, second) = (Process::new("first"), Process::new("second"));
    let counts = || (pending(&first).len(), pending(&second).len());
    receiver.set_sig(RT).unwrap();
    receiver.set_async(Some(1)).unwrap();
    send().await;
    assert_eq!(counts(), (0, 0), "nobody owns it");
    receiver.set_owner(&[&first, &second]).unwrap();
    send().await;
    assert_eq!(counts(), (1, 1));
    let gone = Process::new("gone");
    receiver.set_owner(&[&gone, &second]).unwrap();
    drop(gone);
    send().await;
    assert_eq!(counts(), (0, 1));
    receiver.set_async(None).unwrap();
    send().await;
    assert_eq!((counts(), receiver.sig().unwrap()), ((0, 0), RT));
    receiver.set_async(Some(2)).unwrap();
    send().await;
    drop(receiver);
    send().await;
    assert_eq!(counts(), (0, 1));
}

/// A read that will not wait does not count as a sleeper, however often it looks: a signal for each segment, whenever it comes.
#[test]
fn a_read_that_does_not_wait_swallows_no_signal() {
    const SEGMENTS: usize = 300;
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build_threaded().unwrap();
    let client = lan.host("client").build_threaded().unwrap();
    let _here = server.enter();
    let listener = blocking::TcpListener::bind("0.0.0.0:7").unwrap();
    let asking = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let _here = client.enter();
        let mut stream = blocking::TcpStream::connect("server:7").unwrap();
        for _ in 0..SEGMENTS {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        stream
    });
    let (stream, _) = listener.accept().unwrap();
    // From here on what was there before counts as well, so the first segment may or may not have its signal.
    let process = owned_by(&stream, RT);
    stream.set_nonblocking(true).unwrap();
    let mut buf = [0; 8];
    for _ in 0..SEGMENTS {
        use std::io::{Read, Write};
        while (&stream).read(&mut buf).is_err() {}
        (&stream).write_all(b"y").unwrap();
    }
    let _open = asking.join().unwrap();
    let signals = pending(&process).len();
    assert!((SEGMENTS - 1..=SEGMENTS).contains(&signals), "{signals} signals for {SEGMENTS} segments");
}

/// The halves of a stream have its file: what one sets the other has, and both can look without waiting.
#[wakeline::test(start_paused = true)]
async fn halves_send_signals_too() {
    let lan = Lan::with_seed(1);
    let (mut client, server, _hosts) = pair(&lan).await;
    let (read, write) = server.into_split();
    let process = owned_by(&read, RT);
    assert_eq!(write.sig().unwrap(), RT);
    let would_block = read.try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(would_block.kind(), std::io::ErrorKind::WouldBlock);
    client.write_all(b"hello").await.unwrap();
    settle().await;
    assert_eq!(pending(&process).iter().map(|info| info.code).collect::<Vec<_>>(), [SigCode::PollIn]);
    assert_eq!(read.try_read(&mut [0; 8]).unwrap(), 5);
    write.set_async(None).unwrap();
    client.write_all(b"again").await.unwrap();
    settle().await;
    assert_eq!(pending(&process), []);
    let mut server = read.reunite(write).unwrap();
    {
        let (mut read, write) = server.split();
        read.read_exact(&mut [0; 5]).await.unwrap();
        write.set_async(Some(7)).unwrap();
        let mut sent = 0;
        while let Ok(n) = write.try_write(&[0; 1 << 16]) {
            sent += n;
        }
        assert!(sent > 0);
    }
    client.write_all(b"!").await.unwrap();
    settle().await;
    // Who found no room hears of it when there is some.
    let told: Vec<_> = pending(&process).iter().map(|info| (info.code, info.fd)).collect();
    assert_eq!(told, [(SigCode::PollIn, Some(7)), (SigCode::PollOut, Some(7))]);
}

/// A thread that waits for signals, and a stream of them for tasks.
#[test]
fn a_thread_and_a_task_wait_for_signals() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let _here = host.enter();
    let receiver = blocking::UdpSocket::bind("0.0.0.0:5000").unwrap();
    let sender = blocking::UdpSocket::bind("0.0.0.0:0").unwrap();
    let process = owned_by(&receiver, RT);
    let waiter = std::thread::spawn({
        let process = process.clone();
        move || process.sigwaitinfo(SigSet::from(RT.unwrap()))
    });
    sender.send_to(b"datagram", "10.0.0.1:5000").unwrap();
    assert_eq!(waiter.join().unwrap().fd, Some(4));
    assert_eq!(process.sigtimedwait(SigSet::all(), Duration::from_millis(1)), None);

    let runtime = wakeline::runtime::Builder::new_current_thread().build().unwrap();
    sender.send_to(b"datagram", "10.0.0.1:5000").unwrap();
    let info = runtime.block_on(async {
        let mut signals = process.signals(SigSet::all());
        let first = signals.next().await.unwrap();
        assert!(poll_once(signals.next()).await.is_none());
        sender.send_to(b"datagram", "10.0.0.1:5000").unwrap();
        assert_eq!(process.wait_signal(SigSet::all().without(Signal::IO)).await, first);
        first
    });
    assert_eq!(info.code, SigCode::PollIn);
}

#[wakeline::test]
async fn the_systems_sockets_have_no_signals() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let error = socket.set_async(Some(1)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}
