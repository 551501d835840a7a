//! A UDP responder in the form of DNS (RFC 1035): it knows a few names and says NXDOMAIN about all others.
//!
//! ```text
//! cargo run --example names                                                 a server and a client, checked
//! cargo run --example names -- --backend os                                 the same on the system's network
//! cargo run --example names -- --listen 127.0.0.1:5300                      dig @127.0.0.1 -p 5300 wakeline.test
//! ```
//! Datagrams are taken and answered in batches: one entry into the stack for each on an emulated host.

#[path = "common/stage.rs"]
mod stage;

use stage::{Stage, expect};
use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::net::UdpSocket;
use wakeline::time::timeout;

fn main() -> ExitCode {
    stage::run("names", serve, play)
}

const NAMES: &[(&str, Ipv4Addr)] =
    &[("wakeline.test", Ipv4Addr::new(192, 0, 2, 1)), ("localhost", Ipv4Addr::LOCALHOST)];

/// How many datagrams are taken at a time, and how long a question may be (RFC 1035 2.3.4).
const BATCH: usize = 32;
const DATAGRAM_BYTES: usize = 512;

async fn serve(addr: String) -> io::Result<()> {
    let socket = UdpSocket::bind(&addr).await?;
    println!("answering on {}, until Ctrl-C", socket.local_addr()?);
    respond(socket).await
}

async fn respond(socket: UdpSocket) -> io::Result<()> {
    let mut bufs = vec![[0; DATAGRAM_BYTES]; BATCH];
    let mut received = Vec::with_capacity(BATCH);
    loop {
        received.clear();
        // What a peer did with an earlier answer is told here, as ConnectionRefused for example; it concerns nobody else.
        if let Err(error) = socket.recv_many(&mut bufs, &mut received).await {
            eprintln!("names: {error}");
            continue;
        }
        for (buf, &(len, peer)) in bufs.iter().zip(&received) {
            if let Some(answer) = answer(&buf[..len])
                && let Err(error) = socket.send_to(&answer, peer).await
            {
                eprintln!("names: to {peer}: {error}");
            }
        }
    }
}

const HEADER_BYTES: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
const CLASS_IN: [u8; 2] = [0, 1];
const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

/// The answer to a question; `None` to what deserves none: an answer, or less than a header.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let header = question.get(..HEADER_BYTES)?;
    // RFC 1035 4.1.1: QR says that it is an answer, and two servers must not answer each other's for ever.
    if header[2] & 0x80 != 0 {
        return None;
    }
    let (code, address, asked) = match parse(question) {
        _ if header[2] & 0x78 != 0 => (NOT_IMPLEMENTED, None, &[][..]),
        None => (FORMAT_ERROR, None, &[][..]),
        Some((name, kind, asked)) => {
            let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
            let address = known.filter(|_| kind == [TYPE_A, CLASS_IN].concat()).map(|(_, address)| *address);
            (if known.is_some() { NO_ERROR } else { NAME_ERROR }, address, asked)
        }
    };
    let mut out = Vec::with_capacity(DATAGRAM_BYTES);
    out.extend_from_slice(&header[..2]);
    // QR, AA, and RD as it was asked; then the code.
    out.extend_from_slice(&[0x84 | (header[2] & 0x79), code]);
    out.extend_from_slice(&[0, u8::from(!asked.is_empty()), 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    out.extend_from_slice(asked);
    if let Some(address) = address {
        // 4.1.4: the name is the one at offset 12. It may be kept for a minute.
        out.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
        out.extend_from_slice(&TYPE_A);
        out.extend_from_slice(&CLASS_IN);
        out.extend_from_slice(&60_u32.to_be_bytes());
        out.extend_from_slice(&[0, 4]);
        out.extend_from_slice(&address.octets());
    }
    Some(out)
}

/// The name that is asked for, its type and class, and the bytes of the question.
fn parse(question: &[u8]) -> Option<(String, Vec<u8>, &[u8])> {
    if question[4..6] != [0, 1] {
        return None;
    }
    let (mut at, mut name) = (HEADER_BYTES, String::new());
    loop {
        let len = usize::from(*question.get(at)?);
        at += 1;
        match len {
            0 => break,
            // A pointer, which a question has no use for.
            64.. => return None,
            _ => {}
        }
        let label = question.get(at..at + len)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(label).ok()?);
        at += len;
    }
    let kind = question.get(at..at + 4)?;
    Some((name, kind.to_vec(), &question[HEADER_BYTES..at + 4]))
}

/// A question for an address.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&TYPE_A);
    out.extend_from_slice(&CLASS_IN);
    out
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let addr = stage
        .server(async move {
            let socket = UdpSocket::bind(bind).await?;
            let addr = socket.local_addr()?;
            wakeline::spawn(respond(socket));
            io::Result::Ok(addr)
        })
        .await??;
    let ask = async move {
        let socket = UdpSocket::bind(if addr.ip().is_loopback() { "127.0.0.1:0" } else { "0.0.0.0:0" }).await?;
        socket.connect(addr).await?;
        let mut answers = Vec::new();
        for (id, name) in (1..).zip(["wakeline.test", "WAKELINE.TEST", "nowhere.test"]) {
            answers.push(exchange(&socket, &question(id, name)).await?);
        }
        let mut broken = question(9, "wakeline.test");
        broken.truncate(20);
        answers.push(exchange(&socket, &broken).await?);
        io::Result::Ok(answers)
    };
    let answers = stage.client(ask).await??;
    for (number, answer) in answers[..2].iter().enumerate() {
        expect((answer[1], answer[3], answer[7]), (number as u8 + 1, NO_ERROR, 1))?;
        expect(&answer[answer.len() - 4..], &[192, 0, 2, 1][..])?;
    }
    expect((answers[2][3], answers[2][7]), (NAME_ERROR, 0))?;
    expect((answers[3][1], answers[3][3]), (9, FORMAT_ERROR))?;
    println!("known names have an address, others do not, and nonsense is said to be that");
    Ok(())
}

/// A datagram may be lost, so it is sent again.
async fn exchange(socket: &UdpSocket, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut buf = [0; DATAGRAM_BYTES];
    for _ in 0..5 {
        socket.send(question).await?;
        if let Ok(received) = timeout(Duration::from_secs(1), socket.recv(&mut buf)).await {
            return Ok(buf[..received?].to_vec());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
