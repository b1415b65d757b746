//! The bundled demonstrations.

use crate::model::harmless;
use std::path::{Path, PathBuf};

/// A case that shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// The case file.
    pub path: PathBuf,
    /// What it is.
    pub title: String,
    /// What one will see.
    pub about: String,
}

/// The demonstrations beside the working directory, the program, or in the user's data folder, in the order of their names.
pub fn find() -> Vec<Demo> {
    let mut roots = vec![PathBuf::from(".")];
    if let Ok(program) = std::env::current_exe() {
        // target/release/fixcon lies three levels below the repository, an installed one beside its share folder.
        roots.extend(program.ancestors().skip(1).take(4).map(Path::to_path_buf));
        roots.extend(program.ancestors().nth(2).map(|p| p.join("share/fixcon")));
    }
    if let Ok(base) = etcetera::choose_base_strategy() {
        use etcetera::BaseStrategy;
        roots.push(base.data_dir().join("fixcon"));
    }
    roots.iter().map(|r| list(&r.join("sample_models/cases"))).find(|d| !d.is_empty()).unwrap_or_default()
}

/// The cases of a folder that say what they show.
pub fn list(folder: &Path) -> Vec<Demo> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path().join("case.toml"))).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let table: toml::Table = std::fs::read_to_string(&path).ok()?.parse().ok()?;
        let text = |key: &str| table.get(key).and_then(|v| v.as_str()).map(|s| harmless(s).into_owned());
        Some(Demo { title: text("title")?, about: text("about").unwrap_or_default(), path })
    };
    paths.into_iter().filter_map(read).collect()
}
