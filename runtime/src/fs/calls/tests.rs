//! Each function does what std's does.

use super::*;
use crate::fs::test_support::{TempDir, hold_pool, run};
use crate::sync::test_support::spawn;
use std::io::ErrorKind;

#[test]
fn the_functions_do_what_their_names_say() {
    let dir = TempDir::new();
    let at = |name: &str| dir.path().join(name);
    run(async {
        create_dir_all(at("a/b")).await.unwrap();
        create_dir(at("a/c")).await.unwrap();
        assert_eq!(create_dir(at("a/c")).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        write(at("a/note"), "text").await.unwrap();
        assert_eq!(read(at("a/note")).await.unwrap(), b"text");
        assert_eq!(read_to_string(at("a/note")).await.unwrap(), "text");
        write(at("a/binary"), [0xff]).await.unwrap();
        assert_eq!(read_to_string(at("a/binary")).await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(copy(at("a/note"), at("a/copy")).await.unwrap(), 4);
        rename(at("a/copy"), at("a/moved")).await.unwrap();
        assert!(!try_exists(at("a/copy")).await.unwrap() && try_exists(at("a/moved")).await.unwrap());
        assert_eq!(metadata(at("a/moved")).await.unwrap().len(), 4);
        hard_link(at("a/note"), at("a/linked")).await.unwrap();
        assert_eq!(canonicalize(at("a/b/../note")).await.unwrap(), std::fs::canonicalize(at("a/note")).unwrap());
        let mut permissions = metadata(at("a/note")).await.unwrap().permissions();
        permissions.set_readonly(true);
        set_permissions(at("a/note"), permissions).await.unwrap();
        assert!(metadata(at("a/linked")).await.unwrap().permissions().readonly());
        #[cfg(unix)]
        {
            symlink("note", at("a/symlink")).await.unwrap();
            assert_eq!(read_link(at("a/symlink")).await.unwrap(), Path::new("note"));
            assert!(symlink_metadata(at("a/symlink")).await.unwrap().is_symlink());
        }
        remove_file(at("a/moved")).await.unwrap();
        remove_dir(at("a/c")).await.unwrap();
        assert_eq!(remove_dir(at("a")).await.unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        remove_dir_all(at("a")).await.unwrap();
        assert_eq!(metadata(at("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_call_that_is_given_up_goes_on() {
    let dir = TempDir::new();
    let path = dir.path().join("file");
    run(async {
        let held = hold_pool();
        spawn(write(&path, "kept")).expect_pending();
        drop(held);
        // The one thread of the pool works its queue off in order.
        assert_eq!(read(&path).await.unwrap(), b"kept");
    });
}
