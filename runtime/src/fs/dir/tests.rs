//! Directories that are read.

use super::*;
use crate::fs::test_support::{TempDir, run};
use futures_lite::StreamExt;

#[test]
fn every_entry_comes_once_however_many_there_are() {
    for count in [0, 1, CHUNK_ENTRIES, 3 * CHUNK_ENTRIES + 1] {
        let dir = TempDir::new();
        for n in 0..count {
            std::fs::write(dir.path().join(n.to_string()), b"").unwrap();
        }
        run(async {
            let mut names = Vec::new();
            let mut entries = read_dir(dir.path()).await.unwrap();
            while let Some(entry) = entries.next_entry().await.unwrap() {
                assert_eq!(entry.path(), dir.path().join(entry.file_name()));
                names.push(entry.file_name().into_string().unwrap().parse::<usize>().unwrap());
            }
            names.sort_unstable();
            assert_eq!(names, Vec::from_iter(0..count));
            assert!(entries.next_entry().await.unwrap().is_none(), "the end stays");
        });
    }
}

#[test]
fn entries_tell_what_they_are_and_are_a_stream() {
    let dir = TempDir::new();
    run(async {
        let mut builder = DirBuilder::new();
        assert!(builder.create(dir.path().join("a/b")).await.is_err());
        builder.recursive(true);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.create(dir.path().join("a/b")).await.unwrap();
        let entries: Vec<DirEntry> = read_dir(dir.path()).await.unwrap().map(Result::unwrap).collect().await;
        assert_eq!(entries.len(), 1);
        assert!(entries[0].file_type().await.unwrap().is_dir());
        let metadata = entries[0].metadata().await.unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert_eq!((metadata.mode() & 0o777, metadata.ino()), (0o700, entries[0].ino()));
        }
        assert!(metadata.is_dir());
        let error = read_dir(dir.path().join("none")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}
