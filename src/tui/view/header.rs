//! The top line: which case, how many labels differ, which suspect, what the engine does.

use super::put_line;
use crate::session::Load;
use crate::tui::layout::Panes;
use crate::tui::state::{Screen, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

const SPINNER: [&str; 8] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"];

/// Draws the line.
pub fn draw(state: &State, panes: &Panes, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut left = vec![Span::styled(" fixcon ", theme.style(Role::Accent))];
    if state.screen == Screen::Demos {
        left.push(Span::styled(
            format!("{}  finds and mends what a model conversion broke", env!("CARGO_PKG_VERSION")),
            theme.style(Role::Dim),
        ));
        return put_line(buffer, area, 0, &Line::from(left));
    }
    let snap = &state.snapshot;
    let wide = area.width >= 110;
    let mut parts = [flips(state, wide), suspect(state, wide), Vec::new()];
    let width = |parts: &[Vec<Span<'_>>]| {
        let shown = parts.iter().filter(|p| !p.is_empty()).count();
        parts.iter().flatten().map(Span::width).sum::<usize>() + 3 * shown + 1
    };
    let name = snap.case.as_ref().map(|c| c.title.as_str()).unwrap_or("opening …");
    let room = |left: &[Span<'_>]| (area.width as usize).saturating_sub(left.iter().map(Span::width).sum());
    // Where there are tabs, their line has room for the work.
    if panes.tabs.is_none() {
        parts[2] = work(state, room(&left).saturating_sub(width(&parts) + 3 + 16));
    }
    // Where room is scarce our name goes first, then the suspect's number; the case keeps a few letters.
    if width(&parts) + text::width(name) > room(&left) {
        left = vec![Span::raw(" ")];
    }
    if width(&parts) + 8 > room(&left) && parts[1].len() > 1 {
        parts[1].remove(0);
    }
    let room = room(&left);
    left.push(Span::raw(text::clip(name, room.saturating_sub(width(&parts)).max(8))));
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        left.push(Span::raw("   "));
        left.extend(part);
    }
    put_line(buffer, area, 0, &Line::from(left));
}

fn flips(state: &State, wide: bool) -> Vec<Span<'static>> {
    let theme = &state.theme;
    let images = &state.snapshot.images;
    if let Some((side, _)) = state.snapshot.unreadable() {
        return vec![Span::styled(format!("{side} cannot be read"), theme.style(Role::Bad))];
    }
    if state.snapshot.does_not_run.is_some() {
        return vec![Span::styled("target does not run", theme.style(Role::Bad))];
    }
    if images.done == 0 {
        return Vec::new();
    }
    let role = match images.flipped {
        0 => Role::Good,
        _ if super::clean::reason(state).is_some() => Role::Warn,
        _ => Role::Bad,
    };
    let count = if images.at_start != images.flipped && images.at_start > 0 {
        format!("{} → {}", images.at_start, images.flipped)
    } else {
        images.flipped.to_string()
    };
    let mut out = vec![Span::styled(count, theme.style(role)), Span::raw(format!(" of {} flipped", images.done))];
    if wide && images.flipped > 0 {
        out.push(Span::styled(format!(", {:.0} %", 100.0 * images.flipped as f64 / images.done as f64), theme.style(Role::Dim)));
    }
    out
}

fn suspect(state: &State, wide: bool) -> Vec<Span<'static>> {
    let theme = &state.theme;
    let Some(findings) = &state.snapshot.findings else { return Vec::new() };
    let count = findings.suspects.len();
    let Some(suspect) = findings.suspects.get(state.suspect) else {
        return if count == 0 {
            let why = super::clean::reason(state).filter(|_| wide).map(|r| format!(": {r}")).unwrap_or_default();
            vec![Span::styled(format!("no fault{why}"), theme.style(Role::Good))]
        } else {
            vec![Span::raw(format!("{count} suspects"))]
        };
    };
    let kind = suspect.kind.map_or(suspect.category.id(), |k| k.id());
    let place =
        if wide { format!("suspect {} of {count}  ", state.suspect + 1) } else { format!("suspect {}/{count} ", state.suspect + 1) };
    let sign = state.suspect_row(state.suspect).map(|r| state.sign(r));
    let (mark, role) = if sign == Some(crate::session::Sign::Repaired) { (" ✓", Role::Good) } else { ("", Role::Proposed) };
    vec![Span::raw(place), Span::styled(format!("{kind}{mark}"), theme.style(role))]
}

/// What the engine does, or what is not saved, as long as there is room for; empty when there is nothing to say.
pub fn work(state: &State, room: usize) -> Vec<Span<'static>> {
    let snap = &state.snapshot;
    let spinner = SPINNER[state.beat % SPINNER.len()];
    let loading = [&snap.source, &snap.target].into_iter().any(|l| *l == Load::Loading);
    let text = match &snap.work {
        Some(work) => {
            // A step of which only the beginning is known has no share.
            let share = if work.of > 1 { format!(" {:.0} %", 100.0 * work.done as f64 / work.of as f64) } else { String::new() };
            let left = work.left.map(|l| format!(" · {}", seconds(l.as_secs()))).unwrap_or_default();
            let named = format!("{spinner} {}{share}", work.name);
            let short = if share.is_empty() { named.clone() } else { format!("{spinner}{share}{left}") };
            let forms = [format!("{named}{left}"), named, short.clone()];
            forms.into_iter().find(|f| text::width(f) <= room).unwrap_or(short)
        }
        None if loading => format!("{spinner} loading"),
        None if snap.unsaved => "not saved".into(),
        None => return Vec::new(),
    };
    vec![Span::styled(text, state.theme.style(Role::Warn))]
}

fn seconds(s: u64) -> String {
    if s >= 90 { format!("{} min", s.div_ceil(60)) } else { format!("{} s", s.max(1)) }
}
