//! An echo server on an emulated host, reached from this machine's own network through a TAP device (Linux).
//!
//! Make the device for yourself once, then start the server:
//! ```text
//! sudo ip tuntap add dev tap0 mode tap user $USER
//! sudo ip addr add 10.0.255.1/16 dev tap0
//! sudo ip addr add fd00::1:1/64 dev tap0
//! sudo ip link set tap0 up
//! cargo run --release --example tap_echo
//! ```
//! and from another terminal, with the kernel as the client:
//! ```text
//! ping 10.0.0.1
//! ping fd00::1
//! nc 10.0.0.1 7
//! ```
//! `sudo ip link delete tap0` takes the device away again. Everything can also happen in a network namespace, out of the
//! machine's way: `sudo unshare --net bash`, and in there `ip link set lo up` and the commands above.
//!
//! `--capture FILE` writes what passes as a pcapng file for Wireshark.

#[cfg(target_os = "linux")]
#[path = "tap/echo.rs"]
mod program;
#[cfg(not(target_os = "linux"))]
#[path = "tap/elsewhere.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
