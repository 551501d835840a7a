//! Plays a script against an emulated host, in virtual time.
//!
//! An event happens at its time; the clock stands while anything is ready to run, so "at once" is exact. After each
//! event the runner lets everybody run until all wait ([`Player::settle`]). Packets are compared in the order in which
//! they came; one that nobody expected is found by the next expectation, or by the end of the script.

use crate::compare::{self, Expected};
use crate::flow::Flow;
use crate::model::{Action, Body, Call, Direction, Echoed, Event, Flags, Icmp, Packet, Position, Script, When};
use crate::parser;
use crate::peer::Peer;
use crate::settings::{Settings, Version};
use crate::syscalls::{Descriptors, Finished, Started};
use crate::wire::build::Message;
use crate::wire::icmp::icmp_numbers;
use crate::wire::read::{Content, Seen};
use std::time::Duration;
use wakeline::net::emulated::{Host, Lan, StackCounters};
use wakeline::runtime::Builder;
use wakeline::task::JoinHandle;
use wakeline::time::{Instant, sleep_until, timeout_at};

/// Plays `text` over one version of IP.
///
/// # Errors
/// What differs, in one or more lines that begin with `name`, line and column.
pub(crate) fn play(name: &str, text: &str, version: Version) -> Result<(), String> {
    let script = parser::parse(text).map_err(|error| format!("{name}: {error}"))?;
    let shown = |fault: Fault| format!("{name}:{}: {}", fault.at, fault.message);
    let settings = Settings::read(&script, version).map_err(shown)?;
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).rng_seed(1).build();
    let runtime = runtime.map_err(|error| format!("{name}: no runtime: {error}"))?;
    runtime.block_on(async {
        let mut player = Player::new(settings).map_err(|error| format!("{name}: no host: {error}"))?;
        player.play(&script).await.map_err(shown)
    })
}

/// What is wrong, and with which line.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) message: String,
}

struct Player {
    host: Host,
    peer: Peer,
    descriptors: Descriptors,
    flows: Vec<Flow>,
    /// The flow of packets whose ports the script does not name.
    current: Option<usize>,
    blocked: Vec<Blocked>,
    started: Instant,
    /// The time of the last event.
    base: Duration,
    /// A nanosecond for each [`settle`](Player::settle). Events are so much later than the script says, so that the time
    /// between two of them is never shorter: a round trip that the stack measures in whole microseconds is exact.
    drift: Duration,
    tolerance: Duration,
}

/// A call that goes on while the script does.
struct Blocked {
    at: Position,
    call: Call,
    from: Duration,
    to: Duration,
    task: JoinHandle<(Instant, Finished)>,
}

/// The remote end's port where the host listens and the script names none.
const REMOTE_PORT: u16 = 40_000;

impl Player {
    fn new(settings: Settings) -> std::io::Result<Player> {
        let lan = Lan::with_seed(1);
        let mut builder = lan.host("dut");
        if settings.rcvbuf.is_some() || settings.sndbuf.is_some() {
            builder = builder.tcp_buffers(settings.rcvbuf.unwrap_or(512 << 10), settings.sndbuf.unwrap_or(256 << 10));
        }
        for (name, value) in &settings.sysctls {
            builder = builder.sysctl(name, *value);
        }
        let host = builder.build()?;
        // A LAN numbers its stations from 1.
        let peer = Peer::plug(&lan, &host, [2, 0, 0, 0, 0, 1], settings.version)?;
        Ok(Player {
            descriptors: Descriptors::new(host.clone(), peer.ends.dst, peer.ends.src),
            host,
            peer,
            flows: Vec::new(),
            current: None,
            blocked: Vec::new(),
            started: Instant::now(),
            base: Duration::ZERO,
            drift: Duration::ZERO,
            tolerance: settings.tolerance,
        })
    }

    async fn play(&mut self, script: &Script) -> Result<(), Fault> {
        for event in &script.events {
            self.happen(event).await.map_err(|error| error.into_fault(event.at))?;
        }
        let end = Position { line: script.events.last().map_or(1, |event| event.at.line), column: 1 };
        self.finish().await.map_err(|error| error.into_fault(end))
    }

    async fn happen(&mut self, event: &Event) -> Result<(), Failed> {
        let (from, to) = self.span(event.when);
        if let Action::Packet(packet @ Packet { direction: Direction::Out, .. }) = &event.action {
            let at = self.expect(packet, from, to).await?;
            self.base = if let When::At { to: None, .. } = event.when { from } else { at };
            return Ok(());
        }
        if event.when != When::Any && self.now() > from + self.tolerance {
            return Err(Failed::here(format!(
                "it is late: this should happen at {:.6}, and the events before have taken until {:.6}",
                from.as_secs_f64(),
                self.now().as_secs_f64()
            )));
        }
        sleep_until(self.started + from + self.drift).await;
        self.settle().await;
        self.reap(from).await?;
        match &event.action {
            Action::Packet(packet) => self.send(packet)?,
            Action::Call(call) => self.call(event, call, from, to).await?,
            Action::Command(command) => self.command(command)?,
            Action::Code => {
                return Err(Failed::here(
                    "%{ }% is not supported: there is no interpreter, and no tcp_info to look at",
                ));
            }
        }
        self.base = from;
        self.settle().await;
        Ok(())
    }

    /// From when to when an event may happen, since the script began.
    fn span(&self, when: When) -> (Duration, Duration) {
        let base = |relative| if relative { self.base } else { Duration::ZERO };
        match when {
            When::Any => (self.now(), Duration::MAX),
            When::At { relative, from, to } => (base(relative) + from, base(relative) + to.unwrap_or(from)),
            When::Blocking { relative, from, to } => (base(relative) + from, base(relative) + to),
        }
    }

    /// Lets everybody run who can: the clock only moves when all wait.
    async fn settle(&mut self) {
        self.drift += Duration::from_nanos(1);
        sleep_until(Instant::now() + Duration::from_nanos(1)).await;
    }

    fn now(&self) -> Duration {
        Instant::now() - self.started
    }

    // Packets from the script.

    fn send(&mut self, packet: &Packet) -> Result<(), Failed> {
        let index = self.flow_of_inbound(packet);
        let flow = &mut self.flows[index];
        let ends = self.peer.ends.unless_named(&packet.ip);
        let ports = (flow.remote_port, flow.local_port);
        let message = match &packet.body {
            Body::Tcp(segment) => {
                let (live, text) = flow.inbound(segment);
                Message::tcp(&ends, ports, &live, &text).map_err(Failed::here)?
            }
            Body::Udp { len } => Message::udp(&ends, ports, &stream_of(*len)),
            Body::Icmp(icmp) => self.icmp(icmp, index)?,
        };
        self.peer.send(&message.frame(&ends, &packet.ip)).map_err(Failed::here)
    }

    fn icmp(&self, icmp: &Icmp, flow: usize) -> Result<Message, Failed> {
        let ends = self.peer.ends;
        let numbers = icmp_numbers(ends.src.is_ipv4(), &icmp.kind, icmp.code.as_deref());
        let unknown = || Failed::here(format!("there is no icmp {} {}", icmp.kind, icmp.code.as_deref().unwrap_or("")));
        let numbers = numbers.ok_or_else(unknown)?;
        let flow = &self.flows[flow];
        // The packet that it is about was the host's.
        let (back, ports) = (ends.reversed(), (flow.local_port, flow.remote_port));
        let quoted = match icmp.echoed {
            None => stream_of(56),
            Some(Echoed::Tcp { seq, len }) => {
                let flags = Flags::ACK;
                let window = Some(1000);
                let seq = flow.local_seq(seq);
                let quoted = crate::model::Segment {
                    flags,
                    seq,
                    len,
                    ack: Some(0),
                    window,
                    urgent: None,
                    options: Some(Vec::new()),
                };
                let message = Message::tcp(&back, ports, &quoted, &[]).map_err(Failed::here)?;
                message.quoted(&back, 20 + len as usize)
            }
            Some(Echoed::Udp { len }) => {
                Message::udp(&back, ports, &stream_of(len)).quoted(&back, 8 + usize::from(len))
            }
        };
        Ok(Message::icmp(&ends, numbers, icmp.mtu.unwrap_or(0), &quoted))
    }

    fn flow_of_inbound(&mut self, packet: &Packet) -> usize {
        if let Some((remote, local)) = packet.ports {
            return self.flow(local, remote);
        }
        match self.current {
            Some(index) => index,
            None => {
                let index = self.flow(self.descriptors.bound_port(), REMOTE_PORT);
                *self.current.insert(index)
            }
        }
    }

    fn flow(&mut self, local: u16, remote: u16) -> usize {
        let known = self.flows.iter().position(|flow| (flow.local_port, flow.remote_port) == (local, remote));
        known.unwrap_or_else(|| {
            self.flows.push(Flow::new(local, remote));
            self.flows.len() - 1
        })
    }

    // Packets from the host.

    /// Waits for the next packet and compares it. Gives when it came.
    async fn expect(&mut self, packet: &Packet, from: Duration, to: Duration) -> Result<Duration, Failed> {
        let latest = to.saturating_add(self.tolerance);
        let waited = if latest > LONGEST { LONGEST } else { latest };
        let deadline = self.started + waited.max(self.now()) + Duration::from_nanos(1);
        let ends = self.peer.ends.reversed().unless_named(&packet.ip);
        let expected = Expected { packet, time: (from != to || to == from).then_some(from), ends };
        let Ok((at, seen)) = timeout_at(deadline, self.peer.next()).await else {
            return Err(Failed::here(format!(
                "no packet has come by {:.6}\n  expected {}",
                waited.as_secs_f64(),
                expected.line(self.expected_ports(packet))
            )));
        };
        let at = at - self.started;
        let seen = seen.map_err(|error| Failed::here(format!("at {:.6} the host sent {error}", at.as_secs_f64())))?;
        let ports = self.note_outbound(packet, &seen);
        let in_time = at + self.tolerance >= from && at <= latest;
        let flow = self.flow_of_seen(&seen).map(|index| &mut self.flows[index]);
        compare::check(&expected, ports, &seen, at, in_time, self.tolerance, flow).map_err(Failed::here)?;
        Ok(at)
    }

    /// The ports that an expected packet has: those that the script names, or those of the current flow.
    fn expected_ports(&self, packet: &Packet) -> Option<(u16, u16)> {
        let current = || self.current.map(|index| (self.flows[index].local_port, self.flows[index].remote_port));
        packet.ports.or_else(current)
    }

    /// A SYN or a datagram from a port that is new makes a new flow, which is the current one from then on.
    fn note_outbound(&mut self, packet: &Packet, seen: &Seen) -> Option<(u16, u16)> {
        let opens = match &seen.content {
            Content::Tcp { segment, .. } => segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK),
            Content::Udp { .. } => true,
            _ => false,
        };
        if let (true, None, Some(ports)) = (opens, packet.ports, ports_of(seen))
            && self.flow_of_seen(seen).is_none()
        {
            self.current = Some(self.flow(ports.0, ports.1));
        }
        self.expected_ports(packet)
    }

    fn flow_of_seen(&self, seen: &Seen) -> Option<usize> {
        let ports = ports_of(seen)?;
        self.flows.iter().position(|flow| (flow.local_port, flow.remote_port) == ports)
    }

    // Calls.

    async fn call(&mut self, event: &Event, call: &Call, from: Duration, to: Duration) -> Result<(), Failed> {
        if call.name == "connect" {
            self.flows.iter_mut().for_each(Flow::renew);
        }
        let Started { future, nonblocking } = self.descriptors.start(call).map_err(Failed::here)?;
        if let When::Blocking { .. } = event.when {
            let task = self.host.spawn(async move {
                let finished = future.await;
                (Instant::now(), finished)
            });
            self.blocked.push(Blocked { at: event.at, call: call.clone(), from, to, task });
            return Ok(());
        }
        let finished = self.descriptors.run_now(future, nonblocking, call).map_err(Failed::here)?;
        self.descriptors.verify(call, finished).map_err(Failed::here)
    }

    /// Looks at the calls that block: who has come back did so in time, and who has not may still wait.
    async fn reap(&mut self, now: Duration) -> Result<(), Failed> {
        let mut waiting = Vec::new();
        for blocked in std::mem::take(&mut self.blocked) {
            if !blocked.task.is_finished() {
                if now > blocked.to + self.tolerance {
                    let message = format!("{} still blocks at {:.6}", blocked.call.name, now.as_secs_f64());
                    return Err(Failed { at: Some(blocked.at), message });
                }
                waiting.push(blocked);
                continue;
            }
            let Blocked { at, call, from, to, task } = blocked;
            let failed = |message| Failed { at: Some(at), message };
            let (when, finished) = task.await.map_err(|error| failed(format!("{} failed: {error}", call.name)))?;
            let when = when - self.started;
            if when + self.tolerance < to || when > to + self.tolerance {
                return Err(failed(format!(
                    "{} blocked from {:.6} to {:.6}, expected to {:.6}",
                    call.name,
                    from.as_secs_f64(),
                    when.as_secs_f64(),
                    to.as_secs_f64()
                )));
            }
            self.descriptors.verify(&call, finished).map_err(failed)?;
        }
        self.blocked = waiting;
        Ok(())
    }

    // The rest.

    /// What stands between backticks: there is no shell, but a few words mean something here.
    fn command(&self, command: &str) -> Result<(), Failed> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            // Time has passed and everybody has run.
            ["true"] => Ok(()),
            ["sysctl", ..] => Err(Failed::here("a sysctl is set before the first event, in backticks without a time")),
            ["nstat", expectation] => self.nstat(expectation),
            _ => Err(Failed::here(format!(
                "`{command}` is not supported: there is no shell behind an emulated host. `true` lets time pass, \
                 and `nstat NAME=COUNT` compares a counter"
            ))),
        }
    }

    fn nstat(&self, expectation: &str) -> Result<(), Failed> {
        let (name, count) = expectation.split_once('=').unwrap_or((expectation, ""));
        let counters = self.host.counters();
        let count: u64 = count.parse().map_err(|_| Failed::here(format!("`nstat {name}=COUNT` needs a count")))?;
        let stack: &StackCounters = &counters.stack;
        let actual = stack.iter().find(|(mib, _)| mib.name() == name).map(|(_, n)| n);
        let dropped = || counters.drops.iter().find(|(reason, _)| reason.name() == name).map(|(_, n)| n);
        let actual = actual.or_else(dropped).unwrap_or(0);
        if actual != count {
            return Err(Failed::here(format!("the counter {name} is {actual}, expected {count}")));
        }
        Ok(())
    }

    /// Nobody may still block, and no packet may be left.
    async fn finish(&mut self) -> Result<(), Failed> {
        self.settle().await;
        if let Some(last) = self.blocked.iter().map(|blocked| blocked.to).max() {
            sleep_until(self.started + last + self.tolerance * 2).await;
            self.settle().await;
            self.reap(last + self.tolerance * 2).await?;
        }
        let Some((at, seen)) = self.peer.try_next() else { return Ok(()) };
        let at = at - self.started;
        let seen = seen.map_err(|error| Failed::here(format!("at {:.6} the host sent {error}", at.as_secs_f64())))?;
        let flow = self.flow_of_seen(&seen).map(|index| &mut self.flows[index]);
        Err(Failed::here(format!("a packet that no line expects\n  actual   {}", compare::line(&seen, at, flow))))
    }
}

/// How long a packet is waited for that may come at any time.
const LONGEST: Duration = Duration::from_secs(100_000);

fn ports_of(seen: &Seen) -> Option<(u16, u16)> {
    match &seen.content {
        Content::Tcp { ports, .. } | Content::Udp { ports, .. } => Some(*ports),
        _ => None,
    }
}

/// The first bytes of the pattern that fills everything.
pub(crate) fn stream_of(len: u16) -> Vec<u8> {
    (0..len.into()).map(crate::flow::pattern).collect()
}

/// A fault of the event at hand, or of another one.
struct Failed {
    at: Option<Position>,
    message: String,
}

impl Failed {
    fn here(message: impl Into<String>) -> Failed {
        Failed { at: None, message: message.into() }
    }

    fn into_fault(self, at: Position) -> Fault {
        Fault { at: self.at.unwrap_or(at), message: self.message }
    }
}
