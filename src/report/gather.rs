//! From the records of a log, and what lies beside it, to what a report says.

use super::facts::{
    DecisionLine, EditLine, EvaluationLine, FileLine, FlipCount, ImageLine, Look, ModelLine, Report, Saved, Standing, SuspectLine,
    SuspectStanding,
};
use super::known::known_bugs;
use crate::audit::{AuditError, Chain, Decision, Evaluated, Event, Exhibit, FlippedImage, Flips, Opened, Record, State, Subset, Suspected};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::path::Path;

impl Report {
    /// Reads a log and what lies beside it. A log that is not to be trusted from some record on is reported up to there.
    ///
    /// # Errors
    /// When there is no log, or its first record is not to be trusted.
    pub fn read(log: &Path) -> Result<Self, AuditError> {
        let chain = Chain::read(log)?;
        let (Some(state), Some(first), Some(last)) = (&chain.state, chain.records.first(), chain.records.last()) else {
            return Err(chain.problem.unwrap_or_else(|| AuditError::NotALog { path: log.into(), why: "it has no record".into() }));
        };
        let opened = &state.opened;
        let mut side = Side { log, missing: Vec::new() };
        let evaluations = evaluations(&chain.records);
        let count = |e: &EvaluationLine| e.count;
        let after = recipe(state);
        Ok(Self {
            log: log.file_name().unwrap_or(log.as_os_str()).to_string_lossy().into_owned(),
            program: opened.program.clone(),
            opened: stamp(first.at),
            last: stamp(last.at),
            closed: state.closed.is_some(),
            whole: chain.problem.is_none(),
            problem: chain.problem.as_ref().map(ToString::to_string),
            records: chain.records.len(),
            hash: last.hash.clone(),
            source: model(&opened.source, &opened.source_producer),
            target: model(&opened.target, &opened.target_producer),
            case: opened.case.as_ref().map(|c| FileLine { path: c.path.clone(), sha256: c.sha256.clone() }),
            images_path: opened.images.path.clone(),
            recipe_before: opened.target_recipe.clone(),
            recipe_after: after,
            before: evaluations.first().map(count),
            after: evaluations.last().map(count),
            looks: looks(&chain.records, state, &mut side),
            edits: edits(&chain.records, state),
            images: images(&chain.records, &mut side),
            saved: state.saved.as_ref().map(|s| Saved {
                path: s.model.path.clone(),
                sha256: s.model.sha256.clone(),
                edits: s.edits.len(),
                stale: state.is_unsaved(),
            }),
            evaluations,
            missing: side.missing,
        })
    }
}

/// What lies beside the log, with a list of what cannot be read.
struct Side<'a> {
    log: &'a Path,
    missing: Vec<String>,
}

impl Side<'_> {
    fn load<T: serde::de::DeserializeOwned>(&mut self, seq: u64, exhibit: Option<&Exhibit>) -> Option<T> {
        match exhibit?.load(self.log) {
            Ok(found) => Some(found),
            Err(why) => {
                self.missing.push(format!("what belongs to record {seq}: {why}"));
                None
            }
        }
    }
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn model(digest: &crate::audit::ModelDigest, producer: &str) -> ModelLine {
    ModelLine { path: digest.path.clone(), sha256: digest.sha256.clone(), producer: producer.into() }
}

fn recipe(state: &State) -> Option<String> {
    // A change that cannot be made is a contradiction that `replay` names.
    state.recipe().ok().flatten()
}

fn on_all(record: &Record) -> Option<&Evaluated> {
    match &record.event {
        Event::Evaluated(e) if e.on == Subset::All => Some(e),
        _ => None,
    }
}

fn evaluations(records: &[Record]) -> Vec<EvaluationLine> {
    let line = |r: &Record| {
        let e = on_all(r)?;
        Some(EvaluationLine {
            seq: r.seq,
            at: stamp(r.at),
            count: FlipCount { flips: e.flips, of: e.images },
            mended: e.mended.clone(),
            broken: e.broken.clone(),
            does_not_run: e.does_not_run.clone(),
            unreadable: e.unreadable.clone(),
        })
    };
    records.iter().filter_map(line).collect()
}

fn looks(records: &[Record], state: &State, side: &mut Side<'_>) -> Vec<Look> {
    let mut out: Vec<Look> = Vec::new();
    for record in records {
        match &record.event {
            Event::Localized(l) => out.push(Look {
                seq: record.seq,
                outcome: l.outcome.clone(),
                floor: Some(l.floor),
                threshold: Some(l.threshold),
                notes: l.notes.clone(),
                regions: side.load(record.seq, l.details.as_ref()).unwrap_or_default(),
                suspects: Vec::new(),
            }),
            Event::Suspect(s) => {
                if out.is_empty() {
                    // Logs of old have no record of the look itself.
                    let none = (None, None);
                    out.push(Look {
                        seq: record.seq,
                        outcome: String::new(),
                        floor: none.0,
                        threshold: none.1,
                        notes: Vec::new(),
                        regions: Vec::new(),
                        suspects: Vec::new(),
                    });
                }
                if let Some(look) = out.last_mut() {
                    look.suspects.push(suspect(s, &state.opened));
                }
            }
            _ => {}
        }
    }
    let mended: HashSet<u32> =
        state.edits.iter().filter_map(|e| state.proposals.get(&e.applied.proposal)).filter_map(|(p, _)| p.suspect).collect();
    let last = out.len().saturating_sub(1);
    for (at, look) in out.iter_mut().enumerate() {
        for suspect in &mut look.suspects {
            suspect.standing = match (mended.contains(&suspect.suspect), at == last) {
                (true, _) => SuspectStanding::Mended,
                (false, true) => SuspectStanding::Left,
                (false, false) => SuspectStanding::Superseded,
            };
        }
    }
    out
}

fn suspect(s: &Suspected, opened: &Opened) -> SuspectLine {
    SuspectLine {
        suspect: s.suspect,
        category: s.category.0.id(),
        kind: s.fault.map(|k| k.0.id()),
        name: s.fault.map_or_else(|| s.category.0.name(), |k| k.0.name()),
        standing: SuspectStanding::Left,
        target_nodes: s.target_nodes.clone(),
        target_tensors: s.target_tensors.clone(),
        source_nodes: s.source_nodes.clone(),
        operators: s.operators.clone(),
        words: s.words.clone(),
        error: s.error,
        evidence: s.evidence.clone(),
        equivalents: s.equivalents.iter().map(|k| k.0.id()).collect(),
        splice: s.splice,
        known: s.fault.map(|k| known_bugs(&opened.target_producer, &s.operators, k.0)).unwrap_or_default(),
    }
}

fn edits(records: &[Record], state: &State) -> Vec<EditLine> {
    let operators: HashMap<u32, &Vec<String>> = records
        .iter()
        .filter_map(|r| match &r.event {
            Event::Suspect(s) => Some((s.suspect, &s.operators)),
            _ => None,
        })
        .collect();
    let standing = |number: u32, decision: Option<Decision>| match decision {
        _ if state.is_made(number) => Standing::Accepted,
        _ if state.undone.iter().any(|e| e.applied.proposal == number) => Standing::Undone,
        Some(Decision::Accept) => Standing::Unfinished,
        Some(Decision::Reject) => Standing::Rejected,
        Some(Decision::Skip) => Standing::Skipped,
        None => Standing::Open,
    };
    let line = |(number, (p, decided)): (&u32, &(crate::audit::Proposed, Option<crate::audit::Decided>))| {
        let none = Vec::new();
        let ops = p.suspect.and_then(|s| operators.get(&s).copied()).unwrap_or(&none);
        EditLine {
            proposal: *number,
            suspect: p.suspect,
            category: p.category.0.id(),
            kind: p.fault.map(|k| k.0.id()),
            name: p.fault.map_or_else(|| p.category.0.name(), |k| k.0.name()),
            standing: standing(*number, decided.as_ref().map(|d| d.decision)),
            words: p.words.clone(),
            nodes: p.nodes.clone(),
            diff: p.diff.clone(),
            safe: p.safe,
            evidence: p.evidence.clone(),
            flips: flips_of(records, *number).map(|f| f.0),
            together: flips_of(records, *number).map_or(0, |f| f.1),
            decisions: decisions(records, *number),
            known: p.fault.map(|k| known_bugs(&state.opened.target_producer, ops, k.0)).unwrap_or_default(),
        }
    };
    state.proposals.iter().map(line).collect()
}

/// Flips before and after an edit was made last, and how many other changes were made between both evaluations.
fn flips_of(records: &[Record], proposal: u32) -> Option<((usize, usize), usize)> {
    // What is taken back is an edit where one was made, else a rejection.
    let made = |n: u32, before: u64| records.iter().any(|r| r.seq < before && matches!(&r.event, Event::Applied(a) if a.proposal == n));
    let changes = |r: &&Record| match &r.event {
        Event::Applied(_) => true,
        Event::Undone(u) => made(u.proposal, r.seq),
        _ => false,
    };
    let at = records.iter().rposition(|r| matches!(&r.event, Event::Applied(a) if a.proposal == proposal))?;
    let first = records[..at].iter().rposition(|r| on_all(r).is_some())?;
    let last = at + records[at..].iter().position(|r| on_all(r).is_some())?;
    let others = records[first..last].iter().filter(changes).count().saturating_sub(1);
    Some(((on_all(&records[first])?.flips, on_all(&records[last])?.flips), others))
}

fn decisions(records: &[Record], proposal: u32) -> Vec<DecisionLine> {
    let mut out: Vec<DecisionLine> = Vec::new();
    let mut made = false;
    for record in records {
        let line = match &record.event {
            Event::Decided(d) if d.proposal == proposal => {
                let what = match d.decision {
                    Decision::Accept => "accepted",
                    Decision::Reject => "rejected",
                    Decision::Skip => "skipped",
                };
                Some((what, d.by.to_string(), d.note.clone()))
            }
            Event::Undone(u) if u.proposal == proposal => Some(("taken back", u.by.to_string(), u.note.clone())),
            Event::Applied(a) if a.proposal == proposal => made.then(|| ("made again", String::new(), String::new())),
            _ => None,
        };
        made |= matches!(&record.event, Event::Applied(a) if a.proposal == proposal);
        if let Some((what, by, note)) = line {
            out.push(DecisionLine { at: stamp(record.at), what, by, note });
        }
    }
    out
}

/// Images that differ, or did, those that differ at the end first.
fn images(records: &[Record], side: &mut Side<'_>) -> Vec<ImageLine> {
    let mut order: Vec<String> = Vec::new();
    let mut seen: HashMap<String, ImageLine> = HashMap::new();
    let mut first = true;
    for record in records {
        let Some(Flips { flips }) = on_all(record).and_then(|e| side.load(record.seq, e.details.as_ref())) else { continue };
        seen.values_mut().for_each(|line| (line.differs, line.now) = (false, None));
        for flip in flips {
            let says = |label: Option<usize>, class: &Option<String>| match (label, class) {
                (Some(n), Some(name)) => format!("{n} {name}"),
                (Some(n), None) => n.to_string(),
                (None, _) => String::new(),
            };
            let FlippedImage { image, source, source_class, target, target_class, picture } = flip;
            let now = says(target, &target_class);
            let line = seen.entry(image.clone()).or_insert_with(|| {
                order.push(image.clone());
                let source = says(source, &source_class);
                ImageLine { image, source, target: now.clone(), now: None, differs: true, broken: !first, picture: None }
            });
            (line.differs, line.now) = (true, Some(now));
            line.picture = line.picture.take().or(picture);
        }
        first = false;
    }
    let mut out: Vec<ImageLine> = order.iter().filter_map(|name| seen.remove(name)).collect();
    out.sort_by_key(|line| !line.differs);
    out
}
