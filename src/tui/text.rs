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

/// As [`clip`], but it is the beginning that goes: the end of a path says more.
pub fn clip_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_string();
    }
    if columns == 0 {
        return String::new();
    }
    let mut out: Vec<&str> = Vec::new();
    let mut used = 0;
    for g in text.graphemes(true).rev() {
        let w = g.width();
        if used + w > columns - 1 {
            break;
        }
        out.push(g);
        used += w;
    }
    out.push("…");
    out.into_iter().rev().collect()
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
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace().flat_map(|w| pieces(w, columns)) {
        let gap = usize::from(!line.is_empty());
        if width(&line) + gap + width(&word) > columns && !line.is_empty() {
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
        "±" => "+",
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
        assert_eq!(clip_start("/a/long/path.onnx", 10), "…path.onnx");
        assert_eq!(fill("猫", 4), "猫  ");
        assert_eq!(width(&fill("👩‍🚀 astronaut", 6)), 6);
    }

    #[test]
    fn wrapping_keeps_words_whole() {
        assert_eq!(wrap("the target pads all four sides", 10), ["the target", "pads all", "four sides"]);
        assert_eq!(wrap("ab cdefghij", 4), ["ab", "cdef", "ghij"]);
        assert!(wrap("", 4).is_empty());
    }

    #[test]
    fn bars_are_as_long_as_they_say() {
        assert_eq!(bar(0.0, 8), "");
        assert_eq!(bar(1.0, 3), "███");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(spark(1.0), '█');
    }
}
