//! Logs that were altered afterwards: refused, and the record named.

use crate::common::*;
use crate::log::sha256;
use fixcon::audit::*;
use serde_json::Value as Json;
use std::fs;
use std::path::PathBuf;

struct Whole {
    root: tempfile::TempDir,
    path: PathBuf,
    lines: Vec<Vec<u8>>,
}

fn whole() -> Whole {
    let root = tempfile::tempdir().unwrap();
    let (path, _) = session(root.path(), &model(&root.path().join("target.onnx")));
    let lines = lines(&path);
    Whole { root, path, lines }
}

impl Whole {
    fn write(&self, lines: &[Vec<u8>]) -> AuditError {
        fs::write(&self.path, lines.concat()).unwrap();
        // Neither read, resumed nor replayed.
        assert!(Log::resume(&self.path).is_err());
        let refused = replay(&self.path, None).unwrap_err();
        let error = problem(&self.path);
        assert_eq!(refused.to_string(), error.to_string());
        error
    }
}

#[test]
fn any_changed_byte_is_found_and_its_record_named() {
    let log = whole();
    let bytes = log.lines.concat();
    let mut line = 1;
    for at in 0..bytes.len() {
        let flip = [1, 0x20, 0x80][at % 3];
        {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            fs::write(&log.path, &changed).unwrap();
            match Chain::read(&log.path) {
                // Its first byte gone, the file is not even taken for a log.
                Err(AuditError::NotALog { .. }) => assert_eq!(at, 0),
                Err(other) => panic!("{other}"),
                Ok(chain) => {
                    let error = chain.trusted().expect_err(&format!("byte {at} of {} ^ {flip}", bytes.len()));
                    assert_eq!(named(&error), line, "byte {at} ^ {flip}: {error}");
                }
            }
        }
        if bytes[at] == b'\n' {
            line += 1;
        }
    }
}

#[test]
fn a_missing_record_is_named() {
    let log = whole();
    for at in 0..log.lines.len() - 1 {
        let mut left = log.lines.clone();
        left.remove(at);
        let error = log.write(&left);
        assert_eq!(named(&error), at as u64 + 1);
        assert!(error.to_string().contains("is missing"), "{error}");
    }
    // At the end nothing follows that could tell; but the session is not closed.
    fs::write(&log.path, log.lines[..log.lines.len() - 1].concat()).unwrap();
    assert!(Chain::read(&log.path).unwrap().trusted().unwrap().1.closed.is_none());
}

#[test]
fn swapped_and_repeated_records_are_named() {
    let log = whole();
    for at in 0..log.lines.len() - 1 {
        for other in at + 1..log.lines.len() {
            let mut swapped = log.lines.clone();
            swapped.swap(at, other);
            let error = log.write(&swapped);
            assert_eq!(named(&error), at as u64 + 1);
            assert!(error.to_string().contains(&format!("was moved: record {}", other + 1)), "{error}");
        }
        let mut twice = log.lines.clone();
        twice.insert(at, twice[at].clone());
        let error = log.write(&twice);
        assert_eq!(named(&error), at as u64 + 2);
        assert!(error.to_string().contains("is there twice"), "{error}");
    }
}

/// A record with another text and a hash that fits it.
fn resealed(line: &[u8], change: impl FnOnce(&mut Json)) -> Vec<u8> {
    let mut json: Json = serde_json::from_slice(line).unwrap();
    change(&mut json);
    json.as_object_mut().unwrap().remove("hash");
    let hash = sha256(canonical(&json).unwrap().as_bytes());
    json["hash"] = hash.into();
    [canonical(&json).unwrap().as_bytes(), b"\n"].concat()
}

#[test]
fn a_record_with_a_new_hash_does_not_fit_the_next_one() {
    let log = whole();
    for at in 0..log.lines.len() - 1 {
        let mut forged = log.lines.clone();
        forged[at] = resealed(&forged[at], |json| json["at"] = "2020-01-01T00:00:00Z".into());
        let error = log.write(&forged);
        assert_eq!(named(&error), at as u64 + 2);
        assert!(error.to_string().contains("one of the two was replaced"), "{error}");
    }
}

#[test]
fn a_whole_chain_that_contradicts_itself_is_refused() {
    let log = whole();
    // A decision turned into a rejection, and every record behind it sealed again: the edit was made without consent.
    let at = log.lines.iter().position(|l| String::from_utf8_lossy(l).contains("\"decision\":\"accept\"")).unwrap();
    let mut forged = log.lines.clone();
    let mut prev = None::<String>;
    for (i, line) in forged.iter_mut().enumerate().skip(at) {
        *line = resealed(line, |json| {
            if i == at {
                json["decision"] = "reject".into();
            }
            if let Some(prev) = &prev {
                json["prev"] = prev.clone().into();
            }
        });
        prev = Some(serde_json::from_slice::<Json>(line).unwrap()["hash"].as_str().unwrap().into());
    }
    let error = log.write(&forged);
    assert_eq!(named(&error), at as u64 + 2);
    assert!(error.to_string().contains("(applied)") && error.to_string().contains("not accepted"), "{error}");
}

#[test]
fn a_record_of_a_newer_program_is_said_to_be_one() {
    let log = whole();
    let mut newer = log.lines[..1].to_vec();
    let mut last: Json = serde_json::from_slice(&newer[0]).unwrap();
    last = serde_json::json!({ "at": last["at"], "kind": "dreamt", "prev": last["hash"], "seq": 2 });
    newer.push(resealed(&serde_json::to_vec(&last).unwrap(), |_| {}));
    let error = log.write(&newer);
    assert_eq!(named(&error), 2);
    assert!(error.to_string().contains("dreamt") && error.to_string().contains("newer"), "{error}");
}

#[test]
fn other_files_than_the_recorded_ones_are_named() {
    let log = whole();
    let target = log.root.path().join("target.onnx");
    let bytes = fs::read(&target).unwrap();
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&target, &other).unwrap();
    let error = replay(&log.path, None).unwrap_err();
    assert_eq!(named(&error), 1);
    assert!(error.to_string().contains("target.onnx"), "{error}");
    fs::remove_file(&target).unwrap();
    let error = replay(&log.path, None).unwrap_err().to_string();
    assert!(error.contains("record 1 (opened)") && error.contains("target.onnx"), "{error}");
    // It lies elsewhere now.
    let moved = log.root.path().join("moved.onnx");
    fs::write(&moved, &bytes).unwrap();
    assert!(replay(&log.path, Some(&moved)).unwrap().is_same());
}
