//! What the engine shows of itself: plain, immutable data that a screen or a command reads.

use super::detail::Detail;
use super::sheet::{Said, Sheet};
use crate::localize::{Category, Findings, Kind};
pub use crate::repair::DiffLine;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// As the framework wrote it.
    Source,
    /// As a converter left it.
    Target,
}

impl Side {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// How far a model has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Load {
    /// Nothing was asked for yet.
    #[default]
    Waiting,
    /// It is being read.
    Loading,
    /// It is there.
    Ready {
        /// Nodes of the graph.
        nodes: usize,
        /// Elements of all initializers.
        parameters: u64,
        /// Who wrote the file.
        producer: String,
    },
    /// It cannot be read; why, in words.
    Failed(String),
}

impl Snapshot {
    /// The side whose model cannot be read, with the reason.
    pub fn unreadable(&self) -> Option<(&'static str, &str)> {
        let sides = [("source", &self.source), ("target", &self.target)];
        sides.into_iter().find_map(|(side, load)| if let Load::Failed(why) = load { Some((side, why.as_str())) } else { None })
    }
}

/// The case that is open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaseInfo {
    /// Title of the case file, or its name.
    pub title: String,
    /// One line about it; may be empty.
    pub about: String,
    /// The case file; empty when there is none.
    pub path: PathBuf,
    /// File name of the source.
    pub source: String,
    /// File name of the target.
    pub target: String,
}

/// One class with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Index of the output.
    pub class: usize,
    /// Name of the class, or the index.
    pub label: String,
    /// Probability, or the value itself where the output is none and was not made one.
    pub score: f32,
}

/// What one model says of one image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Opinion {
    /// The best five, the best first.
    pub top: Vec<Scored>,
    /// First less second score.
    pub margin: f32,
}

/// An image whose label differed at the start or came to differ; or, where none does, one that comes near to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Flip {
    /// Which image of the case.
    pub image: usize,
    /// The file.
    pub path: PathBuf,
    /// What it shows, where that is known.
    pub truth: Option<String>,
    /// The source's opinion.
    pub source: Opinion,
    /// The target's opinion, as it is now.
    pub target: Opinion,
    /// Whether the source itself finds both labels nearly equal, as `check` says it.
    pub near_tie: bool,
    /// Whether the labels agree now, after the accepted edits.
    pub mended: bool,
    /// Whether it agreed at the start and differs only since an edit.
    pub broken: bool,
    /// Whether it differed after each run of all images so far, the first without any edit.
    pub trail: Vec<bool>,
}

/// The images of the case.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// How many were compared so far.
    pub done: usize,
    /// How many there are.
    pub of: usize,
    /// How many labels differ now.
    pub flipped: usize,
    /// How many differed before any edit.
    pub at_start: usize,
    /// The images that differ or differed.
    pub flips: Arc<Vec<Flip>>,
    /// Images that never differed, those with the smallest margin in the target first: what is shown where there is no flip.
    pub closest: Arc<Vec<Flip>>,
    /// Of the images that only verify: how many differed at the start, how many differ now, and how many there are.
    pub held: Option<(usize, usize, usize)>,
    /// Files that were left out, with the reason.
    pub unreadable: Arc<Vec<(PathBuf, String)>>,
}

impl Images {
    /// How many of the closest are kept.
    pub const CLOSEST: usize = 20;

    /// What there is to look at: the images that differ or differed, and where all agree those that come closest to it.
    pub fn listed(&self) -> &[Flip] {
        if self.flips.is_empty() && self.are_compared() { &self.closest } else { &self.flips }
    }
    /// Whether all were compared.
    pub fn are_compared(&self) -> bool {
        self.of > 0 && self.done + self.unreadable.len() >= self.of
    }
}

/// What the engine is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// In words: `weighing suspects`.
    pub name: &'static str,
    /// Steps done.
    pub done: usize,
    /// Of so many; 0 when nobody knows.
    pub of: usize,
    /// How long it will still take, as far as one can tell.
    pub left: Option<Duration>,
    /// Whether labels stay as they are, whatever comes of it.
    pub keeps_labels: bool,
}

/// What has become of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nothing was decided.
    #[default]
    Open,
    /// Its edit is in the model.
    Accepted,
    /// Refused, with a note that may be empty.
    Rejected(String),
    /// Put off.
    Skipped,
    /// Was accepted and taken back.
    Undone,
}

/// A change that mends a suspect, with its evidence, ready to be decided on.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The engine's number for it; stays when the list changes.
    pub id: usize,
    /// Index of the suspect; beyond all of them for an edit that a person wrote for a row of no suspect.
    pub suspect: usize,
    /// Row of the sheet, for an edit that a person wrote.
    pub row: Option<usize>,
    /// Rows of the sheet that hold nodes it touches.
    pub places: Vec<usize>,
    /// Category of the fault.
    pub category: Category,
    /// Kind of the fault, when it has a name.
    pub kind: Option<Kind>,
    /// The edit in one line.
    pub title: String,
    /// What is wrong, in words.
    pub words: String,
    /// The edit as a diff.
    pub diff: Vec<DiffLine>,
    /// Isolated error of the region before and after.
    pub region: Option<(f32, f32)>,
    /// Flipped images before and after, of those tried.
    pub flips: Option<(usize, usize)>,
    /// Images that agreed and do no more, of those tried.
    pub breaks: Option<(usize, usize)>,
    /// Exact and local, as against a last resort or raised precision.
    pub safe: bool,
    /// Whether a person wrote it: nothing is known of it but what trying it gives.
    pub by_hand: bool,
    /// What it touches: `1 attribute`.
    pub touches: String,
    /// Reports of the same fault elsewhere.
    pub known: Vec<String>,
    /// The value that a person may change before accepting, as text.
    pub editable: Option<String>,
    /// What has become of it.
    pub standing: Standing,
}

impl Proposal {
    /// What it breaks, and of how many, when by its evidence it breaks more than it mends.
    pub fn harm(&self) -> Option<(usize, usize)> {
        let mended = self.flips.map_or(0, |(before, after)| before.saturating_sub(after));
        self.breaks.filter(|(broken, _)| *broken > mended)
    }
}

/// A decision, with what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What was decided on, and how.
    pub proposal: Proposal,
    /// Flipped images before and after, where it was accepted.
    pub flips: Option<(usize, usize)>,
}

/// A line of the session's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Local time as `14:02:11`; empty where there is none.
    pub at: String,
    /// What happened.
    pub text: String,
    /// How it is to be read.
    pub tone: Tone,
}

/// How a line is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something was done.
    Plain,
    /// Something went well.
    Good,
    /// Something needs attention.
    Warning,
    /// Something failed.
    Error,
}

/// The state of a session at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts the cases opened; what belongs to an older one is stale.
    pub generation: u64,
    /// The case, once its file was read.
    pub case: Option<Arc<CaseInfo>>,
    /// How far the source has come.
    pub source: Load,
    /// How far the target has come.
    pub target: Load,
    /// Why the target does not run as a whole, in words.
    pub does_not_run: Option<String>,
    /// The images and how their labels compare.
    pub images: Images,
    /// Both graphs in rows.
    pub sheet: Option<Arc<Sheet>>,
    /// The row that was looked at last, in detail.
    pub detail: Option<Arc<Detail>>,
    /// What localisation found.
    pub findings: Option<Arc<Findings>>,
    /// What a person said of pairs, the last word last.
    pub said: Arc<Vec<Said>>,
    /// What could be changed, the first suspect's first.
    pub proposals: Arc<Vec<Proposal>>,
    /// What was decided in this session, in order.
    pub decided: Arc<Vec<Decision>>,
    /// Whether there is something to take back.
    pub can_undo: bool,
    /// Whether there is something to do again.
    pub can_redo: bool,
    /// Whether accepted edits are not in a file yet.
    pub unsaved: bool,
    /// Where the repaired model was written.
    pub saved: Option<PathBuf>,
    /// Where the recipe was written that goes with it.
    pub saved_recipe: Option<PathBuf>,
    /// Whether an accepted repair changes how the target is fed.
    pub other_recipe: bool,
    /// Where the last report was written.
    pub reported: Option<PathBuf>,
    /// Where the audit log is.
    pub audit_log: Option<PathBuf>,
    /// The log of a session that ended before it was closed, and how many edits it had accepted.
    pub resumable: Option<(PathBuf, usize)>,
    /// What is being done; `None` when the engine waits.
    pub work: Option<Work>,
    /// What happened so far.
    pub log: Arc<Vec<LogLine>>,
    /// What went wrong last, in words; the session goes on.
    pub error: Option<String>,
}

impl Snapshot {
    /// Whether nothing is being loaded or done.
    pub fn is_settled(&self) -> bool {
        // A case that cannot be read leaves both waiting.
        let decided = |l: &Load| *l != Load::Loading;
        self.work.is_none() && decided(&self.source) && decided(&self.target)
    }
}
