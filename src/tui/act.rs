//! What each command does.

use super::commands::Action;
use super::layout::Panes;
use super::moves::open_demo;
use super::moves::{follow, go, page, select_suspect, shift, step_pane, with_sheet};
use super::overlay::leave;
use super::search;
use super::state::{Effect, Entry, Overlay, Pane, Screen, State, Toast};
use crate::session::{Cell, Command, Standing, Tone, attributes};
use std::path::{Path, PathBuf};

/// Does what a command says, or tells why it cannot be done.
pub(super) fn act(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if let Err(why) = action.possible(state) {
        let text = format!("{} ({}): {why}", action.spec().short, state.keys.key(action));
        state.toast = Some(Toast { text, tone: Tone::Warning, refused: Some(action) });
        if matches!(action, Action::Accept | Action::Save) {
            state.not_done.push((action.spec().short, why));
        }
        return;
    }
    match action {
        Action::Accept => {
            if let Some((id, harm)) = state.proposal().map(|p| (p.id, p.harm())) {
                match harm {
                    Some(_) => state.overlay = Some(Overlay::Harmful { proposal: id }),
                    None => effects.push(Effect::Engine(Command::Accept(id))),
                }
            }
        }
        Action::Reject => {
            if let Some(proposal) = state.proposal().map(|p| p.id) {
                state.overlay = Some(Overlay::Note { input: Default::default(), proposal });
            }
        }
        Action::Skip => {
            if let Some(id) = state.proposal().map(|p| p.id) {
                effects.push(Effect::Engine(Command::Skip(id)));
            }
        }
        Action::Undo => {
            // The one at hand if it is accepted, else whatever was decided last.
            let here = state.proposal().filter(|p| p.standing == Standing::Accepted).map(|p| p.id);
            effects.push(Effect::Engine(Command::Undo(here)));
        }
        Action::Redo => effects.push(Effect::Engine(Command::Redo)),
        Action::Alternative => state.alternative = (state.alternative + 1) % state.alternatives().len().max(1),
        Action::Localize => {
            state.looking = Some(state.snapshot.findings.clone());
            effects.push(Effect::Engine(Command::Localize));
        }
        Action::Save => effects.push(Effect::Engine(Command::Save(None))),
        Action::SaveAs => {
            let path =
                state.snapshot.saved.clone().or_else(|| state.snapshot.audit_log.as_ref().map(|l| l.with_file_name("repaired.onnx")));
            let text = path.map(|p| free(&p).display().to_string()).unwrap_or_default();
            state.overlay = Some(Overlay::SaveAs { entry: Entry::new(text) });
        }
        Action::Report => effects.push(Effect::Engine(Command::Report)),
        Action::Copy => {
            effects.push(Effect::Copy(super::view::summary::text(state)));
            state.say("sent to the terminal's clipboard", Tone::Good);
        }
        Action::Region => state.overlay = state.graph.row().map(|row| Overlay::Region { row, top: 0 }),
        Action::Cancel => {
            state.cancelling = true;
            effects.push(Effect::Engine(Command::Cancel));
        }

        Action::NextSuspect => select_suspect(state, (state.suspect + 1) % state.suspect_count().max(1)),
        Action::PreviousSuspect => {
            let count = state.suspect_count().max(1);
            select_suspect(state, (state.suspect + count - 1) % count);
        }
        Action::NextImage | Action::PreviousImage => {
            let count = state.snapshot.images.listed().len().max(1);
            state.image = if action == Action::NextImage { state.image + 1 } else { state.image + count - 1 } % count;
            // Where the image has no place on the screen it is told.
            if Panes::new(state).inner(Pane::Image).is_none()
                && let Some(flip) = state.flip()
            {
                let label = |o: &crate::session::Opinion| o.top.first().map(|s| s.label.clone()).unwrap_or_default();
                let name = flip.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let text = format!("image {} of {count}: {name}, {} → {}", state.image + 1, label(&flip.source), label(&flip.target));
                state.say(crate::model::harmless(&text).into_owned(), Tone::Plain);
            }
        }
        Action::Worst => {
            // Pressed again where it led to: on to the next.
            let rows = state.worst_rows();
            let here = state.graph.row();
            let at = state.worst.filter(|(_, row)| Some(*row) == here).map_or(0, |(at, _)| at + 1);
            match rows.get(at) {
                Some(row) => {
                    go(state, *row);
                    state.worst = Some((at, *row));
                    state.say(format!("isolated error {} of {}, by size", at + 1, rows.len()), Tone::Plain);
                }
                None => state.say("no other region that was not mended has an error of its own", Tone::Plain),
            }
        }

        Action::Details if state.screen == Screen::Demos => open_demo(state, effects),
        Action::Details if state.focus == Pane::Graph => with_sheet(state, |g, s| g.toggle_details(s)),
        Action::Details => state.zoomed = !state.zoomed,
        Action::Fold => with_sheet(state, |g, s| g.toggle_fold(s)),
        Action::FoldAll => with_sheet(state, |g, s| g.toggle_all(s)),
        Action::Producer => follow(state, true),
        Action::Consumer => follow(state, false),
        Action::Search => {
            // What is found has to be seen.
            state.focus = Pane::Graph;
            let last = std::mem::take(&mut state.search);
            state.overlay = Some(Overlay::Search { input: Default::default(), before: Box::new(state.graph.clone()), last });
        }
        Action::NextMatch => search::go_on(state, true),
        Action::PreviousMatch => search::go_on(state, false),
        Action::Bookmark => {
            if let Some(row) = state.graph.row()
                && !state.graph.bookmarks.remove(&row)
            {
                state.graph.bookmarks.insert(row);
            }
        }
        Action::NextBookmark => {
            let at = state.graph.row().unwrap_or(0);
            let marks = &state.graph.bookmarks;
            let next = marks.range(at + 1..).next().or_else(|| marks.iter().next()).copied();
            if let Some(row) = next {
                go(state, row);
            }
        }
        Action::Names => state.graph.names = !state.graph.names,
        Action::WhatIf => {
            if let Some(id) = state.proposal().map(|p| p.id) {
                state.trying = Some(id);
                effects.push(Effect::Engine(Command::TryAll(id)));
            }
        }
        Action::Edit => {
            if let Some((id, value)) = state.proposal().and_then(|p| Some((p.id, p.editable.clone()?))) {
                state.overlay = Some(Overlay::Edit { entry: Entry::new(value.clone()), now: value, proposal: id });
            }
        }
        Action::Write => {
            if let Some(row) = state.graph.row() {
                // What differs most likely is what one wants to change.
                let facts = state.snapshot.detail.as_ref().filter(|d| d.row == row).map_or(&[][..], |d| &d.facts);
                let all = match state.snapshot.sheet.as_ref().map_or_else(|| Ok(Vec::new()), |s| attributes(s, row)) {
                    Ok(all) => all,
                    Err(why) => return state.say(why, Tone::Warning),
                };
                // The graphs are those that were looked at; the details are about the target as it is.
                let written = |name: &str| facts.iter().find(|f| f.name == name && !f.target.is_empty() && f.target != "–");
                let now = |line: String| match line.split_once(" = ").and_then(|(name, _)| written(name)) {
                    Some(fact) => format!("{} = {}", fact.name, fact.target),
                    None => line,
                };
                let attributes: Vec<String> = all.into_iter().map(now).collect();
                let named = |name: &str| attributes.iter().find(|a| a.split_once(" = ").is_some_and(|(n, _)| n == name));
                let text = facts.iter().filter(|f| f.differs).find_map(|f| named(&f.name)).cloned().unwrap_or_default();
                state.overlay = Some(Overlay::Write { entry: Entry::new(text), attributes, row });
            }
        }
        Action::Take => {
            if let Some(row) = state.graph.row() {
                effects.push(Effect::Engine(Command::Take(row)));
            }
        }
        Action::Forbid => {
            if let Some(row) = state.graph.row() {
                effects.push(Effect::Engine(Command::Forbid(row)));
            }
        }
        Action::Pin => {
            let makes = |c: Option<&Cell>| c.is_some_and(|c| !c.makes.is_empty());
            let row = state.row();
            match (state.graph.row(), state.pinning) {
                (Some(target), Some(source)) if makes(row.and_then(|r| r.target.as_ref())) => {
                    state.pinning = None;
                    effects.push(Effect::Engine(Command::Pin { source, target }));
                }
                (Some(_), Some(_)) => state.say("nothing flows out of the target's side of this row; go to another", Tone::Warning),
                (Some(source), None) if makes(row.and_then(|r| r.source.as_ref())) => state.pinning = Some(source),
                (Some(_), None) => state.say("nothing flows out of the source's side of this row; go to another", Tone::Warning),
                (None, _) => {}
            }
        }
        Action::Unpair => {
            if let Some(row) = state.graph.row() {
                effects.push(Effect::Engine(Command::Unpair(row)));
            }
        }

        Action::Up => shift(state, -1),
        Action::Down => shift(state, 1),
        Action::PageUp => shift(state, -page(state)),
        Action::PageDown => shift(state, page(state)),
        Action::Top => shift(state, isize::MIN / 2),
        Action::Bottom => shift(state, isize::MAX / 2),
        Action::Left => step_pane(state, false),
        Action::Right => step_pane(state, true),
        Action::NextPane => step_pane(state, true),
        Action::PreviousPane => step_pane(state, false),
        Action::Zoom => state.zoomed = !state.zoomed,

        Action::Palette => state.overlay = Some(Overlay::Palette { input: Default::default(), at: 0, chosen: false }),
        Action::Help => state.overlay = Some(Overlay::Help { top: 0 }),
        Action::OpenCase | Action::Demos | Action::Quit if state.snapshot.unsaved && state.screen == Screen::Case => {
            state.overlay = Some(Overlay::Unsaved(action));
        }
        Action::OpenCase | Action::Demos | Action::Quit => leave(state, action, effects),
        Action::Theme => state.theme = state.theme.turned(),
        Action::Hints => {
            state.hints = !state.hints;
            state.hints_away = !state.hints;
        }
        Action::Resume => {
            if let Some((path, _)) = state.snapshot.resumable.clone() {
                effects.push(Effect::Engine(Command::Resume(path)));
            }
        }
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Suspend => effects.push(Effect::Suspend),
    }
}

/// The path, or one like it under which nothing lies yet.
fn free(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let other = |n: usize| path.with_file_name(if n == 1 { format!("{stem}.onnx") } else { format!("{stem}-{n}.onnx") });
    (1..1000).map(other).find(|p| !p.exists()).unwrap_or_else(|| path.into())
}
