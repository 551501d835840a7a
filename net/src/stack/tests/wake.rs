//! With which keys the callbacks of a socket wake, and in which order: who stays in the wait list writes down what it hears.

use crate::stack::testing::world::{CLIENT, SERVER, World};
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot, WakeFn};

/// The keys that were heard.
#[derive(Default)]
struct Keys(Mutex<Vec<Events>>);

impl WakeFn for Keys {
    fn call(&self, key: Events) {
        self.0.lock().unwrap().push(key);
    }
}

impl Keys {
    /// What `interest` hears of a socket from now on.
    fn of(world: &mut World, host: usize, id: crate::stack::socket::SocketId, interest: Events) -> Arc<Keys> {
        let keys = Arc::new(Keys::default());
        let list = world.stacks[host].wait_list(id).unwrap();
        assert!(list.add(&mut WaitSlot::new(), keys.clone(), interest, Mode::Shared).is_none());
        keys
    }

    fn take(&self) -> Vec<Events> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

const IN: Events = Events::READABLE;
const NO_KEY: Events = Events::ANY;

/// docs/rxpath.md, row 45: `tcp_fin` wakes everybody without a key, and then there is something to read.
#[test]
fn a_fin_wakes_twice_first_without_a_key() {
    let mut world = World::new(1);
    let (client, server, _) = world.establish();
    let reader = Keys::of(&mut world, SERVER, server, Events::READABLE);
    let writer = Keys::of(&mut world, SERVER, server, Events::WRITABLE);
    world.close(CLIENT, client);
    world.run_ms(1);
    assert_eq!(reader.take(), [NO_KEY, IN]);
    assert_eq!(writer.take(), [NO_KEY], "who only waits to write is woken by the first");
}

/// docs/rxpath.md, row 44: each key reaches those whose interest it meets.
#[test]
fn text_wakes_readers_and_an_error_wakes_everybody() {
    let mut world = World::new(2);
    let (client, server, _) = world.establish();
    let reader = Keys::of(&mut world, SERVER, server, Events::READABLE);
    let writer = Keys::of(&mut world, SERVER, server, Events::WRITABLE);
    world.send(CLIENT, client, b"text").unwrap();
    world.run_ms(1);
    assert_eq!((reader.take(), writer.take()), (vec![IN], vec![]));
    // What was not read makes the close a reset.
    let peer = Keys::of(&mut world, CLIENT, client, Events::WRITABLE);
    world.close(SERVER, server);
    world.run_ms(1);
    assert_eq!(peer.take(), [Events::ERR, NO_KEY], "`sk_error_report`, then `sk_state_change`");
}

#[test]
fn a_shutdown_wakes_everybody_on_this_end() {
    let mut world = World::new(3);
    let (client, _, _) = world.establish();
    let writer = Keys::of(&mut world, CLIENT, client, Events::WRITABLE);
    world.call(CLIENT, |stack, now, fx| stack.tcp_shutdown(now, client, Shutdown::Write, fx)).unwrap();
    assert_eq!(writer.take(), [NO_KEY]);
}
