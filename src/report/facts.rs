//! What a report says, as the formats need it.

use super::known::KnownBug;
use crate::audit::{Evidence, Figure, RegionFigures};
use crate::repair::DiffLine;
use schemars::JsonSchema;
use serde::Serialize;

/// A whole session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// The log.
    pub log: String,
    /// Program and version that wrote it.
    pub program: String,
    /// When the session was opened first, RFC 3339 in UTC.
    pub opened: String,
    /// When its last record was written, RFC 3339 in UTC.
    pub last: String,
    /// Whether the session was closed.
    pub closed: bool,
    /// Whether every record is whole and follows the one before.
    pub whole: bool,
    /// What is wrong with the record behind the last that is to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How many records are to be trusted.
    pub records: usize,
    /// Hash of the last of them.
    pub hash: String,
    /// The source.
    pub source: ModelLine,
    /// The target as the converter left it.
    pub target: ModelLine,
    /// The case file, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<FileLine>,
    /// Where the images are.
    pub images_path: String,
    /// The target's recipe at first, as TOML; none where the images are tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe_before: Option<String>,
    /// The target's recipe with the accepted edits, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe_after: Option<String>,
    /// Flips at first; none when nothing was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<FlipCount>,
    /// Flips at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<FlipCount>,
    /// Every comparison on all images, in order.
    pub evaluations: Vec<EvaluationLine>,
    /// Every time the target was looked into, in order.
    pub looks: Vec<Look>,
    /// Every proposal with what became of it.
    pub edits: Vec<EditLine>,
    /// Images that differ, or did.
    pub images: Vec<ImageLine>,
    /// The repaired model, when it was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
    /// What could not be read beside the log.
    pub missing: Vec<String>,
}

/// A model as it was.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelLine {
    /// Where it was.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Program and version that wrote it, where the model says so.
    pub producer: String,
}

/// A file as it was.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FileLine {
    /// Where it was.
    pub path: String,
    /// SHA-256 of it.
    pub sha256: String,
}

/// Images that differ, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FlipCount {
    /// Images whose labels differ.
    pub flips: usize,
    /// Images that were compared.
    pub of: usize,
}

/// A comparison on all images.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EvaluationLine {
    /// Number of the record.
    pub seq: u64,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// How many differ.
    pub count: FlipCount,
    /// Images that agree now and differed before.
    pub mended: Vec<String>,
    /// Images that differ now and agreed before.
    pub broken: Vec<String>,
    /// Why the target does not run, where it does not: images without a label of it count among those that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub does_not_run: Option<String>,
    /// Images that cannot be read.
    pub unreadable: Vec<String>,
}

/// One look into the target.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Look {
    /// Number of the record.
    pub seq: u64,
    /// `clean`, `faulty` or `unloadable`; empty in logs that do not say it.
    pub outcome: String,
    /// Isolated error that rounding alone makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Figure>,
    /// Isolated error above which a region is a suspect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Figure>,
    /// Remarks.
    pub notes: Vec<String>,
    /// Regions of both graphs, in the target's order.
    pub regions: Vec<RegionFigures>,
    /// What was found.
    pub suspects: Vec<SuspectLine>,
}

/// What has become of a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SuspectStanding {
    /// An edit that mends it is made.
    Mended,
    /// It is there at the end.
    Left,
    /// A later look, after other edits, has its own list.
    Superseded,
}

/// A place that was found to be at fault.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SuspectLine {
    /// Its number in the log.
    pub suspect: u32,
    /// Id of its category.
    pub category: &'static str,
    /// Id of its kind, when it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Name of the kind, or of the category.
    pub name: &'static str,
    /// What has become of it.
    pub standing: SuspectStanding,
    /// Nodes of the target.
    pub target_nodes: Vec<String>,
    /// Initializers and values of the target.
    pub target_tensors: Vec<String>,
    /// What stands for them in the source.
    pub source_nodes: Vec<String>,
    /// Operators of the target's nodes.
    pub operators: Vec<String>,
    /// The difference in words.
    pub words: String,
    /// Isolated error.
    pub error: Figure,
    /// Lines of evidence.
    pub evidence: Vec<String>,
    /// Kinds that describe the same difference equally well.
    pub equivalents: Vec<&'static str>,
    /// Flipped images that come right when this place alone is right, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splice: Option<(usize, usize)>,
    /// Faults of converters that look like it.
    pub known: Vec<KnownBug>,
}

/// What has become of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its edit is in the model.
    Accepted,
    /// It was refused.
    Rejected,
    /// It was put off.
    Skipped,
    /// Its edit was made and taken back.
    Undone,
    /// It was accepted; the session ended before the edit was made.
    Unfinished,
    /// Nothing was decided.
    Open,
}

/// A proposal, what speaks for it and what became of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EditLine {
    /// Its number in the log.
    pub proposal: u32,
    /// The suspect that it mends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspect: Option<u32>,
    /// Id of the category.
    pub category: &'static str,
    /// Id of the kind, when it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Name of the kind, or of the category.
    pub name: &'static str,
    /// What became of it.
    pub standing: Standing,
    /// The edit in words.
    pub words: String,
    /// Nodes of the target that it touches.
    pub nodes: Vec<String>,
    /// The edit line by line.
    pub diff: Vec<DiffLine>,
    /// Exact and local.
    pub safe: bool,
    /// What spoke for it when it was proposed.
    pub evidence: Evidence,
    /// Flips before and after it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flips: Option<(usize, usize)>,
    /// Other edits that were made or taken back between the same two comparisons.
    pub together: usize,
    /// All decisions on it, in order.
    pub decisions: Vec<DecisionLine>,
    /// Faults of converters that look like it.
    pub known: Vec<KnownBug>,
}

/// A decision.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DecisionLine {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// `accepted`, `rejected`, `skipped`, `taken back` or `made again`.
    pub what: &'static str,
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub note: String,
}

/// An image that differs, or did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ImageLine {
    /// Its name.
    pub image: String,
    /// What the source says: number, and name where it is known.
    pub source: String,
    /// What the target said when it differed first; empty when it did not run.
    pub target: String,
    /// What the target says at the end, where it still differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// Whether it differs at the end.
    pub differs: bool,
    /// Whether it agreed before any edit.
    pub broken: bool,
    /// A small copy in base64, where the log has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// The repaired model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Saved {
    /// Where it was written.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// How many edits it holds.
    pub edits: usize,
    /// Whether edits were made or taken back since.
    pub stale: bool,
}

impl Report {
    /// Suspects that are there at the end.
    pub fn left(&self) -> impl Iterator<Item = &SuspectLine> {
        self.suspects(SuspectStanding::Left)
    }

    /// Suspects of one standing, over all looks.
    pub fn suspects(&self, standing: SuspectStanding) -> impl Iterator<Item = &SuspectLine> {
        self.looks.iter().flat_map(|l| &l.suspects).filter(move |s| s.standing == standing)
    }

    /// The whole in one line.
    pub fn headline(&self) -> String {
        let runs = |e: Option<&EvaluationLine>| e.is_none_or(|e| e.does_not_run.is_none());
        let (ran, runs) = (runs(self.evaluations.first()), runs(self.evaluations.last()));
        match (self.before, self.after) {
            (_, Some(_)) if !runs => "the target does not run".into(),
            (_, Some(a)) if !ran && a.flips == 0 => format!("the target did not run; now none of {} images has another label", a.of),
            (_, Some(a)) if !ran => format!("the target did not run; now {} of {} images have another label", a.flips, a.of),
            (Some(b), Some(a)) if b.of == a.of && b != a => format!("{} → {} of {} images have another label", b.flips, a.flips, a.of),
            (_, Some(a)) if a.flips == 0 => format!("none of {} images has another label", a.of),
            (_, Some(a)) => format!("{} of {} images have another label", a.flips, a.of),
            (_, None) => "nothing was compared".into(),
        }
    }
}
