//! A network namespace for the length of a test, and the programs that run in it.
//!
//! A namespace belongs to a thread: the test's body runs on a thread that has left the machine's, as do the threads and
//! processes that it starts. So a socket of the operating system that is opened on this thread is the namespace's, and one
//! body can hold both ends of a connection.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use wakeline::net::emulated::{Lan, Tap, TapPort};

/// The kernel's addresses on the LAN.
pub(crate) const KERNEL: &str = "10.0.255.1";

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
            // Not by a macro, whose output the test harness keeps to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {missing}");
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

fn enter(tools: &[&str]) -> Result<(), String> {
    for tool in ["ip"].iter().chain(tools) {
        let path = std::env::var("PATH").unwrap_or_default();
        if !path.split(':').any(|folder| Path::new(folder).join(tool).exists()) {
            return Err(format!("there is no `{tool}` on this machine"));
        }
    }
    if !Path::new("/dev/net/tun").exists() {
        return Err("there is no /dev/net/tun on this machine".into());
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("no network namespace of its own: {error} (it needs CAP_SYS_ADMIN)"))?;
    ip("link set lo up")
}

/// A LAN whose TAP device is up and has the kernel's address.
pub(crate) fn lan() -> (Lan, TapPort) {
    lan_with(|tap| tap)
}

/// The same, with the device changed before it is plugged in.
pub(crate) fn lan_with(change: impl FnOnce(Tap) -> Tap) -> (Lan, TapPort) {
    let lan = Lan::with_seed(1);
    let port = lan.attach(change(Tap::open("tap0").unwrap())).unwrap();
    ip(&format!("addr add {KERNEL}/16 dev tap0")).unwrap();
    ip("link set tap0 up").unwrap();
    (lan, port)
}

/// One `ip` command.
pub(crate) fn ip(args: &str) -> Result<(), String> {
    let output = Command::new("ip").args(args.split(' ')).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {args}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Runs a program of the namespace to its end, while tasks go on.
pub(crate) async fn run(program: &str, args: &[&str]) -> Output {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wakeline::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap()
}

/// The same, of a program that must succeed: what it printed.
pub(crate) async fn printed(program: &str, args: &[&str]) -> String {
    let output = run(program, args).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
