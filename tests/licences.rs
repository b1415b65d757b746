//! Every dependency has a licence that deny.toml allows; `cargo deny` says the same where it is installed.

use serde_json::Value as Json;
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

/// Whether an expression is met by what is allowed: `A OR B` by one side, `A AND B` by both; a slash is an old way to write OR.
fn is_met(expression: &str, allowed: &HashSet<String>) -> bool {
    let text = expression.trim();
    if let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).filter(|t| balanced(t)) {
        return is_met(inner, allowed);
    }
    for (word, all) in [(" AND ", true), (" OR ", false), ("/", false)] {
        let parts = split(text, word);
        if parts.len() > 1 {
            let mut met = parts.iter().map(|p| is_met(p, allowed));
            return if all { met.all(|m| m) } else { met.any(|m| m) };
        }
    }
    allowed.contains(text)
}

fn balanced(text: &str) -> bool {
    let mut depth = 0i32;
    text.chars().all(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth >= 0
    })
}

/// Cut at a word outside of parentheses.
fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let mut out = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 && at >= from && text[at..].starts_with(word) {
            out.push(&text[from..at]);
            from = at + word.len();
        }
    }
    out.push(&text[from..]);
    out
}

#[test]
fn expressions_are_read() {
    let allowed: HashSet<String> = ["MIT", "Zlib"].map(String::from).into();
    for good in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Zlib", "(GPL-3.0 AND Zlib) OR MIT"] {
        assert!(is_met(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0", "MITx"] {
        assert!(!is_met(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_dependency_is_allowed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny: toml::Table = std::fs::read_to_string(root.join("deny.toml")).unwrap().parse().unwrap();
    let allowed: HashSet<String> =
        deny["licenses"]["allow"].as_array().unwrap().iter().filter_map(|l| l.as_str().map(String::from)).collect();
    let host = Command::new("rustc").arg("-vV").output().expect("rustc is there");
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc names its host");
    // Of this platform: what others need was never fetched here.
    let args = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host];
    let out = Command::new(env!("CARGO")).current_dir(root).args(args).output().expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Json = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let refused: Vec<String> = packages
        .iter()
        .filter(|p| !is_met(p["license"].as_str().unwrap_or_default(), &allowed))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
