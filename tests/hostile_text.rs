//! Names of nodes, values, files and labels that hold escape sequences do no harm: not on the terminal, not in the log, not in a report.

use assert_cmd::Command;
use fixcon::model::Model;
use fixcon::model::onnx::ModelProto;
use prost::Message;
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};

/// Sets the title, rings the bell, clears the screen (also with a one-byte introducer), turns the writing, forges a line, closes tags.
const EVIL: &str = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\nerror: forged</td><script>alert(1)</script><img src=x onerror=y>`|";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

/// A character that does something where text is shown.
fn acts(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_quiet(text: &str, what: &str) {
    if let Some(at) = text.char_indices().find(|(_, c)| acts(*c)).map(|(i, _)| i) {
        let from = text.floor_char_boundary(at.saturating_sub(60));
        let to = text.floor_char_boundary((at + 20).min(text.len()));
        panic!("{what} holds {:?}", &text[from..to]);
    }
    assert!(!text.lines().any(|l| l.starts_with("error: forged")), "{what} lets a name begin a line");
}

/// A copy of a model in which every name of a node and a value is evil; inputs and outputs too.
fn evil_model(from: &Path, to: &Path) {
    let mut proto = ModelProto::decode(&*fs::read(from).unwrap()).unwrap();
    let evil = |name: &mut String| {
        if !name.is_empty() {
            name.push_str(EVIL);
        }
    };
    proto.producer_name = Some(format!("tf2onnx{EVIL}"));
    proto.metadata_props.clear();
    let graph = proto.graph.as_mut().unwrap();
    graph.value_info.clear();
    for node in &mut graph.node {
        node.name = Some(format!("{}{EVIL}", node.name()));
        node.input.iter_mut().chain(&mut node.output).for_each(evil);
    }
    let infos = graph.input.iter_mut().chain(&mut graph.output).map(|v| &mut v.name);
    for name in infos.chain(graph.initializer.iter_mut().map(|t| &mut t.name)) {
        evil(name.get_or_insert_default());
    }
    fs::write(to, proto.encode_to_vec()).unwrap();
}

/// A case with a wrong padding in which everything that can be named is evil.
fn evil_case() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let case = root().join("cases/1-mobilenet-pads");
    let named = |what: &str| format!("{what}\u{1b}[2J\u{9b}31m\u{202e}");
    evil_model(&root().join("models/mobilenet.onnx"), &at(&named("source.onnx")));
    evil_model(&case.join("target.onnx"), &at(&named("target.onnx")));
    fs::create_dir(at("images")).unwrap();
    for image in fs::read_dir(root().join("images/probe")).unwrap() {
        let image = image.unwrap();
        let name = image.file_name().to_string_lossy().replace(".png", "\u{1b}[31m\u{202e}\n<b>.png");
        fs::copy(image.path(), at("images").join(name)).unwrap();
    }
    let labels = fs::read_to_string(case.join("labels.txt")).unwrap();
    let labels: Vec<String> = labels.lines().map(|l| format!("{l}\u{1b}[31m\u{9b}0m<i>\u{202e}")).collect();
    fs::write(at("labels.txt"), labels.join("\n")).unwrap();
    let toml = fs::read_to_string(case.join("case.toml")).unwrap();
    let quoted = |name: &str| serde_json::to_string(&named(name)).unwrap().replace('\u{9b}', "\\u009b").replace('\u{202e}', "\\u202e");
    let toml = toml
        .replace("\"../../models/mobilenet.onnx\"", &quoted("source.onnx"))
        .replace("\"target.onnx\"", &quoted("target.onnx"))
        .replace("../../images/probe", "images");
    fs::write(at("case.toml"), toml).unwrap();
    dir
}

struct Ran {
    stdout: String,
    code: Option<i32>,
}

fn fixcon(folder: &Path, args: &[&str]) -> Ran {
    let out = Command::cargo_bin("fixcon").unwrap().current_dir(folder).args(args).output().unwrap();
    let stdout = String::from_utf8(out.stdout).unwrap();
    let stderr = String::from_utf8(out.stderr).unwrap();
    is_quiet(&stdout, &format!("{args:?}"));
    is_quiet(&stderr, &format!("standard error of {args:?}"));
    Ran { stdout, code: out.status.code() }
}

#[test]
fn nothing_that_is_written_does_anything() {
    let case = evil_case();
    let folder = case.path();
    let target = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).find(|p| p.to_string_lossy().contains("target.onnx")).unwrap();
    let target = target.to_str().unwrap();
    let model = Model::open(target).unwrap();
    let first = model.nodes().next().unwrap().1.name().to_string();
    let with_json = |args: &[&'static str]| -> Vec<Vec<&'static str>> {
        let json: Vec<_> = args.iter().copied().chain(["--json"]).collect();
        vec![args.to_vec(), json]
    };
    for args in with_json(&["check", "case.toml"]).into_iter().chain(with_json(&["localize", "case.toml", "--all"])) {
        let ran = fixcon(folder, &args);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    }
    fixcon(folder, &["localize", "case.toml", "--format", "markdown"]);
    fixcon(folder, &["check", "case.toml", "--format", "junit"]);
    for json in [&[][..], &["--json"][..]] {
        assert_eq!(fixcon(folder, &[&["inspect", target][..], json].concat()).code, Some(0));
        assert_eq!(fixcon(folder, &[&["inspect", target, "--node", &first][..], json].concat()).code, Some(0));
    }
    assert_eq!(fixcon(folder, &["inspect", target, "--node", EVIL]).code, Some(2));
    assert_eq!(fixcon(folder, &["check", "--source", EVIL, "--target", EVIL, "--images", EVIL]).code, Some(2));

    let repaired = fixcon(folder, &["repair", "case.toml", "--yes", "--output", "out.onnx", "--audit-log", "log\u{1b}[2J.jsonl"]);
    assert_eq!(repaired.code, Some(0), "{}", repaired.stdout);
    let log = "log\u{1b}[2J.jsonl";
    is_quiet(&fs::read_to_string(folder.join(log)).unwrap(), "the log");
    let beside = fs::read_dir(folder.join(format!("{log}.tensors"))).unwrap();
    let exhibits: Vec<String> = beside.filter_map(|e| String::from_utf8(fs::read(e.unwrap().path()).unwrap()).ok()).collect();
    assert!(exhibits.iter().filter(|e| e.starts_with(['{', '['])).count() >= 2);
    exhibits.iter().for_each(|e| is_quiet(e, "a file beside the log"));

    for args in [vec!["log", log], vec!["log", log, "--json"], vec!["replay", log], vec!["replay", log, "--json"]] {
        assert_eq!(fixcon(folder, &args).code, Some(0), "{args:?}");
    }
    for format in ["markdown", "html", "json", "junit", "sarif"] {
        let ran = fixcon(folder, &["report", log, "--format", format]);
        assert_eq!(ran.code, Some(0), "{format}");
        if format == "html" {
            assert!(
                !ran.stdout.contains("<script") && !ran.stdout.contains("<b>") && !ran.stdout.contains("<img src=x"),
                "markup of a name"
            );
            assert!(ran.stdout.contains("&lt;script&gt;"), "the name is shown all the same");
        }
        if format == "markdown" {
            // Within a code span a name is shown to the letter.
            let outside = ran.stdout.replace("\\n<b>.png`", "").replace("<sub>", "");
            assert!(!outside.contains("<b>"), "{}", ran.stdout);
        }
    }
    fixcon(folder, &["report", log, "--brief"]);
    // What programs read is the name itself, to the letter.
    let report: Json = serde_json::from_str(&fixcon(folder, &["report", log, "--json"]).stdout).unwrap();
    let named = report["looks"][0]["suspects"][0]["target_nodes"][0].as_str().unwrap();
    assert!(named.ends_with(EVIL), "{named:?}");
    assert!(report["target"]["producer"].as_str().unwrap().contains(EVIL));
}
