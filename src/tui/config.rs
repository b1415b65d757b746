//! The configuration file: keys, colours, hints.

use super::commands::{Action, KeyMap};
use super::theme::Look;
use crate::model::read_text;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes above which a file is not read.
const LARGEST: u64 = 1 << 20;

/// What can be configured.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Keys.
    pub keys: KeyMap,
    /// Colours; the terminal is asked when absent.
    pub look: Option<Look>,
    /// Whether demonstrations are opened without hints.
    pub no_hints: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    theme: Option<String>,
    hints: Option<bool>,
    #[serde(default)]
    keys: BTreeMap<String, Keys>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Keys {
    One(String),
    Many(Vec<String>),
}

impl Config {
    /// Where the file is looked for: `fixcon/config.toml` in the user's configuration folder.
    pub fn place() -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        Some(etcetera::choose_base_strategy().ok()?.config_dir().join("fixcon/config.toml"))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// In words, with the file's name: it cannot be read, or something in it is not known.
    pub fn open(path: &Path) -> Result<Self, String> {
        let named = |why: String| format!("{}: {why}", path.display());
        let text = read_text(path, LARGEST).map_err(|e| named(e.to_string()))?;
        Self::parse(&text).map_err(named)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// In words: a syntax error, or a command, key or theme that is not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|e| crate::dataset::explain_toml(&e, text))?;
        let mut out = Self { no_hints: written.hints == Some(false), ..Self::default() };
        out.look = match written.theme.as_deref() {
            None => None,
            Some("dark") => Some(Look::Dark),
            Some("light") => Some(Look::Light),
            Some(other) => return Err(format!("theme '{other}' is neither dark nor light")),
        };
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        for (id, keys) in &written.keys {
            let of = match keys {
                Keys::One(key) => std::slice::from_ref(key),
                Keys::Many(keys) => &keys[..],
            };
            if let Some((key, other)) = of.iter().find_map(|k| Some((k, given.insert(k, id)?))) {
                return Err(format!("key '{key}' is given to '{other}' and to '{id}'"));
            }
        }
        for (id, keys) in &written.keys {
            let keys = match keys {
                Keys::One(key) => vec![key.clone()],
                Keys::Many(keys) => keys.clone(),
            };
            out.keys.set(id, &keys)?;
        }
        if out.keys.keys(Action::Quit).is_empty() {
            return Err("no key is left for 'quit': give it one, such as quit = \"q\"".into());
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_theme_are_taken_from_the_file() {
        let config = Config::parse("theme = \"light\"\nhints = false\n[keys]\naccept = \"y\"\nundo = [\"u\", \"ctrl-y\"]\n")
            .expect("a configuration");
        assert_eq!(config.look, Some(Look::Light));
        assert!(config.no_hints);
        assert_eq!(config.keys.keys(Action::Accept), ["y"]);
        assert_eq!(config.keys.keys(Action::Undo), ["u", "ctrl-y"]);
        assert_eq!(config.keys.keys(Action::Reject), ["r"]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(Config::parse("[keys]\nacept = \"y\"\n").unwrap_err().contains("accept"));
        assert!(Config::parse("[keys]\naccept = \"meta-y\"\n").unwrap_err().contains("meta-y"));
        assert!(Config::parse("theme = \"pink\"\n").unwrap_err().contains("pink"));
        assert!(Config::parse("colour = 1\n").is_err());
        assert!(Config::parse("[keys]\nquit = []\n").unwrap_err().contains("quit"));
        let twice = Config::parse("[keys]\naccept = \"z\"\nreject = [\"x\", \"z\"]\n").unwrap_err();
        assert!(twice.contains("accept") && twice.contains("reject") && twice.contains("'z'"), "{twice}");
        assert!(Config::parse("").is_ok());
    }
}
