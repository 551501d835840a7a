//! A small HTTP/1.1 server on an emulated host, reached from this machine's own network through a TAP device (Linux).
//!
//! Make the device for yourself once, then start the server:
//! ```text
//! sudo ip tuntap add dev tap0 mode tap user $USER
//! sudo ip addr add 10.0.255.1/16 dev tap0
//! sudo ip addr add fd00::1:1/64 dev tap0
//! sudo ip link set tap0 up
//! cargo run --release --example tap_http
//! ```
//! and from another terminal fetch 100 MB of it, and see that they arrived as they were made:
//! ```text
//! curl -O http://10.0.0.1/file/100000000
//! curl http://10.0.0.1/file/100000000.sha256 | sha256sum --check
//! wrk -c 50 http://10.0.0.1/
//! ```
//! `/file/N` is N bytes that are made while they are sent, the same at every time. `sudo ip link delete tap0` takes the
//! device away again. Everything can also happen in a network namespace, out of the machine's way: `sudo unshare --net
//! bash`, and in there `ip link set lo up` and the commands above.
//!
//! `--capture FILE` writes what passes as a pcapng file for Wireshark.

#[cfg(target_os = "linux")]
#[path = "tap/http.rs"]
mod program;
#[cfg(not(target_os = "linux"))]
#[path = "tap/elsewhere.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
