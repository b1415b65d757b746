//! What a log says about files: where they are, and the SHA-256 of what was in them.

use super::AuditError;
use crate::model::{Model, ModelError, folder, hex, regular};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// How many folders up a path relative to the log may lead; beyond that it is absolute.
const MOST_UPS: usize = 3;

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Where it was; relative to the log's folder where it lies near.
    pub path: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// A model as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelDigest {
    /// Where it was; relative to the log's folder where it lies near.
    pub path: String,
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
    /// SHA-256 of each external data file, by its location in the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external: BTreeMap<String, String>,
}

/// The images as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagesDigest {
    /// Where they were; relative to the log's folder where it lies near.
    pub path: String,
    /// How many.
    pub count: usize,
    /// SHA-256 of one line an image, in their order: SHA-256 of the file in hexadecimal, two spaces, name, line break.
    pub sha256: String,
}

impl FileDigest {
    /// Of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(log: &Path, file: &Path) -> Result<Self, AuditError> {
        Ok(Self { path: near(log, file), sha256: file_sha256(file)? })
    }
}

impl ModelDigest {
    /// Of the file that a model was read from, and of its external data.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(log: &Path, model: &Model) -> Result<Self, AuditError> {
        let file = model.path().ok_or_else(|| ModelError::Io { path: "(memory)".into(), why: "the model was read from no file".into() })?;
        let external = model.external_sha256()?.into_iter().collect();
        Ok(Self { path: near(log, file), sha256: file_sha256(file)?, external })
    }

    /// Says how another model differs from it, the path left out; `None` when it does not.
    pub fn differs(&self, now: &Self) -> Option<String> {
        if self.sha256 != now.sha256 {
            return Some(format!("{} has SHA-256 {}, recorded is {}", now.path, short(&now.sha256), short(&self.sha256)));
        }
        let locations = self.external.keys().chain(now.external.keys());
        let other = locations.into_iter().find(|l| self.external.get(*l) != now.external.get(*l))?;
        Some(format!("external data '{other}' of {} is not what was recorded", now.path))
    }
}

impl ImagesDigest {
    /// Of images, each with its name and file, in this order.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(log: &Path, path: &Path, images: &[(&str, &Path)]) -> Result<Self, AuditError> {
        // Tensors of one file are many images.
        let files: HashMap<&Path, ()> = images.iter().map(|(_, file)| (*file, ())).collect();
        let digests: HashMap<&Path, String> =
            files.into_par_iter().map(|(file, ())| Ok((file, file_sha256(file)?))).collect::<Result<_, AuditError>>()?;
        let mut hash = Sha256::new();
        for (name, file) in images {
            hash.update(format!("{}  {name}\n", digests[file]));
        }
        Ok(Self { path: near(log, path), count: images.len(), sha256: hex(&hash.finalize()) })
    }
}

/// The start of a digest, for people.
pub(super) fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, AuditError> {
    let io = |e: std::io::Error| AuditError::Io { path: path.into(), why: e.to_string() };
    regular(path).map_err(io)?;
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io(e)),
        }
    }
}

/// A file's path as a log keeps it: relative to the log's folder where it lies near, so that both can move together.
pub fn near(log: &Path, file: &Path) -> String {
    let absolute = |p: &Path| p.canonicalize().or_else(|_| std::path::absolute(p)).unwrap_or_else(|_| p.into());
    let (folder, file) = (absolute(folder(log)), absolute(file));
    let common = folder.components().zip(file.components()).take_while(|(a, b)| a == b);
    let named = common.clone().any(|(c, _)| matches!(c, Component::Normal(_)));
    let common = common.count();
    let ups = folder.components().count() - common;
    if !named || ups > MOST_UPS {
        return file.to_string_lossy().into_owned();
    }
    let down = file.components().skip(common).map(|c| c.as_os_str().to_string_lossy());
    std::iter::repeat_n("..".into(), ups).chain(down).collect::<Vec<_>>().join("/")
}

/// The file that [`near`] named.
pub fn far(log: &Path, path: &str) -> PathBuf {
    match folder(log) {
        here if here == Path::new(".") => path.into(),
        there => there.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_near_the_log_are_relative_and_others_are_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |p: &str| root.path().join(p);
        std::fs::create_dir_all(at("a/b/c/d/e")).unwrap();
        std::fs::create_dir_all(at("m")).unwrap();
        std::fs::write(at("m/x.onnx"), "x").unwrap();
        assert_eq!(near(&at("m/log"), &at("m/x.onnx")), "x.onnx");
        assert_eq!(near(&at("log"), &at("m/x.onnx")), "m/x.onnx");
        assert_eq!(near(&at("a/b/log"), &at("m/x.onnx")), "../../m/x.onnx");
        let absolute = near(&at("a/b/c/d/e/log"), &at("m/x.onnx"));
        assert_eq!(Path::new(&absolute), at("m/x.onnx").canonicalize().unwrap());
        for log in ["m/log", "a/b/log", "a/b/c/d/e/log"] {
            let there = far(&at(log), &near(&at(log), &at("m/x.onnx")));
            assert_eq!(std::fs::read(there).unwrap(), b"x");
        }
        assert_eq!(near(Path::new("/log"), Path::new("/nowhere/x")), "/nowhere/x");
    }

    #[test]
    fn the_digest_of_images_counts_names_contents_and_order() {
        let root = tempfile::tempdir().unwrap();
        let at = |p: &str| root.path().join(p);
        for (name, text) in [("a", "1"), ("b", "2"), ("c", "1")] {
            std::fs::write(at(name), text).unwrap();
        }
        let (a, b, c) = (at("a"), at("b"), at("c"));
        let of = |images: &[(&str, &Path)]| ImagesDigest::of(&at("log"), root.path(), images).unwrap().sha256;
        let first = of(&[("a", &a), ("b", &b)]);
        assert_eq!(first, of(&[("a", &c), ("b", &b)]), "the same names and contents");
        assert_ne!(first, of(&[("b", &b), ("a", &a)]));
        assert_ne!(first, of(&[("a", &b), ("b", &b)]));
        assert_ne!(first, of(&[("a", &a), ("x", &b)]));
        // As sha256sum writes it.
        let text = format!("{}  a\n{}  b\n", sha256_hex(b"1"), sha256_hex(b"2"));
        assert_eq!(first, sha256_hex(text.as_bytes()));
        let missing = at("nowhere");
        let error = ImagesDigest::of(&at("log"), root.path(), &[("x", &missing)]).unwrap_err();
        assert!(error.to_string().contains("nowhere"));
    }
}
