//! The selected row in detail: attributes and weights of both sides beside each other, differences first; then what flows out of it.

use super::{flow, measured, open_frame, pane_lines, put, title, wrapped};
use crate::localize::Category;
use crate::session::words::number;
use crate::session::{Activations, Detail, Fact, Row, Sign};
use crate::tui::commands::Action;
use crate::tui::layout::Panes;
use crate::tui::state::{Pane, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Draws the pane.
pub fn draw(state: &State, panes: &Panes, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut inner = open_frame(state, panes, Pane::Layer, area, vec![title(theme, "layer")], buffer);
    inner.x += 1;
    inner.width = inner.width.saturating_sub(1);
    let (Some(at), Some(row)) = (state.graph.row(), state.row()) else {
        put(buffer, inner, 0, 0, "no row is selected", theme.style(Role::Dim));
        return;
    };
    let content = content(state, at, row, inner.width as usize);
    pane_lines(buffer, inner, &content, state.scroll[0], state, panes.framed);
}

/// The lines of the pane, for so many columns.
pub fn content(state: &State, at: usize, row: &Row, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let name_width = (columns / 4).clamp(8, 14);
    let side = columns.saturating_sub(name_width + 4) / 2;
    let dim = theme.style(Role::Dim);
    // What folding and other spellings change differs in many a clean row too.
    let clean = state.sign(at) == Sign::Clean;
    let pair = |name: &str, a: &str, b: &str, differs: bool, strong: bool| {
        let style = theme.style(if differs && !clean {
            Role::Bad
        } else if strong || differs {
            Role::Text
        } else {
            Role::Dim
        });
        Line::from(vec![
            Span::styled(text::fill(name, name_width), dim),
            Span::raw(" "),
            Span::styled(text::fill(a, side), style),
            Span::styled(if differs { " ≠ " } else { "   " }, theme.style(if clean { Role::Text } else { Role::Bad })),
            Span::styled(text::clip(b, side), style),
        ])
    };
    let cell = |c: &Option<crate::session::Cell>, f: fn(&crate::session::Cell) -> &str| c.as_ref().map(f).unwrap_or("–").to_string();
    let mut out = vec![pair("", "source", "target", false, false)];
    out.push(pair("", &cell(&row.source, |c| &c.text), &cell(&row.target, |c| &c.text), false, true));
    let names = [&state.derived.names[0], &state.derived.names[1]].map(|n| n.get(at).cloned().unwrap_or_default());
    if names.iter().any(|n| !n.is_empty()) {
        out.push(pair("name", &text::shorten(&names[0], side), &text::shorten(&names[1], side), false, false));
    }
    let shapes = (cell(&row.source, |c| &c.shape), cell(&row.target, |c| &c.shape));
    if shapes.0.len() + shapes.1.len() > 2 {
        out.push(pair("output", &shapes.0, &shapes.1, false, false));
    }
    let detail = state.snapshot.detail.as_ref().filter(|d| d.row == at);
    if let Some(detail) = detail {
        let (differ, same): (Vec<&Fact>, Vec<&Fact>) = detail.facts.iter().partition(|f| f.differs);
        out.extend(differ.into_iter().chain(same).map(|f| pair(&f.name, &f.source, &f.target, f.differs, true)));
    }
    if !row.layout.is_empty() {
        out.push(Line::from(vec![Span::styled(text::fill("layout", name_width), dim), Span::raw(format!(" axes {}", row.layout))]));
    }
    let mended = state.sign(at) == Sign::Repaired;
    if mended && detail.is_some_and(|d| d.is_old) {
        out.push(Line::styled("what follows is as it was before the repair", theme.style(Role::Warn)));
    }
    for said in &row.said {
        let text = format!("{said}; {} takes it back", state.keys.key(Action::Unpair));
        out.extend(wrapped(&text, columns, theme.style(Role::Proposed)));
    }
    out.extend(elsewhere(state, at, columns));
    if !row.why.is_empty() && !mended {
        out.extend(wrapped(&format!("unchecked: {}", row.why), columns, theme.style(Role::Warn)));
    }
    if let Some(error) = state.mended_error(at).filter(|_| row.isolated.is_some()).or(row.isolated) {
        let floor = state.snapshot.sheet.as_ref().and_then(|s| s.floor).map(|f| f.0);
        let figures = [("isolated", Some(error)), ("accumulated", row.accumulated.filter(|_| !mended)), ("floor", floor)];
        let figure = |(name, x): (&str, Option<f32>)| Some(vec![Span::styled(format!("{name} "), dim), Span::raw(measured(x?))]);
        out.extend(flow(figures.into_iter().filter_map(figure).collect(), "   ", columns));
    }
    let suspect = state.suspect_at(at).and_then(|s| state.snapshot.findings.as_ref()?.suspects.get(s));
    if let Some(detail) = detail {
        let weights = super::scatter::content(state, &detail.weights, columns);
        // Where the weights are what is wrong they come first: they differ in many a clean row too, as folding changes them.
        let flows = activations(state, detail, columns);
        let (first, then) = if suspect.is_some_and(|s| s.category == Category::WB) { (weights, flows) } else { (flows, weights) };
        out.extend(first);
        out.extend(then);
    }
    if let Some(suspect) = suspect {
        if let Some((right, of)) = suspect.splice {
            let text = format!("with the source's value put in here, {right} of {of} flipped images come right");
            out.extend(wrapped(&text, columns, theme.style(Role::Text)));
        }
        out.extend(suspect.evidence.iter().flat_map(|e| wrapped(&crate::model::harmless(e), columns, dim)));
    }
    out
}

/// Where the edit of this row's suspect stands, when that is another row.
fn elsewhere(state: &State, at: usize, columns: usize) -> Vec<Line<'static>> {
    let place = || {
        let suspect = state.suspect_at(at).filter(|s| state.suspect_row(*s) == Some(at))?;
        let places = &state.snapshot.proposals.iter().find(|p| p.suspect == suspect)?.places;
        let other = *places.first().filter(|_| !places.contains(&at))?;
        let row = state.snapshot.sheet.as_ref()?.rows.get(other)?;
        let text = row.target.as_ref().or(row.source.as_ref()).map(|c| c.text.clone())?;
        Some(format!(
            "the error shows here; what is edited is {text}, {} rows {}",
            at.abs_diff(other),
            if other < at { "up" } else { "down" }
        ))
    };
    place().map(|text| wrapped(&text, columns, state.theme.style(Role::Proposed))).unwrap_or_default()
}

fn activations(state: &State, detail: &Detail, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let dim = theme.style(Role::Dim);
    let mut out = Vec::new();
    if let Some(problem) = &detail.problem {
        return wrapped(problem, columns, theme.style(Role::Warn));
    }
    let Some(a) = &detail.activations else { return out };
    out.push(Line::styled("this image, on the source's values:", dim));
    let stats = |name: &str, s: &[f32; 4]| {
        let range = format!("{} … {}", number(s[0]), number(s[1]));
        let spread = format!("mean {}  sd {}", number(s[2]), number(s[3]));
        let fits = 11 + text::width(&range) + text::width(&spread) <= columns;
        let line = |name: &str, text: String| Line::from(vec![Span::styled(text::fill(name, 9), dim), Span::raw(text)]);
        if fits { vec![line(name, format!("{range}  {spread}"))] } else { vec![line(name, range), line("", spread)] }
    };
    out.extend(stats("source", &a.source));
    out.extend(stats("target", &a.target));
    let room = columns.saturating_sub(17).min(32);
    for (name, bins) in [("source", &a.bins[0]), ("target", &a.bins[1])] {
        let bars: String = squeeze(bins, room).into_iter().map(text::spark).collect();
        out.push(Line::from(vec![
            Span::styled(text::fill(if name == "source" { "values" } else { "" }, 9), dim),
            Span::raw(bars),
            Span::styled(format!(" {name}"), dim),
        ]));
    }
    if a.channels.len() > 1 {
        out.push(heat_line(state, "channels", &a.channels, columns.saturating_sub(28).clamp(4, 32), &format!(" {}", a.channels.len())));
    }
    out.extend(map(state, a, columns));
    if detail.images.len() > 1 {
        let errors: Vec<f32> = detail.images.iter().map(|(_, e)| *e).collect();
        out.push(heat_line(state, "images", &errors, columns.saturating_sub(28).clamp(4, 32), &format!(" {}", errors.len())));
    }
    out
}

/// Errors up to this one are rounding: they are drawn no hotter than they are.
fn threshold(state: &State) -> f32 {
    state.snapshot.sheet.as_ref().and_then(|s| s.floor).map_or(0.0, |(_, threshold)| threshold)
}

/// One cell for each stretch of figures, as ink and as heat, relative to the largest.
fn heat_line(state: &State, name: &str, of: &[f32], room: usize, after: &str) -> Line<'static> {
    let theme = &state.theme;
    let most = of.iter().copied().fold(0.0, f32::max);
    let full = most.max(threshold(state));
    let mut spans = vec![Span::styled(text::fill(name, 9), theme.style(Role::Dim))];
    let relative: Vec<f64> = of.iter().map(|e| if full > 0.0 { f64::from(e / full) } else { 0.0 }).collect();
    spans.extend(squeeze(&relative, room).into_iter().map(|level| Span::styled(text::shade(level).to_string(), theme.heat(level))));
    spans.push(Span::styled(format!("{after}, at most {}", number(most)), theme.style(Role::Dim)));
    Line::from(spans)
}

/// The difference over the picture.
fn map(state: &State, a: &Activations, columns: usize) -> Vec<Line<'static>> {
    let Some((height, width, values)) = &a.map else { return Vec::new() };
    let most = values.iter().copied().fold(0.0, f32::max);
    let room = columns.saturating_sub(10);
    if most <= 0.0 || *width > room || *height > 16 {
        return Vec::new();
    }
    let full = most.max(threshold(state));
    // A cell is twice as high as wide.
    let wide = if *width * 2 <= room { 2 } else { 1 };
    let row = |y: usize| {
        let mut spans = vec![Span::styled(text::fill(if y == 0 { "where" } else { "" }, 9), state.theme.style(Role::Dim))];
        spans.extend(values[y * width..(y + 1) * width].iter().map(|v| {
            let level = f64::from(v / full);
            Span::styled(text::shade(level).to_string().repeat(wide), state.theme.heat(level))
        }));
        Line::from(spans)
    };
    (0..*height).map(row).collect()
}

/// At most `room` figures, each the largest of its stretch.
fn squeeze(of: &[f64], room: usize) -> Vec<f64> {
    if of.len() <= room || room == 0 {
        return of.to_vec();
    }
    (0..room)
        .map(|i| of[i * of.len() / room..((i + 1) * of.len() / room).max(i * of.len() / room + 1)].iter().copied().fold(0.0, f64::max))
        .collect()
}
