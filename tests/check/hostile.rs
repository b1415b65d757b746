//! Damaged images, case files and tensor files: errors, never a panic.

use super::{root, run};
use fixcon::dataset::{Alpha, CaseFile, ImageSet, Picture, RecipeKeys};
use fixcon::model::onnx::*;
use prost::Message;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fs;

/// One of the ways in which files go bad.
fn damage(bytes: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    match rng.random_range(0..4) {
        0 => out.truncate(rng.random_range(0..=bytes.len())),
        1 => {
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..out.len());
                out[at] ^= 1 << rng.random_range(0..8);
            }
        }
        2 => {
            // Sizes are in the first bytes of most formats.
            let at = rng.random_range(0..out.len().min(40));
            let end = (at + 4).min(out.len());
            out[at..end].fill(0xff);
        }
        _ => {
            let (a, b) = (rng.random_range(0..out.len()), rng.random_range(0..out.len()));
            out.drain(a.min(b)..a.max(b));
        }
    }
    out
}

#[test]
fn damaged_images_are_errors() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut refused = 0;
    for entry in fs::read_dir(root().join("tests/data/images")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for _ in 0..60 {
            match Picture::decode(&damage(&bytes, &mut rng), Alpha::Drop) {
                Ok(picture) => assert_eq!(picture.rgb.len(), picture.width * picture.height * 3),
                Err(why) => {
                    assert!(!why.contains("gave up"), "a decoder panicked");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused() {
    let mut png = fs::read(root().join("tests/data/images/rgb.png")).unwrap();
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    // The checksum of the header, so that it is the size and nothing else that is refused.
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let why = Picture::decode(&png, Alpha::Drop).unwrap_err();
    assert!(why.contains("65536 x 65536") && why.contains("limit"), "{why}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, b| (0..8).fold(crc ^ u32::from(*b), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg())))
}

#[test]
fn damaged_case_files_are_errors_in_words() {
    let text = fs::read(root().join("sample_models/cases/1-mobilenet-pads/case.toml")).unwrap();
    let mut rng = SmallRng::seed_from_u64(11);
    let mut parsed = 0;
    for _ in 0..3000 {
        let damaged = damage(&text, &mut rng);
        let Ok(text) = std::str::from_utf8(&damaged) else { continue };
        match CaseFile::parse(text) {
            Ok(case) => {
                parsed += 1;
                // Whatever can be read can be written and read again, and its recipe is refused or usable.
                assert_eq!(CaseFile::parse(&case.to_toml()).unwrap(), case);
                for keys in [case.source.preprocess, case.target.preprocess].into_iter().flatten() {
                    let _ = keys.resolve();
                }
            }
            Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why}"),
        }
    }
    assert!(parsed > 50, "{parsed}");
}

#[test]
fn recipes_that_would_make_no_sense_are_refused() {
    for (text, word) in [
        ("size = [0, 10]", "size"),
        ("size = [40000, 10]", "size"),
        ("size = [20000, 20000]", "size"),
        ("resize_to = 0", "resize_to"),
        ("scale = 0.0", "scale"),
        ("scale = 1e-50", "scale"),
        ("scale = nan", "scale"),
        ("std = [1.0, 0.0, 1.0]", "std"),
        ("mean = [1.0, 2.0]", "mean"),
        ("mean = [inf, 0.0, 0.0]", "mean"),
        ("preset = \"no such\"", "preset"),
    ] {
        let keys: RecipeKeys = toml::from_str(text).unwrap();
        let why = keys.resolve().unwrap_err().to_string();
        assert!(why.contains(word), "{text}: {why}");
    }
}

#[test]
fn damaged_tensor_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let npz = fs::read(root().join("tests/data/pillow.npz")).unwrap();
    let mut npy = b"\x93NUMPY\x01\x00\x46\x00".to_vec();
    npy.extend(format!("{:<69}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }").bytes());
    npy.extend([0u8; 24]);
    let open = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        ImageSet::open(&path, None, None).map(|s| s.len())
    };
    assert_eq!(open("good.npy", &npy).unwrap(), 2);
    let huge = String::from_utf8_lossy(&npy).replace("(2, 3)", "(9999999999999, 99999999)");
    assert!(open("huge.npy", huge.as_bytes()).is_err());
    let of_shape = |shape: &str| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let length = (header.len() as u32).to_le_bytes();
        [b"\x93NUMPY\x02\x00", &length[..], header.as_bytes(), &[0; 4]].concat()
    };
    // Nothing to hold, in more places than can be counted.
    let empty = of_shape("4611686018427387904, 4611686018427387904, 0,");
    assert!(open("empty.npy", &empty[..empty.len() - 4]).is_err());
    let why = open("deep.npy", &of_shape(&"1,".repeat(100_000))).unwrap_err().to_string();
    assert!(why.contains("100000 dimensions") && why.len() < 200, "{why}");
    let mut rng = SmallRng::seed_from_u64(3);
    for _ in 0..300 {
        let _ = open("a.npy", &damage(&npy, &mut rng));
    }
    for _ in 0..20 {
        let _ = open("a.npz", &damage(&npz, &mut rng));
    }
}

/// A palette of four bytes makes the png crate panic; found by fuzzing.
#[test]
fn a_decoder_that_panics_is_an_image_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("odd.png"), include_bytes!("odd_palette.png")).unwrap();
    let model = "sample_models/models/mobilenet.onnx";
    let images = folder.path().to_str().unwrap();
    let (code, _, err) = run(&["check", "--source", model, "--target", model, "--images", images, "--preset", "clip"]);
    assert_eq!(code, 2);
    assert!(err.contains("odd.png") && err.contains("the decoder gave up on it") && !err.contains("panicked"), "{err}");
}

/// A pipe would be waited for without end, and some devices have none.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_read() {
    let case = super::sample("17-mobilenet-clip");
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("repaired.onnx");
    let device = "/dev/null";
    for args in [
        &["check", "--case", device][..],
        &["check", "--case", &case, "--images", device],
        &["check", "--case", &case, "--labels", device],
        &["localize", "--case", &case, "--golden", device],
        &["triage", "sample_models/cases/17-mobilenet-clip", "--state", device],
        &["repair", "--case", &case, "--yes", "--policy", device, "--output", output.to_str().unwrap()],
    ] {
        let (code, _, err) = run(args);
        assert!(code == 2 && err.contains(device) && err.contains("is no regular file"), "{args:?}: {code} {err}");
    }
    // A folder is wanted, and a file is named.
    let (code, _, err) = run(&["export", "--case", &case, "--output", device]);
    assert!(code == 2 && err.contains(device) && err.contains("is no folder"), "{code} {err}");
    let list = folder.path().join("list.txt");
    fs::write(&list, "/dev/zero\n").unwrap();
    let (code, _, err) = run(&["check", "--case", &case, "--images", list.to_str().unwrap()]);
    assert!(code == 2 && err.contains("is no regular file"), "{code} {err}");
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// Inputs of these batches, each a picture; a node over the first; the mean of every channel as the score of a class.
fn network(batches: &[i64], over: NodeProto) -> Vec<u8> {
    let value = |name: &str, dims: &[i64]| {
        let dim = |d: &i64| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(*d)),
            ..tensor_shape_proto::Dimension::default()
        };
        let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }) };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
    };
    let scale =
        TensorProto { name: Some("s".into()), dims: vec![3], data_type: Some(1), float_data: vec![1.0; 3], ..TensorProto::default() };
    let graph = GraphProto {
        name: Some("g".into()),
        node: vec![over, node("GlobalAveragePool", &["r"], "p", vec![]), node("Flatten", &["p"], "y", vec![])],
        initializer: vec![scale],
        input: batches.iter().enumerate().map(|(i, batch)| value(&format!("x{i}"), &[*batch, 3, 8, 8])).collect(),
        output: vec![value("y", &[1, 3])],
        ..GraphProto::default()
    };
    let set = OperatorSetIdProto { domain: Some(String::new()), version: Some(17) };
    ModelProto { ir_version: Some(8), opset_import: vec![set], graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

/// What the checker refuses is looked into all the same when a fault is sought: it must come to an end there, too.
#[test]
fn a_fault_is_sought_in_models_that_no_runtime_takes() {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("case.toml");
    let recipe = "size = [8, 8]\nlayout = \"nchw\"\n";
    let text = format!(
        "[source]\nmodel = \"source.onnx\"\n[source.preprocess]\n{recipe}[target]\nmodel = \"target.onnx\"\n\
         [target.preprocess]\n{recipe}[images]\npath = \"images\"\n"
    );
    fs::write(&case, text).unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    for name in ["rgb.png", "rgb.jpg"] {
        fs::copy(root().join("tests/data/images").join(name), folder.path().join("images").join(name)).unwrap();
    }
    let relu = || node("Relu", &["x0"], "r", vec![]);
    // A ring has no place to mend; every command says what is wrong with it.
    fs::write(folder.path().join("source.onnx"), network(&[1], relu())).unwrap();
    fs::write(folder.path().join("target.onnx"), network(&[1], node("Add", &["x0", "y"], "r", vec![]))).unwrap();
    let (case_path, model) = (case.to_str().unwrap(), folder.path().join("target.onnx"));
    let beside = folder.path().join("beside");
    for args in [
        &["check", "--case", case_path][..],
        &["localize", "--case", case_path],
        &["repair", "--case", case_path, "--yes"],
        &["export", "--case", case_path, "--output", beside.to_str().unwrap()],
        &["inject", model.to_str().unwrap(), "--output-dir", beside.to_str().unwrap()],
    ] {
        let (code, out, err) = run(args);
        let said = format!("{out}{err}").matches("waits for itself or for a cycle").count();
        assert!(code != 0 && said == 1, "{args:?}: {code} {out} {err}");
    }
    let sound = network(&[1], relu());
    for hostile in [
        network(&[1], node("Transpose", &["x0"], "r", vec![AttributeProto::of_ints("perm", &[0, 0, 0, 0])])),
        network(&[1], node("LayerNormalization", &["x0", "s"], "r", vec![AttributeProto::of_int("axis", -5)])),
        network(&[1], node("AveragePool", &["x0"], "r", vec![AttributeProto::of_ints("kernel_shape", &[60_000, 60_000])])),
        network(&[1, 1], node("Add", &["x0", "x1"], "r", vec![])),
        network(&[1 << 62], relu()),
    ] {
        for (source, target) in [(&sound, &hostile), (&hostile, &sound)] {
            fs::write(folder.path().join("source.onnx"), source).unwrap();
            fs::write(folder.path().join("target.onnx"), target).unwrap();
            let (code, out, err) = run(&["localize", "--case", case_path]);
            assert!((code == 1 || code == 2) && !err.contains("panicked"), "{code} {out} {err}");
        }
    }
}
