//! The load over the emulated network: a task for each connection, on a host of its own, all on one worker that serves
//! nobody else.

use super::conversation::{Body, Conversation};
use super::schedule::{Next, Pace, Schedule};
use super::{BURST, Load, Measured, Recorder, SILENCE_MAX};
use crate::workload::{Pattern, Workload};
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wakeline::net::TcpStream;
use wakeline::net::emulated::Host;
use wakeline::task::JoinSet;
use wakeline::time::{sleep_until, timeout};
use wakeline_benches::emulated_echo::connect;

/// All connections.
pub(crate) struct EmulatedLoad {
    client: Host,
    server: SocketAddr,
    workload: Workload,
    talks: Vec<Talk>,
}

impl EmulatedLoad {
    /// Opens the connections; with [`Pattern::Connect`] none.
    pub(crate) async fn connect(client: Host, server: SocketAddr, workload: Workload) -> io::Result<EmulatedLoad> {
        let count = if workload.pattern == Pattern::Connect { 0 } else { workload.connections };
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let mut burst = connect(&client, server, BURST.min(count - streams.len())).await?;
            if let Some(last) = burst.last_mut() {
                // Its answer says that all before it have been accepted.
                last.write_all(&[0]).await?;
                last.read_exact(&mut [0]).await?;
            }
            streams.append(&mut burst);
        }
        let talk = |(number, stream)| Talk::new(stream, number as u64, workload);
        let talks = streams.into_iter().enumerate().map(talk).collect();
        Ok(EmulatedLoad { client, server, workload, talks })
    }
}

impl Load for EmulatedLoad {
    fn turn_to(&mut self, workload: Workload) {
        if workload == self.workload {
            return;
        }
        self.workload = workload;
        let talks = self.talks.drain(..).map(|talk| Talk::new(talk.stream, talk.number, workload));
        self.talks = talks.collect();
    }

    async fn run(&mut self, pace: Pace, time: Duration) -> io::Result<Measured> {
        let began = Instant::now();
        let recorder = Arc::new(Mutex::new(Recorder::new(began)?));
        let mut tasks = JoinSet::new();
        let (places, pace) = pace.of(self.workload);
        match self.workload.pattern {
            Pattern::FanOut => {
                let talks = self.talks.split_off(0);
                tasks.spawn(fan_out(talks, Schedule::new(began, time, pace, 0, 1), recorder.clone()));
            }
            Pattern::Connect => {
                for place in 0..places {
                    let (client, server, workload) = (self.client.clone(), self.server, self.workload);
                    let schedule = Schedule::new(began, time, pace, place, places);
                    let recorder = recorder.clone();
                    tasks.spawn(async move { client.run(short(server, workload, place, schedule, recorder)).await });
                }
            }
            _ => {
                for (place, talk) in self.talks.drain(..places).enumerate() {
                    let schedule = Schedule::new(began, time, pace, place, places);
                    tasks.spawn(talk.converse(self.workload.depth(), schedule, recorder.clone()));
                }
            }
        }
        let silent = || io::Error::new(io::ErrorKind::TimedOut, "the server has not answered in time");
        while let Some(talks) = timeout(time + SILENCE_MAX, tasks.join_next()).await.map_err(|_| silent())? {
            // Behind the silent ones: `Idle` wants the same ones again.
            self.talks.extend(talks.map_err(io::Error::other)??);
        }
        self.talks.sort_by_key(|talk| talk.number);
        let recorder = Arc::into_inner(recorder).ok_or_else(|| io::Error::other("a task has stayed"))?;
        Ok(recorder.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
    }
}

type Shared = Arc<Mutex<Recorder>>;

fn with<R>(recorder: &Shared, record: impl FnOnce(&mut Recorder) -> R) -> R {
    record(&mut recorder.lock().unwrap_or_else(PoisonError::into_inner))
}

/// One connection.
struct Talk {
    number: u64,
    stream: TcpStream,
    conversation: Conversation,
    body: Body,
    buf: Vec<u8>,
}

impl Talk {
    fn new(stream: TcpStream, number: u64, workload: Workload) -> Talk {
        Talk {
            number,
            stream,
            conversation: Conversation::new(number, workload.size),
            body: Body::new(workload.size),
            buf: vec![0; workload.size * workload.depth()],
        }
    }

    /// Keeps `depth` messages on their way until the schedule is over.
    async fn converse(mut self, depth: usize, mut schedule: Schedule, recorder: Shared) -> io::Result<Vec<Talk>> {
        loop {
            while self.conversation.outstanding() < depth {
                match schedule.next(Instant::now()) {
                    Next::Due(due) => self.conversation.begin(due),
                    Next::NotBefore(moment) if self.conversation.outstanding() == 0 => sleep_until(moment.into()).await,
                    Next::NotBefore(_) | Next::Over => break,
                }
            }
            if self.conversation.outstanding() == 0 {
                return Ok(vec![self]);
            }
            self.send().await?;
            self.receive(|due, now| {
                with(&recorder, |recorder| {
                    recorder.count(1);
                    recorder.record(due, now);
                });
            })
            .await?;
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        loop {
            let unsent = self.conversation.unsent(&mut self.body);
            if unsent.is_empty() {
                return Ok(());
            }
            let n = self.stream.write(unsent).await?;
            self.conversation.on_sent(n);
        }
    }

    /// Takes something that has come.
    async fn receive(&mut self, mut answered: impl FnMut(Instant, Instant)) -> io::Result<()> {
        let n = self.stream.read(&mut self.buf).await?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed a connection"));
        }
        let now = Instant::now();
        self.conversation.on_received(&self.buf[..n], &mut self.body, |due| answered(due, now))
    }
}

async fn fan_out(mut talks: Vec<Talk>, mut schedule: Schedule, recorder: Shared) -> io::Result<Vec<Talk>> {
    loop {
        let due = match schedule.next(Instant::now()) {
            Next::Due(due) => due,
            Next::NotBefore(moment) => {
                sleep_until(moment.into()).await;
                continue;
            }
            Next::Over => return Ok(talks),
        };
        for talk in &mut talks {
            talk.conversation.begin(due);
            talk.send().await?;
        }
        for talk in &mut talks {
            while talk.conversation.outstanding() > 0 {
                talk.receive(|_, _| {}).await?;
            }
        }
        with(&recorder, |recorder| {
            recorder.count(talks.len() as u64);
            recorder.record(due, Instant::now());
        });
    }
}

/// A connection for each message.
async fn short(
    server: SocketAddr,
    workload: Workload,
    place: usize,
    mut schedule: Schedule,
    recorder: Shared,
) -> io::Result<Vec<Talk>> {
    for turn in 0.. {
        let due = loop {
            match schedule.next(Instant::now()) {
                Next::Due(due) => break due,
                Next::NotBefore(moment) => sleep_until(moment.into()).await,
                Next::Over => return Ok(vec![]),
            }
        };
        let stream = TcpStream::connect(server).await?;
        let mut talk = Talk::new(stream, (turn * workload.connections + place) as u64, workload);
        talk.conversation.begin(due);
        talk.send().await?;
        while talk.conversation.outstanding() > 0 {
            talk.receive(|_, _| {}).await?;
        }
        with(&recorder, |recorder| {
            recorder.count(1);
            recorder.record(due, Instant::now());
        });
    }
    unreachable!("the schedule ends before the numbers do")
}
