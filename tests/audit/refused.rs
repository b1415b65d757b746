//! Where the system refuses: a clear error, nothing half-written.

use crate::common::*;
use fixcon::audit::*;
use fixcon::model::{Edit, Existing, Model};
use std::fs;
use std::path::{Path, PathBuf};

fn begun(folder: &Path) -> (PathBuf, Log) {
    let path = folder.join("audit.jsonl");
    let base = Model::open(model(&folder.join("target.onnx"))).unwrap();
    let log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    (path, log)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_existing_log_is_replaced_only_when_told() {
    let root = tempfile::tempdir().unwrap();
    let (path, mut log) = begun(root.path());
    log.append(proposed(1, "one")).unwrap();
    let (opened, bytes) = (log.state().opened.clone(), fs::read(&path).unwrap());
    // Not while it is being written, told or not.
    let error = Log::create(&path, opened.clone(), Existing::Replace).unwrap_err();
    assert!(matches!(error, AuditError::Locked { .. }), "{error}");
    drop(log);
    let error = Log::create(&path, opened.clone(), Existing::Refuse).unwrap_err();
    assert!(matches!(error, AuditError::Exists { .. }) && error.to_string().contains("--force"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let log = Log::create(&path, opened, Existing::Replace).unwrap();
    assert_eq!(log.records(), 1);
    assert_eq!(lines(&path).len(), 1);
    assert!(!names(root.path()).iter().any(|n| n.ends_with(".tmp")));
}

#[test]
fn two_processes_do_not_write_one_log() {
    let root = tempfile::tempdir().unwrap();
    let (path, mut log) = begun(root.path());
    let error = Log::resume(&path).unwrap_err();
    assert!(matches!(error, AuditError::Locked { .. }) && error.to_string().contains("another fixcon"), "{error}");
    // It can be read meanwhile.
    assert_eq!(Chain::read(&path).unwrap().records.len(), 1);
    log.append(proposed(1, "one")).unwrap();
    drop(log);
    Log::resume(&path).unwrap();
}

#[test]
fn a_log_that_others_change_or_take_away_is_not_written_on() {
    let root = tempfile::tempdir().unwrap();
    let (path, mut log) = begun(root.path());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(log.append(proposed(1, "one")).unwrap_err().to_string().contains("changed by another program"));
    fs::write(&path, &whole).unwrap();
    log.append(proposed(1, "one")).unwrap();
    fs::rename(&path, root.path().join("away")).unwrap();
    assert!(log.append(proposed(2, "two")).unwrap_err().to_string().contains("moved"));
    fs::write(&path, &whole).unwrap();
    assert!(log.append(proposed(2, "two")).is_err(), "another file stands in its place");
    fs::rename(root.path().join("away"), &path).unwrap();
    log.append(proposed(2, "two")).unwrap();
}

#[test]
fn devices_and_folders_are_no_logs() {
    let root = tempfile::tempdir().unwrap();
    let (path, log) = begun(root.path());
    let opened = log.state().opened.clone();
    for file in [root.path(), Path::new("/dev/full"), Path::new("/dev/null")] {
        for existing in [Existing::Refuse, Existing::Replace] {
            assert!(matches!(Log::create(file, opened.clone(), existing).unwrap_err(), AuditError::NotALog { .. }));
        }
    }
    assert!(Log::create(root.path().join("no/such/folder/log"), opened, Existing::Refuse).is_err());
    assert!(path.is_file());
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_is_said_to_be_one() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let (_, mut log) = begun(root.path());
    let locked = root.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write there all the same, but not here.
    let folder = if fs::write(locked.join("x"), "").is_ok() { PathBuf::from("/proc/self") } else { locked };
    let error = Log::create(folder.join("audit.jsonl"), log.state().opened.clone(), Existing::Refuse).unwrap_err();
    assert!(matches!(error, AuditError::Io { .. }) && error.to_string().contains("audit.jsonl"), "{error}");
    // A model that cannot be saved is not recorded as saved.
    let base = Model::open(root.path().join("target.onnx")).unwrap();
    let error = log.save(&base, &folder.join("out.onnx"), Existing::Refuse, None).unwrap_err();
    assert!(error.to_string().contains("out.onnx"), "{error}");
    assert_eq!(log.records(), 1);
}

/// Runs a test of this file, marked as ignored, in a process that may write files of so many blocks of 512 bytes only.
#[cfg(unix)]
fn with_file_limit(test: &str, folder: &Path, blocks: u64) -> String {
    // The signal of a file grown too large is ignored, so that writing fails as on a full disk: the part that fits is written.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact refused::{test} --ignored --nocapture --test-threads=1");
    let exe = std::env::current_exe().unwrap();
    let out = std::process::Command::new("sh").arg("-c").arg(script).arg(exe).env("FIXCON_TEST_FOLDER", folder).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[cfg(unix)]
fn test_folder() -> Option<PathBuf> {
    std::env::var_os("FIXCON_TEST_FOLDER").map(PathBuf::from)
}

#[cfg(unix)]
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_writes_until_the_disk_is_full() {
    let Some(folder) = test_folder() else { return };
    let mut log = Log::resume(folder.join("audit.jsonl")).unwrap().log;
    loop {
        let number = log.state().next_proposal();
        match log.append(proposed(number, &"w".repeat(number as usize * 100))) {
            Ok(_) => println!("\nacknowledged {number}"),
            Err(error) => {
                println!("error: {error}");
                break;
            }
        }
    }
    // What is smaller still fits behind the last whole record.
    println!("then {:?}", log.append(decided(1, Decision::Skip, "")).is_ok());
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_log_whole() {
    let root = tempfile::tempdir().unwrap();
    let (path, log) = begun(root.path());
    drop(log);
    let out = with_file_limit("child_writes_until_the_disk_is_full", root.path(), 16);
    let last: u32 = out.lines().filter_map(|l| l.strip_prefix("acknowledged ")).next_back().unwrap().parse().unwrap();
    assert!(out.contains("error: ") && out.contains("too large") && out.contains("audit.jsonl"), "{out}");
    assert!(out.contains("then true"), "{out}");
    let resumed = Log::resume(&path).unwrap();
    assert_eq!(resumed.cut_off, 0, "nothing is half-written");
    assert_eq!(resumed.log.state().next_proposal(), last + 1);
    assert_eq!(resumed.log.state().decisions.len(), 1);
}

#[cfg(unix)]
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_writes_large_things() {
    let Some(folder) = test_folder() else { return };
    let path = folder.join("audit.jsonl");
    let mut log = Log::resume(&path).unwrap().log;
    let large = Edit::AddInitializer { tensor: tensor("big", &[0.5; 100_000]) };
    println!("\ntensor: {}", log.model_change(&large).unwrap_err());
    let mut long = log.state().opened.clone();
    long.program = "x".repeat(100_000);
    println!("new: {}", Log::create(folder.join("new.jsonl"), long, Existing::Refuse).unwrap_err());
    let base = Model::open(folder.join("target.onnx")).unwrap();
    let grown = base.apply(&large).unwrap().0;
    println!("model: {}", log.save(&grown, &folder.join("out.onnx"), Existing::Refuse, None).unwrap_err());
    println!("records {}", log.records());
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_files() {
    let root = tempfile::tempdir().unwrap();
    let (path, log) = begun(root.path());
    drop(log);
    let whole = fs::read(&path).unwrap();
    let out = with_file_limit("child_writes_large_things", root.path(), 64);
    for line in ["tensor: ", "new: ", "model: "] {
        assert!(out.lines().any(|l| l.starts_with(line) && l.contains("too large")), "{out}");
    }
    assert!(out.contains("records 1"), "{out}");
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(names(root.path()), ["audit.jsonl", "audit.jsonl.tensors", "image.png", "target.onnx"]);
    assert!(names(&root.path().join("audit.jsonl.tensors")).is_empty());
}
