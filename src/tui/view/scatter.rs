//! Weights of both sides: figures, and the target's numbers over the source's.

use crate::session::words::number;
use crate::session::{Scatter, Weights};
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::text::{Line, Span};

/// Weights of which figures are shown.
const MOST: usize = 4;

/// The lines of the section: figures of those weights that differ most, and the scatter of the first.
pub fn content(state: &State, weights: &[Weights], columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let dim = theme.style(Role::Dim);
    let mut out = Vec::new();
    for w in weights.iter().take(MOST) {
        let (how, role) = match (w.equal, w.error) {
            (Some((same, of)), _) if same == of => (format!("all {of} numbers equal"), Role::Dim),
            (Some((same, of)), error) => {
                let off = error.filter(|e| e.is_finite()).map(|e| format!(", off by {} %", number(e * 100.0))).unwrap_or_default();
                (format!("{same} of {of} numbers equal{off}"), Role::Bad)
            }
            (None, _) => ("on one side only, as many numbers".into(), Role::Warn),
        };
        let room = columns.saturating_sub(text::width(&how) + 10);
        out.push(Line::from(vec![
            Span::styled("weights  ", dim),
            Span::styled(text::shorten(&w.name, room.max(8)), theme.style(Role::Text)),
            Span::raw(" "),
            Span::styled(how, theme.style(role)),
        ]));
        let figures = |name: &str, s: &[f32; 4]| {
            let text = format!("{} … {}  mean {}  sd {}", number(s[0]), number(s[1]), number(s[2]), number(s[3]));
            Line::from(vec![Span::styled(text::fill(name, 9), dim), Span::raw(text)])
        };
        match (&w.source, &w.target) {
            // Once is enough where both are the same.
            (Some(a), Some(_)) if w.equal.is_some_and(|(same, of)| same == of) => out.push(figures("  both", a)),
            (a, b) => {
                out.extend(a.as_ref().map(|a| figures("  source", a)));
                out.extend(b.as_ref().map(|b| figures("  target", b)));
            }
        }
    }
    if let Some(scatter) = weights.iter().find_map(|w| w.scatter.as_ref()) {
        out.extend(draw(state, scatter, columns));
    }
    out
}

/// Points as braille dots, two across and four down in a cell; what is off the diagonal stands out.
fn draw(state: &State, s: &Scatter, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let dim = theme.style(Role::Dim);
    let (across, down) = (s.columns / 2, s.rows / 4);
    if across + 10 > columns || across == 0 || down == 0 {
        return Vec::new();
    }
    let dot = |x: usize, y: usize| s.counts.get(y * s.columns + x).is_some_and(|n| *n > 0);
    // The bits of the dots of a cell, column by column.
    const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    let mut out = Vec::new();
    for y in 0..down {
        let mut spans = vec![Span::styled(text::fill(if y == 0 { "scatter" } else { "" }, 9), dim)];
        for x in 0..across {
            let mut bits = 0;
            let mut off = false;
            for (dx, column) in BITS.iter().enumerate() {
                for (dy, bit) in column.iter().enumerate() {
                    let (px, py) = (2 * x + dx, 4 * y + dy);
                    if dot(px, py) {
                        bits |= bit;
                        // In parts of the range, from the lower left.
                        let (a, b) = ((px as f64 + 0.5) / s.columns as f64, 1.0 - (py as f64 + 0.5) / s.rows as f64);
                        off |= (a - b).abs() > 0.06;
                    }
                }
            }
            let mark = match bits {
                0 => ' ',
                _ if theme.ascii => '*',
                bits => char::from_u32(0x2800 + bits).unwrap_or('*'),
            };
            spans.push(Span::styled(mark.to_string(), theme.style(if off { Role::Bad } else { Role::Good })));
        }
        let note = match y {
            0 => format!(" {}  target ↑", number(s.range.1)),
            1 => " source →".to_string(),
            2 => " on the diagonal: equal".to_string(),
            y if y + 1 == down => format!(" {}", number(s.range.0)),
            _ => String::new(),
        };
        spans.push(Span::styled(note, dim));
        out.push(Line::from(spans));
    }
    out
}
