//! The top line: which case, how many labels differ, which suspect, what the engine does.

use super::put_line;
use crate::session::Load;
use crate::tui::state::{Screen, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

const SPINNER: [&str; 8] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"];

/// Draws the line.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
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
    let mut parts: Vec<Vec<Span<'_>>> = Vec::new();
    parts.push(flips(state, wide));
    parts.push(suspect(state, wide));
    parts.push(work(state, true));
    let width = |parts: &[Vec<Span<'_>>]| {
        let shown = parts.iter().filter(|p| !p.is_empty()).count();
        parts.iter().flatten().map(|s| text::width(&s.content)).sum::<usize>() + 3 * shown + 9
    };
    // Where room is scarce the case keeps a few letters, the work loses its name, and what is not saved is said in any case.
    if width(&parts) + 16 > area.width as usize {
        parts[2] = work(state, false);
    }
    if width(&parts) + 8 > area.width as usize
        && let Some(part) = parts.get_mut(1).filter(|p| p.len() > 1)
    {
        part.remove(0);
    }
    let used = width(&parts);
    parts.retain(|p| !p.is_empty());
    let name = snap.case.as_ref().map(|c| c.title.as_str()).unwrap_or("opening …");
    left.push(Span::raw(text::clip(name, (area.width as usize).saturating_sub(used).max(8))));
    for part in parts {
        left.push(Span::raw("   "));
        left.extend(part);
    }
    put_line(buffer, area, 0, &Line::from(left));
}

fn flips(state: &State, wide: bool) -> Vec<Span<'static>> {
    let theme = &state.theme;
    let images = &state.snapshot.images;
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
    if wide {
        let share = images.flipped as f64 / images.done as f64;
        let bar = text::bar(share, 8);
        out.push(Span::styled(format!("  ▕{}▏", text::fill(&bar, 8)), theme.style(role)));
        out.push(Span::styled(format!(" {:.0} %", share * 100.0), theme.style(Role::Dim)));
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

fn work(state: &State, named: bool) -> Vec<Span<'static>> {
    let theme = &state.theme;
    let snap = &state.snapshot;
    if let Some(work) = &snap.work {
        let mut text = SPINNER[state.beat % SPINNER.len()].to_string();
        // A step of which only the beginning is known has no share.
        let share = work.of > 1;
        if named || !share {
            text.push_str(&format!(" {}", work.name));
        }
        if share {
            text.push_str(&format!(" {:.0} %", 100.0 * work.done as f64 / work.of as f64));
        }
        if let Some(left) = work.left {
            text.push_str(&format!(" · {}", seconds(left.as_secs())));
        }
        return vec![Span::styled(text, theme.style(Role::Warn))];
    }
    let loading = [&snap.source, &snap.target].into_iter().any(|l| *l == Load::Loading);
    if loading {
        return vec![Span::styled(format!("{} loading", SPINNER[state.beat % SPINNER.len()]), theme.style(Role::Warn))];
    }
    if snap.unsaved {
        return vec![Span::styled("not saved", theme.style(Role::Warn))];
    }
    Vec::new()
}

fn seconds(s: u64) -> String {
    if s >= 90 { format!("{} min", s.div_ceil(60)) } else { format!("{} s", s.max(1)) }
}
