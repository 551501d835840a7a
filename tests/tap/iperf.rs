//! iperf3 as the peer: its protocol, spoken by our host as server and as client.
//!
//! Only what these tests ask for: TCP, any number of streams, each direction, a number of bytes or a time. The control
//! connection carries one byte for each change of state, and JSON with its length before it; each data connection begins
//! with the cookie of the control connection.

use crate::lab::{KERNEL, Lab, printed, start, within};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::task::JoinSet;

/// The states, by the names of iperf's `iperf_api.h`.
mod state {
    pub(super) const TEST_START: u8 = 1;
    pub(super) const TEST_RUNNING: u8 = 2;
    pub(super) const TEST_END: u8 = 4;
    pub(super) const PARAM_EXCHANGE: u8 = 9;
    pub(super) const CREATE_STREAMS: u8 = 10;
    pub(super) const EXCHANGE_RESULTS: u8 = 13;
    pub(super) const DISPLAY_RESULTS: u8 = 14;
    pub(super) const IPERF_DONE: u8 = 16;
    pub(super) const ACCESS_DENIED: u8 = 255;
}

const COOKIE_LEN: usize = 37;
const BLOCK: usize = 128 << 10;

async fn read_state(control: &mut TcpStream) -> io::Result<u8> {
    let mut state = [0];
    control.read_exact(&mut state).await?;
    Ok(state[0])
}

async fn expect_state(control: &mut TcpStream, wanted: u8) -> io::Result<()> {
    let got = read_state(control).await?;
    assert_eq!(got, wanted, "the peer is in another state");
    Ok(())
}

async fn read_json(control: &mut TcpStream) -> io::Result<Value> {
    let mut len = [0; 4];
    control.read_exact(&mut len).await?;
    let mut text = vec![0; u32::from_be_bytes(len) as usize];
    control.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

async fn write_json(control: &mut TcpStream, value: &Value) -> io::Result<()> {
    let text = value.to_string();
    control.write_all(&(text.len() as u32).to_be_bytes()).await?;
    control.write_all(text.as_bytes()).await
}

/// One data connection of ours.
struct Stream {
    id: u64,
    sends: bool,
    bytes: Arc<AtomicU64>,
}

/// The streams of one test, and the tasks that move their bytes.
struct Streams {
    all: Vec<Stream>,
    tasks: JoinSet<()>,
    ended: Arc<AtomicBool>,
}

impl Streams {
    fn new() -> Streams {
        Streams { all: Vec::new(), tasks: JoinSet::new(), ended: Arc::default() }
    }

    fn add(&mut self, stream: TcpStream, sends: bool) {
        // iperf counts its streams 1, 3, 4, ..
        let id = match self.all.len() as u64 {
            0 => 1,
            n => n + 2,
        };
        let bytes = Arc::new(AtomicU64::new(0));
        self.all.push(Stream { id, sends, bytes: bytes.clone() });
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            if sends {
                send(stream, &bytes, &ended).await;
            } else {
                receive(stream, &bytes).await;
            }
        });
    }

    fn moved(&self, sends: bool) -> u64 {
        self.all.iter().filter(|stream| stream.sends == sends).map(|stream| stream.bytes.load(Ordering::Relaxed)).sum()
    }

    fn results(&self) -> Value {
        let stream = |stream: &Stream| {
            json!({
                "id": stream.id, "bytes": stream.bytes.load(Ordering::Relaxed), "retransmits": -1, "jitter": 0,
                "errors": 0, "packets": 0, "start_time": 0, "end_time": 1,
            })
        };
        json!({
            "cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0, "sender_has_retransmits": -1,
            "streams": self.all.iter().map(stream).collect::<Vec<_>>(),
        })
    }

    /// What the peer says to have sent has arrived: what it sent last may still be on its way when it says so.
    async fn until_arrived(&self, theirs: &Value) {
        let sent = |id: u64| {
            let streams = theirs["streams"].as_array().unwrap();
            streams.iter().find(|stream| stream["id"] == id).unwrap()["bytes"].as_u64().unwrap()
        };
        for stream in self.all.iter().filter(|stream| !stream.sends) {
            while stream.bytes.load(Ordering::Relaxed) < sent(stream.id) {
                wakeline::task::yield_now().await;
            }
        }
    }
}

async fn send(mut stream: TcpStream, bytes: &AtomicU64, ended: &AtomicBool) {
    let block = vec![7; BLOCK];
    while !ended.load(Ordering::Relaxed) {
        match stream.write(&block).await {
            Ok(n) => drop(bytes.fetch_add(n as u64, Ordering::Relaxed)),
            // The peer's test has ended before it told us.
            Err(_) => return,
        }
    }
}

async fn receive(mut stream: TcpStream, bytes: &AtomicU64) {
    let mut block = vec![0; BLOCK];
    while let Ok(n @ 1..) = stream.read(&mut block).await {
        bytes.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// Serves one test; gives how many bytes were received and sent.
async fn serve_one(listener: &TcpListener) -> io::Result<(u64, u64)> {
    let (mut control, _) = listener.accept().await?;
    let mut cookie = [0; COOKIE_LEN];
    control.read_exact(&mut cookie).await?;
    control.write_all(&[state::PARAM_EXCHANGE]).await?;
    let parameters = read_json(&mut control).await?;
    let is = |name: &str| parameters.get(name).is_some();
    let each = parameters["parallel"].as_u64().unwrap_or(1);
    control.write_all(&[state::CREATE_STREAMS]).await?;
    let directions: &[bool] = match (is("bidirectional"), is("reverse")) {
        (true, _) => &[false, true],
        (false, reverse) => &[reverse],
    };
    let mut streams = Streams::new();
    let mut connections = Vec::new();
    for &sends in directions {
        for _ in 0..each {
            let (mut stream, _) = listener.accept().await?;
            let mut theirs = [0; COOKIE_LEN];
            stream.read_exact(&mut theirs).await?;
            assert_eq!(theirs, cookie);
            connections.push((stream, sends));
        }
    }
    control.write_all(&[state::TEST_START]).await?;
    control.write_all(&[state::TEST_RUNNING]).await?;
    for (stream, sends) in connections {
        streams.add(stream, sends);
    }
    expect_state(&mut control, state::TEST_END).await?;
    streams.ended.store(true, Ordering::Relaxed);
    control.write_all(&[state::EXCHANGE_RESULTS]).await?;
    let theirs = read_json(&mut control).await?;
    streams.until_arrived(&theirs).await;
    write_json(&mut control, &streams.results()).await?;
    control.write_all(&[state::DISPLAY_RESULTS]).await?;
    expect_state(&mut control, state::IPERF_DONE).await?;
    Ok((streams.moved(false), streams.moved(true)))
}

/// Asks an iperf3 server for a test that moves about `goal` bytes; gives how many of ours it says to have received, or how
/// many of its own we have.
async fn ask(server: &str, reverse: bool, goal: u64) -> io::Result<u64> {
    let cookie = *b"wakeline-wakeline-wakeline-wakeline-\0";
    let mut control = loop {
        let mut control = TcpStream::connect(server).await?;
        control.write_all(&cookie).await?;
        match read_state(&mut control).await? {
            state::PARAM_EXCHANGE => break control,
            // It has not put the last test away yet.
            state::ACCESS_DENIED => wakeline::time::sleep(Duration::from_millis(20)).await,
            other => panic!("the server is in state {other}"),
        }
    };
    let mut parameters = json!({
        "tcp": true, "omit": 0, "time": 10, "num": 0, "blockcount": 0, "parallel": 1, "len": BLOCK,
        "pacing_timer": 1000, "client_version": "3.12",
    });
    if reverse {
        // For iperf3 even `false` would mean that it is.
        parameters["reverse"] = json!(true);
    }
    write_json(&mut control, &parameters).await?;
    expect_state(&mut control, state::CREATE_STREAMS).await?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&cookie).await?;
    expect_state(&mut control, state::TEST_START).await?;
    expect_state(&mut control, state::TEST_RUNNING).await?;
    let mut streams = Streams::new();
    streams.add(stream, !reverse);
    while streams.moved(!reverse) < goal {
        assert!(streams.tasks.try_join_next().is_none(), "the data connection has ended early");
        wakeline::task::yield_now().await;
    }
    streams.ended.store(true, Ordering::Relaxed);
    if !reverse {
        // The last of our bytes are on their way before the test ends.
        while streams.tasks.join_next().await.is_some() {}
    }
    control.write_all(&[state::TEST_END]).await?;
    expect_state(&mut control, state::EXCHANGE_RESULTS).await?;
    write_json(&mut control, &streams.results()).await?;
    let theirs = read_json(&mut control).await?;
    expect_state(&mut control, state::DISPLAY_RESULTS).await?;
    control.write_all(&[state::IPERF_DONE]).await?;
    Ok(if reverse { streams.moved(false) } else { theirs["streams"][0]["bytes"].as_u64().unwrap() })
}

const MEGABYTES: u64 = 8 << 20;

#[test]
fn the_kernels_client_measures_us_in_each_direction() {
    within(&["iperf3"], || async {
        let lab = Lab::new();
        let listener = lab.host.run(TcpListener::bind("[::]:5201")).await.unwrap();
        let server = lab.host.spawn(async move {
            let mut served = Vec::new();
            for _ in 0..5 {
                served.push(serve_one(&listener).await.unwrap());
            }
            served
        });
        let ours = [lab.host.addrs()[0].to_string(), lab.host.addrs()[1].to_string()];
        let num = MEGABYTES.to_string();
        let tests: [&[&str]; 5] = [
            &["-c", &ours[0]],
            &["-c", &ours[0], "--reverse"],
            &["-c", &ours[0], "--bidir"],
            &["-c", &ours[0], "-P", "4"],
            &["-c", &ours[1]],
        ];
        for test in tests {
            let report = printed("iperf3", &[test, &["-J", "-n", &num]].concat()).await;
            let report: Value = serde_json::from_str(&report).unwrap();
            let end = &report["end"];
            let received =
                ["sum_received", "sum_received_bidir_reverse"].map(|sum| end[sum]["bytes"].as_u64().unwrap_or(0));
            let received = received.into_iter().max().unwrap();
            assert!(received >= MEGABYTES && report.get("error").is_none(), "{test:?}: {report:#}");
        }
        let served = server.await.unwrap();
        for (n, (received, sent)) in served.into_iter().enumerate() {
            match n {
                1 => assert!(received == 0 && sent >= MEGABYTES, "test {n} has taken {sent} bytes"),
                // It ends when one direction has what was asked for.
                2 => assert!(received.max(sent) >= MEGABYTES && received.min(sent) > 0, "{received} and {sent} bytes"),
                _ => assert!(received >= MEGABYTES && sent == 0, "test {n} has brought {received} bytes"),
            }
        }
        lab.finish().await;
    });
}

#[test]
fn our_client_measures_the_kernel_in_each_direction() {
    within(&["iperf3"], || async {
        let lab = Lab::new();
        let mut server = start("iperf3", &["-s", "--forceflush"]);
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let server_addr = format!("{KERNEL}:5201");
        for reverse in [false, true] {
            // It says so before each test, and refuses who comes while it still ends the last one.
            let listening = wakeline::spawn_blocking(move || {
                let serves = lines.any(|line| line.unwrap().contains("Server listening"));
                assert!(serves, "iperf3 does not serve");
                lines
            });
            lines = listening.await.unwrap();
            let moved = lab.host.run(ask(&server_addr, reverse, MEGABYTES)).await.unwrap();
            // What is still under way when the test ends is not in the server's account.
            assert!(moved >= MEGABYTES / 2, "{moved} bytes, reverse: {reverse}");
        }
        server.kill().unwrap();
        server.wait().unwrap();
        lab.finish().await;
    });
}
