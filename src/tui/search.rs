//! Searching the rows of both graphs: which rows match, and going from one to the next.

use super::lines::Graph;
use super::moves::{look_at, moved};
use super::state::State;
use crate::session::Tone;

/// The rows that match, from the top.
pub fn hits(state: &State) -> Vec<usize> {
    let needle = state.search.to_lowercase();
    if needle.is_empty() {
        return Vec::new();
    }
    (0..state.derived.haystack.len()).filter(|r| state.matches(*r, &needle)).collect()
}

/// `3 of 12`; without the first figure where the cursor is on none of them.
pub fn standing(state: &State) -> String {
    let hits = hits(state);
    let here = state.graph.row().and_then(|r| hits.iter().position(|h| *h == r));
    match (here, hits.len()) {
        (_, 0) => "no match".into(),
        (Some(at), count) => format!("{} of {count}", at + 1),
        (None, 1) => "1 match".into(),
        (None, count) => format!("{count} matches"),
    }
}

/// While one types: the first match from where the search began, everything else as it was there.
pub(super) fn preview(state: &mut State, before: &Graph) {
    state.graph = before.clone();
    let from = before.row().unwrap_or(0);
    let hits = hits(state);
    if let Some(row) = hits.iter().find(|h| **h >= from).or(hits.first()) {
        look_at(state, *row);
    }
}

/// The next match after the cursor, or the one before; round the end and on. Only looks there: nothing else follows the cursor.
pub(super) fn look_on(state: &mut State, down: bool) {
    let hits = hits(state);
    let at = state.graph.row().unwrap_or(0);
    let next = if down { hits.iter().find(|h| **h > at) } else { hits.iter().rev().find(|h| **h < at) };
    let round = if down { hits.first() } else { hits.last() };
    match (next, round) {
        (Some(row), _) => look_at(state, *row),
        (None, Some(row)) => {
            look_at(state, *row);
            if hits.len() > 1 {
                state.say(if down { "on from the top" } else { "on from the bottom" }, Tone::Plain);
            }
        }
        (None, None) => nowhere(state),
    }
}

/// The same, and what is shown beside follows.
pub(super) fn go_on(state: &mut State, down: bool) {
    look_on(state, down);
    moved(state);
}

/// What was typed counts from now on; nothing typed means the last search again.
pub(super) fn keep(state: &mut State, before: Graph, last: String) {
    if state.search.is_empty() {
        state.search = last;
        if !state.search.is_empty() {
            go_on(state, true);
        }
        return;
    }
    if hits(state).is_empty() {
        state.graph = before;
        return nowhere(state);
    }
    moved(state);
}

fn nowhere(state: &mut State) {
    state.say(format!("'{}' is nowhere in the two graphs", state.search), Tone::Warning);
}
