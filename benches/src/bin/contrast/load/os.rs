//! The load over the operating system's network: one bare epoll loop.
//!
//! No runtime takes part, so what differs between two servers is the servers. At a fixed rate it sleeps to the nanosecond:
//! in `ppoll`, with the timer slack of the thread at its least.

use super::conversation::{Body, Conversation};
use super::schedule::{Next, Pace, Schedule};
use super::{BURST, Load, Measured, Recorder, SILENCE_MAX};
use crate::workload::{Pattern, Workload};
use mio::net::TcpStream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// All connections, and the loop that serves them.
pub(crate) struct OsLoad {
    addr: SocketAddr,
    workload: Workload,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    talks: Vec<Talk>,
    body: Body,
    buf: Vec<u8>,
    /// Those that have been opened; with `Connect` more than there are at a time.
    opened: u64,
}

struct Talk {
    stream: Option<TcpStream>,
    conversation: Conversation,
}

impl OsLoad {
    /// Opens the connections; with [`Pattern::Connect`] none.
    pub(crate) fn connect(addr: SocketAddr, workload: Workload) -> io::Result<OsLoad> {
        nix::sys::prctl::set_timerslack(1)?;
        let mut load = OsLoad {
            addr,
            workload,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); EVENTS_MAX],
            talks: Vec::with_capacity(workload.connections),
            body: Body::new(workload.size),
            buf: vec![0; READ_MAX],
            opened: 0,
        };
        for place in 0..workload.connections {
            let talk = match workload.pattern {
                Pattern::Connect => Talk { stream: None, conversation: Conversation::default() },
                _ => {
                    let mut stream = std::net::TcpStream::connect(addr)?;
                    if place % BURST == BURST - 1 {
                        await_server(&mut stream)?;
                    }
                    stream.set_nonblocking(true)?;
                    load.talk(place, TcpStream::from_std(stream))?
                }
            };
            load.talks.push(talk);
        }
        Ok(load)
    }

    fn talk(&mut self, place: usize, stream: TcpStream) -> io::Result<Talk> {
        let number = self.opened;
        self.opened += 1;
        let edges = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(&stream, EpollEvent::new(edges, place as u64))?;
        Ok(Talk { stream: Some(stream), conversation: Conversation::new(number, self.workload.size) })
    }

    /// Begins a message in `place`, which with [`Pattern::Connect`] opens a connection for it.
    fn begin(&mut self, place: usize, due: Instant) -> io::Result<()> {
        if self.workload.pattern == Pattern::Connect {
            let stream = TcpStream::connect(self.addr)?;
            self.talks[place] = self.talk(place, stream)?;
            self.talks[place].conversation.begin(due);
            return Ok(());
        }
        self.talks[place].conversation.begin(due);
        self.flush(place)
    }

    fn flush(&mut self, place: usize) -> io::Result<()> {
        let talk = &mut self.talks[place];
        let Some(stream) = &mut talk.stream else { return Ok(()) };
        loop {
            let unsent = talk.conversation.unsent(&mut self.body);
            if unsent.is_empty() {
                return Ok(());
            }
            match stream.write(unsent) {
                Ok(n) => talk.conversation.on_sent(n),
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what has come. An edge is followed until less comes than was asked for.
    fn receive(&mut self, place: usize, mut answered: impl FnMut(Instant)) -> io::Result<()> {
        let talk = &mut self.talks[place];
        let Some(stream) = &mut talk.stream else { return Ok(()) };
        loop {
            match stream.read(&mut self.buf) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed a connection"));
                }
                Ok(n) => {
                    talk.conversation.on_received(&self.buf[..n], &mut self.body, &mut answered)?;
                    if n < self.buf.len() {
                        return Ok(());
                    }
                }
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for events, but not beyond `until`; how many there are.
    fn wait(&mut self, until: Option<Instant>) -> io::Result<usize> {
        let limit = match until {
            None => EpollTimeout::try_from(SILENCE_MAX).map_err(io::Error::other)?,
            Some(until) => {
                // `epoll_wait` knows milliseconds only.
                let limit = until.saturating_duration_since(Instant::now()).min(SILENCE_MAX);
                let mut fds = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
                match ppoll(&mut fds, Some(TimeSpec::from_duration(limit)), None) {
                    Ok(0) => return Ok(0),
                    Err(Errno::EINTR) | Ok(_) => EpollTimeout::ZERO,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        match self.epoll.wait(&mut self.events, limit) {
            Ok(0) if until.is_none() => Err(silent()),
            Err(Errno::EINTR) => Ok(0),
            other => Ok(other?),
        }
    }
}

/// Comes back when the server has accepted this connection, and all before it.
fn await_server(stream: &mut std::net::TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(&[0])?;
    stream.read_exact(&mut [0])
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the server has answered nobody for {SILENCE_MAX:?}"))
}

fn is_not_yet(error: &io::Error) -> bool {
    // A connection that is being opened says the latter.
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

const EVENTS_MAX: usize = 1024;
const READ_MAX: usize = 64 << 10;

impl Load for OsLoad {
    fn turn_to(&mut self, workload: Workload) {
        if workload == self.workload {
            return;
        }
        (self.workload, self.body) = (workload, Body::new(workload.size));
        for (number, talk) in (0..).zip(&mut self.talks) {
            talk.conversation = Conversation::new(number, workload.size);
        }
    }

    async fn run(&mut self, pace: Pace, time: Duration) -> io::Result<Measured> {
        let began = Instant::now();
        let mut run = Run {
            schedules: schedules(self.workload, began, time, pace),
            sleeping: BinaryHeap::new(),
            recorder: Recorder::new(began)?,
            unanswered: 0,
            burst: None,
        };
        run.carry_out(self)?;
        Ok(run.recorder.finish())
    }
}

/// One for each place at which messages are made.
fn schedules(workload: Workload, began: Instant, time: Duration, pace: Pace) -> Vec<Schedule> {
    let (places, pace) = pace.of(workload);
    (0..places).map(|place| Schedule::new(began, time, pace, place, places)).collect()
}

struct Run {
    schedules: Vec<Schedule>,
    /// Places that have nothing to do before a moment.
    sleeping: BinaryHeap<Reverse<(Instant, usize)>>,
    recorder: Recorder,
    /// Messages that have no answer yet.
    unanswered: usize,
    /// When the fan-out that is on its way was due.
    burst: Option<Instant>,
}

impl Run {
    fn carry_out(&mut self, load: &mut OsLoad) -> io::Result<()> {
        for place in 0..self.schedules.len() {
            for _ in 0..load.workload.depth() {
                self.go_on(load, place)?;
            }
        }
        let mut answers = Vec::new();
        while self.unanswered > 0 || !self.sleeping.is_empty() {
            let until = self.sleeping.peek().map(|Reverse((moment, _))| *moment);
            for at in 0..load.wait(until)? {
                let place = load.events[at].data() as usize;
                load.flush(place)?;
                load.receive(place, |due| answers.push(due))?;
                self.on_answers(load, place, &mut answers)?;
            }
            self.wake_up(load)?;
        }
        Ok(())
    }

    /// Begins the next message of `place`, if it is due.
    fn go_on(&mut self, load: &mut OsLoad, place: usize) -> io::Result<()> {
        match self.schedules[place].next(Instant::now()) {
            Next::Over => {}
            Next::NotBefore(moment) => self.sleeping.push(Reverse((moment, place))),
            Next::Due(due) if load.workload.pattern == Pattern::FanOut => {
                self.burst = Some(due);
                self.unanswered += load.talks.len();
                for place in 0..load.talks.len() {
                    load.begin(place, due)?;
                }
            }
            Next::Due(due) => {
                self.unanswered += 1;
                load.begin(place, due)?;
            }
        }
        Ok(())
    }

    fn on_answers(&mut self, load: &mut OsLoad, place: usize, answers: &mut Vec<Instant>) -> io::Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        self.recorder.count(answers.len() as u64);
        self.unanswered -= answers.len();
        if let Some(due) = self.burst {
            answers.clear();
            if self.unanswered == 0 {
                self.recorder.record(due, now);
                self.go_on(load, 0)?;
            }
            return Ok(());
        }
        if load.workload.pattern == Pattern::Connect {
            load.talks[place].stream = None;
        }
        for due in answers.drain(..) {
            self.recorder.record(due, now);
            self.go_on(load, place)?;
        }
        Ok(())
    }

    /// Those whose moment has come.
    fn wake_up(&mut self, load: &mut OsLoad) -> io::Result<()> {
        let now = Instant::now();
        while let Some(&Reverse((moment, place))) = self.sleeping.peek() {
            if moment > now {
                return Ok(());
            }
            self.sleeping.pop();
            self.go_on(load, place)?;
        }
        Ok(())
    }
}
