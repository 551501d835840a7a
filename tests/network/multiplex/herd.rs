//! Row 42 of docs/rxpath.md, for the ways to wait that go through poll and epoll, and row 51: eight sleepers and one event.
//!
//! The sleepers are polled by hand, each with a waker of its own that writes down when it was called; whoever was woken is
//! polled in that order, until nobody is woken any more.

use super::{World, send, settle, watching};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use wakeline::net::epoll::{Epoll, EpollFlags, Event};
use wakeline::net::poll::{Events, FdSet, PollFd, Source, poll, select};
use wakeline::net::{TcpStream, UdpSocket};

const SLEEPERS: usize = 8;
const HERD: &str = include_str!("../../traces/herd.txt");
const IN: EpollFlags = EpollFlags::IN;

type Woken = Arc<Mutex<Vec<usize>>>;
type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Recorder {
    id: usize,
    woken: Woken,
}

impl Wake for Recorder {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.id);
    }
}

struct Herd<'a> {
    sleeps: Vec<Option<Sleep<'a>>>,
    wakers: Vec<Waker>,
    woken: Woken,
}

impl<'a> Herd<'a> {
    /// Puts all to sleep, the first one first.
    fn asleep(sleeps: impl IntoIterator<Item = Sleep<'a>>) -> Herd<'a> {
        let woken = Woken::default();
        let sleeps: Vec<_> = sleeps.into_iter().map(Some).collect();
        let waker = |id| Waker::from(Arc::new(Recorder { id, woken: woken.clone() }));
        let mut herd = Herd { wakers: (0..sleeps.len()).map(waker).collect(), sleeps, woken };
        for id in 0..herd.sleeps.len() {
            assert!(!herd.returns(id), "nothing has happened yet");
        }
        herd
    }

    fn returns(&mut self, id: usize) -> bool {
        let Some(sleep) = &mut self.sleeps[id] else { return false };
        let returned = sleep.as_mut().poll(&mut Context::from_waker(&self.wakers[id])).is_ready();
        if returned {
            self.sleeps[id] = None;
        }
        returned
    }

    /// The event has happened: what the measuring program printed.
    fn run(&mut self, model: &str) -> String {
        let (mut ran, mut returned) = (0, 0);
        loop {
            let next = self.woken.lock().unwrap().get(ran).copied();
            let Some(id) = next else { break };
            ran += 1;
            returned += usize::from(self.returns(id));
        }
        let mut ids = self.woken.lock().unwrap().clone();
        let first = ids[0];
        ids.sort_unstable();
        let ids: String = ids.iter().map(|id| format!("{id} ")).collect();
        format!("{model} sleepers={SLEEPERS} woken={ran} returned_to_user={returned} first={first} woken_ids=[{ids}]")
    }

    /// The same must be what Linux did.
    fn check(&mut self, model: &str) {
        let here = self.run(model);
        let measured = HERD.lines().find(|line| line.split_whitespace().next() == Some(model)).expect(model);
        let measured = measured.split_once(" (id 0").expect("it says who slept first").0;
        // The name of the model is padded there.
        let (_, measured) = measured.split_once("sleepers=").expect("eight of them");
        assert_eq!(here, format!("{model} sleepers={measured}"));
    }
}

fn on_epoll(epoll: &Epoll) -> Sleep<'_> {
    Box::pin(async {
        assert_eq!(epoll.wait(&mut [Event::default()]).await.unwrap(), 1);
    })
}

fn on_poll(source: &dyn Source) -> Sleep<'_> {
    Box::pin(async move {
        assert_eq!(poll(&mut [PollFd::new(source, Events::IN)]).await.unwrap(), 1);
    })
}

fn on_select(source: &dyn Source) -> Sleep<'_> {
    Box::pin(async move {
        let mut read = FdSet::new();
        read.set(source).unwrap();
        assert_eq!(select(Some(&mut read), None, None).await.unwrap(), 1);
        assert!(read.is_set(source));
    })
}

/// Eight epolls with one item each.
fn epolls(source: &dyn Source, flags: EpollFlags) -> Vec<Epoll> {
    (0..SLEEPERS).map(|_| watching(source, flags)).collect()
}

async fn tcp_herd(model: &str, sleeps: impl FnOnce(&TcpStream) -> Vec<Epoll>, shared: bool) {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let epolls = sleeps(&server);
    let mut herd = Herd::asleep((0..SLEEPERS).map(|id| on_epoll(&epolls[if shared { 0 } else { id }])));
    send(&mut client, 1).await;
    herd.check(model);
    let wakeups: u64 = epolls.iter().map(|epoll| epoll.counters().wakeups).sum();
    assert_eq!(wakeups, herd.woken.lock().unwrap().len() as u64);
}

const ALL: &str = "sleepers=8 woken=8 returned_to_user=8 first=7 woken_ids=[0 1 2 3 4 5 6 7 ]";

#[wakeline::test(start_paused = true)]
async fn row_42_an_epoll_each() {
    tcp_herd("ep1each", |server| epolls(server, IN), false).await;
}

#[wakeline::test(start_paused = true)]
async fn row_42_an_epoll_each_exclusive() {
    tcp_herd("ep1excl", |server| epolls(server, IN | EpollFlags::EXCLUSIVE), false).await;
}

#[wakeline::test(start_paused = true)]
async fn row_42_one_epoll_level_triggered() {
    tcp_herd("epsharedLT", |server| vec![watching(server, IN)], true).await;
}

#[wakeline::test(start_paused = true)]
async fn row_42_one_epoll_edge_triggered() {
    tcp_herd("epsharedET", |server| vec![watching(server, IN | EpollFlags::ET)], true).await;
}

#[wakeline::test(start_paused = true)]
async fn row_42_poll_and_select() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let mut polls = Herd::asleep((0..SLEEPERS).map(|_| on_poll(&server)));
    let mut selects = Herd::asleep((0..SLEEPERS).map(|_| on_select(&server)));
    send(&mut client, 1).await;
    // Who of them came back to its program first was mostly, and not always, the newest; who is woken first always is.
    assert_eq!(polls.run("poll"), format!("poll {ALL}"));
    assert_eq!(selects.run("select"), format!("select {ALL}"));
}

/// Calls that take: one connection and one datagram have one taker each. (Readers of one stream: `host/socket/tests.rs`.)
#[wakeline::test(start_paused = true)]
async fn row_42_accept_and_receive() {
    let world = World::new().await;
    let receiver = world.server.run(UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
    let sender = world.client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();

    let mut accepts = Herd::asleep(
        (0..SLEEPERS).map(|_| -> Sleep<'_> { Box::pin(async { drop(world.listener.accept().await.unwrap()) }) }),
    );
    let _stream = world.client.run(TcpStream::connect("server:7000")).await.unwrap();
    settle().await;
    accepts.check("accept");

    let mut datagrams = Herd::asleep(
        (0..SLEEPERS)
            .map(|_| -> Sleep<'_> { Box::pin(async { assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 1) }) }),
    );
    world.client.run(sender.send_to(b"x", "server:7001")).await.unwrap();
    settle().await;
    datagrams.check("udprecv");
}

#[wakeline::test(start_paused = true)]
async fn row_42_datagrams() {
    let world = World::new().await;
    let receiver = world.server.run(UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
    let sender = world.client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let epolls = epolls(&receiver, IN);
    let mut each = Herd::asleep(epolls.iter().map(on_epoll));
    let mut polls = Herd::asleep((0..SLEEPERS).map(|_| on_poll(&receiver)));
    world.client.run(sender.send_to(b"x", "server:7001")).await.unwrap();
    settle().await;
    each.check("udp_ep1each");
    polls.check("udp_poll");
}

#[wakeline::test(start_paused = true)]
async fn row_51_exclusive_the_first_registered_that_sleeps() {
    let world = World::new().await;
    let receiver = world.server.run(UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
    let sender = world.client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let epolls = epolls(&receiver, IN | EpollFlags::EXCLUSIVE);
    let datagram = async || {
        world.client.run(sender.send_to(b"x", "server:7001")).await.unwrap();
        settle().await;
    };
    // As long as the first sleeps it is always the first, whoever went to sleep first.
    for _ in 0..3 {
        let mut herd = Herd::asleep(epolls.iter().rev().map(on_epoll));
        datagram().await;
        let expected = "excl sleepers=8 woken=1 returned_to_user=1 first=7 woken_ids=[7 ]";
        assert_eq!(herd.run("excl"), expected, "they went to sleep in the opposite order");
        assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 1);
    }
    // Who is busy is passed by: a second event finds the first at work, a third the second.
    let mut herd = Herd::asleep(epolls.iter().map(on_epoll));
    for expected in 0..3 {
        datagram().await;
        assert_eq!(*herd.woken.lock().unwrap(), (0..=expected).collect::<Vec<_>>());
    }
    assert!(herd.returns(0) && herd.returns(1) && herd.returns(2) && !herd.returns(3));
    // Nobody sleeps: every epoll has it, and no event is lost.
    drop(herd);
    datagram().await;
    for epoll in &epolls {
        assert_eq!(epoll.wait_blocking(&mut [Event::default()], Some(std::time::Duration::ZERO)).unwrap(), 1);
    }
}

#[wakeline::test(start_paused = true)]
async fn an_exclusive_sleeper_that_goes_without_looking_hands_the_event_to_the_next_epoll() {
    let world = World::new().await;
    let receiver = world.server.run(UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
    let sender = world.client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let epolls = epolls(&receiver, IN | EpollFlags::EXCLUSIVE);
    let mut herd = Herd::asleep(epolls.iter().map(on_epoll));
    world.client.run(sender.send_to(b"x", "server:7001")).await.unwrap();
    settle().await;
    for first in 0..3 {
        assert_eq!(*herd.woken.lock().unwrap(), (0..=first).collect::<Vec<_>>());
        herd.sleeps[first] = None;
    }
    // Where somebody has taken it meanwhile, nobody is told in vain.
    assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 1);
    herd.sleeps[3] = None;
    assert_eq!(*herd.woken.lock().unwrap(), [0, 1, 2, 3]);
}
