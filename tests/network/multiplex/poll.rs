//! poll and select: masks, sets, timeouts, what is refused. The masks stand beside the kernel's in `same_as_linux`.

use super::{World, recv, send, settle};
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::EpollFlags;
use wakeline::net::poll::{Events, FD_SETSIZE, FdSet, PollFd, poll, poll_blocking, select, select_blocking};
use wakeline::net::{TcpListener, TcpSocket, blocking};

#[wakeline::test(start_paused = true)]
async fn poll_tells_of_every_descriptor_that_is_ready() {
    let world = World::new().await;
    let mut pairs = Vec::new();
    for _ in 0..3 {
        pairs.push(world.pair().await);
    }
    send(&mut pairs[1].0, 1).await;
    let [(_, a), (_, b), (_, c)] = &pairs[..] else { unreachable!() };
    let mut fds = [
        PollFd::new(a, Events::IN),
        PollFd::ignored(),
        PollFd::new(b, Events::IN | Events::RDNORM),
        PollFd::new(c, Events::IN | Events::OUT),
    ];
    assert_eq!(poll(&mut fds).await.unwrap(), 2);
    let revents = fds.map(|fd| fd.revents);
    assert_eq!(revents, [Events::empty(), Events::empty(), Events::IN | Events::RDNORM, Events::OUT]);
    let mut fds = [PollFd::new(a, Events::IN)];
    let waited = wakeline::time::timeout(Duration::from_secs(1), poll(&mut fds)).await;
    assert!(waited.is_err());
    assert_eq!(poll_blocking(&mut fds, Some(Duration::from_millis(1))).unwrap(), 0);
    assert_eq!(poll_blocking(&mut [], Some(Duration::ZERO)).unwrap(), 0);
}

#[wakeline::test(start_paused = true)]
async fn an_epoll_can_be_polled() {
    let world = World::new().await;
    let (mut client, mut server) = world.pair().await;
    let epoll = super::watching(&server, EpollFlags::IN);
    let mut fds = [PollFd::new(&epoll, Events::IN)];
    assert_eq!(poll_blocking(&mut fds, Some(Duration::ZERO)).unwrap(), 0);
    let sending = wakeline::spawn(async move {
        send(&mut client, 3).await;
        client
    });
    assert_eq!(poll(&mut fds).await.unwrap(), 1);
    assert_eq!(fds[0].revents, Events::IN);
    recv(&mut server, 3).await;
    assert_eq!(poll_blocking(&mut fds, Some(Duration::ZERO)).unwrap(), 0, "what was read is not there any more");
    drop(sending.await.unwrap());
    assert_eq!(poll(&mut fds).await.unwrap(), 1);
}

#[wakeline::test(start_paused = true)]
async fn select_leaves_what_holds_in_its_sets() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let (idle, _idle) = world.pair().await;
    let set_of = |sources: &[&dyn wakeline::net::poll::Source]| {
        let mut set = FdSet::new();
        sources.iter().for_each(|&source| set.set(source).unwrap());
        set
    };
    let both: [&dyn wakeline::net::poll::Source; 2] = [&server, &idle];
    let (mut read, mut except) = (set_of(&both), set_of(&both));
    assert_eq!(select_blocking(Some(&mut read), None, Some(&mut except), Some(Duration::ZERO)).unwrap(), 0);
    assert!(read.is_empty() && except.is_empty(), "as Linux leaves them when the time is over");
    send(&mut client, 1).await;
    let (mut read, mut write) = (set_of(&both), set_of(&both));
    assert_eq!(select(Some(&mut read), Some(&mut write), None).await.unwrap(), 3);
    assert!(read.is_set(&server) && !read.is_set(&idle) && write.is_set(&server) && write.is_set(&idle));
    read.set(&server).unwrap();
    assert_eq!(read.len(), 1, "it is in the set already");
    read.clear(&server);
    assert!(read.is_empty());
    // The end can be read without waiting.
    drop(client);
    settle().await;
    let mut read = set_of(&both);
    assert_eq!(select(Some(&mut read), None, None).await.unwrap(), 1);
    // A descriptor that was closed.
    drop(server);
    let error = select(Some(&mut read), None, None).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(9), "{error}");
}

#[test]
fn a_set_has_room_for_so_many_and_no_more() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let _here = host.enter();
    let sockets: Vec<_> = (0..=FD_SETSIZE).map(|_| blocking::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut set = FdSet::new();
    sockets[..FD_SETSIZE].iter().for_each(|socket| set.set(socket).unwrap());
    assert_eq!(set.set(&sockets[FD_SETSIZE]).unwrap_err().kind(), ErrorKind::InvalidInput);
    set.set(&sockets[0]).unwrap();
    assert_eq!(select_blocking(None, Some(&mut set), None, None).unwrap(), FD_SETSIZE);
}

#[test]
fn threads_sleep_in_poll_and_select() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let _here = host.enter();
    let listener = blocking::TcpListener::bind("127.0.0.1:7000").unwrap();
    let mut client = blocking::TcpStream::connect("127.0.0.1:7000").unwrap();
    poll_blocking(&mut [PollFd::new(&listener, Events::IN)], None).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let waited = poll_blocking(&mut [PollFd::new(&server, Events::IN)], Some(Duration::from_millis(2))).unwrap();
    assert_eq!(waited, 0);
    let echo = std::thread::spawn(move || {
        for round in 0..200 {
            if round % 2 == 0 {
                assert_eq!(poll_blocking(&mut [PollFd::new(&server, Events::IN)], None).unwrap(), 1);
            } else {
                let mut read = FdSet::new();
                read.set(&server).unwrap();
                assert_eq!(select_blocking(Some(&mut read), None, None, None).unwrap(), 1);
            }
            let mut buf = [0; 8];
            let n = server.read(&mut buf).unwrap();
            server.write_all(&buf[..n]).unwrap();
        }
    });
    for round in 0..200_u8 {
        client.write_all(&[round]).unwrap();
        let mut back = [0];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back[0], round);
    }
    echo.join().unwrap();
}

#[wakeline::test]
async fn sockets_of_the_operating_system_are_refused() {
    let os = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unconnected = TcpSocket::new_v4().unwrap();
    let of_threads = blocking::UdpSocket::bind("127.0.0.1:0").unwrap();
    let all: [&dyn wakeline::net::poll::Source; 3] = [&os, &unconnected, &of_threads];
    for source in all {
        let error = poll(&mut [PollFd::new(source, Events::IN)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("mio"), "{error}");
        assert_eq!(FdSet::new().set(source).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
