//! The records of a log.

use super::exhibit::Exhibit;
use super::{AuditError, FileDigest, ImagesDigest, ModelDigest};
use crate::localize::{Category, Kind};
use crate::model::{EditRecord, Model};
use crate::repair::DiffLine;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Its number, from 1; also the number of the line.
    pub seq: u64,
    /// When it was written, RFC 3339 in UTC.
    #[serde(with = "rfc3339")]
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// Hash of the record before; 64 zeros for the first.
    pub prev: String,
    /// SHA-256 of the record's canonical JSON without this member, in hexadecimal.
    pub hash: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// A session began, or went on after it had ended.
    Opened(Opened),
    /// Models were compared on images.
    Evaluated(Evaluated),
    /// The target was looked into, layer by layer. The suspects that were found follow.
    Localized(Localized),
    /// A place was found to be at fault.
    Suspect(Suspected),
    /// An edit was proposed.
    Proposed(Proposed),
    /// A proposal was accepted, rejected or skipped.
    Decided(Decided),
    /// An accepted proposal's edit was made, or made again.
    Applied(Applied),
    /// An edit was taken back, or a rejection or skip.
    Undone(Undone),
    /// The repaired model was written.
    Saved(Saved),
    /// The session ended.
    Closed(Closed),
}

impl Event {
    /// The word for it in the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Evaluated(_) => "evaluated",
            Self::Localized(_) => "localized",
            Self::Suspect(_) => "suspect",
            Self::Proposed(_) => "proposed",
            Self::Decided(_) => "decided",
            Self::Applied(_) => "applied",
            Self::Undone(_) => "undone",
            Self::Saved(_) => "saved",
            Self::Closed(_) => "closed",
        }
    }
}

/// A session began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// Name and version of the program.
    pub program: String,
    /// The model as the framework wrote it.
    pub source: ModelDigest,
    /// The model as the converter left it.
    pub target: ModelDigest,
    /// The case file, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<FileDigest>,
    /// Program and version that wrote the source, as the model says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_producer: String,
    /// Program and version that wrote the target, as the model says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target_producer: String,
    /// The images.
    pub images: ImagesDigest,
    /// The source's recipe as TOML; none where the images are tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_recipe: Option<String>,
    /// The target's recipe as TOML; none where the images are tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_recipe: Option<String>,
    /// Flags of the command that change what it does, in words; the case file says the rest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Opened {
    /// What is known of a session from its files; recipes and options are still to be put in.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(log: &Path, source: &Model, target: &Model, case: Option<&Path>, images: ImagesDigest) -> Result<Self, AuditError> {
        Ok(Self {
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
            source: ModelDigest::of(log, source)?,
            target: ModelDigest::of(log, target)?,
            case: case.map(|file| FileDigest::of(log, file)).transpose()?,
            source_producer: source.producer(),
            target_producer: target.producer(),
            images,
            source_recipe: None,
            target_recipe: None,
            options: BTreeMap::new(),
        })
    }
}

/// Models were compared on images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluated {
    /// Which images.
    pub on: Subset,
    /// How many were compared.
    pub images: usize,
    /// On how many the labels differ.
    pub flips: usize,
    /// Images whose labels agree now and differed at the evaluation of this subset before, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
    /// Images whose labels differ now and agreed at the evaluation of this subset before, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
    /// Why the target does not run, where it does not: images without a label of it count among the flips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub does_not_run: Option<String>,
    /// Images that were left out, as they cannot be read, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// The images that differ, with what both sides say and a small picture: a [`super::Flips`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Exhibit>,
}

/// Part of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// All of them.
    All,
    /// Those that edits are chosen by.
    Search,
    /// Those that only verify.
    Holdout,
}

/// The target was looked into, layer by layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Localized {
    /// `clean`, `faulty` or `unloadable`.
    pub outcome: String,
    /// Isolated error that rounding alone makes.
    pub floor: Figure,
    /// Isolated error above which a region is a suspect.
    pub threshold: Figure,
    /// Remarks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// All regions with their errors: a list of [`super::RegionFigures`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Exhibit>,
}

/// A place was found to be at fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suspected {
    /// Its number in this log.
    pub suspect: u32,
    /// Category of the fault.
    pub category: CategoryId,
    /// Kind of the fault, when an edit was found that explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<KindId>,
    /// Nodes of the target, by name or first output.
    pub target_nodes: Vec<String>,
    /// Initializers and values of the target.
    pub target_tensors: Vec<String>,
    /// Operators of those nodes of the target, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    /// What stands for them in the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_nodes: Vec<String>,
    /// The difference in words.
    pub words: String,
    /// Isolated error.
    pub error: Figure,
    /// Lines of evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Kinds that describe the same difference equally well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equivalents: Vec<KindId>,
    /// Flipped images that come right when this place alone is right, of how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splice: Option<(usize, usize)>,
}

/// An edit was proposed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proposed {
    /// Its number in this log; decisions and edits go by it.
    pub proposal: u32,
    /// The suspect that it mends, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<u32>,
    /// Category of the fault.
    pub category: CategoryId,
    /// Kind of the fault, when it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<KindId>,
    /// The edit in words.
    pub words: String,
    /// Nodes of the target that it touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The edit line by line, against the target as it was when this was proposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<DiffLine>,
    /// Exact and local, as against a last resort or raised precision.
    pub safe: bool,
    /// What speaks for it.
    pub evidence: Evidence,
}

/// What speaks for a proposal. What was not measured is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Isolated error of the region before and after the edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<(Figure, Figure)>,
    /// Flips before and after, among the images that were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flips: Option<(usize, usize)>,
    /// Images that were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<usize>,
    /// Elements that the edit brings or changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Bytes that the edit brings or changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The edit is to be made.
    Accept,
    /// It is not.
    Reject,
    /// It was put off.
    Skip,
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A person, by name.
    Person(String),
    /// A policy, by its file or the flags.
    Policy(String),
}

/// A proposal was decided on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// Which one.
    pub proposal: u32,
    /// What was decided.
    pub decision: Decision,
    /// Why, in the words of who decided.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who decided.
    pub by: By,
}

/// An accepted proposal's edit was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// Which one.
    pub proposal: u32,
    /// The edit in words.
    pub words: String,
    /// The edit itself, in order; enough to make it again.
    pub changes: Vec<Change>,
}

/// One change of an edit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Of the target model.
    Model(EditRecord),
    /// Of the target's recipe.
    Recipe(super::RecipeChange),
}

/// An edit was taken back, or a rejection or skip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undone {
    /// The proposal that it was about.
    pub proposal: u32,
    /// Why, in the words of who took it back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who took it back.
    pub by: By,
}

/// The repaired model was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// The file and its external data.
    pub model: ModelDigest,
    /// Proposals whose edits are in it, in the order in which they were made.
    pub edits: Vec<u32>,
    /// Entries that were put into its metadata.
    pub metadata: BTreeMap<String, String>,
    /// The declaration of its outputs, where the edits made the target's untrue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<EditRecord>,
    /// The recipe that goes with it, as TOML; none where the images are tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
}

/// The session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    /// Flips that are left among all images, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flips: Option<usize>,
    /// The outcome in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// A measured number. JSON has no infinity and no NaN, so these are words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "FigureText", into = "FigureText")]
pub struct Figure(pub f32);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FigureText {
    Number(f64),
    Word(String),
}

impl From<Figure> for FigureText {
    fn from(Figure(f): Figure) -> Self {
        // By its shortest decimal digits, so that 0.1 is not written as 0.10000000149011612.
        match f.to_string().parse() {
            Ok(number) if f.is_finite() => Self::Number(number),
            _ => Self::Word(f.to_string()),
        }
    }
}

impl From<FigureText> for Figure {
    fn from(text: FigureText) -> Self {
        match text {
            FigureText::Number(n) => Self(n as f32),
            FigureText::Word(w) => Self(w.parse().unwrap_or(f32::NAN)),
        }
    }
}

impl JsonSchema for Figure {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Figure".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["number", "string"], "description": "A number, or 'inf', '-inf' or 'NaN'" })
    }
}

/// An enum that is written by its id.
macro_rules! by_id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $find:expr, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub $inner);

        impl From<$name> for String {
            fn from($name(inner): $name) -> Self {
                inner.id().into()
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(id: String) -> Result<Self, String> {
                let find: fn(&str) -> Option<$inner> = $find;
                find(&id).map(Self).ok_or_else(|| format!("there is no '{id}' among the kinds of faults"))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

by_id! {
    /// A category of faults by its two letters.
    CategoryId(Category), |id| Kind::ALL.iter().map(|k| k.category()).find(|c| c.id() == id), "^(PP|ID|TS|WB|LH|CG)$"
}
by_id! {
    /// A kind of fault by its id, such as `LH-PADS`.
    KindId(Kind), Kind::from_id, "^[A-Z]{2}-[A-Z]+$"
}

/// A moment as RFC 3339 text.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_every_value_and_are_short() {
        for f in [0.1, 1e-5, 3.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, -0.0, 0.33333334, f32::INFINITY, f32::NEG_INFINITY] {
            let text = serde_json::to_string(&Figure(f)).unwrap();
            let back: Figure = serde_json::from_str(&text).unwrap();
            assert_eq!(back.0.to_bits(), f.to_bits(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Figure(0.1)).unwrap(), "0.1");
        let text = serde_json::to_string(&Figure(f32::NAN)).unwrap();
        assert_eq!(text, "\"NaN\"");
        assert!(serde_json::from_str::<Figure>(&text).unwrap().0.is_nan());
    }

    #[test]
    fn every_kind_and_category_is_read_as_it_was_written() {
        for kind in Kind::ALL {
            let text = serde_json::to_string(&(KindId(*kind), CategoryId(kind.category()))).unwrap();
            assert_eq!(serde_json::from_str::<(KindId, CategoryId)>(&text).unwrap(), (KindId(*kind), CategoryId(kind.category())));
        }
        assert!(serde_json::from_str::<KindId>("\"LH-NONE\"").unwrap_err().to_string().contains("LH-NONE"));
    }
}
