//! Text in columns of a terminal: measured and cut by what is seen, not by bytes.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns`, its end replaced by `…` when it does not fit.
pub fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_string();
    }
    if columns == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for g in text.graphemes(true) {
        let w = g.width();
        if used + w > columns - 1 {
            break;
        }
        out.push_str(g);
        used += w;
    }
    out.push('…');
    out
}

/// As [`clip`], but it is the middle that goes: of names and paths both ends say something, the end more.
pub fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_string();
    }
    if columns == 0 {
        return String::new();
    }
    let head = (columns - 1) / 4;
    let (mut out, mut used) = (String::new(), 0);
    for g in text.graphemes(true).take_while(|g| {
        used += g.width();
        used <= head
    }) {
        out.push_str(g);
    }
    let mut used = width(&out) + 1;
    let tail = text.graphemes(true).rev().take_while(|g| {
        used += g.width();
        used <= columns
    });
    let tail: Vec<&str> = tail.collect();
    out.push('…');
    out.extend(tail.into_iter().rev());
    out
}

/// Cut and filled up with spaces to exactly `columns`.
pub fn fill(text: &str, columns: usize) -> String {
    let mut out = clip(text, columns);
    let used = width(&out);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    out
}

/// Words in lines of at most `columns`; a word that is longer goes on in the next line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    wrap_beside(text, columns, columns)
}

/// The same, with less room in the first line, beside which something stands; it stays empty where not even a word fits.
pub fn wrap_beside(text: &str, first: usize, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace().flat_map(|w| pieces(w, columns)) {
        let gap = usize::from(!line.is_empty());
        let room = if lines.is_empty() { first } else { columns };
        if width(&line) + gap + width(&word) > room && (!line.is_empty() || lines.is_empty()) {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A word in pieces of at most `columns`.
fn pieces(word: &str, columns: usize) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut used = 0;
    for g in word.graphemes(true) {
        let w = g.width();
        if used + w > columns && used > 0 {
            out.push(String::new());
            used = 0;
        }
        if let Some(last) = out.last_mut() {
            last.push_str(g);
        }
        used += w;
    }
    out
}

/// A horizontal bar of eighths of a column; `level` from 0 to 1.
pub fn bar(level: f64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (level.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let mut out = "█".repeat(eighths / 8);
    out.push_str(EIGHTHS[eighths % 8]);
    out
}

/// One character of a vertical bar; `level` from 0 to 1.
pub fn spark(level: f64) -> char {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    LEVELS[(level.clamp(0.0, 1.0) * 7.0).round() as usize]
}

/// One character of ink; `level` from 0 to 1.
pub fn shade(level: f64) -> char {
    const LEVELS: [char; 5] = [' ', '░', '▒', '▓', '█'];
    LEVELS[(level.clamp(0.0, 1.0) * 4.0).round() as usize]
}

/// What stands for a character where the terminal has ASCII only.
pub fn ascii(symbol: &str) -> &'static str {
    match symbol {
        "│" | "┆" | "╵" | "╷" | "▕" | "▏" | "┃" => "|",
        "─" | "╴" | "╶" | "–" | "—" => "-",
        // The frame of the pane that has the keys.
        "━" => "=",
        "┏" | "┓" | "┗" | "┛" => "#",
        "╭" | "╮" | "┌" | "┐" | "┬" => ".",
        "╰" | "╯" | "└" | "┘" | "┴" => "'",
        "├" | "┤" | "┼" => "+",
        "●" | "◆" => "*",
        "○" | "◦" => "o",
        "×" | "✗" => "x",
        "✓" => "v",
        "±" => "@",
        "≈" => "~",
        "≠" => "!",
        "→" | "▶" | "▸" => ">",
        "←" | "◀" => "<",
        "↑" => "^",
        "↓" | "▾" => "v",
        "…" => "~",
        "·" | "░" | "▁" => ".",
        "▂" | "▎" => ":",
        "▃" | "▒" | "▍" => "-",
        "▄" | "▌" => "=",
        "▅" | "▓" | "▋" => "+",
        "▆" | "▇" | "▊" | "▉" => "*",
        "█" | "▀" | "■" => "#",
        "∞" => "8",
        "⚑" => "!",
        "⠋" | "⠼" => "-",
        "⠙" | "⠴" => "\\",
        "⠹" | "⠦" => "|",
        "⠸" | "⠧" => "/",
        "²" => "2",
        "≤" => "<",
        "≥" => ">",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_counts_columns_not_bytes() {
        assert_eq!(clip("abcdef", 4), "abc…");
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("猫猫猫", 5), "猫猫…");
        assert_eq!(clip("猫猫猫", 4), "猫…");
        assert_eq!(clip("abc", 0), "");
        assert_eq!(shorten("/a/long/path.onnx", 12), "/a…path.onnx");
        assert_eq!(shorten("/a/path", 7), "/a/path");
        assert_eq!(shorten("猫猫猫猫猫", 9), "猫…猫猫猫");
        assert_eq!(shorten("abc", 1), "…");
        assert_eq!(fill("猫", 4), "猫  ");
        assert_eq!(width(&fill("👩‍🚀 astronaut", 6)), 6);
    }

    #[test]
    fn wrapping_keeps_words_whole() {
        assert_eq!(wrap("the target pads all four sides", 10), ["the target", "pads all", "four sides"]);
        assert_eq!(wrap("ab cdefghij", 4), ["ab", "cdef", "ghij"]);
        assert!(wrap("", 4).is_empty());
        assert_eq!(wrap_beside("the target pads all four sides", 6, 14), ["the", "target pads", "all four sides"]);
        assert_eq!(wrap_beside("target pads", 4, 8), ["", "target", "pads"]);
    }

    #[test]
    fn bars_are_as_long_as_they_say() {
        assert_eq!(bar(0.0, 8), "");
        assert_eq!(bar(1.0, 3), "███");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(spark(1.0), '█');
    }
}
