//! The text of a record: canonical JSON on one line, sealed by a hash.
//!
//! Canonical means: keys sorted by their bytes, no spaces, no line breaks, and control characters, marks that turn the direction of writing
//! and invisible separators as `\\u` and four digits, so that a log shown on a terminal does nothing there. The hash is the SHA-256 of the record's canonical text without
//! its member `hash`; since the line is canonical itself, that is the line with `,"hash":"…"` taken out. Whoever checks a log need not
//! parse numbers, which JSON readers round differently.

use super::Problem;
use super::digest::sha256_hex;
use crate::model::harmless_json;
use serde::Serialize;
use serde_json::Value as Json;

/// A value as canonical JSON.
///
/// # Errors
/// When it has no JSON, such as a map whose keys are no strings.
pub fn canonical(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(text(canonical_json(serde_json::to_value(value)?)))
}

fn canonical_json(mut json: Json) -> Json {
    json.sort_all_objects();
    json
}

fn text(json: Json) -> String {
    harmless_json(&json.to_string()).into_owned()
}

/// A record's line, without line break, and its hash.
///
/// # Errors
/// When it is no JSON object.
pub(super) fn seal(record: &impl Serialize) -> Result<(String, String), serde_json::Error> {
    let json = canonical_json(serde_json::to_value(record)?);
    let hash = sha256_hex(text(json.clone()).as_bytes());
    let Json::Object(mut members) = json else {
        return Err(serde::ser::Error::custom("a record is an object"));
    };
    members.insert("hash".into(), hash.clone().into());
    members.sort_keys();
    Ok((text(Json::Object(members)), hash))
}

/// A record's line as JSON, once its hash was found to fit.
///
/// # Errors
/// [`Problem::Garbled`] or [`Problem::Changed`].
pub(super) fn unseal(line: &[u8]) -> Result<Json, Problem> {
    let garbled = |why: &str| Problem::Garbled(why.into());
    let json: Json = serde_json::from_slice(line).map_err(|e| Problem::Garbled(format!("no JSON: {e}")))?;
    let hash = json.get("hash").and_then(Json::as_str).ok_or_else(|| garbled("it has no hash"))?;
    // A text that holds its own SHA-256 elsewhere cannot be made, so the first place is the member. `at` always stands in front of it.
    let member = format!(",\"hash\":\"{hash}\"");
    let at = line.windows(member.len()).position(|w| w == member.as_bytes()).ok_or(Problem::Changed)?;
    let rest = [&line[..at], &line[at + member.len()..]].concat();
    if sha256_hex(&rest) == hash { Ok(json) } else { Err(Problem::Changed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            (-1000i32..1000).prop_map(|n| json!(f64::from(n) / 64.0)),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
                prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    fn record() -> impl Strategy<Value = Json> {
        prop::collection::vec((any::<String>(), any_json()), 1..6).prop_map(|members| {
            // A record has its own `hash` only, and a member in front of it.
            members.into_iter().filter(|(k, _)| k != "hash").chain([("at".into(), json!("now"))]).collect()
        })
    }

    fn shuffled(json: &Json) -> Json {
        match json {
            Json::Object(m) => m.iter().rev().map(|(k, v)| (k.clone(), shuffled(v))).collect(),
            Json::Array(a) => a.iter().map(shuffled).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn canonical_text_depends_on_what_is_said_and_is_read_as_it_was(json in any_json()) {
            let text = canonical(&json).unwrap();
            prop_assert_eq!(&canonical(&shuffled(&json)).unwrap(), &text);
            let back: Json = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&back, &json);
            prop_assert_eq!(canonical(&back).unwrap(), text);
        }

        #[test]
        fn a_sealed_record_opens_and_no_changed_byte_does(record in record(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let (line, hash) = seal(&record).unwrap();
            prop_assert!(!line.contains('\n'));
            let mut with = record.clone();
            with["hash"] = hash.into();
            prop_assert_eq!(unseal(line.as_bytes()).unwrap(), with);
            let mut bytes = line.into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert!(unseal(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unseal(&bytes).is_err());
        }
    }

    #[test]
    fn keys_are_sorted_at_every_depth() {
        assert_eq!(
            canonical(&json!({ "b": [{ "z": 1, "a": "ü\n" }], "B": null, "": 0.5 })).unwrap(),
            r#"{"":0.5,"B":null,"b":[{"a":"ü\n","z":1}]}"#
        );
    }
}
