//! The standard streams of a process of its own: this test again, as a child.

use super::*;
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncWriteExt, StreamExt};
use std::io::Write;
use std::process::{Command, Stdio};

const CHILD: &str = "WAKELINE_TEST_IS_THE_CHILD";

#[test]
fn a_child_echoes_its_lines_on_both_outputs() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "io::stdio::tests::a_child_echoes_its_lines_on_both_outputs", "--nocapture"])
        .env(CHILD, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"one\ntwo").unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("out: one\nout: two\n"), "{out}");
    assert!(err.contains("err: one\nerr: two\n"), "{err}");
}

fn child() {
    crate::Runtime::new()
        .unwrap()
        .block_on(async {
            let (mut out, mut err) = (stdout(), stderr());
            let mut lines = BufReader::new(stdin()).lines();
            while let Some(line) = lines.next().await {
                let line = line?;
                out.write_all(format!("out: {line}\n").as_bytes()).await?;
                let parts = [IoSlice::new(b"err: "), IoSlice::new(line.as_bytes()), IoSlice::new(b"\n")];
                err.write_vectored(&parts).await?;
            }
            out.flush().await?;
            err.close().await
        })
        .unwrap();
}
