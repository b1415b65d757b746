//! The flipped image, or where none flipped one that comes close to it: its picture, what both models say of it, and with what margin.

use super::{open_frame, put, select, title};
use crate::session::{Flip, Opinion, Scored};
use crate::tui::layout::{self, Panes};
use crate::tui::picture::Form;
use crate::tui::state::{Pane, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::Widget;

/// Columns from which on a list has bars.
const BARS: u16 = 22;

/// Draws the pane.
pub fn draw(state: &State, panes: &Panes, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let images = &state.snapshot.images;
    let (count, agreeing) = (images.listed().len(), images.flips.is_empty());
    let heading = match (count, agreeing) {
        (0, _) => "image".into(),
        (_, true) => format!("image {} of {count}, closest calls first", state.image + 1),
        (_, false) => format!("image {} of {count} that differed", state.image + 1),
    };
    let mut inner = open_frame(state, panes, Pane::Image, area, vec![title(theme, heading.clone())], buffer);
    if !panes.framed {
        put(buffer, inner, 1, 0, &heading, theme.style(Role::Dim));
        inner = Rect::new(inner.x, inner.y + 1, inner.width, inner.height.saturating_sub(1));
    }
    let Some(flip) = state.flip() else {
        let text = if state.snapshot.unreadable().is_some() {
            "a model cannot be read: there is nothing to compare"
        } else if state.snapshot.does_not_run.is_some() {
            "the target does not run: there is no label to compare"
        } else if images.done == 0 {
            "images are compared as soon as both models are loaded"
        } else if images.done < images.of {
            "no label differs so far"
        } else {
            "no label differs"
        };
        for (i, line) in text::wrap(text, (inner.width as usize).saturating_sub(2)).iter().enumerate() {
            put(buffer, inner, 1, 1 + i, line, theme.style(Role::Dim));
        }
        return;
    };
    let place = panes.inner(Pane::Image).map(|inner| layout::picture(inner, state.zoomed)).unwrap_or_default();
    let place = Rect { y: place.y + u16::from(!panes.framed), ..place }.intersection(inner);
    picture(state, place, buffer);
    let x = place.right().saturating_sub(inner.x) + 1;
    let side = Rect::new(inner.x + x, inner.y, inner.width.saturating_sub(x), inner.height);
    let name = flip.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = crate::model::harmless(&name).into_owned();
    put(buffer, side, 0, 0, &text::shorten(&name, side.width as usize), theme.style(Role::Text));
    let (sign, words, role) = if agreeing {
        ("=", "labels agree", Role::Good)
    } else if flip.broken {
        ("✗", "newly broken", Role::Bad)
    } else if flip.mended {
        ("✓", "mended", Role::Good)
    } else {
        ("✗", "labels differ", Role::Bad)
    };
    let reason = super::clean::reason(state).filter(|_| !flip.mended && !agreeing);
    let (words, role) = match reason {
        Some(reason) => (format!("≠ {reason}, no fault"), Role::Warn),
        None => (format!("{sign} {words}"), role),
    };
    put(buffer, side, 0, 1, &words, theme.style(role));
    if let Some(truth) = &flip.truth {
        put(buffer, side, 0, 2, &text::clip(&format!("truth: {truth}"), side.width as usize), theme.style(Role::Dim));
    }
    let below = (place.bottom().max(side.y + 12) + 1).min(inner.bottom());
    let rest = Rect::new(inner.x, below, inner.width, inner.bottom() - below);
    if rest.height >= 2 {
        grid(state, rest, buffer);
    }
    let list = |side: Rect, y: usize, name: &str, opinion: &Opinion, buffer: &mut Buffer| {
        opinion_list(state, side, y, name, opinion, flip, buffer)
    };
    if side.width >= 44 || side.height < 19 || rest.height >= 2 {
        let half = side.width / 2;
        let left = Rect { width: half.saturating_sub(1), ..side };
        // Bars of both have one scale; names alone may have what is left.
        let width = if left.width >= BARS { left.width } else { side.width - half };
        let right = Rect { x: side.x + half, width, ..side };
        list(left, 4, "source", &flip.source, buffer);
        list(right, 4, "target", &flip.target, buffer);
    } else {
        list(side, 4, "source", &flip.source, buffer);
        list(side, 12, "target", &flip.target, buffer);
    }
}

/// All images that are listed, with what has become of them, below the one that is shown.
fn grid(state: &State, area: Rect, buffer: &mut Buffer) {
    const WIDTH: usize = 22;
    let theme = &state.theme;
    let agreeing = state.snapshot.images.flips.is_empty();
    let flips = state.snapshot.images.listed();
    let columns = (area.width as usize / WIDTH).max(1);
    let rows = area.height as usize;
    let top = (state.image / columns + 1).saturating_sub(rows);
    let hidden = flips.len().saturating_sub((top + rows) * columns);
    for (i, flip) in flips.iter().enumerate().skip(top * columns).take(rows * columns) {
        let (x, y) = (i % columns * WIDTH, i / columns - top);
        let (sign, role) = if agreeing {
            ("=", Role::Good)
        } else if flip.broken {
            ("!", Role::Warn)
        } else if flip.mended {
            ("✓", Role::Good)
        } else {
            ("✗", Role::Bad)
        };
        let name = flip.path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // One sign for each run of all images, the last as it is now.
        let earlier = &flip.trail[..flip.trail.len().saturating_sub(1)];
        let mut at = x;
        for differs in earlier.iter().skip(earlier.len().saturating_sub(4)) {
            at = put(buffer, area, at, y, if *differs { "✗" } else { "✓" }, theme.style(Role::Faint));
        }
        at = put(buffer, area, at, y, sign, theme.style(role));
        let name = text::shorten(&crate::model::harmless(&name), (x + WIDTH).saturating_sub(at + 2));
        put(buffer, area, at + 1, y, &name, theme.style(Role::Text));
        if i == state.image {
            let place = Rect { x: area.x + at as u16 + 1, width: text::width(&name) as u16, ..area };
            select(buffer, place, y, theme);
        }
    }
    if hidden > 0 {
        let mark = format!(" {hidden} more ");
        put(buffer, area, (area.width as usize).saturating_sub(mark.len()), rows - 1, &mark, theme.style(Role::Warn));
    }
}

fn opinion_list(state: &State, area: Rect, y: usize, name: &str, opinion: &Opinion, flip: &Flip, buffer: &mut Buffer) {
    let truth = flip.truth.as_deref();
    // What the source finds nearly undecided: the target's margin may be what the fault left.
    let near = flip.near_tie && name == "source";
    let theme = &state.theme;
    put(buffer, area, 0, y, name, theme.style(Role::Dim));
    let width = area.width as usize;
    for (i, s) in opinion.top.iter().enumerate() {
        let right = truth.is_some_and(|t| t == s.label);
        let style = if i == 0 { theme.style(Role::Text).add_modifier(ratatui::style::Modifier::BOLD) } else { theme.style(Role::Text) };
        let style = if right { style.patch(theme.style(Role::Good)) } else { style };
        // Names say more than bars.
        let bars = width >= usize::from(BARS);
        let label = text::fill(&s.label, width.saturating_sub(if bars { 10 } else { 4 }).clamp(4, 14));
        let x = put(buffer, area, 0, y + 1 + i, &label, style);
        put(buffer, area, x + 1, y + 1 + i, &score(s), theme.style(Role::Dim));
        if bars && width > x + 8 {
            let level = f64::from(s.score.clamp(0.0, 1.0));
            put(buffer, area, x + 6, y + 1 + i, &text::bar(level, (width - x - 7).min(10)), theme.style(Role::Faint));
        }
    }
    let margin = if near { format!("near tie {}", short(opinion.margin)) } else { format!("margin {}", short(opinion.margin)) };
    put(buffer, area, 0, y + 1 + opinion.top.len(), &margin, theme.style(if near { Role::Warn } else { Role::Dim }));
}

fn score(s: &Scored) -> String {
    short(s.score)
}

/// `.81`; figures that are no probabilities in full.
fn short(x: f32) -> String {
    if (0.0..0.995).contains(&x) {
        format!(".{:02.0}", (x * 100.0).round())
    } else if x <= 1.0 && x > 0.0 {
        "1.0".into()
    } else {
        crate::session::words::number(x)
    }
}

fn picture(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    match state.picture.as_ref().map(|p| &p.form) {
        Some(Form::Native(protocol)) => ratatui_image::Image::new(protocol).render(area, buffer),
        Some(Form::Halves { width, height, pixels }) => halves(state, area, (*width, *height), pixels, buffer),
        Some(Form::None(why)) => {
            for (i, line) in text::wrap(why, area.width as usize).iter().enumerate() {
                put(buffer, area, 0, i, line, theme.style(Role::Dim));
            }
        }
        None => {
            put(buffer, area, 0, 0, "…", theme.style(Role::Dim));
        }
    }
}

fn halves(state: &State, area: Rect, (width, height): (u16, u16), pixels: &[[u8; 3]], buffer: &mut Buffer) {
    let at = |x: u16, y: u16| pixels.get(usize::from(y) * usize::from(width) + usize::from(x)).copied().unwrap_or_default();
    for y in 0..height.min(area.height) {
        for x in 0..width.min(area.width) {
            let (upper, lower) = (at(x, 2 * y), at(x, 2 * y + 1));
            let colour = |p: [u8; 3]| state.theme.pixel(p[0], p[1], p[2]);
            match (colour(upper), colour(lower)) {
                (Some(fg), Some(bg)) if !state.theme.ascii => {
                    put(buffer, area, x.into(), y.into(), "▀", Style::default().fg(fg).bg(bg));
                }
                _ => {
                    let grey = |p: [u8; 3]| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
                    let level = (grey(upper) + grey(lower)) / 510.0;
                    const INK: &[u8; 10] = b" .:-=+*#%@";
                    let c = char::from(INK[(level * 9.0).round() as usize]);
                    put(buffer, area, x.into(), y.into(), c.encode_utf8(&mut [0; 4]), Style::default());
                }
            }
        }
    }
}
