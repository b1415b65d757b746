//! Writing and going on.

use crate::common::*;
use fixcon::audit::*;
use fixcon::model::{Existing, Model};
use std::fs;

#[test]
fn a_session_is_told_again_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (path, _) = session(root.path(), &model(&root.path().join("target.onnx")));
    let chain = Chain::read(&path).unwrap();
    let records = chain.records.len();
    let (_, state) = chain.trusted().unwrap();
    assert_eq!(state.made(), [3, 4, 1, 6]);
    assert_eq!(state.undone.iter().map(|e| e.applied.proposal).collect::<Vec<_>>(), [2]);
    assert_eq!(state.decisions.len(), 7);
    assert_eq!(state.proposals[&5].1.as_ref().unwrap().note, "line\nbreak");
    assert_eq!(state.evaluation(Subset::All).unwrap().flips, 0);
    assert_eq!((state.next_proposal(), state.next_suspect()), (7, 2));
    assert!(!state.is_unsaved() && state.unfinished().is_empty());
    assert_eq!(state.closed.as_ref().unwrap().flips, Some(0));
    assert_eq!(state.recipe().unwrap().unwrap().parse::<toml::Table>().unwrap()["channels"].as_str(), Some("bgr"));
    // The state while it was written is the one that is read.
    let resumed = Log::resume(&path).unwrap();
    assert_eq!(resumed.log.state(), &state);
    assert_eq!((resumed.cut_off, resumed.log.records()), (0, records as u64));
}

#[test]
fn every_line_is_canonical_and_its_hash_can_be_checked_with_other_tools() {
    let root = tempfile::tempdir().unwrap();
    let (path, _) = session(root.path(), &model(&root.path().join("target.onnx")));
    let mut prev = "0".repeat(64);
    for (at, line) in lines(&path).iter().enumerate() {
        let text = std::str::from_utf8(line).unwrap().strip_suffix('\n').unwrap();
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(json["seq"], at as u64 + 1);
        assert_eq!(json["prev"], prev.as_str());
        assert!(json["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        prev = json["hash"].as_str().unwrap().to_string();
        let rest = text.replacen(&format!(",\"hash\":\"{prev}\""), "", 1);
        assert_eq!(sha256(rest.as_bytes()), prev);
        let mut keys = json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        keys.sort();
        assert!(json.as_object().unwrap().keys().eq(keys.iter()), "{text}");
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_log_cut_off_anywhere_goes_on_behind_its_last_whole_record() {
    let root = tempfile::tempdir().unwrap();
    let (path, _) = session(root.path(), &model(&root.path().join("target.onnx")));
    let whole = fs::read(&path).unwrap();
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    for length in 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        // A line that lacks its line break alone is a whole one.
        let records = ends.iter().filter(|end| **end <= length + 1).count();
        let chain = Chain::read(&path).unwrap();
        assert_eq!(chain.records.len(), records, "cut off at {length}");
        let behind = ends[..records].last().map_or(0, |e| (*e).min(length));
        assert_eq!(chain.cut_off, length - behind);
        if records == 0 {
            assert!(chain.trusted().unwrap_err().to_string().contains("first line"));
            continue;
        }
        if length % 97 != 0 && length + 1 != behind && behind != length {
            continue;
        }
        let mut resumed = Log::resume(&path).unwrap();
        assert_eq!(resumed.cut_off, length - behind);
        let next = resumed.log.state().opened.clone();
        assert_eq!(resumed.log.append(Event::Opened(next)).unwrap(), records as u64 + 1);
        drop(resumed);
        assert_eq!(Chain::read(&path).unwrap().trusted().unwrap().0.len(), records + 1);
    }
}

#[test]
fn zeros_that_a_power_cut_leaves_behind_are_cut_off() {
    let root = tempfile::tempdir().unwrap();
    let (path, _) = session(root.path(), &model(&root.path().join("target.onnx")));
    let whole = fs::read(&path).unwrap();
    for tail in [&b"\0\0\0\0"[..], b"{\"at\":\"2\0\0\0\0\0\0"] {
        fs::write(&path, [&whole[..], tail].concat()).unwrap();
        assert_eq!(Log::resume(&path).unwrap().cut_off, tail.len());
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn what_contradicts_the_log_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit.jsonl");
    let base = Model::open(model(&root.path().join("target.onnx"))).unwrap();
    let mut log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    log.append(proposed(1, "one")).unwrap();
    let before = fs::read(&path).unwrap();
    let mut says = |event: Event| {
        let error = log.append(event).unwrap_err();
        assert!(matches!(error, AuditError::Contradiction { .. }), "{error}");
        error.to_string()
    };
    assert!(says(decided(2, Decision::Accept, "")).contains("proposal 2"));
    assert!(says(applied(1, "early", vec![])).contains("not accepted"));
    assert!(says(undone(1)).contains("not made"));
    assert!(says(proposed(u32::MAX, "the last")).contains("4294967295"));
    let mut other = opened(&path, &base);
    other.target.sha256 = "0".repeat(64);
    assert!(says(Event::Opened(other)).contains("another target"));
    let digest = ModelDigest { path: "x".into(), sha256: "0".into(), external: Default::default() };
    let saved = Saved { model: digest, edits: vec![1], metadata: Default::default(), outputs: None, recipe: None };
    assert!(says(Event::Saved(saved)).contains("[1]"));
    // Records that belong together go in all or none.
    assert!(log.append_all(&[decided(1, Decision::Accept, ""), undone(1)]).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    log.append_all(&[decided(1, Decision::Accept, ""), applied(1, "one", vec![])]).unwrap();
    assert!(log.append(decided(1, Decision::Reject, "")).unwrap_err().to_string().contains("taken back first"));
    assert!(log.append(applied(1, "one", vec![])).unwrap_err().to_string().contains("made already"));
    assert!(log.append(proposed(1, "one")).is_err());
    // A rejection can be taken back, once.
    log.append_all(&[proposed(3, "three"), decided(3, Decision::Reject, "no"), undone(3)]).unwrap();
    assert!(log.state().proposals[&3].1.is_none());
    assert!(log.append(undone(3)).unwrap_err().to_string().contains("nothing to take back"));
    log.append(Event::Closed(Closed { flips: None, words: String::new() })).unwrap();
    assert!(log.append(proposed(2, "two")).unwrap_err().to_string().contains("closed"));
    // A session that goes on is opened again.
    log.append_all(&[Event::Opened(opened(&path, &base)), proposed(2, "two")]).unwrap();
    Chain::read(&path).unwrap().trusted().unwrap();
}

#[test]
fn an_accepted_edit_that_was_not_made_before_the_crash_is_known() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit.jsonl");
    let base = Model::open(model(&root.path().join("target.onnx"))).unwrap();
    let mut log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    log.append_all(&[proposed(1, "one"), proposed(2, "two"), decided(2, Decision::Accept, "")]).unwrap();
    drop(log);
    let mut log = Log::resume(&path).unwrap().log;
    assert_eq!(log.state().unfinished(), [2]);
    log.append(applied(2, "two", vec![])).unwrap();
    assert!(log.state().unfinished().is_empty() && log.state().is_unsaved());
}

#[test]
fn an_edit_comes_back_from_the_log_with_its_large_tensors() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit.jsonl");
    let base = Model::open(model(&root.path().join("target.onnx"))).unwrap();
    let log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    let large = fixcon::model::Edit::AddInitializer { tensor: tensor("big", &[0.5; 40_000]) };
    let change = log.model_change(&large).unwrap();
    assert!(serde_json::to_string(&change).unwrap().len() < 1000, "the tensor is not in the line");
    let files: Vec<_> = fs::read_dir(root.path().join("audit.jsonl.tensors")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].file_stem().unwrap().to_str().unwrap(), sha256(&fs::read(&files[0]).unwrap()));
    assert_eq!(log.model_edit(&change).unwrap(), Some(large));
}

#[test]
fn arbitrary_files_are_no_logs_and_nothing_panics() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("x");
    let large = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let texts = ["", "\n", "hello", "{}", "{}\n", "{\"hash\":1}\n", "null\n", "{\"a\":", "\u{feff}{}", large.as_str(), "{\n\n\n"];
    for text in texts {
        fs::write(&path, text).unwrap();
        let error = Log::resume(&path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(replay(&path, None).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "a file that is no log is left alone");
    }
    assert!(Log::resume(root.path()).unwrap_err().to_string().contains("folder"));
    assert!(Log::resume(root.path().join("nowhere")).is_err());
}
