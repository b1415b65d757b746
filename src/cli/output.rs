//! What commands write: to standard output, or whole into a file.

use crate::model::{Existing, folder, harmless, harmless_json, write_whole};
use anyhow::{Context, Result, bail};
use std::io::Write as _;
use std::path::Path;

/// Whoever reads standard output may have seen enough; what the command found, and its exit code, stand all the same.
fn unless_closed(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => Err(why.into()),
        _ => Ok(()),
    }
}

/// A value as JSON on standard output.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    let mut out = std::io::stdout().lock();
    unless_closed(writeln!(out, "{}", harmless_json(&text)).and_then(|()| out.flush()))
}

/// Text for people on standard output. Names come from files: whatever they hold, the terminal shows it and does nothing else.
pub(super) fn print_text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut write = || -> std::io::Result<()> {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => writeln!(out, "{}", harmless(line))?,
                None => write!(out, "{}", harmless(line))?,
            }
        }
        out.flush()
    };
    unless_closed(write())
}

/// A number with what it counts.
pub(super) fn counted(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// Refuses a file in a folder that is not there.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    let folder = folder(path);
    if !folder.is_dir() {
        bail!("{}: there is no folder {}; make it first", path.display(), folder.display());
    }
    Ok(())
}

fn taken(path: &Path) -> String {
    format!("{}: exists already; replace it with --force or name another file", path.display())
}

/// Refuses a file that exists, where it is not to be replaced.
pub(super) fn check_free(path: &Path, force: bool) -> Result<()> {
    if path.exists() && !force {
        bail!(taken(path));
    }
    Ok(())
}

/// Writes a file so that it is there whole or not at all.
pub(super) fn write_file(path: &Path, content: &[u8], force: bool) -> Result<()> {
    check_folder(path)?;
    let existing = if force { Existing::Replace } else { Existing::Refuse };
    match write_whole(path, existing, |mut file| file.write_all(content)) {
        Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => bail!(taken(path)),
        written => written.with_context(|| format!("{}: cannot be written", path.display())),
    }
}
