//! Lines and handlers: shared, unclaimed, stormy, threaded and disabled ones; a softirq without an interrupt.

use crate::frames::{datagram, mac, v4};
use crate::receive_path::bench::{Bench, names, round, settle, start_echo};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wakeline::net::emulated::{Host, IrqChip, IrqReturn, Lan, NapiSettings, NicModel};
use wakeline::net::event::Event;
use wakeline::net::{TcpStream, UdpSocket};
use wakeline::task::yield_now;
use wakeline::time::sleep;

/// Row 10: on a shared line every handler is called, whoever's interrupt it was, and the line is quiet after it.
#[wakeline::test]
async fn a_shared_line_asks_every_handler() {
    for chip in [IrqChip::IoApic, IrqChip::Pic] {
        let bench = Bench::new(|host| host.nic(NicModel::E1000).irq_chip(chip));
        let irq = bench.host.irq(24).unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let other = {
            let (asked, line) = (asked.clone(), irq.clone());
            irq.request("other", move || {
                // Its own device, if it was that, lets the line down.
                line.lower();
                asked.fetch_add(1, Ordering::Relaxed);
                IrqReturn::Handled
            })
            .unwrap()
        };
        bench.send(0);
        settle().await;
        assert_eq!((bench.irqs(), asked.load(Ordering::Relaxed), bench.host.counters().packets), (1, 1, 1));
        let records = bench.traced(async || irq.raise()).await;
        assert_eq!((bench.irqs(), asked.load(Ordering::Relaxed), bench.host.counters().packets), (2, 2, 1));
        let handled: Vec<bool> = records
            .iter()
            .filter_map(
                |record| {
                    if let Event::IrqHandlerExit { handled, .. } = record.event { Some(handled) } else { None }
                },
            )
            .collect();
        assert_eq!(handled, [false, true], "the network driver says IRQ_NONE");
        drop(other);
        bench.send(0);
        settle().await;
        assert_eq!((bench.irqs(), asked.load(Ordering::Relaxed)), (3, 2));
    }
}

/// Row 11: after 100,000 interrupts that nobody took the line is disabled, and its handlers are asked ten times a second.
#[wakeline::test(start_paused = true)]
async fn a_line_that_nobody_cares_for_is_disabled() {
    let bench = Bench::new(|host| host.nic(NicModel::E1000));
    let irq = bench.host.irq(24).unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let other = irq.request("other", move || {
        count.fetch_add(1, Ordering::Relaxed);
        IrqReturn::None
    });
    let other = other.unwrap();
    other.irq().raise();
    for _ in 0..200_000 {
        yield_now().await;
    }
    assert_eq!((irq.counts(), irq.spurious().disabled, asked.load(Ordering::Relaxed)), (vec![100_000], true, 100_000));
    sleep(Duration::from_secs(1)).await;
    assert!((100_009..=100_011).contains(&asked.load(Ordering::Relaxed)), "polled by the timer");
    assert_eq!(irq.counts(), [100_000]);
    // Packets are not lost with the line: the driver is asked as well.
    bench.send(0);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.host.counters().packets, 1);
    irq.lower();
    irq.enable().unwrap();
    bench.send(0);
    settle().await;
    assert_eq!((irq.counts(), bench.host.counters().packets), (vec![100_001], 2));
}

/// A handler that says it was its device's, and leaves the line up, storms: others run all the same.
#[wakeline::test]
async fn a_storm_leaves_others_their_turn() {
    let bench = Bench::new(|host| host.nic(NicModel::E1000));
    let irq = bench.host.irq(24).unwrap();
    let _other = irq.request("other", || IrqReturn::Handled).unwrap();
    irq.raise();
    start_echo(&bench.host, 7000).await;
    let client = bench.lan.host("client").build().unwrap();
    let mut stream = client.run(TcpStream::connect("host:7000")).await.unwrap();
    for n in 0..100 {
        round(&mut stream, n).await;
    }
    assert!(bench.irqs() > 100);
    irq.lower();
}

/// Row 12: nobody sleeps in an interrupt, or in a softirq. Who would is told so at once, whether or not it comes to that.
#[cfg(debug_assertions)]
#[test]
fn nobody_sleeps_in_an_interrupt() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::task::{Context, Wake, Waker};
    use wakeline::net::blocking;
    use wakeline::park::Parker;
    use wakeline::runtime::Runtime;

    struct Sleepers {
        host: Host,
        socket: blocking::UdpSocket,
        runtime: Runtime,
    }

    /// What may sleep, one after the other; says which were stopped.
    fn stopped(Sleepers { host, socket, runtime }: &Sleepers) -> Vec<bool> {
        let mutex = wakeline::sync::Mutex::new(());
        let attempts: [&dyn Fn(); 6] = [
            &|| Parker::new().park(),
            &|| drop(mutex.blocking_lock()),
            &|| runtime.block_on(async {}),
            &|| host.set_rx_ring(256).unwrap(),
            &|| drop(socket.recv_from(&mut [0; 64])),
            // Who does not wait, or only wakes, is let through.
            &|| drop((mutex.try_lock(), Parker::new().unparker().unpark())),
        ];
        attempts.map(|attempt| catch_unwind(AssertUnwindSafe(attempt)).is_err()).to_vec()
    }
    const SLEEPERS: [bool; 6] = [true, true, true, true, true, false];

    let lan = Lan::with_seed(1);
    let host = lan.host("host").nic(NicModel::E1000).build_threaded().unwrap();
    let port = lan.raw_port().unwrap();
    let runtime = || Runtime::new().unwrap();
    let here = host.enter();
    let socket = runtime().block_on(UdpSocket::bind("0.0.0.0:9")).unwrap();
    let idle = blocking::UdpSocket::bind("0.0.0.0:7").unwrap();
    drop(here);
    let sleepers = Arc::new(Sleepers { host: host.clone(), socket: idle, runtime: runtime() });
    let (told, telling) = mpsc::channel();

    // A handler, in the hard interrupt.
    let handler = {
        let (sleepers, told) = (sleepers.clone(), told.clone());
        let handle = move || {
            told.send(stopped(&sleepers)).unwrap();
            IrqReturn::None
        };
        host.irq(24).unwrap().request("sleepy", handle).unwrap()
    };
    port.send(&datagram(&port, mac(1), 1000, (v4(&host), 9))).unwrap();
    assert_eq!(telling.recv().unwrap(), SLEEPERS);
    drop(handler);
    runtime().block_on(socket.recv_from(&mut [0; 64])).unwrap();

    // A waiter, who is woken in the softirq.
    struct Sleepy(Arc<Sleepers>, mpsc::Sender<Vec<bool>>);
    impl Wake for Sleepy {
        fn wake(self: Arc<Self>) {
            self.1.send(stopped(&self.0)).unwrap();
        }
    }
    let waker = Waker::from(Arc::new(Sleepy(sleepers, told)));
    let mut buf = [0; 64];
    let mut receive = std::pin::pin!(socket.recv_from(&mut buf));
    assert!(receive.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    port.send(&datagram(&port, mac(1), 1000, (v4(&host), 9))).unwrap();
    assert_eq!(telling.recv().unwrap(), SLEEPERS);
}

/// A threaded handler: the line stays masked until its thread has finished.
#[wakeline::test]
async fn a_threaded_handler_holds_its_line() {
    let bench = Bench::new(|host| host.nic(NicModel::E1000));
    let irq = bench.host.irq(24).unwrap();
    let (woken, ran) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let _action = {
        let (woken, ran, line) = (woken.clone(), ran.clone(), irq.clone());
        let primary = move || {
            woken.fetch_add(1, Ordering::Relaxed);
            IrqReturn::WakeThread
        };
        let thread = move || {
            line.lower();
            ran.fetch_add(1, Ordering::Relaxed);
        };
        irq.request_threaded("slow", primary, thread).unwrap()
    };
    for n in 1..=5 {
        irq.raise();
        settle().await;
        assert_eq!([woken.load(Ordering::Relaxed), ran.load(Ordering::Relaxed)], [n; 2]);
    }
    assert_eq!(bench.irqs(), 5);
    bench.send(0);
    settle().await;
    assert_eq!(bench.host.counters().packets, 1);
}

/// `threadirqs`, and NAPI in threads: everything works, and the softirq polls nothing.
#[wakeline::test]
async fn interrupts_and_polls_may_run_in_threads() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").threadirqs(true).build().unwrap();
    let client = lan.host("client").build().unwrap();
    client.set_napi(NapiSettings { threaded: true, ..NapiSettings::default() }).unwrap();
    start_echo(&server, 7000).await;
    let mut stream = client.run(TcpStream::connect("server:7000")).await.unwrap();
    for n in 0..100 {
        round(&mut stream, n).await;
    }
    let net_rx = |host: &Host| {
        let text = host.proc_file("/proc/softirqs").unwrap();
        let row = text.lines().find(|line| line.contains("NET_RX:")).unwrap().to_owned();
        row.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(net_rx(&client), 0);
    assert!(net_rx(&server) > 100 && client.counters().napi_polls > 100);
    let mut rest = vec![];
    lan.trace().start();
    round(&mut stream, 1).await;
    rest.extend(lan.trace().stop().into_iter().filter(|record| &*record.host == "server"));
    // The handler's work, raising the softirq, is its thread's.
    let order = names(&rest);
    let at = |name| order.iter().position(|&n| n == name).unwrap();
    assert!(at("irq_handler_exit") < at("softirq_raise"), "{order:?}");
}

/// What comes while a line is disabled, however deep, is remembered once.
#[wakeline::test]
async fn a_disabled_line_remembers_one_interrupt() {
    let bench = Bench::new(|host| host);
    let irq = bench.host.irq(24).unwrap();
    irq.disable();
    irq.disable();
    (0..3).for_each(|_| bench.send(0));
    settle().await;
    irq.enable().unwrap();
    settle().await;
    assert_eq!((bench.irqs(), bench.host.counters().packets), (0, 0));
    irq.enable().unwrap();
    settle().await;
    assert_eq!((bench.irqs(), bench.host.counters().packets), (1, 3));
}

/// Row 15: what is raised outside of interrupts wakes ksoftirqd.
#[wakeline::test]
async fn a_softirq_raised_by_a_program_wakes_ksoftirqd() {
    let bench = Bench::new(|host| host);
    bench.send(0);
    settle().await;
    let before = bench.host.counters().ksoftirqd_wakeups;
    let socket = bench.host.run(UdpSocket::bind("127.0.0.1:0")).await.unwrap();
    let addr = socket.local_addr().unwrap();
    bench.host.run(socket.send_to(b"to myself", addr)).await.unwrap();
    assert_eq!(socket.recv_from(&mut [0; 16]).await.unwrap().0, 9);
    assert_eq!(bench.host.counters().ksoftirqd_wakeups - before, 1);
}
