//! Files read whole and written whole. A case may name any path: a pipe would be waited for without end, a device has none.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::Path;
use tempfile::NamedTempFile;

/// What becomes of a file that stands where one is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and writing fails.
    Refuse,
    /// The new file takes its place.
    Replace,
}

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

/// The folder that a file lies in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names in a folder survive a crash; not every file system lets a folder be synced.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// A temporary file in a folder, for [`put_in_place`].
///
/// # Errors
/// When the folder is not there or cannot be written to.
pub fn temporary(folder: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fixcon-").suffix(".tmp");
    #[cfg(unix)]
    // What the umask leaves, as for any new file; the temporary file alone would be closed to others.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Gives a temporary file of the same folder its name. What is in it and the name itself survive a crash.
///
/// # Errors
/// [`std::io::ErrorKind::AlreadyExists`] when a file has the name and is to stay, also one that came at this moment; when the system
/// refuses.
pub fn put_in_place(file: NamedTempFile, path: &Path, existing: Existing) -> Result<File> {
    file.as_file().sync_all()?;
    let file = match existing {
        Existing::Replace => file.persist(path),
        Existing::Refuse => file.persist_noclobber(path),
    };
    let file = file.map_err(|e| e.error)?;
    sync_folder(folder(path));
    Ok(file)
}

/// Writes a file so that it is there whole or not at all.
///
/// # Errors
/// As [`temporary`] and [`put_in_place`], and those of `fill`.
pub fn write_whole<T>(path: &Path, existing: Existing, fill: impl FnOnce(&File) -> Result<T>) -> Result<T> {
    let file = temporary(folder(path))?;
    let out = fill(file.as_file())?;
    put_in_place(file, path, existing)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Write};

    #[test]
    fn a_file_that_is_to_stay_stays_and_one_that_fails_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        let text = |text: &'static str| move |mut file: &File| file.write_all(text.as_bytes());
        write_whole(&path, Existing::Refuse, text("one")).unwrap();
        let taken = write_whole(&path, Existing::Refuse, text("two")).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write_whole(&path, Existing::Replace, text("three")).unwrap();
        write_whole(&path, Existing::Replace, |_| Err::<(), _>(Error::other("no"))).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "no temporary file is left behind");
    }
}
