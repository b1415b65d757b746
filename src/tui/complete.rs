//! The tab key in a line of text: the rest of what was begun, as far as it is certain, and what it could be.

use std::path::PathBuf;

/// What a text could become.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// What all that begins like the text has in common; at least the text itself.
    pub text: String,
    /// All that begins like it, where several do.
    pub offers: Vec<String>,
}

impl Completion {
    /// The text as it is.
    pub fn none(text: &str) -> Self {
        Self { text: text.into(), offers: Vec::new() }
    }
}

/// The text with as much added as all candidates that begin like it agree on.
pub fn complete(text: &str, candidates: &[String]) -> Completion {
    let found: Vec<&String> = candidates.iter().filter(|c| c.starts_with(text)).collect();
    let Some(first) = found.first().copied() else { return Completion::none(text) };
    let common = |end: &usize| found.iter().all(|c| c.get(..*end) == first.get(..*end));
    let ends = first.char_indices().map(|(i, _)| i).chain([first.len()]);
    // All begin with the text, so what they have in common is no shorter.
    let end = ends.take_while(common).last().unwrap_or(text.len());
    let offers = if found.len() > 1 { found.into_iter().cloned().collect() } else { Vec::new() };
    Completion { text: first[..end].to_string(), offers }
}

/// The same of a path, where `~/` is the home folder: what lies in the folder that was written so far. Names alone are offered; hidden ones
/// only where the name begins with a dot.
pub fn complete_path(text: &str) -> Completion {
    let (folder, begun) = text.rsplit_once('/').map_or(("", text), |(folder, name)| (&text[..folder.len() + 1], name));
    let place = if folder.is_empty() { ".".into() } else { expand(folder) };
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|e| {
            let end = if e.path().is_dir() { "/" } else { "" };
            Some(e.file_name().to_str()?.to_string() + end)
        })
        .filter(|n| begun.starts_with('.') || !n.starts_with('.'))
        .collect();
    names.sort();
    let found = complete(begun, &names);
    Completion { text: format!("{folder}{}", found.text), ..found }
}

/// `~` at the start of a path is the home folder.
pub fn expand(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => std::env::home_dir().map_or_else(|| PathBuf::from(path), |home| home.join(rest)),
        None => path.into(),
    }
}

/// The path of a case file, or of a folder with one.
///
/// # Errors
/// In words, when there is none.
pub fn case_file(text: &str) -> Result<PathBuf, String> {
    let path = expand(text);
    match (path.is_file(), path.is_dir()) {
        (true, _) => Ok(path),
        (_, true) if path.join("case.toml").is_file() => Ok(path),
        (_, true) => Err("there is no case.toml in this folder".into()),
        _ => Err("there is no such file".into()),
    }
}

/// The path of a file that is yet to be written.
///
/// # Errors
/// In words, when something is there, or no folder for it.
pub fn new_file(text: &str) -> Result<PathBuf, String> {
    let path = expand(text);
    if text.is_empty() {
        return Err("a path is missing".into());
    }
    if path.exists() {
        return Err("this is there already, and is never replaced".into());
    }
    match path.parent().filter(|p| !p.as_os_str().is_empty() && !p.is_dir()) {
        Some(folder) => Err(format!("there is no folder {}", folder.display())),
        None => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_added_as_is_certain() {
        let all: Vec<String> = ["pads = [1, 1]", "pads_mode = ", "group = 1", "größe", "grün"].map(String::from).into();
        let of = |text: &str| complete(text, &all);
        assert_eq!(of("gro"), Completion { text: "group = 1".into(), offers: Vec::new() });
        assert_eq!(of("p").text, "pads");
        assert_eq!(of("p").offers.len(), 2);
        assert_eq!(of("x"), Completion { text: "x".into(), offers: Vec::new() });
        assert_eq!(of("gr").text, "gr");
        assert_eq!(of("").offers.len(), 5);
    }

    #[test]
    fn a_path_goes_on_into_folders_and_shows_no_hidden_files_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        std::fs::create_dir(at("cases")).expect("made");
        for name in ["cases/case.toml", "cases/.hidden", "cat.txt"] {
            std::fs::write(at(name), "").expect("written");
        }
        assert_eq!(complete_path(&at("ca")), Completion { text: at("ca"), offers: vec!["cases/".into(), "cat.txt".into()] });
        assert_eq!(complete_path(&at("cas")).text, at("cases/"));
        assert_eq!(complete_path(&at("cases/")).text, at("cases/case.toml"));
        assert_eq!(complete_path(&at("cases/.")).text, at("cases/.hidden"));
        assert_eq!(complete_path(&at("nowhere/x")).text, at("nowhere/x"));
    }
}
