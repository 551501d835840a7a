//! Files that are read, written, and given up in the middle.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::fs::test_support::{TempDir, hold_pool, run};
use crate::sync::test_support::spawn;
use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use std::io::ErrorKind;

#[test]
fn what_is_written_is_read_back() {
    let dir = TempDir::new();
    run(async {
        let path = dir.path().join("file");
        let mut file = File::create_new(&path).await.unwrap();
        file.write_all(b"hello, ").await.unwrap();
        file.write_vectored(&[IoSlice::new(b"wor"), IoSlice::new(b"ld")]).await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"hello, world");
        assert_eq!(file.seek(SeekFrom::Current(-5)).await.unwrap(), 7);
        let mut word = String::new();
        file.read_to_string(&mut word).await.unwrap();
        assert_eq!(word, "world");
        assert_eq!(file.seek(SeekFrom::End(-1)).await.unwrap(), 11);
        file.write_all(b"!").await.unwrap();
        file.set_len(14).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 14);
        file.sync_all().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"hello, worl!\0\0");
        assert_eq!(File::create_new(&path).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(File::open(dir.path().join("none")).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(file.seek(SeekFrom::Start(0)).await.unwrap(), 0);
        assert_eq!(file.seek(SeekFrom::Current(-1)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_failed_write_is_told_by_the_flush() {
    let dir = TempDir::new();
    run(async {
        let path = dir.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let mut only_read = File::open(&path).await.unwrap();
        assert_eq!(only_read.write(b"x").await.unwrap(), 1);
        assert_eq!(only_read.flush().await.unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(only_read.write(b"x").await.unwrap(), 1);
        assert_eq!(only_read.sync_all().await.unwrap_err().raw_os_error(), Some(libc::EBADF));
        only_read.flush().await.unwrap();
    });
}

#[test]
fn a_read_that_is_given_up_does_not_move_the_reader() {
    let dir = TempDir::new();
    run(async {
        let path = dir.path().join("file");
        std::fs::write(&path, b"abcdef").unwrap();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await.unwrap();
        let mut buf = [0; 4];
        let held = hold_pool();
        assert!(spawn(file.read(&mut buf)).poll().is_pending());
        drop(held);
        assert_eq!(file.stream_position().await.unwrap(), 0);
        assert_eq!(file.read(&mut buf[..2]).await.unwrap(), 2);
        assert_eq!(&buf[..2], b"ab");
        let held = hold_pool();
        assert!(spawn(file.read(&mut buf)).poll().is_pending());
        drop(held);
        file.write_all(b"X").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abXdef");
        assert_eq!(file.stream_position().await.unwrap(), 3);
    });
}

trait StreamPosition {
    async fn stream_position(&mut self) -> io::Result<u64>;
}

impl StreamPosition for File {
    async fn stream_position(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::Current(0)).await
    }
}

#[test]
fn a_file_goes_to_the_standard_library_and_back() {
    let dir = TempDir::new();
    run(async {
        let path = dir.path().join("file");
        let mut file = File::create(&path).await.unwrap();
        file.write_all(b"one").await.unwrap();
        let other = file.try_clone().await.unwrap();
        let mut std = file.into_std().await;
        io::Write::write_all(&mut std, b"two").unwrap();
        let mut back = File::from_std(std);
        back.write_all(b"three").await.unwrap();
        back.sync_data().await.unwrap();
        other.set_permissions(other.metadata().await.unwrap().permissions()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"onetwothree");
    });
}

#[test]
fn appending_goes_to_the_end_whoever_writes() {
    let dir = TempDir::new();
    run(async {
        let path = dir.path().join("log");
        let mut options = File::options();
        let mut one = options.append(true).create(true).open(&path).await.unwrap();
        let mut other = options.clone().open(&path).await.unwrap();
        for (file, line) in [(&mut one, "a"), (&mut other, "b")] {
            file.write_all(line.as_bytes()).await.unwrap();
            file.close().await.unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"ab");
        let contradiction = OpenOptions::new().truncate(true).open(&path).await.unwrap_err();
        assert_eq!(contradiction.kind(), ErrorKind::InvalidInput);
    });
}
