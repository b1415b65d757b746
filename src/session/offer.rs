//! A repair's proposal as people read it: the edit as a diff, what it touches, its evidence.

use super::sheet::Sheet;
use super::snapshot::{DiffLine, Proposal, Standing};
use super::words;
use crate::localize::Suspect;
use crate::model::harmless;
use crate::repair::{self, Evidence, Job};
use crate::report::known_of;
use std::collections::HashMap;

/// Makes a proposal readable. `evidence` is what trying it on some images gave.
pub fn describe(id: usize, proposal: &repair::Proposal, suspect: Option<&Suspect>, evidence: Option<Evidence>, job: &Job) -> Proposal {
    let (diff, touched) = repair::diff(proposal, job);
    // The words of a suspect are those of its first remedy: alternatives have their own.
    let first = suspect.filter(|s| s.remedies.first().is_none_or(|f| f.remedy.words == proposal.words));
    Proposal {
        id,
        suspect: proposal.suspect,
        row: None,
        places: Vec::new(),
        category: suspect.map_or(proposal.kind.category(), |s| s.category),
        // What was found names it; an edit that several kinds share keeps one name on the screen.
        kind: suspect.and_then(|s| s.kind).or(Some(proposal.kind)),
        title: title(&diff, &proposal.words, &proposal.nodes),
        words: harmless(first.map_or(proposal.words.as_str(), |s| &s.words)).into_owned(),
        diff,
        region: Some(proposal.isolated).filter(|(_, b)| !b.is_nan()),
        flips: evidence.map(|e| e.flipped).filter(|(of, _)| *of > 0),
        breaks: evidence.map(|e| (e.agreeing.1, e.agreeing.0)).filter(|(_, of)| *of > 0),
        safe: proposal.safe,
        by_hand: false,
        touches: touched.words(),
        known: known(proposal, suspect, job),
        editable: super::own::single(&proposal.edit, job.target.model()).map(|a| words::attribute(&a)),
        standing: Standing::Open,
    }
}

/// Reports of the same fault of a converter: kind, operator and producer are alike.
fn known(proposal: &repair::Proposal, suspect: Option<&Suspect>, job: &Job) -> Vec<String> {
    let Some(suspect) = suspect else { return Vec::new() };
    let kind = suspect.kind.unwrap_or(proposal.kind);
    let model = job.target.model();
    let count = model.index().nodes().len();
    let nodes: Vec<_> = suspect.target_nodes.iter().copied().filter(|n| (n.0 as usize) < count).collect();
    known_of(model, &nodes, kind).into_iter().map(|k| format!("{}: {}", k.issue, k.what)).collect()
}

/// Tells of each suspect's first proposal, and of those that are accepted, which rows of the sheet it touches.
pub fn place<'a>(proposals: &mut [Proposal], sheet: &Sheet, nodes: impl Fn(usize) -> &'a [String]) {
    let Some(target) = sheet.target.as_ref().filter(|_| sheet.aligned) else { return };
    let rows = sheet.rows.iter().enumerate().flat_map(|(i, r)| r.target.iter().flat_map(move |c| c.ops.iter().map(move |op| (i, *op))));
    let by_label: HashMap<&str, usize> = rows.map(|(i, op)| (target.label(op), i)).collect();
    let mut seen: Vec<usize> = Vec::new();
    for p in proposals {
        let first = !seen.contains(&p.suspect);
        seen.push(p.suspect);
        if first || p.standing == Standing::Accepted {
            p.places = nodes(p.id).iter().filter_map(|n| by_label.get(n.as_str()).copied()).collect();
            p.places.dedup();
        }
    }
}

/// `pads [1, 1, 1, 1] → [0, 0, 1, 1] in /b3/dw/Conv` where one thing changes into another, else the words.
fn title(diff: &[DiffLine], words: &str, nodes: &[String]) -> String {
    let place = nodes.first().map(|n| format!(" in {}", short(&harmless(n)))).unwrap_or_default();
    if let [DiffLine::Place(_), DiffLine::Removed(a), DiffLine::Added(b)] = diff
        && let (Some((name, old)), Some((other, new))) = (a.split_once(" = "), b.split_once(" = "))
        && name == other
    {
        return format!("{name} {old} → {new}{place}");
    }
    harmless(words).into_owned()
}

/// The last part of a name: TensorFlow's converters join the names of all that was fused into one.
fn short(name: &str) -> &str {
    name.rsplit(';').find(|part| !part.trim().is_empty()).unwrap_or(name)
}
