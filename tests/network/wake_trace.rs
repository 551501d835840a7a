//! The tracepoints of one request and its reply, and the call chains of wake-ups, against those that Linux told (`tests/traces`).

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{Read, Write};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::completion::Ring;
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event as EpollEvent};
use wakeline::net::event::{Event, Record, Syscall};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};
use wakeline::net::poll::{Events, FdSet, PollFd, poll, select};
use wakeline::net::{TcpListener, TcpStream, blocking};
use wakeline::time::{Duration, sleep};

const VETH_BLOCK: &str = include_str!("../traces/veth_block.txt");
const VETH_POLL: &str = include_str!("../traces/veth_poll.txt");
const VETH_SELECT: &str = include_str!("../traces/veth_select.txt");
const VETH_EPLT: &str = include_str!("../traces/veth_eplt.txt");
const WAKE_CHAINS: &str = include_str!("../traces/wake_chains.txt");

/// What is told in three places: in softirqs, by the client, by the server.
#[derive(Debug, Default, PartialEq)]
struct Told {
    softirq: Vec<String>,
    client: Vec<String>,
    server: Vec<String>,
}

/// The events of a request up to the moment in which the client's read has returned, without what is not told on both sides:
/// interprocessor interrupts and the release of buffers, and what raises the softirq, which is the sender there and an
/// interrupt here. Of a system call, which it is and what it returns.
fn on_linux(trace: &str) -> Told {
    const NOT_HERE: [&str; 5] = ["netif_rx", "softirq_raise", "ipi_send_cpu", "consume_skb", "net_dev_start_xmit"];
    let mut told = Told::default();
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        // Names of programs have nine columns, and may have spaces.
        let (flags, comm) = (&line[13..18], line[19..28].trim());
        let words: Vec<_> = line[29..].split_whitespace().collect();
        let name = words[0];
        // Who runs next is named in a line of whoever ran before.
        let next = words.iter().find_map(|word| word.strip_prefix("next_comm=wl_"));
        let who = comm.strip_prefix("wl_").or(next);
        let place = match who {
            _ if flags.contains('s') => &mut told.softirq,
            Some("cli") => &mut told.client,
            Some(_) => &mut told.server,
            None => continue,
        };
        let is_last = comm == "wl_cli" && line.contains("NR 0 = ");
        match name {
            "sys_enter" => place.push(format!("sys_enter_{}", syscall(words[2]))),
            "sys_exit" => place.push(format!("sys_exit_{} ret={}", syscall(words[2]), words[4])),
            name if NOT_HERE.contains(&name) => {}
            name => place.push(name.to_owned()),
        }
        if is_last {
            break;
        }
    }
    told
}

fn syscall(number: &str) -> &'static str {
    use Syscall::{EpollWait, Poll, Read, Select, Write};
    let known = [Read, Write, Poll, Select, EpollWait].into_iter().find(|call| call.number().to_string() == number);
    known.unwrap_or_else(|| panic!("system call {number}")).name()
}

/// One request and its reply between two tasks, the server waiting as `serve` does.
async fn one_request<F: Future<Output = ()> + Send + 'static>(serve: impl FnOnce(TcpStream) -> F) -> Vec<Record> {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await.unwrap();
    let mut near = client.run(TcpStream::connect("server:7")).await.unwrap();
    let (far, _) = server.run(listener.accept()).await.unwrap();
    server.spawn(serve(far));
    let mut buf = [0; 64];
    for round in 0..3 {
        if round == 2 {
            lan.trace().start();
        }
        near.write_all(&[7; 64]).await.unwrap();
        near.read_exact(&mut buf).await.unwrap();
    }
    lan.trace().stop()
}

fn check(records: &[Record], trace: &str, server: usize) {
    let (told, linux) = (here(records), on_linux(trace));
    assert_eq!((linux.softirq.len(), linux.client.len(), linux.server.len()), (16, 12, server), "{linux:#?}");
    let all: Vec<_> = records.iter().map(|record| format!("{} {}", record.host, record.event)).collect();
    assert_eq!(told, linux, "{all:#?}");
}

async fn answer(far: &mut TcpStream) -> bool {
    let mut buf = [0; 64];
    let is_open = far.read(&mut buf).await.is_ok_and(|n| n > 0);
    is_open && far.write_all(&buf).await.is_ok()
}

#[wakeline::test(start_paused = true)]
async fn one_request_tells_what_linux_tells_in_its_order() {
    let records = one_request(|mut far| async move { while answer(&mut far).await {} }).await;
    check(&records, VETH_BLOCK, 12);
}

#[wakeline::test(start_paused = true)]
async fn with_epoll_it_tells_the_same_and_the_two_calls_more() {
    let serve = async |mut far: TcpStream| {
        let epoll = Epoll::new().unwrap();
        epoll.ctl(&far, Ctl::Add(EpollEvent::new(EpollFlags::IN, 0))).unwrap();
        while epoll.wait(&mut [EpollEvent::default()]).await.is_ok() && answer(&mut far).await {}
    };
    let records = one_request(|far| Box::pin(serve(far))).await;
    check(&records, VETH_EPLT, 14);
}

#[wakeline::test(start_paused = true)]
async fn with_poll_and_select_too() {
    let serve = async |mut far: TcpStream| {
        while poll(&mut [PollFd::new(&far, Events::IN)]).await.is_ok() && answer(&mut far).await {}
    };
    let records = one_request(|far| Box::pin(serve(far))).await;
    check(&records, VETH_POLL, 14);
    let serve = async |mut far: TcpStream| {
        while select(Some(&mut FdSet::of(&[&far]).unwrap()), None, None).await.is_ok() && answer(&mut far).await {}
    };
    let records = one_request(|far| Box::pin(serve(far))).await;
    check(&records, VETH_SELECT, 14);
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
        let line = record.event.to_string();
        let name = if let Event::SysExit { .. } = record.event { &line } else { record.event.name() };
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

/// The chains of `sched_waking` in a section of what Linux told, cut at `net_rx_action`. Linux has a fast way for the segment that it
/// expects, which skips `tcp_data_queue`; the emulated TCP has one way for all text.
fn chains_on_linux(model: &str) -> BTreeSet<String> {
    let section = WAKE_CHAINS.split("===== ").find(|section| section.starts_with(&format!("{model}\n"))).unwrap();
    let chains = section.lines().filter(|line| line.contains("sched_waking"));
    let chains = chains.map(|line| line.split_once("| ").unwrap().1.to_owned());
    chains.filter(|chain| !chain.contains("sock_def_readable < tcp_rcv_established")).collect()
}

/// The same of what the server told, cut there too. Its device's poll stands where the veth pair has the backlog's.
fn chains_here(records: &[Record]) -> BTreeSet<String> {
    let server = records.iter().filter(|record| &*record.host == "server");
    let chains = server.filter_map(|record| match &record.event {
        Event::SchedWaking { stack, .. } => Some(stack.to_string().replace("wakeline_poll", "process_backlog")),
        _ => None,
    });
    // Who sends runs the receiver's softirq, and so does the softirq that sends an answer.
    chains.map(|chain| chain.split_inclusive("net_rx_action").next().unwrap_or_default().to_owned()).collect()
}

/// A connection is accepted, two segments come, and the end; each finds the server asleep, as `serve` sleeps.
async fn chains<F: Future<Output = ()> + Send>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> Vec<Record> {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await.unwrap();
    let serving = server.spawn(async move { serve(listener.accept().await.unwrap().0).await });
    lan.trace().start();
    sleep(Duration::from_millis(1)).await;
    let mut near = client.run(TcpStream::connect("server:7")).await.unwrap();
    for _ in 0..2 {
        sleep(Duration::from_millis(1)).await;
        near.write_all(&[7; 64]).await.unwrap();
    }
    sleep(Duration::from_millis(1)).await;
    near.close().await.unwrap();
    serving.await.unwrap();
    lan.trace().stop()
}

async fn read(far: &mut TcpStream) -> bool {
    far.read(&mut [0; 64]).await.unwrap() > 0
}

#[wakeline::test(start_paused = true)]
async fn wake_ups_come_through_the_functions_that_linux_has() {
    let block = chains(|mut far| async move { while read(&mut far).await {} }).await;
    assert_eq!(chains_here(&block), chains_on_linux("block"));

    let poll = chains(|mut far| async move {
        while poll(&mut [PollFd::new(&far, Events::IN)]).await.is_ok() && read(&mut far).await {}
    });
    assert_eq!(chains_here(&poll.await), chains_on_linux("poll"));

    let epoll = chains(|mut far| async move {
        let epoll = Epoll::new().unwrap();
        epoll.ctl(&far, Ctl::Add(EpollEvent::new(EpollFlags::IN, 0))).unwrap();
        while epoll.wait(&mut [EpollEvent::default()]).await.is_ok() && read(&mut far).await {}
    });
    assert_eq!(chains_here(&epoll.await), chains_on_linux("eplt"));

    let sigio = chains(|mut far| async move {
        let process = Process::new("server");
        far.set_owner(&[&process]).unwrap();
        far.set_sig(Signal::rt(0)).unwrap();
        far.set_async(Some(4)).unwrap();
        while process.wait_signal(SigSet::all()).await.fd == Some(4) && read(&mut far).await {}
    });
    let sigio = sigio.await;
    assert_eq!(chains_here(&sigio), chains_on_linux("sigio"));
    // A task takes a signal where Linux would run a handler.
    let delivered = sigio.iter().filter(|record| record.event.name() == "signal_deliver");
    let delivered: Vec<_> = delivered.map(|record| record.event.to_string()).collect();
    assert_eq!(delivered, ["signal_deliver sig=34 errno=0 code=1 sa_handler=0 sa_flags=0"; 3]);
}

/// The completion model: up to the operation's function all is alike. There it leaves the rest to the task that submitted it, here
/// it does it and wakes who waits for the completion.
#[wakeline::test(start_paused = true)]
async fn an_operation_of_a_ring_is_woken_as_io_urings_is() {
    let ring = chains(|far| async move {
        let ring = Ring::new(1).unwrap();
        loop {
            ring.recv(&far, vec![0; 64], 1).unwrap();
            ring.wait(1).await.unwrap();
            if ring.pop().unwrap().result.unwrap() == 0 {
                return;
            }
        }
    });
    let here = chains_here(&ring.await);
    const HERE: &str = "try_to_wake_up < io_wake_function < __wake_up_common < __io_cqring_wake < ";
    const LINUX: [&str; 2] = [
        "try_to_wake_up < task_work_add < __io_req_task_work_add < ", // the task runs it before it returns to its program
        "try_to_wake_up < __io_req_task_work_add < ",                 // IORING_SETUP_DEFER_TASKRUN
    ];
    for (model, there) in ["uring", "uringd"].into_iter().zip(LINUX) {
        let linux: BTreeSet<_> = chains_on_linux(model).iter().map(|chain| chain.replace(there, HERE)).collect();
        assert_eq!(here, linux);
    }
}
