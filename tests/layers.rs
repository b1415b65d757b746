//! Imports point down the list of layers only.

use std::fs;
use std::path::{Path, PathBuf};

/// From the top down, as in ARCHITECTURE.md.
const LAYERS: &[&str] =
    &["main", "cli", "tui", "session", "report", "audit", "repair", "localize", "align", "compare", "dataset", "run", "model"];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The layers that code names, each with the number of its line: `crate::layer`, `fixcon::layer`, and each of `crate::{a::{b, c}, d}`, over as
/// many lines as it goes.
fn named(code: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut add = |at: usize| {
        let begin = at + code[at..].len() - code[at..].trim_start().len();
        let word = &code[begin..];
        let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
        out.push((code[..begin].matches('\n').count() + 1, &word[..end]));
    };
    for prefix in ["crate::", "fixcon::"] {
        for (at, _) in code.match_indices(prefix) {
            let at = at + prefix.len();
            if !code[at..].starts_with('{') {
                add(at);
                continue;
            }
            let mut depth = 0;
            for (i, c) in code[at..].char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                // What stands first in the group, and behind its commas; not those of groups within.
                if depth == 1 && (i == 0 || c == ',') {
                    add(at + i + 1);
                }
            }
        }
    }
    out
}

fn upward(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    sources(root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(root).unwrap();
        let layer = inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_string();
        let Some(own) = LAYERS.iter().position(|l| *l == layer) else {
            if layer != "lib" {
                wrong.push(format!("{} lies in no layer", inside.display()));
            }
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        let code: Vec<&str> = text.lines().map(|l| if l.trim_start().starts_with("//") { "" } else { l }).collect();
        for (line, name) in named(&code.join("\n")) {
            if LAYERS.iter().position(|l| *l == name).is_some_and(|other| other < own) {
                wrong.push(format!("{}:{line}: {layer} names {name}", inside.display()));
            }
        }
    }
    wrong
}

#[test]
fn imports_point_down() {
    let wrong = upward(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_import_that_points_up_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("model")).unwrap();
    fs::write(
        dir.path().join("model/mod.rs"),
        "// crate::cli in a comment\nuse crate::{run, wire};\nfn f() { crate::tui::g() }\nuse crate::model::X;\n\
         use crate::{model::{A, B}, cli::X};\nuse crate::{\n    model::{\n        audit, C,\n    },\n    repair::D,\n};\n",
    )
    .unwrap();
    fs::create_dir(dir.path().join("extra")).unwrap();
    fs::write(dir.path().join("extra/mod.rs"), "").unwrap();
    let mut wrong = upward(dir.path());
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "extra/mod.rs lies in no layer",
            "model/mod.rs:10: model names repair",
            "model/mod.rs:2: model names run",
            "model/mod.rs:3: model names tui",
            "model/mod.rs:5: model names cli",
        ]
    );
}
