//! Rows 49 to 53 of docs/rxpath.md.

use super::{World, errno, recv, send, settle, wait, watching};
use std::io::Write;
use std::time::Duration;
use wakeline::io::AsyncWriteExt;
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::{TcpSocket, TcpStream, blocking};

const IN: EpollFlags = EpollFlags::IN;
const ET: EpollFlags = EpollFlags::IN.union(EpollFlags::ET);

#[wakeline::test(start_paused = true)]
async fn row_49_edge_triggered() {
    let world = World::new().await;
    let (mut client, mut server) = world.pair().await;
    let epoll = watching(&server, ET);
    send(&mut client, 10).await;
    send(&mut client, 10).await;
    let (wait1, wait2) = (wait(&epoll), wait(&epoll));
    send(&mut client, 10).await;
    let line = format!(
        "ET: two segments before wait -> wait1={wait1} wait2(unread)={wait2} ; third segment while unread -> {}",
        wait(&epoll)
    );
    assert_eq!(line, "ET: two segments before wait -> wait1=0x1 wait2(unread)=0 ; third segment while unread -> 0x1");

    epoll.ctl(&server, Ctl::Mod(Event::new(ET, 0))).unwrap();
    let line = format!("ET: CTL_MOD with unread data re-arms -> {}", wait(&epoll));
    assert_eq!(line, "ET: CTL_MOD with unread data re-arms -> 0x1");

    recv(&mut server, 5).await;
    let line = format!("ET: partial read, no new data -> {}", wait(&epoll));
    assert_eq!(line, "ET: partial read, no new data -> 0");
}

#[wakeline::test(start_paused = true)]
async fn row_49_level_triggered() {
    let world = World::new().await;
    let (mut client, mut server) = world.pair().await;
    let epoll = watching(&server, IN);
    send(&mut client, 10).await;
    let unread = (wait(&epoll), wait(&epoll));
    recv(&mut server, 10).await;
    let line = format!("LT: unread -> {},{} after drain -> {}", unread.0, unread.1, wait(&epoll));
    assert_eq!(line, "LT: unread -> 0x1,0x1 after drain -> 0");
}

#[wakeline::test(start_paused = true)]
async fn row_49_oneshot() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let flags = IN | EpollFlags::RDHUP | EpollFlags::ONESHOT;
    let epoll = watching(&server, flags);
    send(&mut client, 10).await;
    let first = wait(&epoll);
    send(&mut client, 10).await;
    let next = wait(&epoll);
    client.close().await.unwrap();
    settle().await;
    let fin = wait(&epoll);
    epoll.ctl(&server, Ctl::Mod(Event::new(flags, 0))).unwrap();
    let line = format!(
        "ONESHOT: -> {first} , next segment -> {next} , FIN while disabled -> {fin} , after MOD -> {}",
        wait(&epoll)
    );
    assert_eq!(line, "ONESHOT: -> 0x1 , next segment -> 0 , FIN while disabled -> 0 , after MOD -> 0x2001");
}

#[wakeline::test(start_paused = true)]
async fn row_49_low_water_mark() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    server.set_rcvlowat(100).unwrap();
    let epoll = watching(&server, IN);
    send(&mut client, 99).await;
    let below = wait(&epoll);
    send(&mut client, 1).await;
    let line = format!("RCVLOWAT=100: 99 B -> {below} , 100 B -> {}", wait(&epoll));
    assert_eq!(line, "RCVLOWAT=100: 99 B -> 0 , 100 B -> 0x1");
}

#[wakeline::test(start_paused = true)]
async fn row_49_writable_again_when_a_third_is_free() {
    let world = World::new().await;
    let (mut client, mut server) = world.pair().await;
    client.set_send_buffer_size(100_000).unwrap();
    server.set_recv_buffer_size(50_000).unwrap();
    let (room, mut written) = (u64::from(client.send_buffer_size().unwrap()), 0);
    while let Ok(n) = wakeline::time::timeout(Duration::from_millis(100), client.write(&[7; 10_000])).await {
        written += n.unwrap() as u64;
    }
    let epoll = watching(&client, EpollFlags::OUT);
    assert_eq!(wait(&epoll), "0", "full");
    let queued = |client: &TcpStream| written - client.tcp_info().unwrap().bytes_acked;
    let mut before = queued(&client);
    loop {
        recv(&mut server, 1000).await;
        settle().await;
        let now = queued(&client);
        if wait(&epoll) == "0" {
            before = now;
            continue;
        }
        // Not with the first free byte, but when a third is free.
        assert!(before * 3 > room * 2 && now * 3 <= room * 2, "{before} and {now} of {room}");
        break;
    }
    assert_eq!(wait(&epoll), "0x4");
}

#[wakeline::test(start_paused = true)]
async fn row_50_level_triggered_items_take_turns() {
    let world = World::new().await;
    let epoll = Epoll::new().unwrap();
    let mut pairs = Vec::new();
    for data in 0..3 {
        let (client, server) = world.pair().await;
        epoll.ctl(&server, Ctl::Add(Event::new(IN, data))).unwrap();
        pairs.push((client, server));
    }
    for (client, _) in &mut pairs {
        send(client, 1).await;
    }
    let mut order = String::new();
    for _ in 0..6 {
        let mut event = [Event::default()];
        assert_eq!(epoll.wait(&mut event).await.unwrap(), 1);
        order += &format!(" {}", event[0].data);
    }
    assert_eq!(format!("LT maxevents=1 order:{order}"), "LT maxevents=1 order: 0 1 2 0 1 2");
}

#[wakeline::test(start_paused = true)]
async fn row_52_nesting() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let mut tower = vec![watching(&server, IN)];
    let refused = loop {
        let outer = Epoll::new().unwrap();
        match outer.ctl(&tower[tower.len() - 1], Ctl::Add(Event::new(IN, 0))) {
            Ok(()) => tower.push(outer),
            Err(error) => break errno(Err(error)),
        }
    };
    send(&mut client, 1).await;
    let line = format!(
        "epoll nesting: {} epoll levels allowed, next -> {} ; event seen at outermost = {}",
        tower.len(),
        refused.trim_start_matches("-1 "),
        wait(&tower[tower.len() - 1])
    );
    let measured = "epoll nesting: 5 epoll levels allowed, next -> Too many levels of symbolic links ; \
                    event seen at outermost = 0x1";
    assert_eq!(line, measured);
    // In the middle it is too high as well.
    let (below, above) = (Epoll::new().unwrap(), Epoll::new().unwrap());
    assert_eq!(errno(tower[0].ctl(&below, Ctl::Add(Event::new(IN, 0)))), "-1 Too many levels of symbolic links");
    assert_eq!(errno(above.ctl(&tower[3], Ctl::Add(Event::new(IN, 0)))), "0");
    // An inner epoll that goes takes its item out of the outer one.
    assert_eq!(tower[1].len(), 1);
    tower.remove(0);
    assert_eq!(tower[0].len(), 0);
    assert_eq!(wait(&tower[3]), "0");
}

#[wakeline::test(start_paused = true)]
async fn row_52_circles_and_what_else_is_refused() {
    let world = World::new().await;
    let (_client, server) = world.pair().await;
    let (a, b) = (Epoll::new().unwrap(), Epoll::new().unwrap());
    let add = |flags| Ctl::Add(Event::new(flags, 0));
    a.ctl(&b, add(IN)).unwrap();
    let cycle = errno(b.ctl(&a, add(IN)));
    let own = errno(a.ctl(&a, add(IN)));
    let epoll = watching(&server, IN);
    let exclusive = errno(epoll.ctl(&server, Ctl::Mod(Event::new(IN | EpollFlags::EXCLUSIVE, 0))));
    let oneshot = errno(a.ctl(&server, add(IN | EpollFlags::EXCLUSIVE | EpollFlags::ONESHOT)));
    let line = format!(
        "epoll cycle -> {cycle} ; self add -> {own} ; EXCLUSIVE in MOD -> {exclusive} ; EXCLUSIVE|ONESHOT ADD -> {oneshot}"
    );
    let measured = "epoll cycle -> -1 Too many levels of symbolic links ; self add -> -1 Invalid argument ; \
                    EXCLUSIVE in MOD -> -1 Invalid argument ; EXCLUSIVE|ONESHOT ADD -> -1 Invalid argument";
    assert_eq!(line, measured);
    assert_eq!(errno(epoll.ctl(&server, add(IN))), "-1 File exists");
    assert_eq!(errno(b.ctl(&server, Ctl::Del)), "-1 No such file or directory");
    assert_eq!(errno(b.ctl(&server, Ctl::Mod(Event::new(IN, 0)))), "-1 No such file or directory");
    assert_eq!(errno(b.ctl(&epoll, add(IN | EpollFlags::EXCLUSIVE))), "-1 Invalid argument");
    let small = Epoll::with_max_watches(1).unwrap();
    small.ctl(&server, add(IN | EpollFlags::EXCLUSIVE)).unwrap();
    assert_eq!(errno(small.ctl(&server, Ctl::Mod(Event::new(IN, 0)))), "-1 Invalid argument");
    assert_eq!(errno(small.ctl(&world.listener, add(IN))), "-1 No space left on device");
    assert_eq!(errno(small.wait_blocking(&mut [], None).map(drop)), "-1 Invalid argument");
    // With many above it, an event has too many ways: Linux allows 500 of two links.
    let inner = Epoll::new().unwrap();
    let outer: Vec<Epoll> = (0..501).map(|_| Epoll::new().unwrap()).collect();
    let results: Vec<String> = outer.iter().map(|outer| errno(outer.ctl(&inner, add(IN)))).collect();
    assert_eq!((results[499].as_str(), results[500].as_str()), ("0", "-1 Invalid argument"));
    assert_eq!(outer[500].len(), 0);
}

#[test]
fn row_53_an_item_lives_with_the_file() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let _here = host.enter();
    let listener = blocking::TcpListener::bind("127.0.0.1:7000").unwrap();
    let mut client = blocking::TcpStream::connect("127.0.0.1:7000").unwrap();
    let (fd, _) = listener.accept().unwrap();
    let epoll = watching(&fd, IN);
    let dup = fd.try_clone().unwrap();
    assert_eq!(errno(epoll.ctl(&dup, Ctl::Del)), "-1 No such file or directory", "it is another descriptor");
    epoll.ctl(&dup, Ctl::Add(Event::new(IN, 9))).unwrap();
    epoll.ctl(&dup, Ctl::Del).unwrap();
    client.write_all(b"x").unwrap();
    let mut events = [Event::default(); 4];
    assert_eq!(epoll.wait_blocking(&mut events, None).unwrap(), 1);
    drop(fd);
    let line = format!("fd closed but dup alive -> epoll still reports {}", wait(&epoll));
    assert_eq!(line, "fd closed but dup alive -> epoll still reports 0x1");
    drop(dup);
    assert_eq!(format!("last ref closed -> {}", wait(&epoll)), "last ref closed -> 0");
    assert_eq!(epoll.len(), 0);
    let counters = epoll.counters();
    assert_eq!((counters.told, counters.wakeups), (2, counters.sleeps), "closing woke nobody");
}

#[wakeline::test(start_paused = true)]
async fn a_listener_a_udp_socket_and_halves_on_several_cpus() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listener = server.run(wakeline::net::TcpListener::bind("0.0.0.0:7000")).await.unwrap();
    let udp = server.run(wakeline::net::UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
    let epoll = watching(&listener, IN);
    epoll.ctl(&udp, Ctl::Add(Event::new(ET, 1))).unwrap();
    assert_eq!(wait(&epoll), "0");
    let mut events = [Event::default(); 8];
    let mut streams = Vec::new();
    for data in 10..20 {
        let connecting = client.spawn(TcpStream::connect("server:7000"));
        let told = epoll.wait(&mut events).await.unwrap();
        assert_eq!((told, events[0]), (1, Event::new(IN, 0)));
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, writer) = stream.into_split();
        epoll.ctl(&reader, Ctl::Add(Event::new(IN, data))).unwrap();
        assert_eq!(errno(epoll.ctl(&writer, Ctl::Add(Event::new(IN, data)))), "-1 File exists", "one descriptor");
        streams.push((connecting.await.unwrap().unwrap(), reader, writer));
    }
    assert_eq!(wait(&epoll), "0", "level-triggered, and all were accepted");
    let talk = client.run(wakeline::net::UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    talk.send_to(b"hello", "10.0.0.1:7001".parse::<std::net::SocketAddr>().unwrap()).await.unwrap();
    let told = epoll.wait(&mut events).await.unwrap();
    assert_eq!((told, events[0]), (1, Event::new(IN, 1)));
    assert_eq!(wait(&epoll), "0", "edge-triggered");
    for (n, (client, ..)) in streams.iter_mut().enumerate() {
        send(client, 1).await;
        let mut events = [Event::default(); 16];
        let told = epoll.wait(&mut events).await.unwrap();
        let mut data: Vec<u64> = events[..told].iter().map(|event| event.data).collect();
        data.sort_unstable();
        assert_eq!(data, (10..=10 + n as u64).collect::<Vec<_>>(), "nothing was read");
    }
    drop((streams, listener, udp));
    assert!(epoll.is_empty());
}

#[wakeline::test(start_paused = true)]
async fn dropping_a_wait_hands_its_wake_up_on() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let epoll = std::sync::Arc::new(watching(&server, ET));
    let sleeper = |epoll: std::sync::Arc<Epoll>| {
        wakeline::spawn(async move { epoll.wait(&mut [Event::default()]).await.unwrap() })
    };
    let older = sleeper(epoll.clone());
    settle().await;
    let mut events = [Event::default()];
    {
        // The newest sleeper is woken first; it goes without looking.
        let mut newest = std::pin::pin!(epoll.wait(&mut events));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(newest.as_mut().poll(cx).is_pending())).await;
        assert!(polled);
        send(&mut client, 1).await;
        assert!(!older.is_finished(), "one sleeper per event");
    }
    assert_eq!(older.await.unwrap(), 1);
    assert_eq!(epoll.counters().wakeups, 2);
}

#[wakeline::test(start_paused = true)]
async fn a_wait_with_a_timeout_and_sockets_of_the_operating_system() {
    let world = World::new().await;
    let (_client, server) = world.pair().await;
    let epoll = watching(&server, IN);
    let mut events = [Event::default()];
    let waited = wakeline::time::timeout(Duration::from_secs(1), epoll.wait(&mut events)).await;
    assert!(waited.is_err());
    assert_eq!(epoll.wait_blocking(&mut events, Some(Duration::from_millis(5))).unwrap(), 0);
    assert_eq!(epoll.counters().sleeps, 2);
    let os = wakeline::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = epoll.ctl(&os, Ctl::Add(Event::new(IN, 0))).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("mio"), "{error}");
    let unconnected = world.server.run(async { TcpSocket::new_v4() }).await.unwrap();
    let error = epoll.ctl(&unconnected, Ctl::Add(Event::new(IN, 0))).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}
