//! What a record shows and does not say in its line: tables and pictures, as JSON in a file beside the log.

use super::digest::sha256_hex;
use super::side::SideFiles;
use super::{Figure, canonical};
use crate::model::ModelError;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes above which an exhibit is not read.
const LARGEST: u64 = 1 << 28;

/// A file beside the log, in the folder named after it: `SHA256.bin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exhibit {
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: usize,
}

impl Exhibit {
    /// Keeps a value beside a log; it is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(log: &Path, value: &impl Serialize) -> Result<Self, ModelError> {
        let text = canonical(value).map_err(|e| ModelError::Record { what: "an exhibit".into(), why: e.to_string() })?;
        let sha256 = sha256_hex(text.as_bytes());
        SideFiles::of(log).keep(text.as_bytes(), &sha256)?;
        Ok(Self { bytes: text.len(), sha256 })
    }

    /// What was kept.
    ///
    /// # Errors
    /// When the file is not there, was changed, or is not what it should be.
    pub fn load<T: DeserializeOwned>(&self, log: &Path) -> Result<T, ModelError> {
        let name = format!("{}.bin", self.sha256);
        let bad = |why: String| ModelError::Record { what: name.clone(), why };
        if self.bytes as u64 > LARGEST {
            return Err(bad(format!("it is said to have {} bytes", self.bytes)));
        }
        let bytes = SideFiles::of(log).load(&name)?;
        serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))
    }
}

/// Images whose labels differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flips {
    /// All of them, in order.
    pub flips: Vec<FlippedImage>,
}

/// An image whose labels differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlippedImage {
    /// Its name.
    pub image: String,
    /// What the source says.
    pub source: Option<usize>,
    /// The name of that class, where names are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_class: Option<String>,
    /// What the target says; none when it does not run.
    pub target: Option<usize>,
    /// The name of that class, where names are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_class: Option<String>,
    /// A small copy of it in base64, PNG or JPEG. The first evaluation in which an image differs holds it, for some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// A region of both graphs with its errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionFigures {
    /// Nodes of the source.
    pub source: Vec<String>,
    /// Nodes of the target.
    pub target: Vec<String>,
    /// Operators of the target's nodes, each once.
    pub operators: Vec<String>,
    /// Isolated error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolated: Option<Figure>,
    /// Accumulated error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulated: Option<Figure>,
    /// `clean`, `faulty` or `unchecked`.
    pub verdict: String,
    /// Why it is unchecked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
