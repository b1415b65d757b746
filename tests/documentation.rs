//! Every command in the documentation runs, in the order of its page.

use fixcon::model::onnx::tensor_shape_proto::{Dimension, dimension};
use fixcon::model::onnx::*;
use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Pages that people read.
fn pages() -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/audit-log.md"].iter().map(|p| root().join(p)).collect();
    let mut guide: Vec<PathBuf> = fs::read_dir(root().join("docs/guide")).unwrap().map(|e| e.unwrap().path()).collect();
    guide.sort();
    out.extend(guide.into_iter().filter(|p| p.extension().is_some_and(|e| e == "md")));
    out
}

/// The blocks of some languages in order, each with its language and lines.
fn blocks<'a>(text: &'a str, languages: &[&'a str]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut out: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match (open, line.trim_start().strip_prefix("```")) {
            (true, Some(_)) => open = false,
            (true, None) => out.last_mut().expect("a block is open").1.push(line),
            (false, Some(word)) => {
                open = true;
                out.push((word.trim(), Vec::new()));
            }
            (false, None) => {}
        }
    }
    out.retain(|(language, _)| languages.contains(language));
    out
}

/// Commands of a page: lines of `sh` blocks, and those behind a prompt in `console` blocks.
fn commands(text: &str) -> Vec<String> {
    let of = |(language, lines): (&str, Vec<&str>)| -> Vec<String> {
        let line = |l: &str| if language == "sh" { Some(l.to_string()) } else { l.strip_prefix("$ ").map(String::from) };
        lines.into_iter().filter_map(line).collect()
    };
    let all = blocks(text, &["sh", "console"]).into_iter().flat_map(of);
    all.map(|l| without_remark(&l)).filter(|l| !l.is_empty()).collect()
}

fn without_remark(line: &str) -> String {
    line.split(" #").next().unwrap_or_default().trim().trim_start_matches('#').trim().to_string()
}

/// A classifier of pictures of 224 pixels: the mean of each colour is its score.
fn tiny_classifier(path: &Path, bias: f32) {
    let value = |name: &str, shape: &[i64]| {
        let dim = shape.iter().map(|d| Dimension { value: Some(dimension::Value::DimValue(*d)), ..Dimension::default() }).collect();
        let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim }) };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: Some(name.into()), r#type: Some(kind), ..ValueInfoProto::default() }
    };
    let node = |op: &str, inputs: &[&str], out: &str| NodeProto {
        name: Some(out.into()),
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: vec![out.into()],
        ..NodeProto::default()
    };
    let bias = TensorProto {
        name: Some("bias".into()),
        dims: vec![1, 3],
        data_type: Some(1),
        raw_data: Some([0.0, bias, 0.0].iter().flat_map(|f: &f32| f.to_le_bytes()).collect::<Vec<u8>>().into()),
        ..TensorProto::default()
    };
    let graph = GraphProto {
        name: Some("tiny".into()),
        node: vec![
            node("GlobalAveragePool", &["image"], "mean"),
            node("Flatten", &["mean"], "flat"),
            node("Add", &["flat", "bias"], "scores"),
        ],
        initializer: vec![bias],
        input: vec![value("image", &[1, 3, 224, 224])],
        output: vec![value("scores", &[1, 3])],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { version: Some(17), ..OperatorSetIdProto::default() }];
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..ModelProto::default() };
    fs::write(path, model.encode_to_vec()).unwrap();
}

/// A folder as a reader would have it: the samples, two models of their own, photos.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    copy(&root().join("sample_models"), &at("sample_models"));
    tiny_classifier(&at("model.onnx"), 0.0);
    tiny_classifier(&at("converted.onnx"), 0.05);
    fs::create_dir(at("photos")).unwrap();
    for n in 0..4 {
        let name = format!("p{n:03}.png");
        fs::copy(root().join("sample_models/images/probe").join(&name), at("photos").join(&name)).unwrap();
    }
    // What another device made of model.onnx, as Polygraphy saves it.
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }\n";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend([0.5f32, 0.25, 0.125].iter().flat_map(|v| v.to_le_bytes()));
    let array = serde_json::json!({ "array": base64_simd::STANDARD.encode_to_string(npy) });
    fs::write(at("golden.json"), serde_json::json!([{ "scores": array }]).to_string()).unwrap();
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // What is only read may be the same file.
            fs::hard_link(entry.path(), &target).or_else(|_| fs::copy(entry.path(), &target).map(drop)).unwrap();
        }
    }
}

#[test]
fn every_command_runs() {
    let program = assert_cmd::cargo::cargo_bin("fixcon");
    let mut ran = 0;
    let mut wrong = Vec::new();
    // Whoever reads these one after the other works in one folder.
    let one = desk();
    let course = ["README.md", "docs/guide/first-repair.md", "docs/guide/ci.md", "docs/guide/audit.md"].map(|p| root().join(p));
    let others = pages().into_iter().filter(|p| !course.contains(p));
    for page in course.iter().cloned().chain(others) {
        let text = fs::read_to_string(&page).unwrap();
        let own = desk();
        let desk = if course.contains(&page) { &one } else { &own };
        // Logs that a page names without making them.
        if text.contains("fixcon log audit.jsonl") && !text.contains("--audit-log audit.jsonl") {
            let made =
                ["repair", "sample_models/cases/1-mobilenet-pads", "--yes", "-q", "--output", "out.onnx", "--audit-log", "audit.jsonl"];
            assert!(Command::new(&program).current_dir(desk.path()).args(made).status().unwrap().success());
        }
        for line in commands(&text) {
            let Some(rest) = line.strip_prefix("fixcon ") else {
                // Commands of others, which the other tests and CI run; the screen needs a terminal.
                let others = ["cargo ", ".ci/run", "FIXCON_WRITE_SCHEMAS"];
                if !others.iter().any(|o| line.starts_with(o)) {
                    wrong.push(format!("{}: what is '{line}'?", page.display()));
                }
                continue;
            };
            if rest.starts_with("debug ") {
                continue;
            }
            let rest = rest.replace("photos/", "photos");
            let (rest, file) = rest.split_once(" > ").map_or((rest.as_str(), None), |(a, b)| (a, Some(b)));
            let args: Vec<&str> = rest.split_whitespace().collect();
            let out = Command::new(&program).current_dir(desk.path()).args(&args).output().unwrap();
            if let Some(file) = file {
                fs::write(desk.path().join(file), &out.stdout).unwrap();
            }
            ran += 1;
            if out.status.code().is_none_or(|c| c > 1) {
                wrong.push(format!("{}: {line}: {}", page.display(), String::from_utf8_lossy(&out.stderr)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(ran >= 25, "only {ran} commands were found");
}

#[test]
fn links_lead_to_files() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            if !page.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn flags_that_pages_name_exist() {
    let help = |name: &str| {
        let out = Command::new(assert_cmd::cargo::cargo_bin("fixcon")).args([name, "--help"]).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let commands =
        ["check", "localize", "repair", "replay", "log", "report", "export", "triage", "inspect", "inject", "matrix", "explain", "debug"];
    let known: String = commands.iter().map(|c| help(c)).collect();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("`--") {
            let flag: String = text[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            assert!(known.contains(&flag), "{}: {flag}", page.display());
        }
    }
}

#[test]
fn python_in_the_documentation_is_python() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    for page in pages() {
        for (_, block) in blocks(&fs::read_to_string(&page).unwrap(), &["python"]) {
            let out = Command::new("python3").args(["-c", "import ast, sys; ast.parse(sys.argv[1])", &block.join("\n")]).output().unwrap();
            assert!(out.status.success(), "{}: {}", page.display(), String::from_utf8_lossy(&out.stderr));
        }
    }
}
