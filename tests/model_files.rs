//! Model files: what is read is what is written; saving is whole or not at all; external data stay external.

use bytes::Bytes;
use fixcon::model::onnx::tensor_proto::{DataLocation, DataType};
use fixcon::model::onnx::*;
use fixcon::model::{Edit, Existing, Model, ModelError};
use prost::Message;
use std::path::{Path, PathBuf};

fn value(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: outputs.iter().map(|s| (*s).to_string()).collect(),
        ..NodeProto::default()
    }
}

fn weights(name: &str, values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(DataType::Float as i32),
        raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>().into()),
        ..TensorProto::default()
    }
}

fn external(name: &str, location: &str, offset: usize, length: usize) -> TensorProto {
    let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    TensorProto {
        name: Some(name.into()),
        dims: vec![length as i64 / 4],
        data_type: Some(DataType::Float as i32),
        data_location: Some(DataLocation::External as i32),
        external_data: vec![entry("location", location.into()), entry("offset", offset.to_string()), entry("length", length.to_string())],
        ..TensorProto::default()
    }
}

/// `y = relu(x + w) * v`
fn small(initializers: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        producer_name: Some("test".into()),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
        metadata_props: vec![StringStringEntryProto { key: Some("made".into()), value: Some("by hand".into()) }],
        graph: Some(GraphProto {
            name: Some("g".into()),
            node: vec![node("Add", &["x", "w"], &["a"]), node("Relu", &["a"], &["b"]), node("Mul", &["b", "v"], &["y"])],
            initializer: initializers,
            input: vec![value("x")],
            output: vec![value("y")],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn files_below(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, out);
        } else if path.extension().is_some_and(|e| e == "onnx") {
            out.push(path);
        }
    }
}

#[test]
fn every_sample_model_is_written_as_it_was_read() {
    let mut files = Vec::new();
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models"), &mut files);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let model = Model::open(&file).unwrap();
        assert!(model.to_bytes() == bytes, "{} changes when it is saved", file.display());
        assert_eq!(model.encoded_len(), bytes.len());
    }
}

#[test]
fn fields_that_the_schema_does_not_know_survive_everywhere_even_in_odd_order() {
    // An unknown field (number 4000, text "new") in the model, the graph and a node; the graph before the opsets.
    let mut unknown = Vec::new();
    prost::encoding::bytes::encode(4000, &b"new".to_vec(), &mut unknown);
    let mut add = node("Add", &["x", "w"], &["y"]).encode_to_vec();
    add.extend(&unknown);
    let mut graph = unknown.clone();
    prost::encoding::bytes::encode(1, &add, &mut graph);
    graph.extend(
        GraphProto { initializer: vec![weights("w", &[1.0])], input: vec![value("x")], output: vec![value("y")], ..GraphProto::default() }
            .encode_to_vec(),
    );
    let mut file = unknown.clone();
    prost::encoding::bytes::encode(7, &graph, &mut file);
    file.extend(
        ModelProto {
            opset_import: vec![OperatorSetIdProto { version: Some(13), ..OperatorSetIdProto::default() }],
            ..ModelProto::default()
        }
        .encode_to_vec(),
    );

    let model = Model::read(file.clone().into(), None).unwrap();
    assert_eq!(model.to_bytes(), file);
    assert_eq!(model.opset(""), 13);

    // An edited node keeps them too.
    let edit = Edit::SetAttribute { node: "y".into(), attribute: AttributeProto::of_int("axis", 1) };
    let (edited, inverse) = model.apply(&edit).unwrap();
    let bytes = edited.to_bytes();
    assert_eq!(bytes.windows(unknown.len()).filter(|w| *w == unknown).count(), 3);
    assert_eq!(Model::read(bytes.into(), None).unwrap().node_by_output("y").map(|id| edited.node(id).attribute.len()), Some(1));
    assert_eq!(edited.apply(&inverse).unwrap().0.to_bytes(), file);
}

#[test]
fn a_length_that_is_written_longer_than_need_be_stays_so() {
    // Found by fuzzing: the graph's length 0 as two bytes.
    let file = vec![0x3a, 0x80, 0x00];
    assert_eq!(Model::read(file.clone().into(), None).unwrap().to_bytes(), file);
    // A graph of one node, both with lengths of three bytes.
    let relu = node("Relu", &["x"], &["y"]).encode_to_vec();
    let long = |number: u8, content: &[u8]| [&[number << 3 | 2, 0x80 | content.len() as u8, 0x80, 0x00][..], content].concat();
    let file = long(7, &long(1, &relu));
    let model = Model::read(file.clone().into(), None).unwrap();
    assert_eq!(model.to_bytes(), file);
    assert_eq!(model.encoded_len(), file.len());
    let (edited, inverse) = model.apply(&Edit::SetAttribute { node: "y".into(), attribute: AttributeProto::of_int("a", 1) }).unwrap();
    assert_eq!(Model::read(edited.to_bytes().into(), None).unwrap().nodes().len(), 1);
    assert_eq!(edited.apply(&inverse).unwrap().0.to_bytes(), file);
}

#[test]
fn a_saved_file_has_the_digest_that_was_promised_and_is_never_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let bytes = small(vec![weights("w", &[1.0]), weights("v", &[2.0])]).encode_to_vec();
    let model = Model::read(bytes.clone().into(), None).unwrap();
    let digest = model.save(&path, Existing::Refuse).unwrap();
    assert_eq!(digest, model.sha256());
    assert_eq!(digest.len(), 64);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);

    let edited = model.with_metadata("more", "1");
    assert!(matches!(edited.save(&path, Existing::Refuse), Err(ModelError::Exists { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "a refused save left the file alone");
    edited.save(&path, Existing::Replace).unwrap();
    assert_eq!(Model::open(&path).unwrap().metadata("more"), Some("1"));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["m.onnx"], "no temporary file is left behind");
}

#[test]
fn saving_where_it_cannot_be_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::read(small(vec![]).encode_to_vec().into(), None).unwrap();
    let error = model.save(folder.path().join("no/such/m.onnx"), Existing::Refuse).unwrap_err();
    assert!(error.to_string().contains("m.onnx"), "{error}");
    assert!(model.save(folder.path(), Existing::Replace).unwrap_err().to_string().contains("no regular file"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn external_data_go_along_to_another_folder_and_stay_external() {
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let data: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::create_dir(here.path().join("data")).unwrap();
    std::fs::write(here.path().join("data/m.bin"), &data).unwrap();
    let bytes = small(vec![external("w", "data/m.bin", 0, 4), external("v", "data/m.bin", 4, 8)]).encode_to_vec();
    std::fs::write(here.path().join("m.onnx"), &bytes).unwrap();

    let model = Model::open(here.path().join("m.onnx")).unwrap();
    assert_eq!(model.raw_data(model.initializer("v").unwrap()).unwrap().unwrap(), Bytes::from(data[4..].to_vec()));
    assert_eq!(model.external_sha256().unwrap().len(), 1);
    let (edited, _) = model.apply(&Edit::ReplaceInitializer { tensor: weights("w", &[7.0]) }).unwrap();
    edited.save(there.path().join("n.onnx"), Existing::Refuse).unwrap();
    let again = Model::open(there.path().join("n.onnx")).unwrap();
    assert_eq!(again.raw_data(again.initializer("v").unwrap()).unwrap().unwrap()[..], data[4..]);
    assert_eq!(again.raw_data(again.initializer("w").unwrap()).unwrap().unwrap()[..], 7.0f32.to_le_bytes());
    assert_eq!(std::fs::read(there.path().join("data/m.bin")).unwrap(), data);

    // Other data of that name are not overwritten unasked, and the model is not written either.
    std::fs::write(there.path().join("data/m.bin"), b"something else").unwrap();
    assert!(model.save(there.path().join("o.onnx"), Existing::Refuse).is_err());
    assert!(!there.path().join("o.onnx").exists());

    // Once no tensor refers to a file, it stays where it is.
    let (inlined, _) = edited.apply(&Edit::ReplaceInitializer { tensor: weights("v", &[1.0, 1.0]) }).unwrap();
    let third = tempfile::tempdir().unwrap();
    inlined.save(third.path().join("m.onnx"), Existing::Refuse).unwrap();
    assert_eq!(std::fs::read_dir(third.path()).unwrap().count(), 1);
}

#[test]
fn external_data_outside_the_folder_missing_or_short_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), [0; 16]).unwrap();
    std::fs::write(folder.path().join("short"), [0; 2]).unwrap();
    let absolute = outside.path().join("secret").display().to_string();
    let mut cases = vec![
        ("../secret".to_string(), "outside"),
        (absolute, "outside"),
        ("missing".into(), "missing"),
        ("short".into(), "has 2 bytes"),
        (String::new(), "outside"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
        cases.push(("link".into(), "links to outside"));
    }
    for (location, says) in cases {
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, small(vec![external("w", &location, 0, 4)]).encode_to_vec()).unwrap();
        let model = Model::open(&path).unwrap();
        let error = model.raw_data(model.initializer("w").unwrap()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("'w'"), "{location}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn a_download_cache_that_links_model_and_data_to_one_folder_works() {
    let cache = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (cache.path().join("blobs"), cache.path().join("snapshot"));
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::write(blobs.join("a1"), small(vec![external("w", "m.onnx_data", 0, 4)]).encode_to_vec()).unwrap();
    std::fs::write(blobs.join("b2"), 5.0f32.to_le_bytes()).unwrap();
    std::os::unix::fs::symlink("../blobs/a1", snapshot.join("m.onnx")).unwrap();
    std::os::unix::fs::symlink("../blobs/b2", snapshot.join("m.onnx_data")).unwrap();
    let model = Model::open(snapshot.join("m.onnx")).unwrap();
    assert_eq!(model.raw_data(model.initializer("w").unwrap()).unwrap().unwrap()[..], 5.0f32.to_le_bytes());
}

#[test]
fn what_is_no_model_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.onnx");
    for bytes in [&b""[..], b"hello, world", &[0xff; 64], b"\x08\x07"] {
        std::fs::write(&path, bytes).unwrap();
        let error = Model::open(&path).unwrap_err();
        assert!(error.to_string().contains("x.onnx"), "{error}");
    }
    assert!(Model::open(folder.path()).unwrap_err().to_string().contains("folder"));
    assert!(Model::open("/nowhere/x.onnx").unwrap_err().to_string().contains("x.onnx"));
    let mut two = small(vec![]).encode_to_vec();
    two.extend(ModelProto { graph: Some(GraphProto::default()), ..ModelProto::default() }.encode_to_vec());
    assert!(Model::read(two.into(), None).unwrap_err().to_string().contains("two graphs"));
}
