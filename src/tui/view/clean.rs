//! What there is to say where no fault was found: whether labels differ all the same, and what by.

use super::wrapped;
use crate::align::Precision;
use crate::localize::Outcome;
use crate::session::words::number;
use crate::session::{Row, Standing};
use crate::tui::commands::Action;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::text::{Line, Span};

/// Layers that are named as those that lose most.
const MOST: usize = 5;

/// What the less exact of the two models computes in, where that is not single precision.
pub fn coarse(state: &State) -> Option<&'static str> {
    match state.snapshot.sheet.as_ref()?.precision {
        Precision::Float => None,
        Precision::Half => Some("half precision"),
        Precision::Quantized => Some("quantisation"),
    }
}

/// Why labels differ though no fault was found; `None` where a fault was, or no label differs.
pub fn reason(state: &State) -> Option<&'static str> {
    let clean = state.snapshot.findings.as_ref().is_some_and(|f| f.outcome == Outcome::Clean);
    (clean && state.snapshot.images.flipped > 0).then(|| coarse(state).unwrap_or("rounding"))
}

/// The lines of the proposal pane.
pub fn lines(state: &State, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let snap = &state.snapshot;
    let (good, plain, dim) = (theme.style(Role::Good), theme.style(Role::Text), theme.style(Role::Dim));
    let accepted: Vec<_> = snap.decided.iter().filter(|d| d.proposal.standing == Standing::Accepted).collect();
    let first = match (accepted.is_empty(), coarse(state)) {
        (false, _) => "Nothing is left to repair: no region stands above the floor any more.".to_string(),
        (true, None) => "Nothing is wrongly converted: no region stands above the floor.".to_string(),
        (true, Some(what)) => format!("Nothing is wrongly converted; what is lost, {what} loses."),
    };
    let mut out = wrapped(&first, columns, good);
    for decision in accepted {
        let p = &decision.proposal;
        let after = decision.flips.map(|(a, b)| format!("   {a} → {b}")).unwrap_or_default();
        let kind = p.kind.map_or(p.category.id(), |k| k.id());
        out.push(Line::from(vec![
            Span::styled("✓ ", good),
            Span::styled(format!("{kind}  "), theme.style(Role::Proposed)),
            Span::styled(text::clip(&p.title, columns.saturating_sub(kind.len() + after.chars().count() + 4)), plain),
            Span::styled(after, dim),
        ]));
    }
    match reason(state) {
        Some("rounding") => {
            let text = format!("{} all the same: the errors of single precision add up.", differ(state));
            out.extend(wrapped(&text, columns, plain));
        }
        Some(what) => out.extend(loss(state, what, columns)),
        None => {}
    }
    if let (Some(findings), None) = (&snap.findings, reason(state).filter(|r| *r != "rounding")) {
        out.extend(wrapped(&format!("floor {}, threshold {}", number(findings.floor), number(findings.threshold)), columns, dim));
    }
    out
}

/// `1 label differs`, `3 labels differ`.
fn differ(state: &State) -> String {
    match state.snapshot.images.flipped {
        1 => "1 label differs".into(),
        n => format!("{n} labels differ"),
    }
}

/// What a coarse arithmetic loses, and the layers that lose most.
fn loss(state: &State, what: &str, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let Some(sheet) = &state.snapshot.sheet else { return Vec::new() };
    let each = sheet.floor.map(|(floor, _)| format!(" (nine of ten up to {})", percent(floor))).unwrap_or_default();
    let text = format!("{} all the same: that is what {what} loses, a little in each layer{each}, most in", differ(state));
    let mut out = wrapped(&text, columns, theme.style(Role::Text));
    let mut rows: Vec<(usize, &Row, f32)> =
        sheet.rows.iter().enumerate().filter_map(|(i, r)| Some((i, r, r.isolated.filter(|e| e.is_finite() && *e > 0.0)?))).collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    for (at, row, error) in rows.into_iter().take(MOST) {
        let name = state.derived.names[1].get(at).cloned().unwrap_or_default();
        let text = row.target.as_ref().or(row.source.as_ref()).map(|c| c.text.clone()).unwrap_or_default();
        let room = columns.saturating_sub(10);
        let shown = if name.is_empty() { text } else { name };
        out.push(Line::from(vec![
            Span::styled(format!("{:>8}  ", percent(error)), theme.style(Role::Warn)),
            Span::styled(text::clip(&shown, room), theme.style(Role::Text)),
        ]));
    }
    let keys = &state.keys;
    let next = format!(
        "{} goes to the layer that loses most. `fixcon repair --raise-precision` lets as few layers as bring the labels back compute in single precision.",
        keys.key(Action::Worst)
    );
    out.extend(wrapped(&next, columns, theme.style(Role::Dim)));
    out
}

fn percent(x: f32) -> String {
    format!("{:.1} %", x * 100.0)
}
