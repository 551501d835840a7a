//! The tracepoints of one request and its reply, against those that Linux told (`tests/traces`).

use std::io::{Read, Write};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::Lan;
use wakeline::net::event::Record;
use wakeline::net::{TcpListener, TcpStream, blocking};

const VETH_BLOCK: &str = include_str!("../traces/veth_block.txt");

/// What is told in three places: in softirqs, by the client, by the server.
#[derive(Debug, Default, PartialEq)]
struct Told {
    softirq: Vec<String>,
    client: Vec<String>,
    server: Vec<String>,
}

/// The events of a request up to the moment in which the client has its reply, without what is not told on both sides:
/// system calls (a task makes none), interprocessor interrupts and the release of buffers, and what raises the softirq,
/// which is the sender there and an interrupt here.
fn on_linux(trace: &str) -> Told {
    const NOT_HERE: [&str; 7] =
        ["sys_enter", "sys_exit", "netif_rx", "softirq_raise", "ipi_send_cpu", "consume_skb", "net_dev_start_xmit"];
    let mut told = Told::default();
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, _, flags, comm, name, ..] = words[..] else { panic!("{line}") };
        let place = match comm {
            _ if flags.contains('s') => &mut told.softirq,
            "wl_cli" => &mut told.client,
            // Who ran before is named in a line of `sched_switch`.
            "idle" | "tokio-rt-" if line.contains("next_comm=wl_cli") => &mut told.client,
            "wl_block" | "idle" => &mut told.server,
            _ => continue,
        };
        if !NOT_HERE.contains(&name) {
            place.push(name.to_owned());
        }
        // The client reads its reply once; what it does then is no part of the request.
        if comm == "wl_cli" && name == "sock_recv_length" {
            break;
        }
    }
    told
}

#[wakeline::test(start_paused = true)]
async fn one_request_tells_what_linux_tells_in_its_order() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await.unwrap();
    let mut near = client.run(TcpStream::connect("server:7")).await.unwrap();
    let (mut far, _) = server.run(listener.accept()).await.unwrap();
    server.spawn(async move {
        let mut buf = [0; 64];
        while far.read(&mut buf).await.is_ok_and(|n| n > 0) {
            far.write_all(&buf).await.unwrap();
        }
    });
    let mut buf = [0; 64];
    for round in 0..3 {
        if round == 2 {
            lan.trace().start();
        }
        near.write_all(&[7; 64]).await.unwrap();
        near.read_exact(&mut buf).await.unwrap();
    }
    let records = lan.trace().stop();
    let (told, linux) = (here(&records), on_linux(VETH_BLOCK));
    assert_eq!((linux.softirq.len(), linux.client.len(), linux.server.len()), (16, 8, 8), "{linux:#?}");
    let all: Vec<_> = records.iter().map(|record| format!("{} {}", record.host, record.event)).collect();
    assert_eq!(told, linux, "{all:#?}");
}

/// The same from threads, whose hosts run on threads of their own: others may tell something in between.
#[test]
fn one_request_of_threads_tells_the_same() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build_threaded().unwrap();
    let client = lan.host("client").build_threaded().unwrap();
    let echo = std::thread::spawn(move || {
        let _here = server.enter();
        let listener = blocking::TcpListener::bind("0.0.0.0:7").unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut buf = [0; 64];
        while far.read(&mut buf).is_ok_and(|n| n > 0) {
            far.write_all(&buf).unwrap();
        }
    });
    let _here = client.enter();
    let mut near = loop {
        match blocking::TcpStream::connect("server:7") {
            Ok(stream) => break stream,
            Err(_) => std::thread::yield_now(), // the other thread does not listen yet
        }
    };
    let mut buf = [0; 64];
    lan.trace().start();
    // On a busy machine a reply may be there before its reader looks; not so often in a row.
    for _ in 0..200 {
        near.write_all(&[7; 64]).unwrap();
        near.read_exact(&mut buf).unwrap();
    }
    let records = lan.trace().stop();
    drop(near);
    echo.join().unwrap();
    let (told, linux) = (here(&records), on_linux(VETH_BLOCK));
    for (told, linux) in [(&told.client, &linux.client), (&told.server, &linux.server)] {
        let mut rest = told.iter();
        for name in linux {
            assert!(rest.any(|n| n == name), "{name} is missing or out of order in {told:?}");
        }
    }
}

fn here(records: &[Record]) -> Told {
    let mut told = Told::default();
    for record in records {
        let name = record.event.name();
        let line = record.event.to_string();
        let place = match name {
            "irq_handler_entry" | "irq_handler_exit" | "softirq_raise" => continue,
            // Timers are armed and run in the same context as the packets.
            "softirq_entry" | "softirq_exit" if !line.ends_with("vec=3") => continue,
            "softirq_entry" | "softirq_exit" | "netif_receive_skb" | "tcp_probe" | "sk_data_ready" | "sched_waking"
            | "sched_wakeup" | "napi_poll" => &mut told.softirq,
            _ if &*record.host == "client" => &mut told.client,
            _ => &mut told.server,
        };
        place.push(name.to_owned());
    }
    told
}
