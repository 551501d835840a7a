//! Every event in every state: what follows, as a table that a review sees change.
//!
//! LISTEN and half-open connections are `tcp_listen`'s, and what happens to an entry in TIME-WAIT is the table's own: here
//! that state only lasts until the block's owner has seen it.

use crate::packet::{PacketBuf, Pool};
use crate::stack::counters::Counters;
use crate::stack::tcp::challenge::ChallengeLimit;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::control_block::{ControlBlock, Disposition, Notice, Reset};
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::options::{Features, Offer};
use crate::stack::tcp::rto::RTO_MIN;
use crate::stack::tcp::state::State;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use std::fmt::Write;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// One line for each state and event: the next state, what is sent, and what the owner hears. `-` is nothing.
const GOLDEN: &str = include_str!("transitions.txt");

const ISS: SeqNumber = SeqNumber(1000);
const IRS: SeqNumber = SeqNumber(5000);

/// A control block and its surroundings.
struct Bench {
    block: ControlBlock,
    now: Instant,
    pool: Pool,
    sent: Vec<String>,
}

impl Bench {
    fn new() -> Bench {
        let offer = Offer {
            mss: 1460,
            rcvbuf: 65_536,
            sndbuf: 65_536,
            buffers_grow: false,
            out_of_order_max: 10,
            congestion: CongestionChoice::Reno,
            paced: false,
            features: Features::empty(),
            mtu: 1500,
            mtu_probing: false,
            rto_min: RTO_MIN,
            ts_offset: 0,
            gso_max: 0,
        };
        let now = Instant::from_virtual_ns(0);
        Bench {
            block: ControlBlock::connect((1, 2), ISS, &offer, now),
            now,
            pool: Pool::new(1 << 20),
            sent: Vec::new(),
        }
    }

    /// A connection in a state, with everything sent that is due.
    fn in_state(state: State) -> Bench {
        let mut bench = Bench::new();
        let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
        let steps: &[&str] = match state {
            State::Closed => &["abort"],
            State::SynSent => &[],
            State::SynReceived => &["syn"],
            State::Established => &["syn-ack"],
            State::FinWait1 => &["syn-ack", "shut"],
            State::FinWait2 => &["syn-ack", "shut", "ack"],
            State::CloseWait => &["syn-ack", "fin"],
            State::Closing => &["syn-ack", "shut", "fin"],
            State::LastAck => &["syn-ack", "fin", "shut"],
            State::TimeWait => &["syn-ack", "shut", "ack", "fin"],
        };
        bench.poll();
        for step in steps {
            let _ = match *step {
                "abort" => bench.user(|block, bench_pool, _| block.abort(&mut bench_pool.cache())),
                "shut" => bench.user(|block, _, _| block.shut_down_write()),
                "syn" => bench.segment(TcpFlags::SYN, IRS, ISS, 0),
                "syn-ack" => bench.segment(syn_ack, IRS, ISS + 1, 0),
                "ack" => bench.segment(TcpFlags::ACK, bench.rcv_nxt(), bench.snd_nxt(), 0),
                _ => bench.segment(TcpFlags::FIN | TcpFlags::ACK, bench.rcv_nxt(), bench.snd_una(), 0),
            };
            bench.poll();
        }
        // What was delayed is sent, so that each event shows its own.
        let _ = bench.pass(Duration::from_millis(50));
        assert_eq!(bench.block.state(), state);
        bench.sent.clear();
        bench
    }

    fn snd_nxt(&self) -> SeqNumber {
        SeqNumber(self.block.send_variables().0)
    }

    fn snd_una(&self) -> SeqNumber {
        SeqNumber(self.block.send_variables().1)
    }

    fn rcv_nxt(&self) -> SeqNumber {
        let (_, rcv_nxt, _) = self.block.time_wait_variables();
        if self.block.state() == State::SynSent { IRS } else { rcv_nxt }
    }

    fn user(&mut self, call: impl FnOnce(&mut ControlBlock, &Pool, Instant)) -> Disposition {
        call(&mut self.block, &self.pool, self.now);
        self.poll();
        Disposition::default()
    }

    fn segment(&mut self, flags: TcpFlags, seq: SeqNumber, ack: SeqNumber, len: usize) -> Disposition {
        let options = TcpOptions { mss: flags.contains(TcpFlags::SYN).then_some(1460), ..TcpOptions::default() };
        let header = TcpHeader { src_port: 2, dst_port: 1, seq, ack, flags, window: 50_000, urgent: 0, options };
        let text = PacketBuf::from_bytes(&self.pool, &vec![7; len]).unwrap();
        let (mut counters, mut pool) = (Counters::new(), self.pool.cache());
        let now = self.now;
        let challenges = &mut ChallengeLimit::new(None, [0; 4]);
        let arrival = Arrival { now, header: &header, ecn: 0, pool: &mut pool, counters: &mut counters, challenges };
        let done = self.block.on_segment(arrival, text);
        self.poll();
        done
    }

    fn pass(&mut self, time: Duration) -> Disposition {
        let until = self.now + time;
        let mut done = Disposition::default();
        while self.block.next_timer() <= until {
            self.now = self.block.next_timer();
            let (mut counters, mut pool) = (Counters::new(), self.pool.cache());
            done = self.block.on_timer(self.now, &mut pool, &mut counters);
            self.poll();
        }
        self.now = until;
        done
    }

    fn poll(&mut self) {
        while let Some(outgoing) = self.block.poll_transmit(self.now) {
            self.sent.push(match outgoing.len {
                0 => outgoing.header.flags.to_string(),
                len => format!("{}({len})", outgoing.header.flags),
            });
        }
    }
}

type Event = (&'static str, fn(&mut Bench) -> Disposition);

const EVENTS: &[Event] = &[
    ("user shuts down writing", |b| b.user(|block, _, _| block.shut_down_write())),
    ("user closes", |b| {
        let mut reset = None;
        let _ = b.user(|block, pool, now| reset = block.close(now, &mut pool.cache()));
        Disposition { reset, ..Disposition::default() }
    }),
    ("user aborts", |b| {
        let reset = b.block.abort_reset();
        let _ = b.user(|block, pool, _| block.abort(&mut pool.cache()));
        Disposition { reset, ..Disposition::default() }
    }),
    ("SYN arrives", |b| b.segment(TcpFlags::SYN, b.rcv_nxt(), ISS, 0)),
    ("SYN,ACK of ours arrives", |b| b.segment(TcpFlags::SYN | TcpFlags::ACK, b.rcv_nxt(), b.snd_nxt(), 0)),
    ("SYN,ACK of something else", |b| b.segment(TcpFlags::SYN | TcpFlags::ACK, b.rcv_nxt(), b.snd_nxt() + 9, 0)),
    ("ACK of everything", |b| b.segment(TcpFlags::ACK, b.rcv_nxt(), b.snd_nxt(), 0)),
    ("ACK of something never sent", |b| b.segment(TcpFlags::ACK, b.rcv_nxt(), b.snd_nxt() + 9, 0)),
    ("neither SYN, ACK nor RST", |b| b.segment(TcpFlags::empty(), b.rcv_nxt(), SeqNumber(0), 0)),
    ("text in order", |b| b.segment(TcpFlags::ACK, b.rcv_nxt(), b.snd_una(), 100)),
    ("text ahead of its turn", |b| b.segment(TcpFlags::ACK, b.rcv_nxt() + 50, b.snd_una(), 100)),
    ("text that came before", |b| b.segment(TcpFlags::ACK, b.rcv_nxt() - 1, b.snd_una(), 1)),
    ("text beyond the window", |b| b.segment(TcpFlags::ACK, b.rcv_nxt() + 1_000_000, b.snd_una(), 100)),
    ("FIN in order", |b| b.segment(TcpFlags::FIN | TcpFlags::ACK, b.rcv_nxt(), b.snd_una(), 0)),
    ("FIN that acknowledges everything", |b| b.segment(TcpFlags::FIN | TcpFlags::ACK, b.rcv_nxt(), b.snd_nxt(), 0)),
    ("FIN with text ahead of its turn", |b| {
        b.segment(TcpFlags::FIN | TcpFlags::ACK, b.rcv_nxt() + 50, b.snd_una(), 100)
    }),
    ("RST that hits exactly", |b| b.segment(TcpFlags::RST, b.rcv_nxt(), b.snd_nxt(), 0)),
    ("RST,ACK that hits exactly", |b| b.segment(TcpFlags::RST | TcpFlags::ACK, b.rcv_nxt(), b.snd_nxt(), 0)),
    ("RST within the window", |b| b.segment(TcpFlags::RST, b.rcv_nxt() + 50, b.snd_nxt(), 0)),
    ("RST outside the window", |b| b.segment(TcpFlags::RST, b.rcv_nxt() - 50, b.snd_nxt(), 0)),
    ("a timeout passes", |b| b.pass(Duration::from_millis(3100))),
    ("an hour passes", |b| b.pass(Duration::from_secs(3600))),
    ("user closes, and an hour passes", |b| {
        let _ = b.user(|block, pool, now| _ = block.close(now, &mut pool.cache()));
        b.sent.clear();
        b.pass(Duration::from_secs(3600))
    }),
];

fn line(state: State, (name, event): &Event) -> String {
    let mut bench = Bench::in_state(state);
    let done = event(&mut bench);
    let mut notes = Vec::new();
    notes.extend(done.drop.map(|reason| format!("drop {}", reason.name())));
    if !done.notice.is_empty() {
        notes.push(format!("tell {}", names(done.notice)));
    }
    notes.extend(done.error.map(|error| format!("error {error:?}")));
    notes.extend(done.reset.map(|reset| match reset {
        Reset::At(_) => "reset at its ACK".to_owned(),
        Reset::Abort { .. } => "reset".to_owned(),
    }));
    // A row of retransmissions in short.
    let mut sent: Vec<(String, usize)> = Vec::new();
    for segment in bench.sent {
        match sent.last_mut() {
            Some((last, n)) if *last == segment => *n += 1,
            _ => sent.push((segment, 1)),
        }
    }
    let sent: Vec<String> =
        sent.into_iter().map(|(segment, n)| if n == 1 { segment } else { format!("{n}x{segment}") }).collect();
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let (after, sent, notes) = (bench.block.state(), or_dash(sent.join(" ")), or_dash(notes.join(", ")));
    let after = if after == state { "=".to_owned() } else { format!("{after:?}") };
    format!("{:<12} {name:<34} {after:<12} {sent:<14} {notes}", format!("{state:?}"))
}

fn names(notice: Notice) -> String {
    notice.iter_names().map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>().join("+")
}

#[test]
fn every_event_in_every_state_is_as_reviewed() {
    let heading = format!("{:<12} {:<34} {:<12} {:<14} {}", "in", "event", "then", "sent", "the owner hears");
    let mut table = heading + "\n\n";
    for state in State::ALL {
        for event in EVENTS {
            writeln!(table, "{}", line(state, event).trim_end()).unwrap();
        }
        table.push('\n');
    }
    let table = table.trim_end();
    assert!(table == GOLDEN.trim_end(), "the table has changed; it is now\n{table}\n");
}
