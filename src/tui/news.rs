//! What the engine says, taken in.

use super::commands::Action;
use super::derived::Prepared;
use super::moves::{go, select_suspect};
use super::state::{Overlay, State};
use crate::align::Precision;
use crate::localize::Findings;
use crate::session::{Sign, Snapshot, Standing, Tone};

/// Takes over the engine's state: what belongs to an older case is forgotten, what waits for a decision comes up by itself.
pub(super) fn on_engine(state: &mut State, prepared: Prepared) {
    let before = state.snapshot.clone();
    state.take(prepared);
    state.beat = state.beat.wrapping_add(1);
    let now = state.snapshot.clone();
    // What was said of work that is done gives the keys their place back.
    if before.work.is_some() && now.work.is_none() && state.toast.as_ref().is_some_and(|t| matches!(t.tone, Tone::Plain | Tone::Good)) {
        state.toast = None;
    }
    // What could not be done then can be done now.
    if state.toast.as_ref().and_then(|t| t.refused).is_some_and(|a| a.possible(state).is_ok()) {
        state.toast = None;
    }
    // From here on one sees what a key would do.
    if now.findings.is_some() && before.findings.is_none() {
        state.not_done.clear();
    }
    if now.generation != before.generation {
        state.worst = None;
        state.suspect = 0;
        state.alternative = 0;
        state.image = 0;
        state.scroll = [0; 3];
        state.picture = None;
        state.wanted = None;
        state.inspected = None;
        state.summed_up = false;
        state.asked_to_resume = false;
        state.pinning = None;
        state.trying = None;
        state.pairing = None;
        state.looking = None;
        state.cancelling = false;
    }
    // Others may have come or gone before the image that is shown.
    let shown = before
        .images
        .flips
        .get(state.image)
        .filter(|_| now.generation == before.generation && before.images.are_compared())
        .map(|f| f.image);
    if let Some(shown) = shown {
        let place = now.images.flips.partition_point(|f| f.image < shown);
        state.image = place.min(now.images.flips.len().saturating_sub(1));
    }
    match (&now.sheet, &before.sheet) {
        (Some(sheet), Some(old)) if std::sync::Arc::ptr_eq(sheet, old) => {}
        (Some(sheet), old) => {
            let same = now.generation == before.generation
                && old.as_ref().is_some_and(|o| o.aligned == sheet.aligned && o.rows.len() == sheet.rows.len());
            if same {
                state.graph.layout(sheet)
            } else {
                state.graph.reset(sheet)
            }
            state.inspected = None;
        }
        (None, _) => state.graph.clear(),
    }
    let newest = |of: &Snapshot| of.proposals.iter().map(|p| p.id).max();
    if now.findings.is_some()
        && before.findings.as_ref().is_none_or(|f| now.findings.as_ref().is_some_and(|n| !std::sync::Arc::ptr_eq(f, n)))
    {
        select_suspect(state, 0);
        if state.suspect_count() == 0 {
            go_to_what_matters(state);
        }
    } else if newest(&now) > newest(&before) {
        // A proposal that was just written is the one at hand.
        if let Some(suspect) = now.proposals.iter().max_by_key(|p| p.id).map(|p| p.suspect) {
            state.suspect = suspect;
            state.alternative = state.alternatives().len().saturating_sub(1);
            state.scroll[1] = 0;
        }
    }
    // An edit that was taken back is the one at hand again.
    let was_accepted = |id: usize| before.proposals.iter().any(|p| p.id == id && p.standing == Standing::Accepted);
    if let Some(p) = now.proposals.iter().find(|p| p.standing == Standing::Undone && was_accepted(p.id)) {
        select_suspect(state, p.suspect);
        state.alternative = state.alternatives().iter().position(|a| a.id == p.id).unwrap_or(0);
    }
    answer(state, &before, &now);
    if now.resumable.is_some() && now.images.are_compared() && !state.asked_to_resume && state.overlay.is_none() {
        state.asked_to_resume = true;
        state.overlay = Some(Overlay::Resume);
    }
    // A decision on the suspect at hand: the next one that waits comes up by itself.
    let decided = |s: &Standing| matches!(s, Standing::Accepted | Standing::Rejected(_) | Standing::Skipped);
    let was_open = |id: usize| before.proposals.iter().any(|p| p.id == id && !decided(&p.standing));
    let just = now.proposals.iter().find(|p| p.suspect == state.suspect && decided(&p.standing) && was_open(p.id));
    if let Some(just) = just {
        let rejected = matches!(just.standing, Standing::Rejected(_));
        let open_here = now.proposals.iter().filter(|p| p.suspect == state.suspect).position(|p| p.standing == Standing::Open);
        match open_here {
            Some(at) if rejected => state.alternative = at,
            _ => {
                let count = state.suspect_count();
                let waits = |s: usize| {
                    let mut of = now.proposals.iter().filter(|p| p.suspect == s).peekable();
                    of.peek().is_some() && of.all(|p| matches!(p.standing, Standing::Open | Standing::Undone))
                };
                let next = (1..count).map(|d| (state.suspect + d) % count).find(|s| waits(*s));
                if let Some(next) = next {
                    select_suspect(state, next);
                }
            }
        }
    }
    if now.saved.is_some() && before.unsaved && !now.unsaved && state.overlay.is_none() {
        let path = now.saved.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        match now.images.flipped {
            0 => state.say(format!("saved as {path}"), Tone::Good),
            n => state.say(format!("saved as {path}, in which {n} of {} labels still differ", now.images.done), Tone::Warning),
        }
    }
    if let Some(page) = now.reported.as_ref().filter(|p| before.reported.as_ref() != Some(*p)) {
        state.say(format!("report: {}", page.display()), Tone::Good);
    }
    if now.error.is_some() && now.error != before.error {
        state.say(now.error.clone().unwrap_or_default(), Tone::Error);
    }
    let all_gone = now.images.at_start > 0
        && now.images.flipped == 0
        && now.work.as_ref().is_none_or(|w| w.keeps_labels)
        && now.decided.iter().any(|d| d.proposal.standing == Standing::Accepted);
    if all_gone && !state.summed_up && state.overlay.is_none() {
        state.summed_up = true;
        state.overlay = Some(Overlay::Summary);
    }
    if !all_gone && now.images.flipped > 0 {
        state.summed_up = false;
    }
}

/// No suspect is left: the cursor goes to what was mended, or to what loses most.
fn go_to_what_matters(state: &mut State) {
    let Some(sheet) = state.snapshot.sheet.clone() else { return };
    let mended = sheet.rows.iter().position(|r| r.sign == Sign::Repaired);
    let worst = state.worst_rows().first().copied().filter(|_| sheet.precision != Precision::Float);
    if let Some(row) = mended.or(worst) {
        state.graph.go_to(row, &sheet);
    }
}

/// Faults were looked for with what was said of a pair: the cursor is on it again, and how to take it back is told.
fn paired(state: &mut State, text: String, now: &Snapshot) {
    let rows = now.sheet.as_ref().map_or(&[][..], |s| &s.rows);
    let last = now.said.last().filter(|s| text == s.to_string());
    let row = last.and_then(|s| rows.iter().position(|r| r.said.contains(s)));
    let back = if last.is_some() { format!("; {} in its row takes it back", state.keys.key(Action::Unpair)) } else { String::new() };
    let found = suspects(state.suspect_count());
    if let Some(row) = row {
        go(state, row);
    }
    state.say(format!("{text}; looked again: {found}{back}"), Tone::Good);
}

fn suspects(count: usize) -> String {
    if count == 1 { "1 suspect".to_string() } else { format!("{count} suspects") }
}

/// What another look found, beside what had been found before.
fn changed(before: Option<&Findings>, now: &Findings) -> String {
    let count = suspects(now.suspects.len());
    let Some(before) = before else { return count };
    let what = |of: &Findings| of.suspects.iter().map(|s| (s.region, s.kind, s.words.clone())).collect::<Vec<_>>();
    match (what(before) == what(now), before.suspects.len() == now.suspects.len()) {
        (true, _) => format!("{count}, as before"),
        (false, true) => format!("{count}, not the same as before"),
        (false, false) => format!("{count}, before {}", before.suspects.len()),
    }
}

/// A rejection, or a delay, that was taken back: its suspect is the one at hand again.
fn reopened(state: &mut State, before: &Snapshot, now: &Snapshot) -> bool {
    let was = |id: usize| before.proposals.iter().find(|p| p.id == id).map(|p| &p.standing);
    let open = now.proposals.iter().filter(|p| p.standing == Standing::Open);
    let mut found = open.filter_map(|p| match was(p.id)? {
        Standing::Rejected(_) => Some((p, "rejection")),
        Standing::Skipped => Some((p, "putting off")),
        _ => None,
    });
    let Some((p, what)) = found.next_back() else { return false };
    select_suspect(state, p.suspect);
    state.alternative = state.alternatives().iter().position(|a| a.id == p.id).unwrap_or(0);
    let count = state.suspect_count();
    let place = if p.suspect < count { format!(" of {}/{count}", p.suspect + 1) } else { String::new() };
    state.say(format!("{what}{place} taken back: {}", p.title), Tone::Good);
    true
}

/// What a key led to is said where one looks for it.
fn answer(state: &mut State, before: &Snapshot, now: &Snapshot) {
    let standings = |of: &Snapshot| of.decided.iter().map(|d| (d.proposal.id, d.proposal.standing.clone())).collect::<Vec<_>>();
    let decided = now.generation == before.generation && standings(before) != standings(now);
    if decided && reopened(state, before, now) {
        return;
    }
    if decided && let Some(line) = now.log.last() {
        return state.say(line.text.clone(), line.tone);
    }
    if state.cancelling && now.work.is_none() {
        state.cancelling = false;
        let said = now.log.last().filter(|l| now.log.len() > before.log.len() && l.text.starts_with("cancelled"));
        if let Some(line) = said {
            (state.trying, state.pairing, state.looking) = (None, None, None);
            return state.say(line.text.clone(), line.tone);
        }
    }
    if now.said != before.said {
        state.pairing = now.log.iter().rev().find(|l| l.tone == Tone::Plain).map(|l| l.text.clone());
    }
    // The steps of the work have names of their own; only its end counts.
    let ended = before.work.is_some() && now.work.is_none();
    if let Some(text) = ended.then(|| state.pairing.take()).flatten() {
        return paired(state, text, now);
    }
    if let (Some(before), Some(found)) = (ended.then(|| state.looking.take()).flatten(), &now.findings) {
        return state.say(format!("looked again: {}", changed(before.as_deref(), found)), Tone::Plain);
    }
    let tried = ended.then(|| state.trying.take()).flatten();
    if let Some(p) = tried.and_then(|id| now.proposals.iter().find(|p| p.id == id && p.flips.is_some())) {
        let (flips, breaks) = (p.flips.unwrap_or_default(), p.breaks.unwrap_or_default());
        let broken = if breaks.0 == 0 { "breaks none".to_string() } else { format!("breaks {}", breaks.0) };
        // Images that are held back only verify.
        let count = flips.0 + breaks.1;
        let text =
            format!("tried on {count} images: {} → {} flipped, {broken} of {} that agree; nothing was changed", flips.0, flips.1, breaks.1);
        state.say(text, if flips.1 < flips.0 && p.breaks.is_none_or(|b| b.0 == 0) { Tone::Good } else { Tone::Warning });
    }
}
