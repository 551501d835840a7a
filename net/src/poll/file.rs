//! What a descriptor refers to: the functions behind `file->poll`.

use crate::epoll::eventpoll::EventPoll;
use crate::host::socket::file::{FileId as SocketFileId, Places, SocketFile};
use std::sync::Arc;
use std::task::Waker;
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot, WakeBatch, WakeFn};

/// An open file.
#[derive(Clone)]
pub(crate) enum File {
    Socket(SocketFile),
    Epoll(Arc<EventPoll>),
    /// A TCP socket that does not connect or listen yet. Nothing happens to it, so it names no wait queue.
    Unconnected,
}

/// Tells one file from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileId {
    Socket(SocketFileId),
    /// By where it lies.
    Epoll(usize),
    Unconnected,
}

/// A waiter's places in the wait queues that a file names.
#[derive(Debug, Default)]
pub(crate) struct FilePlaces {
    sockets: Places,
    epoll: WaitSlot,
}

impl File {
    pub(crate) fn id(&self) -> FileId {
        match self {
            File::Socket(socket) => FileId::Socket(socket.id()),
            File::Epoll(epoll) => FileId::Epoll(Arc::as_ptr(epoll).addr()),
            File::Unconnected => FileId::Unconnected,
        }
    }

    /// Whether the file is open still.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            File::Socket(socket) => socket.is_open(),
            File::Epoll(epoll) => epoll.is_open(),
            File::Unconnected => true,
        }
    }

    /// What holds. Who is woken by it, because an epoll was looked through, joins `wakes`.
    pub(crate) fn poll(&self, wakes: &mut WakeBatch) -> Events {
        match self {
            File::Socket(socket) => socket.poll(),
            File::Epoll(epoll) => epoll.poll(wakes),
            File::Unconnected => UNCONNECTED,
        }
    }

    /// The same, having left `waker` in every wait queue that the file names, for events that meet `interest`
    /// (`poll_wait`).
    pub(crate) fn poll_wait(
        &self,
        places: &mut FilePlaces,
        waker: &Waker,
        interest: Events,
        wakes: &mut WakeBatch,
    ) -> Events {
        match self {
            File::Socket(socket) => socket.poll_wait(&mut places.sockets, waker, interest),
            File::Epoll(epoll) => {
                epoll.join_watchers(&mut places.epoll, waker, interest);
                epoll.poll(wakes)
            }
            File::Unconnected => UNCONNECTED,
        }
    }

    /// The same with a function that stays in the wait queues until it leaves them.
    pub(crate) fn watch(
        &self,
        places: &mut FilePlaces,
        func: &Arc<dyn WakeFn>,
        (interest, mode): (Events, Mode),
        wakes: &mut WakeBatch,
    ) -> Events {
        match self {
            File::Socket(socket) => socket.watch(&mut places.sockets, func, interest, mode),
            File::Epoll(epoll) => {
                epoll.add_watcher(&mut places.epoll, func, interest, mode);
                epoll.poll(wakes)
            }
            File::Unconnected => UNCONNECTED,
        }
    }

    /// Changes what such a function wants to hear; gives what holds now.
    pub(crate) fn watch_for(&self, places: &FilePlaces, interest: Events, wakes: &mut WakeBatch) -> Events {
        match self {
            File::Socket(socket) => socket.watch_for(&places.sockets, interest),
            File::Epoll(epoll) => {
                epoll.set_watched_for(&places.epoll, interest);
                epoll.poll(wakes)
            }
            File::Unconnected => UNCONNECTED,
        }
    }

    /// Leaves those wait queues.
    pub(crate) fn leave(&self, places: &mut FilePlaces) {
        match self {
            File::Socket(socket) => socket.leave(&mut places.sockets),
            File::Epoll(epoll) => epoll.leave_watchers(&mut places.epoll),
            File::Unconnected => {}
        }
    }
}

impl From<SocketFile> for File {
    fn from(socket: SocketFile) -> File {
        File::Socket(socket)
    }
}

impl From<Arc<EventPoll>> for File {
    fn from(epoll: Arc<EventPoll>) -> File {
        File::Epoll(epoll)
    }
}

/// `tcp_poll` of a socket in CLOSE that was never connected.
const UNCONNECTED: Events = Events::OUT.union(Events::WRNORM).union(Events::HUP);
