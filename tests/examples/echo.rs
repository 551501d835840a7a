//! The echo example as a program: what it prints, and how it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

fn run(args: &[&str]) -> Output {
    Command::new(crate::example("echo")).args(args).output().expect("cargo has built the example")
}

fn json(args: &[&str]) -> Vec<serde_json::Value> {
    let output = run(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn both_modes_echo_on_both_networks() {
    for backend in ["emulated", "os"] {
        let lines = json(&["--backend", backend, "--connections", "4", "--requests", "400", "--json"]);
        assert_eq!(lines.len(), 2);
        for (line, mode) in lines.iter().zip(["async", "blocking"]) {
            assert_eq!(line["backend"], backend);
            assert_eq!(line["mode"], mode);
            assert_eq!(line["requests"], 400);
            assert_eq!(line["bytes"], 400 * 64);
            assert_eq!(line["verified"], true);
            assert!(line["rps"].as_f64().unwrap() > 0.0);
            assert_eq!(line["irqs"].is_null(), backend == "os");
            for key in ["p50_us", "p99_us", "p999_us", "threads", "context_switches", "seed"] {
                assert!(line[key].is_number(), "{key} of {line}");
            }
            for key in ["wakeups", "napi_polls", "packets", "drops"] {
                assert!(line.get(key).is_some(), "{key} of {line}");
            }
        }
    }
}

#[test]
fn a_lossy_link_loses_frames_and_every_byte_is_verified() {
    let args = ["--loss", "0.05", "--delay", "1ms", "--connections", "20", "--requests", "200", "--mode", "async"];
    let lines = json(&[&args[..], &["--json"]].concat());
    assert_eq!(lines[0]["verified"], true);
    assert!(lines[0]["drops"].as_u64().unwrap() > 0);
}

#[test]
fn large_requests_and_several_cpus_echo() {
    let args =
        ["--size", "100000", "--connections", "3", "--requests", "30", "--cpus", "2", "--workers", "2", "--json"];
    assert_eq!(json(&args).len(), 2);
}

#[test]
fn the_table_follows_the_journey() {
    let output = run(&["--connections", "2", "--requests", "100"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["irq_handler_entry", "napi_poll", "sk_data_ready", "sched_waking", "requests/s", "async", "blocking"] {
        assert!(text.contains(word), "{word} is missing in:\n{text}");
    }
}

#[test]
fn wrong_input_gets_one_line_and_exit_code_2() {
    for args in [
        &["--size", "0"][..],
        &["--connections", "0"],
        &["--requests", "0"],
        &["--loss", "1.5"],
        &["--cpus", "0"],
        &["--cpus", "1000"],
        &["--workers", "0"],
        &["--connections", "1000000"],
        &["--size", "100000000000000"],
        &["--backend", "os", "--loss", "0.1"],
        &["--listen", "nonsense"],
    ] {
        let output = run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    }
    // The command line's own errors have a usage hint below the first line.
    for args in [&["--backend", "token-ring"][..], &["--delay", "soon"], &["--no-such-option"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stderr.starts_with(b"error: "));
    }
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run(&["--listen", &busy.local_addr().unwrap().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("in use"));
}

#[test]
fn listen_gives_lines_back() {
    let mut child =
        Command::new(crate::example("echo")).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let addr = first.trim_start_matches("listening on ").split(',').next().unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"hello\n").unwrap();
    let mut back = [0; 6];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
