//! A session in small: models, a log of everything that can happen, and the model it made.

use fixcon::audit::*;
use fixcon::localize::Kind;
use fixcon::model::onnx::*;
use fixcon::model::{Edit, Existing, Model};
use fixcon::repair::DiffLine;
use prost::Message;
use std::path::{Path, PathBuf};

pub fn person() -> By {
    By::Person("Ada".into())
}

pub fn tensor(name: &str, data: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![data.len() as i64],
        data_type: Some(tensor_proto::DataType::Float as i32),
        raw_data: Some(data.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>().into()),
        ..TensorProto::default()
    }
}

/// A model of two nodes: x + w, then Relu.
pub fn model(path: &Path) -> PathBuf {
    let node = |op: &str, inputs: &[&str], out: &str| NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: vec![out.into()],
        ..NodeProto::default()
    };
    let value = |name: &str| ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() };
    let graph = GraphProto {
        name: Some("g".into()),
        node: vec![node("Add", &["x", "w"], "a"), node("LeakyRelu", &["a"], "y")],
        initializer: vec![tensor("w", &[1.0, 2.0])],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { version: Some(17), ..OperatorSetIdProto::default() }];
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..ModelProto::default() };
    std::fs::write(path, model.encode_to_vec()).unwrap();
    path.into()
}

/// What opens a session on a target, its own source, with one image.
pub fn opened(log: &Path, target: &Model) -> Opened {
    let image = log.with_file_name("image.png");
    std::fs::write(&image, "image").unwrap();
    let images = ImagesDigest::of(log, &image, &[("image.png", &image)]).unwrap();
    let mut opened = Opened::of(log, target, target, None, images).unwrap();
    opened.target_recipe = Some("channels = \"rgb\"\nscale = 255.0\n".into());
    opened
}

pub fn proposed(number: u32, words: &str) -> Event {
    Event::Proposed(Proposed {
        proposal: number,
        suspect: Some(1),
        category: CategoryId(Kind::WbBias.category()),
        fault: Some(KindId(Kind::WbBias)),
        words: words.into(),
        nodes: vec!["a".into()],
        diff: vec![DiffLine::Place("a".into()), DiffLine::Removed("bias = –".into()), DiffLine::Added("bias = 1".into())],
        safe: true,
        evidence: Evidence {
            error: Some((Figure(f32::INFINITY), Figure(1e-6))),
            flips: Some((4, 0)),
            tried: Some(10),
            ..Evidence::default()
        },
    })
}

pub fn decided(number: u32, decision: Decision, note: &str) -> Event {
    Event::Decided(Decided { proposal: number, decision, note: note.into(), by: person() })
}

pub fn applied(number: u32, words: &str, changes: Vec<Change>) -> Event {
    Event::Applied(Applied { proposal: number, words: words.into(), changes })
}

pub fn undone(number: u32) -> Event {
    Event::Undone(Undone { proposal: number, note: String::new(), by: person() })
}

/// Edits that fit any model: the largest initializer, an attribute with a number that JSON readers round, a new node, a new tensor.
pub fn edits(model: &Model) -> Vec<Edit> {
    let largest = model.initializers().max_by_key(|t| t.encoded_len()).unwrap();
    let mut tensor_of = largest.clone();
    let mut raw = model.raw_data(largest).unwrap().map_or_else(|| vec![0; 4], |b| b.to_vec());
    raw[0] ^= 1;
    tensor_of.raw_data = Some(raw.into());
    let node = model.nodes().next().unwrap().1.output[0].clone();
    let new = NodeProto {
        op_type: Some("Identity".into()),
        input: vec![node.clone()],
        output: vec!["fixcon/extra".into()],
        ..NodeProto::default()
    };
    vec![
        Edit::ReplaceInitializer { tensor: tensor_of },
        Edit::SetAttribute { node, attribute: AttributeProto::of_float("alpha", f32::from_bits(60042)) },
        Edit::All(vec![
            Edit::InsertNode { before: None, node: new },
            Edit::AddInitializer { tensor: tensor("fixcon/bias", &[0.1, f32::NAN]) },
        ]),
        Edit::SetMetadata { key: "note".into(), value: Some("mended".into()) },
    ]
}

/// A whole session on a target: four edits, one more rejected, one taken back for good, one taken back and made again, a recipe; saved
/// twice and closed. Gives the log and the model it saved last.
pub fn session(folder: &Path, target: &Path) -> (PathBuf, PathBuf) {
    let (path, output) = (folder.join("audit.jsonl"), folder.join("repaired.onnx"));
    let base = Model::open(target).unwrap();
    let mut log = Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap();
    let evaluated = |flips, mended: &[&str]| {
        let mended = mended.iter().map(|s| (*s).to_string()).collect();
        Event::Evaluated(Evaluated {
            on: Subset::All,
            images: 1,
            flips,
            mended,
            broken: vec![],
            does_not_run: None,
            unreadable: vec![],
            details: None,
        })
    };
    log.append(evaluated(1, &[])).unwrap();
    log.append(Event::Suspect(Suspected {
        suspect: 1,
        category: CategoryId(Kind::WbBias.category()),
        fault: Some(KindId(Kind::WbBias)),
        target_nodes: vec!["a".into()],
        target_tensors: vec!["w".into()],
        words: "the bias is another one: Δ 0.3 “ü”".into(),
        operators: vec!["Add".into()],
        source_nodes: vec!["a".into()],
        error: Figure(f32::NAN),
        evidence: vec!["isolated error NaN".into()],
        equivalents: vec![KindId(Kind::WbNorm)],
        splice: Some((1, 1)),
    }))
    .unwrap();
    let edits = edits(&base);
    for (number, edit) in (1..).zip(&edits) {
        log.append(proposed(number, &edit.to_string())).unwrap();
        let change = log.model_change(edit).unwrap();
        log.append_all(&[decided(number, Decision::Accept, ""), applied(number, &edit.to_string(), vec![change])]).unwrap();
    }
    log.append_all(&[proposed(5, "no good"), decided(5, Decision::Skip, ""), decided(5, Decision::Reject, "line\nbreak")]).unwrap();
    let first = remade(&base, &edits);
    log.save(&first, &output, Existing::Refuse, log.state().recipe().unwrap()).unwrap();
    // The second goes for good, the first is made again behind the others.
    log.append_all(&[undone(2), undone(1)]).unwrap();
    let again = log.state().undone.iter().find(|e| e.applied.proposal == 1).unwrap().applied.clone();
    log.append(Event::Applied(again)).unwrap();
    let recipe = RecipeChange::between(log.state().opened.target_recipe.as_ref().unwrap(), "channels = \"bgr\"\nscale = 255.0\n").unwrap();
    log.append_all(&[proposed(6, "channels"), decided(6, Decision::Accept, ""), applied(6, "channels", vec![Change::Recipe(recipe)])])
        .unwrap();
    log.append(evaluated(0, &["image.png"])).unwrap();
    assert_eq!(log.state().made(), [3, 4, 1, 6]);
    let last = remade(&base, &[edits[2].clone(), edits[3].clone(), edits[0].clone()]);
    log.save(&last, &output, Existing::Replace, log.state().recipe().unwrap()).unwrap();
    log.append(Event::Closed(Closed { flips: Some(0), words: "all repaired".into() })).unwrap();
    (path, output)
}

pub fn remade(base: &Model, edits: &[Edit]) -> Model {
    edits.iter().fold(base.clone(), |m, e| m.apply(e).unwrap().0)
}

/// Lines of a log, line breaks included.
pub fn lines(path: &Path) -> Vec<Vec<u8>> {
    std::fs::read(path).unwrap().split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// What is wrong with a log; panics when nothing is.
pub fn problem(path: &Path) -> AuditError {
    Chain::read(path).and_then(Chain::trusted).expect_err("the log is to be refused")
}

/// The number of the record that is named.
pub fn named(error: &AuditError) -> u64 {
    match error {
        AuditError::Record { seq, .. } => *seq,
        other => panic!("no record is named: {other}"),
    }
}
