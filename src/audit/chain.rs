//! Reading a log and checking it: every record's hash, the chain from record to record, and that none contradicts another.

use super::{AuditError, Problem, Record, State, canonical};
use serde_json::Value as Json;
use std::io::Read;
use std::path::Path;

/// `prev` of the first record.
pub(super) const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Bytes above which a file is not taken for a log.
pub(super) const LARGEST: u64 = 1 << 30;

/// A log as it was read.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The records, in order, up to the first that is not to be trusted.
    pub records: Vec<Record>,
    /// The state behind them; none without a record.
    pub state: Option<State>,
    /// What is wrong with the next record.
    pub problem: Option<AuditError>,
    /// Bytes of a last line that a crash cut off; they say nothing.
    pub cut_off: usize,
    /// Bytes in front of those.
    pub(super) whole: u64,
    /// Whether the last record lacks its line break.
    pub(super) unended: bool,
}

impl Chain {
    /// Reads a log as far as it is to be trusted.
    ///
    /// # Errors
    /// When the file cannot be read or holds no log at all.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let io = |e: std::io::Error| AuditError::Io { path: path.into(), why: e.to_string() };
        let meta = std::fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            return Err(AuditError::NotALog { path: path.into(), why: "it is no regular file".into() });
        }
        Self::read_from(path, &mut std::fs::File::open(path).map_err(io)?)
    }

    pub(super) fn read_from(path: &Path, file: &mut std::fs::File) -> Result<Self, AuditError> {
        let io = |e: std::io::Error| AuditError::Io { path: path.into(), why: e.to_string() };
        let no_log = |why: String| AuditError::NotALog { path: path.into(), why };
        if file.metadata().map_err(io)?.len() > LARGEST {
            return Err(no_log(format!("it has more than {LARGEST} bytes")));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(io)?;
        if bytes.is_empty() {
            return Err(no_log("it is empty".into()));
        }
        if bytes[0] != b'{' {
            return Err(no_log("its first line is no JSON object".into()));
        }
        Ok(Self::of(path, &bytes))
    }

    /// The log without the cut-off line.
    ///
    /// # Errors
    /// What is wrong with the first record that is not to be trusted; [`AuditError::NotALog`] without a whole record.
    pub fn trusted(self) -> Result<(Vec<Record>, State), AuditError> {
        match (self.problem, self.state) {
            (Some(problem), _) => Err(problem),
            (None, Some(state)) => Ok((self.records, state)),
            // Chain::of finds a problem where there is no record.
            (None, None) => Err(AuditError::NotALog { path: "(log)".into(), why: "it has no record".into() }),
        }
    }

    fn of(path: &Path, bytes: &[u8]) -> Self {
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
        let mut cut_off = 0;
        let mut unended = false;
        if let Some(last) = lines.last()
            && !last.ends_with(b"\n")
        {
            if is_cut_off(last) {
                cut_off = last.len();
                lines.pop();
            } else {
                unended = true;
            }
        }
        let lines: Vec<&[u8]> = lines.into_iter().map(|l| l.strip_suffix(b"\n").unwrap_or(l)).collect();
        let whole = (bytes.len() - cut_off) as u64;
        let mut chain = Self { records: Vec::new(), state: None, problem: None, cut_off, whole, unended };
        if lines.is_empty() {
            chain.problem = Some(AuditError::NotALog { path: path.into(), why: "it was cut off in its first line".into() });
        }
        for (at, line) in lines.iter().enumerate() {
            if let Err((kind, problem)) = chain.link(line, &lines[at + 1..]) {
                let seq = chain.next_seq();
                chain.problem = Some(AuditError::Record { path: path.into(), seq, kind, problem });
                break;
            }
        }
        chain
    }

    fn next_seq(&self) -> u64 {
        self.records.len() as u64 + 1
    }

    /// Adds a record behind the others, or says why it cannot stand there.
    fn link(&mut self, line: &[u8], later: &[&[u8]]) -> Result<(), (String, Problem)> {
        let seq = self.next_seq();
        let record = open(line).map_err(|p| (kind_of(line), p))?;
        let kind = record.event.kind();
        if record.seq != seq {
            if record.seq < seq {
                return Err((kind.into(), Problem::Repeated));
            }
            let lost = later.iter().find_map(|l| open(l).ok().filter(|r| r.seq == seq));
            return Err(match lost {
                Some(lost) => (lost.event.kind().into(), Problem::Moved { found: record.seq }),
                None => ("unknown".into(), Problem::Missing { found: record.seq }),
            });
        }
        if record.prev != self.records.last().map_or(START, |r| r.hash.as_str()) {
            return Err((kind.into(), Problem::Unchained { before: seq - 1 }));
        }
        let taken = match &mut self.state {
            Some(state) => state.take(seq, &record.event),
            None => State::start(&record.event).map(|state| self.state = Some(state)),
        };
        taken.map_err(|why| (kind.into(), Problem::Contradiction(why)))?;
        self.records.push(record);
        Ok(())
    }
}

/// A record from its line.
fn open(line: &[u8]) -> Result<Record, Problem> {
    let json = canonical::unseal(line)?;
    serde_json::from_value(json).map_err(|e| Problem::Unknown(e.to_string()))
}

/// The kind that a line states, whether it is to be trusted or not.
fn kind_of(line: &[u8]) -> String {
    let kind = serde_json::from_slice::<Json>(line).ok().and_then(|j| Some(j.get("kind")?.as_str()?.to_string()));
    kind.unwrap_or_else(|| "unreadable".into())
}

/// Whether a last line without line break is the start of a record: a whole one was altered, not cut off.
fn is_cut_off(line: &[u8]) -> bool {
    // After a power cut some file systems leave zeros where data were not yet written.
    let text = &line[..line.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1)];
    let starts = text.is_empty() || text[0] == b'{';
    starts && serde_json::from_slice::<Json>(text).is_err_and(|e| e.is_eof())
}
