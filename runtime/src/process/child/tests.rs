//! Children that are waited for, killed, dropped and forgotten.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::process::Command;
use crate::sync::test_support::spawn;
use crate::time::{Duration, timeout};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000");
    command
}

/// Whether there is such a process, be it a zombie.
fn exists(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

/// Polls until the process is gone. Its end comes from the kernel, at no moment that we know.
async fn gone(id: u32) {
    timeout(Duration::from_secs(20), async {
        while exists(id) {
            crate::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

#[test]
fn a_child_is_waited_for_by_either_way_of_hearing_of_its_end() {
    for news in [News::of, |_| News::of_any()] {
        run(async {
            let mut command = Command::new("sh");
            command.args(["-c", "read line; exit 7"]).stdin(Stdio::piped());
            let mut child = Child::spawn_with(command.as_std_mut(), false, news).unwrap();
            let id = child.id().unwrap();
            assert!(child.try_wait().unwrap().is_none());
            let mut stdin = child.stdin.take().unwrap();
            spawn(child.wait()).expect_pending();
            stdin.write_all(b"end\n").await.unwrap();
            assert_eq!(child.wait().await.unwrap().code(), Some(7));
            assert_eq!(child.wait().await.unwrap().code(), Some(7), "it is kept");
            assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(7));
            assert_eq!(child.id(), None);
            assert_eq!(child.start_kill().unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert!(!exists(id));
        });
    }
}

#[test]
fn waiting_closes_the_input() {
    run(async {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        assert!(child.wait().await.unwrap().success());
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"all").await.unwrap();
        stdin.close().await.unwrap();
        assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(child.wait_with_output().await.unwrap().stdout, b"all");
    });
}

#[test]
fn more_than_a_pipe_holds_is_read_while_it_is_written() {
    run(async {
        let script = "yes 0123456789abcdef | head -c 1000000; yes x | head -c 300000 >&2";
        let output = Command::new("sh").args(["-c", script]).output().await.unwrap();
        assert!(output.status.success());
        assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_000, 300_000));
    });
}

#[test]
fn kill_ends_it() {
    run(async {
        let mut child = sleeper().spawn().unwrap();
        child.kill().await.unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_dropped_child_is_killed_if_so_asked_and_leaves_no_zombie() {
    run(async {
        let mut child = sleeper().kill_on_drop(true).spawn().unwrap();
        let id = child.id().unwrap();
        assert!(timeout(Duration::from_millis(1), child.wait()).await.is_err());
        drop(child);
        gone(id).await;

        let mut left = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (id, stdin) = (left.id().unwrap(), left.stdin.take());
        drop(left);
        assert!(exists(id), "nobody asked to kill it");
        drop(stdin);
        gone(id).await;
    });
}

#[test]
fn a_child_that_outlives_its_runtime_is_fetched_by_the_next_that_starts_one() {
    let mut left = run(async { Command::new("cat").stdin(Stdio::piped()).spawn().unwrap() });
    let id = left.id().unwrap();
    let stdin = left.stdin.take();
    let error = futures_lite::future::block_on(left.wait()).unwrap_err();
    assert!(error.to_string().contains("shutting down"), "{error}");
    drop(left);
    assert!(exists(id));
    drop(stdin);
    run(async {
        timeout(Duration::from_secs(20), async {
            while exists(id) {
                Command::new("true").status().await.unwrap();
            }
        })
        .await
        .unwrap();
    });
}

#[test]
fn children_are_joined_by_pipes() {
    run(async {
        let mut first = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().unwrap();
        let pipe: Stdio = first.stdout.take().unwrap().try_into().unwrap();
        let second = Command::new("tr").args(["a-z", "A-Z"]).stdin(pipe).output().await.unwrap();
        assert_eq!(second.stdout, b"HELLO\n");
        assert!(first.wait().await.unwrap().success());
    });
}

#[test]
fn a_read_that_is_given_up_takes_nothing() {
    run(async {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut buf = [0; 4];
        spawn(stdout.read(&mut buf)).expect_pending();
        stdin.write_all(b"ping").await.unwrap();
        stdout.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"ping");
        drop(stdin);
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
#[should_panic(expected = "no I/O driver")]
fn a_runtime_without_io_says_what_to_do() {
    let runtime = crate::Builder::new_current_thread().build().unwrap();
    let _here = runtime.enter();
    drop(sleeper().spawn());
}
