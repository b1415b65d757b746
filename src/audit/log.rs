//! Writing a log: a record is on the disk before it is acknowledged, or not in the file at all.

use super::chain::{Chain, START};
use super::replay::with_outputs;
use super::side::SideFiles;
use super::{AuditError, Change, Event, ModelDigest, Opened, Saved, State, canonical, near};
use crate::model::{Edit, Existing, Model, folder, put_in_place, temporary, true_outputs};
use jiff::Timestamp;
use serde::Serialize;
use std::fs::{File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A log that is open for writing. No other process can write it meanwhile.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Bytes that are known to be on the disk.
    len: u64,
    records: u64,
    last_hash: String,
    state: State,
    side: SideFiles,
    broken: bool,
}

/// A log that is gone on with.
#[derive(Debug)]
pub struct Resumed {
    /// The log; its state is that of the last whole record.
    pub log: Log,
    /// Bytes of a half-written last line that were cut off. Nobody was told that it was written.
    pub cut_off: usize,
}

/// A record before its hash is known.
#[derive(Serialize)]
struct Unsealed<'a> {
    seq: u64,
    #[serde(serialize_with = "as_text")]
    at: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
    prev: &'a str,
}

fn as_text<S: serde::Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

impl Log {
    /// Begins a log with its first record. The file appears with that record in it, or not at all.
    ///
    /// # Errors
    /// When the file exists and is not to be replaced, is being written by another process, or cannot be written.
    pub fn create(path: impl AsRef<Path>, opened: Opened, existing: Existing) -> Result<Self, AuditError> {
        let path = path.as_ref();
        let io = |e: std::io::Error| AuditError::Io { path: path.into(), why: e.to_string() };
        match std::fs::metadata(path) {
            Ok(m) if !m.is_file() => return Err(AuditError::NotALog { path: path.into(), why: "it is no regular file".into() }),
            Ok(_) if existing == Existing::Refuse => return Err(AuditError::Exists { path: path.into() }),
            // Locked while it is replaced: nobody may be writing it.
            Ok(_) => lock(path, &File::open(path).map_err(io)?)?,
            Err(_) => {}
        }
        let event = Event::Opened(opened);
        let state = State::start(&event).map_err(|why| AuditError::Contradiction { path: path.into(), why })?;
        let mut line = String::new();
        let last_hash = write_record(path, &mut line, 1, START, &event)?;

        let file = temporary(folder(path)).map_err(io)?;
        lock(path, file.as_file())?;
        file.as_file().write_all(line.as_bytes()).map_err(io)?;
        let file = put_in_place(file, path, existing).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => AuditError::Exists { path: path.into() },
            _ => io(e),
        })?;
        let side = SideFiles::of(path);
        Ok(Self { path: path.into(), file, len: line.len() as u64, records: 1, last_hash, state, side, broken: false })
    }

    /// Goes on with a log: checks it, and cuts off a last line that a crash left half-written.
    ///
    /// # Errors
    /// When another process is writing it, it cannot be read or written, or a record is not to be trusted.
    pub fn resume(path: impl AsRef<Path>) -> Result<Resumed, AuditError> {
        let path = path.as_ref();
        let io = |e: std::io::Error| AuditError::Io { path: path.into(), why: e.to_string() };
        if std::fs::metadata(path).map_err(io)?.is_dir() {
            return Err(AuditError::NotALog { path: path.into(), why: "it is a folder".into() });
        }
        let mut file = File::options().read(true).write(true).open(path).map_err(io)?;
        lock(path, &file)?;
        let chain = Chain::read_from(path, &mut file)?;
        let (mut len, cut_off, unended) = (chain.whole, chain.cut_off, chain.unended);
        let (records, state) = chain.trusted()?;
        if cut_off > 0 {
            file.set_len(len).and_then(|()| file.sync_all()).map_err(io)?;
        }
        if unended {
            file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(b"\n")).and_then(|()| file.sync_data()).map_err(io)?;
            len += 1;
        }
        let last_hash = records.last().map(|r| r.hash.clone()).unwrap_or_default();
        let side = SideFiles::of(path);
        let log = Self { path: path.into(), file, len, records: records.len() as u64, last_hash, state, side, broken: false };
        Ok(Resumed { log, cut_off })
    }

    /// Adds a record. It is on the disk when this returns; on an error the file is as before.
    ///
    /// # Errors
    /// See [`Log::append_all`].
    pub fn append(&mut self, event: Event) -> Result<u64, AuditError> {
        self.append_all(std::slice::from_ref(&event))
    }

    /// Adds records that belong together, all or none. They are on the disk when this returns; on an error the file is as before.
    /// Gives the number of the last record.
    ///
    /// # Errors
    /// [`AuditError::Contradiction`] when a record contradicts the log, [`AuditError::Io`] when the system refuses or the file is not
    /// the one it was, [`AuditError::Broken`] after a failure that could not be taken back.
    pub fn append_all(&mut self, events: &[Event]) -> Result<u64, AuditError> {
        if self.broken {
            return Err(AuditError::Broken { path: self.path.clone() });
        }
        let mut state = self.state.clone();
        let (mut records, mut last_hash) = (self.records, self.last_hash.clone());
        let mut lines = String::new();
        for event in events {
            records += 1;
            state.take(records, event).map_err(|why| AuditError::Contradiction { path: self.path.clone(), why })?;
            last_hash = write_record(&self.path, &mut lines, records, &last_hash, event)?;
        }
        self.check_file()?;
        self.write(lines.as_bytes())?;
        self.len += lines.len() as u64;
        (self.records, self.last_hash, self.state) = (records, last_hash, state);
        Ok(records)
    }

    /// An edit of the model as the log keeps it: large tensors are written beside the log first.
    ///
    /// # Errors
    /// When a tensor cannot be written.
    pub fn model_change(&self, edit: &Edit) -> Result<Change, AuditError> {
        let mut keep = |bytes: &[u8], sha256: &str| self.side.keep(bytes, sha256);
        Ok(Change::Model(edit.record(&mut keep)?))
    }

    /// An edit of the model from what the log keeps of it.
    ///
    /// # Errors
    /// When a tensor beside the log is missing or was changed.
    pub fn model_edit(&self, change: &Change) -> Result<Option<Edit>, AuditError> {
        match change {
            Change::Model(record) => Ok(Some(record.edit(&mut |name| self.side.load(name))?)),
            Change::Recipe(_) => Ok(None),
        }
    }

    /// Writes the model with the edits that are made, stamped with the log's name, and records it. `recipe` goes with it, as TOML.
    ///
    /// # Errors
    /// When the model cannot be written; then nothing is recorded. When it cannot be recorded; then the model is there all the same.
    pub fn save(&mut self, model: &Model, path: &Path, existing: Existing, recipe: Option<String>) -> Result<Saved, AuditError> {
        let edits = self.state.made();
        // What the edits changed is declared as it is now.
        let declared = if edits.is_empty() { None } else { true_outputs(model) };
        let outputs = declared.as_ref().map(|edit| edit.record(&mut |bytes, sha256| self.side.keep(bytes, sha256))).transpose()?;
        let model = with_outputs(model, declared.as_ref())?;
        let (model, metadata) = super::stamp(&model, &self.path, edits.len());
        let sha256 = model.save(path, existing)?;
        let external = model.external_sha256()?.into_iter().collect();
        let saved = Saved { model: ModelDigest { path: near(&self.path, path), sha256, external }, edits, metadata, outputs, recipe };
        self.append(Event::Saved(saved.clone()))?;
        Ok(saved)
    }

    /// What the log says altogether.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many records it has.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether the file is the one that was opened, and as long: locks bind only those who ask for them.
    fn check_file(&mut self) -> Result<(), AuditError> {
        let changed = |why: &str| AuditError::Io { path: self.path.clone(), why: why.into() };
        let mine = self.file.metadata().map_err(|e| changed(&e.to_string()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let same = std::fs::metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino()));
            if !same {
                return Err(changed("the log was moved, deleted or replaced while it was being written"));
            }
        }
        if mine.len() != self.len {
            return Err(changed("the log was changed by another program while it was being written"));
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), AuditError> {
        let written = self.file.seek(SeekFrom::Start(self.len)).and_then(|_| self.file.write_all(bytes));
        let Err(error) = written.and_then(|()| {
            self.file.sync_data().inspect_err(|_| {
                // What the system holds in memory may never reach the disk, and it does not say so twice.
                self.broken = true;
            })
        }) else {
            return Ok(());
        };
        if self.file.set_len(self.len).is_err() {
            self.broken = true;
        }
        Err(AuditError::Io { path: self.path.clone(), why: error.to_string() })
    }
}

/// Adds a record's line to a text; gives its hash.
fn write_record(path: &Path, to: &mut String, seq: u64, prev: &str, event: &Event) -> Result<String, AuditError> {
    let now = Timestamp::now();
    let at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let sealed = canonical::seal(&Unsealed { seq, at, event, prev });
    let (line, hash) = sealed.map_err(|e| AuditError::Contradiction { path: path.into(), why: e.to_string() })?;
    to.push_str(&line);
    to.push('\n');
    Ok(hash)
}

/// Locks a file for this process until it is closed.
fn lock(path: &Path, file: &File) -> Result<(), AuditError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(AuditError::Locked { path: path.into() }),
        // Some network file systems know no locks; then nobody has one.
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(e)) => Err(AuditError::Io { path: path.into(), why: e.to_string() }),
    }
}
