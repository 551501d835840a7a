//! Several tasks and threads on one epoll, while sockets are added, armed, read to their end and closed: no event is lost.

use crate::multiplex::at_once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;
use wakeline::sync::Notify;

const CONNECTIONS: usize = 12;
const BYTES: usize = 20_000;
const SERVERS: usize = 4;

struct Server {
    epoll: Epoll,
    flags: EpollFlags,
    streams: Vec<Mutex<Option<TcpStream>>>,
    received: AtomicUsize,
    open: AtomicUsize,
    all_closed: Notify,
}

impl Server {
    /// Reads what there is. At the end the socket is closed, and its item goes.
    fn on_event(&self, event: &Event) {
        let mut place = self.streams[event.data as usize].lock().unwrap();
        // Where items are not one-shot another task may have met the end.
        let Some(stream) = place.as_mut() else { return };
        let mut buf = [0; 700];
        while let Ok(n) = at_once(stream.read(&mut buf)) {
            if n == 0 {
                *place = None;
                if self.open.fetch_sub(1, Ordering::Relaxed) == 1 {
                    self.all_closed.notify_one();
                }
                return;
            }
            self.received.fetch_add(n, Ordering::Relaxed);
        }
        if self.flags.contains(EpollFlags::ONESHOT) {
            self.epoll.ctl(stream, Ctl::Mod(Event::new(self.flags, event.data))).unwrap();
        }
    }

    async fn serve(&self) {
        let mut events = [Event::default(); 3];
        loop {
            let told = self.epoll.wait(&mut events).await.unwrap();
            events[..told].iter().for_each(|event| self.on_event(event));
        }
    }
}

async fn talk(mut stream: TcpStream, seed: u64) {
    let (mut left, mut rng) = (BYTES, fastrand::Rng::with_seed(seed));
    while left > 0 {
        let n = rng.usize(1..900).min(left);
        stream.write_all(&vec![7; n]).await.unwrap();
        left -= n;
        if rng.bool() {
            wakeline::task::yield_now().await;
        }
    }
}

fn check(flags: EpollFlags) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let lan = Lan::with_seed(1);
        let host = lan.host("server").cpus(2).build().unwrap();
        let client = lan.host("client").build().unwrap();
        let listener = host.run(TcpListener::bind("0.0.0.0:7000")).await.unwrap();
        let (epoll, streams) = (Epoll::new().unwrap(), (0..CONNECTIONS).map(|_| Mutex::default()).collect());
        let (received, open) = (AtomicUsize::new(0), AtomicUsize::new(CONNECTIONS));
        let server = Arc::new(Server { epoll, flags, streams, received, open, all_closed: Notify::new() });
        let serving: Vec<_> = (0..SERVERS)
            .map(|_| server.clone())
            .map(|server| wakeline::spawn(async move { server.serve().await }))
            .collect();
        for (at, place) in server.streams.iter().enumerate() {
            let stream = client.run(TcpStream::connect("server:7000")).await.unwrap();
            wakeline::spawn(talk(stream, at as u64));
            let (accepted, _) = listener.accept().await.unwrap();
            let mut place = place.lock().unwrap();
            // Its events may come before it is in its place; then they wait for the lock.
            server.epoll.ctl(&accepted, Ctl::Add(Event::new(flags, at as u64))).unwrap();
            *place = Some(accepted);
        }
        let limit = std::time::Duration::from_secs(30);
        let ended = wakeline::time::timeout(limit, server.all_closed.notified()).await;
        let received = server.received.load(Ordering::Relaxed);
        assert!(ended.is_ok(), "{flags:?}: an event was lost after {received} bytes, {:?}", server.epoll.counters());
        assert_eq!((received, server.epoll.len()), (CONNECTIONS * BYTES, 0));
        serving.iter().for_each(|task| task.abort());
    });
}

#[test]
fn several_tasks_on_one_epoll_lose_no_event() {
    check(EpollFlags::IN);
    check(EpollFlags::IN | EpollFlags::ET);
    check(EpollFlags::IN | EpollFlags::ONESHOT);
    check(EpollFlags::IN | EpollFlags::ET | EpollFlags::ONESHOT);
}
