//! What a write keeps of the file that it replaces, and what a move takes along.

use super::{Scene, TestClient, names, text_of};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::json;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An access list: the user may all, user 65534 may read, the group and others nothing; in the kernel's form.
fn access_list() -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    [
        2_u32.to_le_bytes().to_vec(),
        entry(0x01, 6, none),
        entry(0x02, 4, 65_534),
        entry(0x04, 0, none),
        entry(0x10, 4, none),
        entry(0x20, 0, none),
    ]
    .concat()
}

/// An attribute's value; `None` where there is none.
fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let len = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

/// Sets what can be set here, and gives the names.
fn set_attributes(path: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let wanted = [
        ("user.mcpool", b"kept".to_vec()),
        ("trusted.mcpool", b"by root".to_vec()),
        ("security.mcpool", b"too".to_vec()),
        ("system.posix_acl_access", access_list()),
    ];
    wanted
        .into_iter()
        .filter(|(name, value)| setxattr(path, *name, value, XattrFlags::empty()).is_ok())
        .collect()
}

#[tokio::test]
async fn a_replaced_file_keeps_what_belongs_to_it() {
    let mut scene = Scene::new().await;
    let is_root = rustix::process::geteuid().is_root();
    for (tool, arguments) in [
        ("write_file", json!({"path": "f", "content": "new"})),
        ("edit_file", json!({"path": "f", "edits": [{"oldText": "old", "newText": "new"}]})),
    ] {
        scene.write("f", "old");
        let path = scene.path("f");
        if is_root {
            std::os::unix::fs::chown(&path, Some(1234), Some(4321)).expect("another owner");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o2751)).expect("permissions");
        let attributes = set_attributes(&path);
        let before = std::fs::metadata(&path).expect("the file");
        scene.text(tool, arguments).await;
        let after = std::fs::metadata(&path).expect("the file");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "new");
        let belongings = |file: &std::fs::Metadata| (file.uid(), file.gid(), file.mode() & 0o1777);
        assert_eq!(belongings(&before), belongings(&after), "{tool}");
        assert_eq!(after.mode() & 0o6000, if is_root { before.mode() & 0o6000 } else { 0 });
        for (name, value) in attributes {
            assert_eq!(attribute(&path, name), Some(value), "{tool}: {name}");
        }
        std::fs::remove_file(&path).expect("removed");
    }
    assert_eq!(names(&scene.path("")), [""; 0], "a temporary file is left");
}

/// A directory may give what is made in it an access list: a file that had none gets none.
#[tokio::test]
async fn a_replaced_file_gets_no_access_list_that_it_had_not() {
    let mut scene = Scene::new().await;
    scene.write("f", "old");
    let path = scene.path("f");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("permissions");
    if setxattr(scene.path(""), "system.posix_acl_default", &access_list(), XattrFlags::empty()).is_err() {
        return;
    }
    scene.text("write_file", json!({"path": "f", "content": "new"})).await;
    assert_eq!(attribute(&path, "system.posix_acl_access"), None);
    assert_eq!(std::fs::metadata(&path).expect("the file").mode() & 0o7777, 0o640);
    // What is new has what the directory gives.
    scene.text("write_file", json!({"path": "g", "content": "new"})).await;
    assert!(attribute(&scene.path("g"), "system.posix_acl_access").is_some());
}

/// Two directories on different file systems, and a client that may use both; `None` where there is one only.
async fn two_systems() -> Option<(tempfile::TempDir, tempfile::TempDir, TestClient)> {
    let elsewhere = tempfile::tempdir_in("/dev/shm").ok()?;
    let here = tempfile::tempdir().expect("a directory");
    let device = |path: &Path| std::fs::metadata(path).expect("it").dev();
    if device(here.path()) == device(elsewhere.path()) {
        return None;
    }
    let roots = [here.path().to_path_buf(), elsewhere.path().to_path_buf()];
    let (filesystem, _) = mcpool::tools::filesystem::Filesystem::new(&roots, false).expect("usable");
    let server = mcpool::Server::builder("files", "1").toolset(filesystem).build().expect("a server");
    let client = TestClient::legacy(&server, "2025-06-18").await;
    Some((here, elsewhere, client))
}

#[tokio::test]
async fn a_move_to_another_file_system_takes_everything_along() {
    let Some((here, elsewhere, mut client)) = two_systems().await else { return };
    let (from, to) = (here.path().join("f"), elsewhere.path().join("g"));
    std::fs::write(&from, vec![b'x'; 300_000]).expect("a file");
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&from, Some(1234), Some(4321)).expect("another owner");
    }
    std::fs::set_permissions(&from, PermissionsExt::from_mode(0o4640)).expect("permissions");
    // A value that the other file system takes is there, too.
    let attributes = set_attributes(&from);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let times = std::fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    std::fs::File::options().write(true).open(&from).expect("open").set_times(times).expect("times");
    let before = std::fs::metadata(&from).expect("the file");
    let result = client.call(1, "move_file", json!({"source": from, "destination": to})).await;
    assert_eq!(result.get("isError"), None, "{result}");
    let after = std::fs::metadata(&to).expect("the file");
    assert_eq!(after.modified().expect("a time"), long_ago);
    assert_eq!((before.uid(), before.gid(), before.mode()), (after.uid(), after.gid(), after.mode()));
    assert_eq!(after.len(), 300_000);
    let probe = elsewhere.path().join("probe");
    std::fs::write(&probe, "").expect("a file");
    let possible: Vec<&str> = set_attributes(&probe).into_iter().map(|(name, _)| name).collect();
    for (name, value) in attributes.into_iter().filter(|(name, _)| possible.contains(name)) {
        assert_eq!(attribute(&to, name), Some(value), "{name}");
    }
    assert_eq!(names(here.path()), [""; 0]);
    assert_eq!(names(elsewhere.path()), ["g", "probe"]);
}

/// What cannot be moved as a whole stays where it is, under one name.
#[tokio::test]
async fn a_move_that_fails_leaves_one_file() {
    let Some((here, elsewhere, mut client)) = two_systems().await else { return };
    let (from, to) = (here.path().join("d/f"), elsewhere.path().join("f"));
    std::fs::create_dir(here.path().join("d")).expect("a directory");
    std::fs::write(&from, "content").expect("a file");
    std::fs::set_permissions(here.path().join("d"), PermissionsExt::from_mode(0o500)).expect("permissions");
    let result = client.call(1, "move_file", json!({"source": from, "destination": to})).await;
    if rustix::process::geteuid().is_root() {
        // Nothing stops root.
        assert_eq!(result.get("isError"), None, "{result}");
        assert!(!from.exists() && to.exists());
    } else {
        assert!(text_of(&result).starts_with("EACCES: "), "{result}");
        assert!(from.exists() && !to.exists());
    }
    std::fs::set_permissions(here.path().join("d"), PermissionsExt::from_mode(0o700)).expect("permissions");
}
