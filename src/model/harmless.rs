//! Names from files, made fit to be shown.

use std::borrow::Cow;

/// Text of a file that can do no harm on a terminal, in a log or on a page: control characters (escape sequences need one), marks that
/// turn the direction of writing, and invisible separators are replaced by `�` or by their escaped form.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            c if is_harmful(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// JSON that says the same, with everything harmful written as `\u` and four digits. Outside of strings JSON holds none of it but line breaks, which stay.
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_harmful(c) && c != '\n';
    if !json.chars().any(harmful) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if harmful(c) {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{harmless, harmless_json};

    #[test]
    fn json_says_the_same() {
        let value = serde_json::json!({ "a\u{9b}": ["\u{202e}x", "\u{e0041}", "two\nlines\t", "\u{7f}ü"], "b": 1 });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = harmless_json(&text);
        assert!(!safe.chars().any(|c| super::is_harmful(c) && c != '\n'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        assert!(safe.contains("\\u009b") && safe.contains("\\udb40\\udc41"));
        assert!(matches!(harmless_json("{\n}"), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        for name in ["/layer1/conv/Conv_output_0", "größe", "猫", "👩‍🚀"] {
            assert!(matches!(harmless(name), std::borrow::Cow::Borrowed(n) if n == name));
        }
    }

    #[test]
    fn escape_sequences_and_turned_writing_lose_their_power() {
        assert_eq!(harmless("a\x1b]0;pwned\x07b"), "a\\e]0;pwned\u{fffd}b");
        assert_eq!(harmless("x\u{9b}31my"), "x\u{fffd}31my");
        assert_eq!(harmless("abc\u{202e}gnp.exe"), "abc\u{fffd}gnp.exe");
        assert_eq!(harmless("two\nlines\t."), "two\\nlines\\t.");
    }
}
