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

/// The layers that a line of code names: `crate::layer`, `fixcon::layer`, and each of `crate::{a, b}`.
fn named(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    for prefix in ["crate::", "fixcon::"] {
        for (at, _) in line.match_indices(prefix) {
            let rest = &line[at + prefix.len()..];
            let group = rest.strip_prefix('{').map(|g| g.split('}').next().unwrap_or(g));
            let words = group.unwrap_or(rest).split(if group.is_some() { ',' } else { ';' });
            for word in words {
                out.push(word.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
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
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            for name in named(line) {
                if LAYERS.iter().position(|l| *l == name).is_some_and(|other| other < own) {
                    wrong.push(format!("{}:{}: {layer} names {name}", inside.display(), number + 1));
                }
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
        "// crate::cli in a comment\nuse crate::{run, wire};\nfn f() { crate::tui::g() }\nuse crate::model::X;\n",
    )
    .unwrap();
    fs::create_dir(dir.path().join("extra")).unwrap();
    fs::write(dir.path().join("extra/mod.rs"), "").unwrap();
    let mut wrong = upward(dir.path());
    wrong.sort();
    assert_eq!(wrong, ["extra/mod.rs lies in no layer", "model/mod.rs:2: model names run", "model/mod.rs:3: model names tui"]);
}
