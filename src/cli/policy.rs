//! What a repair without a person may accept: a policy file, flags in its place, or both.

use crate::dataset::explain_toml;
use crate::localize::Category;
use crate::model::read_text;
use crate::repair::Policy;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueHint};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One image in so many verifies, where nothing else is said. A layer that computes more exactly harms no image that was not looked at,
/// and one that was not looked at may need it: none is held back from raising precision.
const HOLDOUT: usize = 5;
const HOLDOUT_OF_RAISING: usize = 0;
/// Bytes above which a policy is not read.
const LARGEST: u64 = 1 << 20;

/// What may be accepted. Flags win over the policy file, whose keys have the names of the flags.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyArgs {
    /// Policy file: TOML with the names of these flags as keys (safe_only = true, categories = ["PP", "WB"], max_broken = 0)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub policy: Option<PathBuf>,
    /// Accept edits of these categories only: PP, ID, TS, WB, LH, CG
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub categories: Vec<String>,
    /// Exact and local edits only: never the source's sub-graph
    #[arg(long)]
    pub safe_only: bool,
    /// Where the target is quantised or in half precision: let the layers that matter compute as exactly as the source. Check on the device as
    /// well: 8-bit kernels of some processors (without VNNI) saturate, which is not in the model
    #[arg(long, conflicts_with = "safe_only")]
    pub raise_precision: bool,
    /// By how many the images that differ may become more with one edit: those it breaks, less those it mends [default: 0]
    #[arg(long, value_name = "N")]
    pub max_broken: Option<usize>,
    /// One image in so many only verifies and is never used to choose an edit (from 50 images on); 0 for none [default: 5, and 0 with --raise-precision]
    #[arg(long, value_name = "N")]
    pub holdout: Option<usize>,
    /// Rounds of looking and mending [default: 8]
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// Go on where source and target do not look like the same network
    #[arg(long)]
    pub unrelated: bool,
}

impl PolicyArgs {
    /// What file and flags say together.
    ///
    /// # Errors
    /// A policy file that cannot be read, a category that is none, or terms that contradict each other.
    pub fn terms(&self) -> Result<Terms> {
        let file = self.policy.as_deref().map(read).transpose()?.unwrap_or_default();
        let categories = if self.categories.is_empty() { &file.categories } else { &self.categories };
        let default = Policy::default();
        let named = |by_file: bool| self.policy.as_ref().filter(|_| by_file).map_or("the flags".into(), |p| p.display().to_string());
        let policy = Policy {
            categories: categories.iter().map(|c| category(c)).collect::<Result<_>>()?,
            unsafe_edits: !(self.safe_only || file.safe_only),
            raise_precision: self.raise_precision || file.raise_precision,
            broken: self.max_broken.or(file.max_broken).unwrap_or(default.broken),
            rounds: self.rounds.or(file.rounds).unwrap_or(default.rounds),
            unrelated: self.unrelated || file.unrelated,
            categories_from: named(self.categories.is_empty()),
            // Where both speak, the file is the one that others have to look into.
            safety_from: named(file.safe_only),
        };
        if policy.raise_precision && !policy.unsafe_edits {
            bail!("raising precision takes the source's nodes, which safe_only forbids: leave one of both out");
        }
        let usual = if policy.raise_precision { HOLDOUT_OF_RAISING } else { HOLDOUT };
        let holdout = self.holdout.or(file.holdout).unwrap_or(usual);
        if holdout == 1 {
            bail!("holdout 1 holds every image back, and leaves none to choose edits by; 0 holds none back, 5 one in five");
        }
        let name = self.policy.as_ref().map_or_else(|| "flags".into(), |p| p.display().to_string());
        Ok(Terms { policy, holdout, name })
    }
}

/// A policy, which images only verify, and what the log calls it.
#[derive(Debug)]
pub struct Terms {
    /// What may be accepted.
    pub policy: Policy,
    /// One image in so many only verifies; 0 for none.
    pub holdout: usize,
    /// The policy's file, or `flags`.
    pub name: String,
}

fn read(path: &Path) -> Result<PolicyArgs> {
    let text = read_text(path, LARGEST).with_context(|| format!("{}: the policy cannot be read", path.display()))?;
    toml::from_str(&text).map_err(|e| anyhow!("{}: not a policy: {}", path.display(), explain_toml(&e, &text)))
}

fn category(text: &str) -> Result<Category> {
    use Category::{CG, ID, LH, PP, TS, WB};
    let all = [PP, ID, TS, WB, LH, CG];
    all.into_iter()
        .find(|c| c.id().eq_ignore_ascii_case(text))
        .with_context(|| format!("'{text}' is no category; they are PP, ID, TS, WB, LH, CG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forbids_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let from = |text: &str, flags: PolicyArgs| {
            std::fs::write(&path, text).unwrap();
            let policy = PolicyArgs { policy: Some(path.clone()), ..flags }.terms().unwrap().policy;
            let file = path.display().to_string();
            [policy.categories_from, policy.safety_from].map(|by| if by == file { "file".to_string() } else { by })
        };
        let flags = PolicyArgs { safe_only: true, ..PolicyArgs::default() };
        assert_eq!(from("categories = [\"WB\"]", flags.clone()), ["file", "the flags"]);
        assert_eq!(from("safe_only = true", flags), ["file", "file"]);
        let flags = PolicyArgs { categories: vec!["WB".into()], ..PolicyArgs::default() };
        assert_eq!(from("safe_only = true\ncategories = [\"PP\"]", flags), ["the flags", "file"]);
    }
}
