//! What our host finds out about the kernel's network: whose an address is, and which router leads where.

use crate::lab::{ip, printed, start, within};
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan, Tap};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::time::{sleep, timeout};

/// A LAN that reaches into the namespace, and whose router is the kernel, without a host yet.
fn lan() -> Lan {
    let lan = Lan::with_seed(1);
    std::mem::forget(lan.attach(Tap::open("tap0").unwrap()).unwrap());
    // The router needs its link-local address now.
    std::fs::write("/proc/sys/net/ipv6/conf/tap0/accept_dad", "0").unwrap();
    ip("addr add fd00::5/64 dev tap0 nodad").unwrap();
    ip("link set tap0 up").unwrap();
    lan
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what} within 20 s"));
}

fn has(host: &Host, addr: &str) -> bool {
    host.addrs().contains(&addr.parse::<IpAddr>().unwrap())
}

#[test]
fn an_address_of_the_kernels_is_not_ours() {
    within(&[], || async {
        let lan = lan();
        let ours = lan.host("ours").addr("fd00::6/64").build().unwrap();
        let theirs = lan.host("theirs").addr("fd00::5/64").build().unwrap();
        until("the kernel objects", || !has(&theirs, "fd00::5")).await;
        sleep(Duration::from_millis(1500)).await;
        assert!(has(&ours, "fd00::6"), "nobody objects");
        // Who must be sure first has none until then.
        let careful = lan.host("careful").addr("fd00::7/64").sysctl("net.ipv6.conf.all.optimistic_dad", 0);
        let careful = careful.build().unwrap();
        assert!(!has(&careful, "fd00::7"));
        until("a second is over", || has(&careful, "fd00::7")).await;
        let listener = careful.run(TcpListener::bind("[fd00::7]:7")).await.unwrap();
        TcpStream::connect("[fd00::7]:7").await.unwrap();
        careful.run(listener.accept()).await.unwrap();
        // And the kernel finds out that an address is ours.
        std::fs::write("/proc/sys/net/ipv6/conf/tap0/accept_dad", "1").unwrap();
        ip("addr add fd00::7/64 dev tap0").unwrap();
        let mut state = String::new();
        for _ in 0..300 {
            state = printed("ip", &["-6", "addr", "show", "dev", "tap0"]).await;
            if state.contains("dadfailed") {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert!(state.contains("dadfailed"), "{state}");
    });
}

#[test]
fn a_router_gives_an_address_and_leads_elsewhere() {
    within(&["radvd"], || async {
        let lan = lan();
        // Behind the router.
        ip("addr add 2001:db8:8::1/64 dev lo nodad").unwrap();
        ip("addr add 2001:db8:7::1/64 dev tap0 nodad").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        let name = format!("wakeline-radvd-{}", std::process::id());
        let [config, pid] = ["conf", "pid"].map(|kind| std::env::temp_dir().join(format!("{name}.{kind}")));
        let text =
            "interface tap0 { AdvSendAdvert on; prefix 2001:db8:7::/64 { AdvOnLink on; AdvAutonomous on; }; };\n";
        std::fs::File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
        let args = ["-n", "-C", config.to_str().unwrap(), "-p", pid.to_str().unwrap(), "-m", "stderr"];
        let mut radvd = start("radvd", &args);
        for cpus in [1, 4] {
            let host = lan.host(&format!("host{cpus}")).cpus(cpus).build().unwrap();
            until("the router answers", || host.addrs().iter().any(|addr| addr.to_string().starts_with("2001:db8:7:")))
                .await;
            let listener = TcpListener::bind("[2001:db8:8::1]:7000").await.unwrap();
            let mut stream = host.run(TcpStream::connect("[2001:db8:8::1]:7000")).await.unwrap();
            assert!(stream.local_addr().unwrap().to_string().starts_with("[2001:db8:7:"));
            let (mut accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, stream.local_addr().unwrap());
            stream.write_all(b"from a leased address").await.unwrap();
            let mut text = [0; 21];
            accepted.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"from a leased address");
        }
        radvd.kill().unwrap();
        radvd.wait().unwrap();
        let _ = (std::fs::remove_file(config), std::fs::remove_file(pid));
    });
}
