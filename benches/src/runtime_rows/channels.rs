//! Messages between tasks. All channels carry a `u64`, and all that is sent is counted.

use crate::contestant::Primitives;
use crate::run::{Run, Until};
use crate::runtime_rows::{inside, ns_each};
use std::io;

/// As in tokio's own benchmark of a full channel.
pub(crate) const CAPACITY: usize = 100;
pub(crate) const MESSAGES: usize = 8000;
pub(crate) const SENDERS: usize = 8;
/// As in tokio's own benchmark.
const PINGS: usize = 1000;

/// As in tokio's own benchmark: each ping is a task that spawns its partner and talks with it through two new channels.
pub(crate) fn ping_pong_oneshot<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        let mut pings = Vec::with_capacity(PINGS);
        while run.goes_on() {
            pings.extend((0..PINGS).map(|_| C::spawn(ping::<C>())));
            for ping in pings.drain(..) {
                C::join(ping).await;
            }
        }
        run.finish()
    });
    ns_each(measured, PINGS)
}

async fn ping<C: Primitives>() {
    let (ping, pinged) = C::oneshot();
    let (pong, ponged) = C::oneshot();
    C::detach(C::spawn(async move {
        C::oneshot_receive(pinged).await;
        C::oneshot_send(pong);
    }));
    C::oneshot_send(ping);
    C::oneshot_receive(ponged).await;
}

/// Two tasks for the whole run, a channel each way.
pub(crate) fn ping_pong_mpsc<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let (ping, mut pinged) = C::bounded(CAPACITY);
        let (pong, mut ponged) = C::bounded(CAPACITY);
        let partner = C::spawn(async move {
            while let Some(message) = C::receive(&mut pinged).await {
                C::send(&pong, message).await;
            }
        });
        let mut run = Run::new(until);
        let mut sent = 0;
        while run.goes_on() {
            sent += 1;
            C::send(&ping, sent).await;
            assert_eq!(C::receive(&mut ponged).await, Some(sent));
        }
        drop(ping);
        C::join(partner).await;
        run.finish()
    });
    ns_each(measured, 1)
}

pub(crate) fn bounded_one_to_one<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    bounded(contestant, until, 1)
}

pub(crate) fn bounded_eight_to_one<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    bounded(contestant, until, SENDERS)
}

/// Senders and the receiver are tasks, new for every 8,000 messages.
fn bounded<C: Primitives>(contestant: &C, until: Until, senders: usize) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        while run.goes_on() {
            let (sender, mut receiver) = C::bounded(CAPACITY);
            for _ in 0..senders {
                let sender = sender.clone();
                C::detach(C::spawn(async move {
                    for message in 0..MESSAGES / senders {
                        C::send(&sender, message as u64).await;
                    }
                }));
            }
            drop(sender);
            let receiving = C::spawn(async move {
                let mut received = 0;
                while C::receive(&mut receiver).await.is_some() {
                    received += 1;
                }
                received
            });
            assert_eq!(C::join(receiving).await, MESSAGES);
        }
        run.finish()
    });
    ns_each(measured, MESSAGES)
}

pub(crate) fn unbounded_one_to_one<C: Primitives>(contestant: &C, until: Until) -> io::Result<Vec<f64>> {
    let measured = inside(contestant, async move {
        let mut run = Run::of_long(until);
        while run.goes_on() {
            let (sender, mut receiver) = C::unbounded();
            C::detach(C::spawn(async move {
                for message in 0..MESSAGES {
                    C::send_unbounded(&sender, message as u64);
                }
            }));
            let receiving = C::spawn(async move {
                let mut received = 0;
                while C::receive_unbounded(&mut receiver).await.is_some() {
                    received += 1;
                }
                received
            });
            assert_eq!(C::join(receiving).await, MESSAGES);
        }
        run.finish()
    });
    ns_each(measured, MESSAGES)
}
