//! Sockets as system calls see them, on a host whose CPUs run on threads.

use crate::host::handle::Host;
use crate::host::lan::Lan;
use crate::host::machine::Machine;
use crate::host::socket::tcp::{TcpListener, TcpStream};
use crate::host::socket::udp::UdpSocket;
use crate::netns::Netns;
use crate::sockopt::Sharing;
use crate::stack::counters::Mib;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use wakeline_runtime::wait_queue::WaitSlot;

/// Tells who was woken.
struct Named(usize, Mutex<Sender<usize>>);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().send(self.0).unwrap();
    }
}

fn pair(host: &Arc<Machine>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(host.clone(), "10.0.0.1:7".parse().unwrap(), 8).unwrap();
    let client = TcpStream::start_connect(host.clone(), "10.0.0.1:7".parse().unwrap()).unwrap();
    client.connected_blocking(None).unwrap();
    let (server, _) = listener.accept_blocking(None).unwrap();
    (client, server)
}

/// docs/rxpath.md, row 33: what comes while a call is in the stack is not seen before the call is over, and keeps its order.
#[test]
fn what_arrives_during_a_call_is_seen_after_it_and_in_order() {
    let lan = Lan::with_seed(1);
    let (near, far) = (lan.host("near").build_threaded().unwrap(), lan.host("far").build_threaded().unwrap());
    let on = |host: &Host| {
        let _here = host.enter();
        let Netns::Emulated(machine) = Netns::current() else { panic!("this thread stands on a host") };
        let socket = UdpSocket::bind(machine.clone(), "0.0.0.0:7".parse().unwrap(), Sharing::default()).unwrap();
        (machine, socket)
    };
    let ((near, receiver), (_, sender)) = (on(&near), on(&far));
    let to = "10.0.0.1:7".parse().ok();
    let receive = || {
        let mut buf = [0; 1];
        receiver.recv_from_blocking(&mut buf, false, None).unwrap();
        buf[0]
    };
    // The first datagram finds the neighbour.
    sender.send_to_blocking(&[0], to).unwrap();
    assert_eq!(receive(), 0);
    near.with_stack(0, |stack, _, _| {
        let before = stack.counters().get(Mib::UdpInDatagrams);
        for n in 1..=8 {
            sender.send_to_blocking(&[n], to).unwrap();
            std::thread::yield_now();
        }
        assert_eq!(stack.counters().get(Mib::UdpInDatagrams), before, "the softirq waits");
    });
    assert_eq!((1..=8).map(|_| receive()).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}

/// docs/rxpath.md, row 42: eight that read one connection, as threads may: all are woken, the newest first, and one takes the byte.
#[test]
fn row_42_all_who_read_a_stream_are_woken_and_one_takes() {
    const SLEEPERS: usize = 8;
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let _here = host.enter();
    let Netns::Emulated(machine) = Netns::current() else { panic!("this thread stands on the host") };
    let (client, server) = pair(&machine);
    let (sender, woken) = channel();
    let wakers: Vec<_> = (0..SLEEPERS).map(|id| Waker::from(Arc::new(Named(id, Mutex::new(sender.clone()))))).collect();
    let mut slots: Vec<_> = wakers.iter().map(|_| WaitSlot::new()).collect();
    let mut reads =
        |id: usize| server.poll_recv(&mut Context::from_waker(&wakers[id]), &mut slots[id], &mut [0; 8][..]);
    assert!((0..SLEEPERS).all(|id| reads(id).is_pending()));
    client.send_blocking(&b"x"[..], None).unwrap();
    let order: Vec<_> = woken.iter().take(SLEEPERS).collect();
    assert_eq!(order, [7, 6, 5, 4, 3, 2, 1, 0]);
    let taken: Vec<_> = order.into_iter().filter(|&id| matches!(reads(id), Poll::Ready(Ok(1)))).collect();
    assert_eq!(taken, [7]);
    assert!(woken.try_recv().is_err(), "each was woken once");
    slots.iter_mut().for_each(|slot| server.release(slot));
}
