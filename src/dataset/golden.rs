//! Values that a run elsewhere left behind: the outputs that Polygraphy saves as JSON (`--save-outputs`), or an `.npz` file.

use super::{DatasetError, npy};
use crate::model::read_file;
use crate::run::Value;
use serde_json::Value as Json;
use std::path::Path;

/// Values by name, as one image gave them.
pub type Golden = Vec<(String, Value)>;

/// The values of a file, run by run: one entry for each image.
///
/// Of Polygraphy's JSON the first runner's iterations are taken; a list of maps from names to arrays (`--save-inputs`) is read as well. An
/// `.npz` file holds one image.
///
/// # Errors
/// [`DatasetError::Images`], naming the file, when it cannot be read or holds no array.
pub fn golden(path: &Path) -> Result<Vec<Golden>, DatasetError> {
    let bad = |why: String| DatasetError::Images { path: path.into(), why };
    let text = read_file(path, npy::MAX_BYTES).map_err(|e| bad(e.to_string()))?;
    if text.starts_with(b"PK") {
        return Ok(vec![npy::archive(text).map_err(bad)?]);
    }
    let json: Json = serde_json::from_slice(&text).map_err(|e| bad(format!("neither .npz nor JSON: {e}")))?;
    let runs = runs(&json).map_err(bad)?;
    if runs.iter().all(Vec::is_empty) {
        return Err(bad("it holds no array; polygraphy run --save-outputs writes one that does".into()));
    }
    Ok(runs)
}

fn runs(json: &Json) -> Result<Vec<Golden>, String> {
    // {"lst": [[runner, [iteration, ...]], ...]}
    if let Some(runners) = json.get("lst").and_then(Json::as_array) {
        let iterations = runners.first().and_then(|r| r.get(1)).and_then(Json::as_array).ok_or("it holds no run")?;
        return iterations.iter().map(|i| arrays(i.get("outputs").unwrap_or(i))).collect();
    }
    match json {
        Json::Array(all) => all.iter().map(arrays).collect(),
        one => Ok(vec![arrays(one.get("outputs").unwrap_or(one))?]),
    }
}

fn arrays(json: &Json) -> Result<Golden, String> {
    let Some(map) = json.as_object() else { return Err("a run is a map from names to arrays".into()) };
    let mut out = Vec::new();
    for (name, value) in map {
        // {"values": {"array": base64 of a .npy file}}, or the inner one alone.
        let inner = value.get("values").unwrap_or(value);
        let Some(text) = inner.get("array").and_then(Json::as_str) else { continue };
        let bytes = base64_simd::STANDARD.decode_to_vec(text).map_err(|_| format!("array '{name}': its base64 is damaged"))?;
        out.push((name.clone(), npy::array(&bytes).map_err(|e| format!("array '{name}': {e}"))?));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(values: &[f32]) -> String {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (1, {}), }}\n", values.len());
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        base64_simd::STANDARD.encode_to_string(bytes)
    }

    #[test]
    fn what_polygraphy_saves_is_read() {
        let array = |v: &[f32]| serde_json::json!({ "array": npy(v), "polygraphy_class": "ndarray" });
        let lazy = |v: &[f32]| serde_json::json!({ "values": array(v), "polygraphy_class": "LazyArray" });
        let outputs = serde_json::json!({ "lst": [["trt-runner", [
            { "outputs": { "a": lazy(&[1.0, 2.0]), "b": lazy(&[3.0]) }, "runtime": 0.1, "runner_name": "trt-runner" },
            { "outputs": { "a": lazy(&[4.0, 5.0]) }, "runtime": 0.1, "runner_name": "trt-runner" },
        ]]], "polygraphy_class": "RunResults" });
        let found = runs(&outputs).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0][0].0.as_str(), found[0][0].1.shape(), &*found[0][0].1.to_f32()), ("a", &[1, 2][..], &[1.0, 2.0][..]));
        assert_eq!(&*found[1][0].1.to_f32(), &[4.0, 5.0][..]);
        // What --save-inputs writes.
        let inputs = serde_json::json!([{ "x": array(&[7.0]) }]);
        assert_eq!(&*runs(&inputs).unwrap()[0][0].1.to_f32(), &[7.0][..]);
    }

    #[test]
    fn what_is_none_of_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (text, why) in [
            ("{", "neither .npz nor JSON"),
            ("{\"a\": 1}", "no array"),
            ("[1]", "a map from names"),
            ("{\"lst\": []}", "no run"),
            ("{\"a\": {\"array\": \"%%\"}}", "base64"),
            ("{\"a\": {\"array\": \"AAAA\"}}", "not a .npy"),
        ] {
            let file = dir.path().join("golden.json");
            std::fs::write(&file, text).unwrap();
            let error = golden(&file).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("golden.json"), "{error}");
        }
    }
}
