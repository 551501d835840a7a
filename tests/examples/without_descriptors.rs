//! A server with fewer descriptors than clients says so, waits, and serves them all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// With these a server can not have half of the clients at once.
const DESCRIPTORS: u32 = 20;
const CLIENTS: usize = 30;

fn is_served(example: &str, ask: &[u8], answer: &[u8]) {
    let mut server = Command::new("sh")
        .args(["-c", &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" --listen 127.0.0.1:0")])
        .arg(crate::example(example))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let addr = first.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).find(|word| word.contains(':'));
    let addr = addr.unwrap_or_else(|| panic!("no address in {first:?}"));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut said = String::new();
    BufReader::new(server.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    let expected = "accept: Too many open files (os error 24): close some, or allow more with `ulimit -n`";
    assert!(said.contains(expected), "{said:?}");
    // Each that goes makes room for another; no one is lost.
    for client in &mut clients {
        client.write_all(ask).unwrap();
    }
    for mut client in clients {
        let mut back = vec![0; answer.len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, answer);
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn key_value_serves_all_clients_with_few_descriptors() {
    is_served("key_value", b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn files_serves_all_clients_with_few_descriptors() {
    is_served("files", b"no such file\n", b"error ");
}
