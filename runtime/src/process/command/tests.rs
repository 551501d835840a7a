//! What a command is told, a child does.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;

fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_command_is_run_as_it_says() {
    run(async {
        let script = r#"echo "$0 $1 $ONE $TWO ${GONE-none} $PWD""#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "zero"]).arg("arg").env("ONE", "1").envs([("TWO", "2")]);
        command.env("GONE", "x").env_remove("GONE").current_dir("/");
        let output = command.output().await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "zero arg 1 2 none /\n");

        let empty = Command::new("/usr/bin/env").env_clear().output().await.unwrap();
        assert_eq!(empty.stdout, b"");
        let named = Command::new("/bin/sh").arg0("another").args(["-c", "echo $0"]).output().await.unwrap();
        assert_eq!(named.stdout, b"another\n");
        let group =
            Command::new("sh").args(["-c", "ps -o pgid= -p $$; echo $$"]).process_group(0).output().await.unwrap();
        let text = String::from_utf8(group.stdout).unwrap();
        let numbers: Vec<&str> = text.split_whitespace().collect();
        assert!(numbers.len() < 2 || numbers[0] == numbers[1], "{text}");
    });
}

#[test]
fn status_is_the_end_and_what_can_not_be_started_says_why() {
    run(async {
        assert_eq!(Command::new("sh").args(["-c", "exit 3"]).status().await.unwrap().code(), Some(3));
        // The pipe has no reader, so `yes` ends.
        let unread = Command::new("yes").stdout(Stdio::piped()).stderr(Stdio::null()).status().await.unwrap();
        assert!(!unread.success());
        let missing = Command::new("no-such-program-anywhere").status().await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let denied = Command::new("/").spawn().unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn a_command_goes_to_the_standard_library_and_back() {
    let mut command = Command::from(std::process::Command::new("true"));
    command.kill_on_drop(true).as_std_mut().arg("x");
    assert!(command.get_kill_on_drop());
    assert_eq!(command.as_std().get_args().count(), 1);
    assert!(command.into_std().status().unwrap().success());
}
