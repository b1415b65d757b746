//! Files read whole. A case may name any path: a pipe would be waited for without end, a device has none.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::Path;

/// Whether something is a file whose bytes have an end.
///
/// # Errors
/// In words, without the file's name: it is not there, a folder, or a pipe or device.
pub fn regular(path: &Path) -> Result<std::fs::Metadata> {
    let kind = std::fs::metadata(path)?;
    if kind.is_dir() {
        return Err(Error::other("is a folder, not a file"));
    }
    if !kind.is_file() {
        return Err(Error::other("is no regular file; pipes and devices are not read"));
    }
    Ok(kind)
}

/// The bytes of a file of at most so many.
///
/// # Errors
/// As [`regular`], or when it is longer or cannot be read.
pub fn read_file(path: &Path, most: u64) -> Result<Vec<u8>> {
    let long = |bytes: u64| Error::other(format!("has {bytes} bytes; at most {most} are read"));
    let length = regular(path)?.len();
    if length > most {
        return Err(long(length));
    }
    let mut bytes = Vec::new();
    // It may have grown since, and the length of some files is not told.
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(long(bytes.len() as u64)) } else { Ok(bytes) }
}

/// The text of a file of at most so many bytes.
///
/// # Errors
/// As [`read_file`], or when it is no UTF-8 text.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read_file(path, most)?).map_err(|_| Error::other("is no UTF-8 text"))
}
