//! One line that leads through a first repair.

use super::put;
use crate::session::{Load, Standing};
use crate::tui::commands::Action;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// What to do next, in one sentence.
pub fn next(state: &State) -> String {
    let snap = &state.snapshot;
    let key = |a: Action| state.keys.key(a);
    if matches!(snap.source, Load::Loading) || matches!(snap.target, Load::Loading) {
        return "Both models are read: the source, and what a converter made of it.".into();
    }
    let accepted = snap.decided.iter().any(|d| d.proposal.standing == Standing::Accepted);
    let done = accepted && snap.images.flipped == 0;
    if let Some(work) = snap.work.as_ref().filter(|w| !(done && w.keeps_labels)) {
        return match work.name {
            "comparing images" => "Both run on the same images; where their labels differ, an image is flipped.".into(),
            name if name.starts_with("running the") => "The repair is in the model and in the log. Now all images are run again.".into(),
            name if name.starts_with("trying") => "Each repair is tried on some images before you are asked about it.".into(),
            _ => "Each region runs alone on the source's values, so an error shows its place.".into(),
        };
    }
    match state.proposal().map(|p| &p.standing) {
        _ if done && snap.unsaved => {
            format!("All labels agree. {} saves the model beside the target, {} undoes.", key(Action::Save), key(Action::Undo))
        }
        _ if done => {
            format!("Done and saved. {} leaves, {} goes back to the list.", key(Action::Quit), key(Action::Demos))
        }
        Some(Standing::Open) => {
            format!("± marks the region at fault, its repair is below: {} accepts, {} rejects.", key(Action::Accept), key(Action::Reject))
        }
        Some(Standing::Undone) => {
            format!("It was taken back: {} accepts it again, {} makes it anew.", key(Action::Accept), key(Action::Redo))
        }
        Some(Standing::Skipped) => {
            format!(
                "It was put off: {} accepts it all the same, {} goes to the next suspect.",
                key(Action::Accept),
                key(Action::NextSuspect)
            )
        }
        Some(_) if state.suspect_count() > 1 => {
            format!("{} goes to the next suspect, {} takes the decision back.", key(Action::NextSuspect), key(Action::Undo))
        }
        Some(_) => format!("{} takes the decision back.", key(Action::Undo)),
        None if snap.unreadable().is_some() => {
            format!("Put the file or its name in the case right; {} leaves, {} explains everything.", key(Action::Quit), key(Action::Help))
        }
        None if super::clean::reason(state).is_some() => {
            format!("No fault: arithmetic alone makes labels differ. {} goes to what loses most.", key(Action::Worst))
        }
        None if snap.findings.is_some() && state.suspect_count() == 0 => {
            format!("Nothing is wrong here: every region is at the floor. {} unfolds all of them.", key(Action::FoldAll))
        }
        None => {
            format!("{} looks for the region that introduces the error, {} explains everything.", key(Action::Localize), key(Action::Help))
        }
    }
}

/// Draws the line.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let away = format!("{} puts hints away ", state.keys.key(Action::Hints));
    let room = (area.width as usize).saturating_sub(4);
    let text = next(state);
    let x = put(buffer, area, 1, 0, "→ ", theme.style(Role::Accent));
    let end = put(buffer, area, x, 0, &text::clip(&text, room), theme.style(Role::Text));
    let at = (area.width as usize).saturating_sub(text::width(&away));
    if at > end + 2 {
        put(buffer, area, at, 0, &away, theme.style(Role::Faint));
    }
}
