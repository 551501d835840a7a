//! A network namespace for the length of a test, a LAN that reaches into it, and the programs that run there.
//!
//! A namespace belongs to a thread: the test's body runs on a thread that has left the machine's, as do the threads and
//! processes that it starts. So a socket of the operating system that is opened on this thread is the namespace's, and one
//! body can hold both ends of a connection.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wakeline::net::emulated::{Capture, Host, Lan, Offloads, Tap, TapPort};

/// The kernel's addresses on the LAN.
pub(crate) const KERNEL: &str = "10.0.255.1";
pub(crate) const KERNEL_V6: &str = "fd00::1:1";

/// Runs `body` in a namespace of its own, on a runtime of one thread. Without the right to, or without one of `tools`, it
/// says so and does nothing.
#[track_caller]
pub(crate) fn within<F: Future<Output = ()>>(
    tools: &'static [&'static str],
    body: impl FnOnce() -> F + Send + 'static,
) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let run = move || {
        if let Err(missing) = enter(tools) {
            skipped(&test, &missing);
            return;
        }
        let runtime = wakeline::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            wakeline::time::timeout(Duration::from_secs(60), body()).await.expect("a test takes less than a minute");
        });
    };
    let thread = std::thread::Builder::new().spawn(run).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Not by a macro, whose output the test harness would keep to itself.
fn skipped(what: &str, why: &str) {
    let line = format!("SKIPPED {what}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn enter(tools: &[&str]) -> Result<(), String> {
    if let Some(tool) = ["ip"].iter().chain(tools).find(|tool| !is_installed(tool)) {
        return Err(format!("there is no `{tool}` on this machine"));
    }
    if !Path::new("/dev/net/tun").exists() {
        return Err("there is no /dev/net/tun on this machine".into());
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("it may not make a network namespace: {error} (CAP_SYS_ADMIN)"))?;
    ip("link set lo up")
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').any(|folder| Path::new(folder).join(tool).exists())
}

/// A LAN with one host, whose TAP device is up and has the kernel's addresses, and a capture of all that passes.
pub(crate) struct Lab {
    pub(crate) lan: Lan,
    pub(crate) host: Host,
    pub(crate) port: TapPort,
    capture: Capture,
    file: PathBuf,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab::with(Tap::open("tap0").unwrap(), Offloads::empty())
    }

    /// The same with another device, and a host with offloads.
    pub(crate) fn with(tap: Tap, offloads: Offloads) -> Lab {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let lan = Lan::with_seed(1);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("wakeline-tap-{}-{number}.pcapng", std::process::id()));
        let capture = lan.capture(std::fs::File::create(&file).unwrap()).unwrap();
        let port = lan.attach(tap).unwrap();
        let host = lan.host("host").offloads(offloads).build().unwrap();
        ip(&format!("addr add {KERNEL}/16 dev tap0")).unwrap();
        ip(&format!("addr add {KERNEL_V6}/64 dev tap0 nodad")).unwrap();
        ip("link set tap0 up").unwrap();
        Lab { lan, host, port, capture, file }
    }

    /// Ends the capture, and lets tshark judge it.
    pub(crate) async fn finish(self) {
        let captured = wakeline::spawn_blocking(|| self.capture.finish()).await.unwrap().unwrap();
        assert!(captured.frames > 0, "nothing was captured");
        if is_installed("tshark") {
            let args = [&["-n", "-r", self.file.to_str().unwrap()], TSHARK].concat();
            assert_eq!(printed("tshark", &[&args[..], &["-Y", FAULTS]].concat()).await, "", "of {captured:?}");
        } else {
            skipped("the examination of a capture", "there is no `tshark` on this machine");
        }
        std::fs::remove_file(self.file).unwrap();
    }
}

/// Every checksum is looked at, and nothing that takes long and serves other questions. What the text is, a port does not say: the one
/// that a client happened to get may be somebody's (34980 is EtherCAT's).
#[rustfmt::skip]
const TSHARK: &[&str] = &[
    "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
    "-o", "tcp.desegment_tcp_streams:FALSE", "-o", "tcp.analyze_sequence_numbers:FALSE",
    "-d", "tcp.port==1-65535,data", "-d", "udp.port==1-65535,data",
];
/// A TCP checksum of 0xffff for 0 is the kernel's way to write it (`CSUM_MANGLED_0`); both are right.
const FAULTS: &str = "_ws.malformed or ip.checksum.status == 0 or udp.checksum.status == 0 \
    or (tcp.checksum.status == 0 and !(tcp.checksum == 0xffff and tcp.checksum_calculated == 0)) \
    or icmp.checksum.status == 0 or icmpv6.checksum.status == 0";

/// One `ip` command.
pub(crate) fn ip(args: &str) -> Result<(), String> {
    let output = Command::new("ip").args(args.split(' ')).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {args}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Starts a program in the namespace. It dies with the calling thread, so that a test that fails leaves nothing behind.
pub(crate) fn start(program: &str, args: &[&str]) -> Child {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", program])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Runs a program of the namespace to its end, while tasks go on.
pub(crate) async fn run(program: &str, args: &[&str]) -> Output {
    // Started here: the threads of the pool stand in the machine's namespace.
    let child = start(program, args);
    wakeline::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap()
}

/// The same, of a program that must succeed: what it printed.
pub(crate) async fn printed(program: &str, args: &[&str]) -> String {
    let output = run(program, args).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
