//! Making the saved model again.

use crate::common::*;
use fixcon::audit::*;
use fixcon::model::onnx::*;
use fixcon::model::{Edit, Existing, Model};
use prost::Message;
use std::fs;
use std::path::Path;

#[test]
fn the_saved_model_is_made_again_to_the_bit() {
    let root = tempfile::tempdir().unwrap();
    let (path, output) = session(root.path(), &model(&root.path().join("target.onnx")));
    let replayed = replay(&path, None).unwrap();
    assert_eq!(replayed.checks.len(), 2);
    assert!(replayed.is_same() && !replayed.unsaved);
    assert_eq!(replayed.model.to_bytes(), fs::read(&output).unwrap());
    assert_eq!(replayed.is_file_same(&path), Some(true));
    let saved = Model::open(&output).unwrap();
    assert_eq!(saved.metadata("fixcon.log"), Some("audit.jsonl"));
    assert_eq!(saved.metadata("fixcon.edits"), Some("4"));
    assert_eq!(saved.metadata("note"), Some("mended"));
    fs::write(&output, "other").unwrap();
    assert_eq!(replay(&path, None).unwrap().is_file_same(&path), Some(false));
    fs::remove_file(&output).unwrap();
    assert_eq!(replay(&path, None).unwrap().is_file_same(&path), None);
}

/// Every sample case, on one thread and on two, and two at a time.
#[test]
fn every_sample_is_replayed_to_the_same_digest_whatever_the_threads() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases");
    let mut seen = 0;
    for case in fs::read_dir(samples).unwrap() {
        let target = case.unwrap().path().join("target.onnx");
        let root = tempfile::tempdir().unwrap();
        let (path, output) = session(root.path(), &target);
        let sha256 = file_sha256(&output).unwrap();
        let digest = || {
            let replayed = replay(&path, None).unwrap();
            assert!(replayed.is_same(), "{}", target.display());
            replayed.checks.last().unwrap().made.clone()
        };
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (a, b) = pool.install(|| rayon::join(digest, digest));
            assert_eq!((&a, &b), (&sha256, &sha256));
        }
        seen += 1;
    }
    assert!(seen >= 10, "{seen} cases");
}

#[test]
fn a_large_tensor_that_is_missing_or_changed_is_named_with_its_record() {
    let root = tempfile::tempdir().unwrap();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases/1-mobilenet-pads/target.onnx");
    let (path, _) = session(root.path(), &target);
    let (_, state) = Chain::read(&path).unwrap().trusted().unwrap();
    let files: Vec<_> = fs::read_dir(root.path().join("audit.jsonl.tensors")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let bytes = fs::read(&files[0]).unwrap();
    let first = Chain::read(&path).unwrap().records.iter().find(|r| r.event.kind() == "applied").unwrap().seq;
    assert!(state.edits.iter().any(|e| e.seq > first), "made again further down");
    let refused = |what: &str| {
        let error = replay(&path, None).unwrap_err();
        assert_eq!(named(&error), first);
        let name = files[0].file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(name) && error.to_string().contains(what), "{error}");
    };
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        fs::write(&files[0], changed).unwrap();
        refused("SHA-256");
    }
    fs::write(&files[0], &bytes[1..]).unwrap();
    refused("SHA-256");
    fs::remove_file(&files[0]).unwrap();
    refused("No such file");
    fs::write(&files[0], &bytes).unwrap();
    assert!(replay(&path, None).unwrap().is_same());
    // Log, tensors and target moved together.
    let elsewhere = tempfile::tempdir().unwrap();
    let log = elsewhere.path().join("other.jsonl");
    fs::copy(&path, &log).unwrap();
    fs::rename(root.path().join("audit.jsonl.tensors"), elsewhere.path().join("other.jsonl.tensors")).unwrap();
    assert!(replay(&log, Some(&target)).unwrap().is_same());
}

#[test]
fn a_saved_digest_that_is_not_made_again_is_told() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit.jsonl");
    let base = Model::open(model(&root.path().join("target.onnx"))).unwrap();
    let mut log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    let edit = edits(&base).remove(0);
    let change = log.model_change(&edit).unwrap();
    log.append_all(&[proposed(1, "one"), decided(1, Decision::Accept, ""), applied(1, "one", vec![change])]).unwrap();
    // A model is saved that has another edit in it than the log says.
    let wrong = remade(&base, &edits(&base)[..2]);
    let recipe = log.state().recipe().unwrap();
    let saved = log.save(&wrong, &root.path().join("wrong.onnx"), Existing::Refuse, recipe).unwrap();
    let replayed = replay(&path, None).unwrap();
    assert!(!replayed.is_same());
    assert_eq!(replayed.checks[0].recorded, saved.model.sha256);
    assert_ne!(replayed.checks[0].made, saved.model.sha256);
    // And one whose recipe is another.
    let right = remade(&base, std::slice::from_ref(&edit));
    log.save(&right, &root.path().join("right.onnx"), Existing::Refuse, Some("scale = 1.0".into())).unwrap();
    let check = replay(&path, None).unwrap().checks.remove(1);
    assert!(check.made == check.recorded && !check.same);
}

#[test]
fn an_edit_that_cannot_be_made_again_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit.jsonl");
    let base = Model::open(model(&root.path().join("target.onnx"))).unwrap();
    let mut log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    let change = log.model_change(&Edit::RemoveNode { node: "nowhere".into() }).unwrap();
    log.append_all(&[proposed(1, "one"), decided(1, Decision::Accept, ""), applied(1, "one", vec![change])]).unwrap();
    let error = replay(&path, None).unwrap_err();
    assert_eq!(named(&error), 4);
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn external_data_count() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("in/target.onnx");
    fs::create_dir(root.path().join("in")).unwrap();
    model(&target);
    let mut proto = ModelProto::decode(&fs::read(&target).unwrap()[..]).unwrap();
    let weight = &mut proto.graph.as_mut().unwrap().initializer[0];
    let data = weight.raw_data.take().unwrap();
    weight.data_location = Some(tensor_proto::DataLocation::External as i32);
    let entry = |k: &str, v: &str| StringStringEntryProto { key: Some(k.into()), value: Some(v.into()) };
    weight.external_data = vec![entry("location", "w.data")];
    fs::write(&target, proto.encode_to_vec()).unwrap();
    let weights = root.path().join("in/w.data");
    fs::write(&weights, &data).unwrap();

    let path = root.path().join("audit.jsonl");
    let base = Model::open(&target).unwrap();
    let mut log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    let edit = edits(&base).remove(1);
    let change = log.model_change(&edit).unwrap();
    log.append_all(&[proposed(1, "one"), decided(1, Decision::Accept, ""), applied(1, "one", vec![change])]).unwrap();
    let recipe = log.state().recipe().unwrap();
    let saved = log.save(&remade(&base, &[edit]), &root.path().join("out.onnx"), Existing::Refuse, recipe).unwrap();
    assert_eq!(saved.model.external["w.data"], file_sha256(&weights).unwrap());
    assert!(root.path().join("w.data").is_file());
    assert!(replay(&path, None).unwrap().is_same());
    fs::write(&weights, [&data[1..], b"x"].concat()).unwrap();
    let error = replay(&path, None).unwrap_err();
    assert_eq!(named(&error), 1);
    assert!(error.to_string().contains("w.data"), "{error}");
}
