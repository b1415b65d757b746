//! Colours and signs. What a colour tells, a sign or a word tells too.

use super::text;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// For a dark background.
    Dark,
    /// For a light background.
    Light,
    /// For a background that is not known: readable on both.
    Either,
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None, or the user wants none.
    Mono,
    /// The sixteen of old.
    Sixteen,
    /// 256 by number.
    Indexed,
    /// 24 bits.
    True,
}

/// What a piece of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Plain text.
    Text,
    /// Text of less weight.
    Dim,
    /// Lines and rails.
    Faint,
    /// What the eye should find: titles, the focused frame.
    Accent,
    /// The selected row.
    Selected,
    /// Right, mended.
    Good,
    /// Wrong.
    Bad,
    /// Not known, needs attention.
    Warn,
    /// Waits for a decision.
    Proposed,
    /// A key that can be pressed.
    Key,
    /// A match of a search.
    Match,
}

/// Colours, their number, and whether only ASCII may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Which colours.
    pub look: Look,
    /// How many.
    pub depth: Depth,
    /// Only ASCII.
    pub ascii: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self { look: Look::Dark, depth: Depth::True, ascii: false }
    }
}

impl Theme {
    /// What the environment says of the terminal; `get` reads a variable.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|v| !v.is_empty());
        let term = get("TERM").unwrap_or_default();
        let depth = if set("NO_COLOR").is_some() || term == "dumb" {
            Depth::Mono
        } else if set("COLORTERM").is_some_and(|c| c == "truecolor" || c == "24bit") || term.contains("direct") {
            Depth::True
        } else if term.contains("256") || term.contains("kitty") || term.contains("alacritty") {
            Depth::Indexed
        } else {
            Depth::Sixteen
        };
        // COLORFGBG is `foreground;background`; 7 and 15 are the light ones.
        let light = set("COLORFGBG").and_then(|v| v.rsplit(';').next().map(|b| b == "7" || b == "15"));
        let look = light.map_or(Look::Either, |light| if light { Look::Light } else { Look::Dark });
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default().to_lowercase();
        let ascii = !(locale.contains("utf-8") || locale.contains("utf8"));
        Self { look, depth, ascii }
    }

    /// The other look.
    pub fn turned(self) -> Self {
        Self { look: if self.look == Look::Dark { Look::Light } else { Look::Dark }, ..self }
    }

    /// How a piece of the screen is drawn.
    pub fn style(&self, role: Role) -> Style {
        if self.depth == Depth::Mono {
            return mono(role);
        }
        let plain = Style::default();
        let fg = |rgb: [u32; 3], old: Color| plain.fg(self.colour(rgb, old));
        match role {
            Role::Text => plain,
            Role::Dim => fg([0x9a_a3b2, 0x5b_6470, 0x76_7676], Color::Gray),
            Role::Faint => fg([0x56_5f70, 0xa8_b0bb, 0x8a_8a8a], Color::DarkGray),
            Role::Accent => fg([0x7a_b0ff, 0x0b_57d0, 0x2f_7fd6], Color::Cyan).add_modifier(Modifier::BOLD),
            Role::Selected if self.depth == Depth::Sixteen => plain.add_modifier(Modifier::REVERSED),
            Role::Selected => plain.bg(self.colour([0x2d_3548, 0xdc_e6f7, 0xdc_e6f7], Color::Blue)),
            Role::Good => fg([0x8f_d16a, 0x1a_7f37, 0x2e_8b3a], Color::Green),
            Role::Bad => fg([0xff_7389, 0xcf_222e, 0xe0_3e52], Color::Red).add_modifier(Modifier::BOLD),
            Role::Warn => fg([0xe8_b45e, 0x95_5f00, 0xa8_761a], Color::Yellow),
            Role::Proposed => fg([0xc8_a5ff, 0x7b_3fd4, 0x9a_63e0], Color::Magenta).add_modifier(Modifier::BOLD),
            Role::Key => fg([0xe8_b45e, 0x0b_57d0, 0xa8_761a], Color::Yellow).add_modifier(Modifier::BOLD),
            Role::Match => fg([0xe8_b45e, 0x95_5f00, 0xa8_761a], Color::Yellow).add_modifier(Modifier::UNDERLINED),
        }
    }

    /// What is written in where nothing says otherwise and the background is ours: the terminal's own colour may be as dark as that.
    pub fn ink(&self) -> Option<Color> {
        let ours = matches!(self.depth, Depth::True | Depth::Indexed);
        ours.then(|| self.colour([0xe6_e9ef, 0x1c_2128, 0x1c_2128], Color::Reset))
    }

    /// A colour between cool and hot; `level` from 0 to 1.
    pub fn heat(&self, level: f64) -> Style {
        match self.depth {
            Depth::Mono => Style::default(),
            Depth::Sixteen => Style::default().fg(match level {
                l if l < 0.34 => Color::DarkGray,
                l if l < 0.67 => Color::Yellow,
                _ => Color::Red,
            }),
            _ => {
                let (cool, warm, hot) = match self.look {
                    Look::Dark => ([0x4a, 0x62, 0x7a], [0xe8, 0xb4, 0x5e], [0xff, 0x73, 0x89]),
                    Look::Light => ([0x9f, 0xb4, 0xcc], [0xd8, 0x93, 0x10], [0xcf, 0x22, 0x2e]),
                    Look::Either => ([0x6f, 0x86, 0x9e], [0xa8, 0x76, 0x1a], [0xe0, 0x3e, 0x52]),
                };
                let level = level.clamp(0.0, 1.0);
                let (a, b, t) = if level < 0.5 { (cool, warm, level * 2.0) } else { (warm, hot, level * 2.0 - 1.0) };
                let mix = |i: usize| (f64::from(a[i]) + (f64::from(b[i]) - f64::from(a[i])) * t).round() as u8;
                Style::default().fg(self.rgb(mix(0), mix(1), mix(2)))
            }
        }
    }

    /// The nearest colour that the terminal has. `None` when it has none.
    pub fn pixel(&self, r: u8, g: u8, b: u8) -> Option<Color> {
        (self.depth > Depth::Sixteen).then(|| self.rgb(r, g, b))
    }

    /// `of` a dark, a light and an unknown background; `old` of sixteen.
    fn colour(&self, of: [u32; 3], old: Color) -> Color {
        let [dark, light, either] = of;
        let rgb = match self.look {
            Look::Dark => dark,
            Look::Light => light,
            Look::Either => either,
        };
        match (self.depth, self.look) {
            (Depth::Sixteen, Look::Dark) => old,
            // Yellow and cyan cannot be read on white, blue and grey cannot be read on black.
            (Depth::Sixteen, look) => match (old, look) {
                (Color::Yellow, _) => Color::Magenta,
                (Color::Cyan, Look::Light) => Color::Blue,
                (Color::Gray, Look::Light) => Color::DarkGray,
                (Color::Cyan | Color::Gray, _) => Color::Reset,
                (other, _) => other,
            },
            _ => self.rgb((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8),
        }
    }

    fn rgb(&self, r: u8, g: u8, b: u8) -> Color {
        if self.depth == Depth::True { Color::Rgb(r, g, b) } else { Color::Indexed(nearest(r, g, b)) }
    }

    /// Replaces what is not ASCII, when only that may be used.
    pub fn finish(&self, buffer: &mut Buffer) {
        if !self.ascii {
            return;
        }
        for at in 0..buffer.content.len() {
            let (before, rest) = buffer.content.split_at_mut(at);
            let Some(cell) = rest.first_mut().filter(|c| !c.symbol().is_ascii()) else { continue };
            // An arrow takes the blank before it: `10 > 0` would be a comparison.
            if let ("→", Some(blank)) = (cell.symbol(), before.last_mut().filter(|c| c.symbol() == " ")) {
                blank.set_symbol("-").set_style(cell.style());
            }
            cell.set_symbol(text::ascii(cell.symbol()));
        }
    }
}

fn mono(role: Role) -> Style {
    let plain = Style::default();
    match role {
        Role::Text | Role::Good => plain,
        Role::Dim | Role::Faint => plain.add_modifier(Modifier::DIM),
        Role::Accent | Role::Bad | Role::Proposed | Role::Key | Role::Warn => plain.add_modifier(Modifier::BOLD),
        Role::Selected => plain.add_modifier(Modifier::REVERSED),
        Role::Match => plain.add_modifier(Modifier::UNDERLINED),
    }
}

/// The nearest of the 6×6×6 cube and the greys.
fn nearest(r: u8, g: u8, b: u8) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |v: u8| (0..6).min_by_key(|i| STEPS[*i].abs_diff(v)).unwrap_or(0);
    let cube = [step(r), step(g), step(b)];
    let grey = ((u32::from(r) + u32::from(g) + u32::from(b)) / 3).saturating_sub(8).div_ceil(10).min(23) as u8;
    let far = |c: [u8; 3]| [r, g, b].iter().zip(c).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>();
    let (in_cube, in_grey) = (far(cube.map(|i| STEPS[i])), far([8 + 10 * grey; 3]));
    if in_grey < in_cube { 232 + grey } else { (16 + 36 * cube[0] + 6 * cube[1] + cube[2]) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(of: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| of.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string())
    }

    #[test]
    fn the_environment_decides() {
        let t = Theme::from_env(env(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "C.UTF-8")]));
        assert_eq!(t, Theme { look: Look::Either, depth: Depth::True, ascii: false });
        assert_eq!(Theme::from_env(env(&[("COLORFGBG", "15;0")])).look, Look::Dark);
        assert_eq!(Theme::from_env(env(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")])).depth, Depth::Mono);
        assert_eq!(Theme::from_env(env(&[("TERM", "xterm-256color"), ("NO_COLOR", "")])).depth, Depth::Indexed);
        assert_eq!(Theme::from_env(env(&[("TERM", "linux")])).depth, Depth::Sixteen);
        assert_eq!(Theme::from_env(env(&[("COLORFGBG", "0;15")])).look, Look::Light);
        assert!(Theme::from_env(env(&[("LANG", "C")])).ascii);
        assert!(Theme::from_env(env(&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")])).ascii);
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let theme = Theme { depth: Depth::Mono, ..Theme::default() };
        for role in
            [Role::Text, Role::Dim, Role::Faint, Role::Accent, Role::Selected, Role::Good, Role::Bad, Role::Warn, Role::Proposed, Role::Key]
        {
            let style = theme.style(role);
            assert!(style.fg.is_none() && style.bg.is_none(), "{role:?}");
        }
        assert_eq!(theme.heat(1.0), Style::default());
    }

    #[test]
    fn on_an_unknown_background_every_colour_can_be_read() {
        let part = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.039_28 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        let theme = Theme { look: Look::Either, ..Theme::default() };
        for role in [Role::Dim, Role::Accent, Role::Good, Role::Bad, Role::Warn, Role::Proposed, Role::Key, Role::Match] {
            let Some(Color::Rgb(r, g, b)) = theme.style(role).fg else { panic!("{role:?} has no colour") };
            let light = 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
            let (on_black, on_white) = ((light + 0.05) / 0.05, 1.05 / (light + 0.05));
            assert!(on_black >= 4.5 && on_white >= 3.5, "{role:?}: {on_black:.1} on black, {on_white:.1} on white");
        }
        assert_eq!(theme.style(Role::Text).fg, None);
    }

    #[test]
    fn few_colours_are_near() {
        assert_eq!(nearest(255, 0, 0), 196);
        assert_eq!(nearest(128, 128, 128), 244);
        assert_eq!(nearest(0, 0, 0), 16);
    }

    #[test]
    fn ascii_means_ascii() {
        let theme = Theme { ascii: true, ..Theme::default() };
        let mut buffer = Buffer::with_lines(["● Conv 3×3 → 猫 ┆"]);
        theme.finish(&mut buffer);
        assert!(buffer.content.iter().all(|c| c.symbol().is_ascii()));
        assert_eq!(buffer.content[0].symbol(), "*");
        assert_eq!((buffer.content[10].symbol(), buffer.content[11].symbol()), ("-", ">"));
    }
}
