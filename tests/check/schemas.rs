//! The JSON that commands write is documented, and the documentation is current.

use super::{json, root, sample};
use schemars::{Schema, schema_for};
use std::fs;

fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("case", schema_for!(fixcon::dataset::CaseFile)),
        ("check", schema_for!(fixcon::compare::CheckReport)),
        ("export", schema_for!(fixcon::cli::ExportReport)),
        ("error", schema_for!(fixcon::cli::FailureReport)),
        ("explain", schema_for!(fixcon::cli::ExplainReport)),
        ("golden", schema_for!(fixcon::cli::GoldenReport)),
        ("inject", schema_for!(fixcon::cli::InjectReport)),
        ("inject-list", schema_for!(fixcon::cli::InjectList)),
        ("inspect", schema_for!(fixcon::cli::InspectReport)),
        ("inspect-node", schema_for!(fixcon::cli::NodeReport)),
        ("localize", schema_for!(fixcon::cli::LocalizeReport)),
        ("log", schema_for!(fixcon::cli::LogReport)),
        ("matrix", schema_for!(fixcon::cli::MatrixReport)),
        ("repair", schema_for!(fixcon::cli::RepairReport)),
        ("replay", schema_for!(fixcon::cli::ReplayReport)),
        ("report", schema_for!(fixcon::report::Report)),
        ("triage", schema_for!(fixcon::cli::TriageReport)),
    ]
}

/// `FIXCON_WRITE_SCHEMAS=1 cargo test --test check schemas` writes them anew.
#[test]
fn the_schemas_in_docs_are_those_of_the_code() {
    let folder = root().join("docs/schemas");
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("FIXCON_WRITE_SCHEMAS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == text, "{} is stale: FIXCON_WRITE_SCHEMAS=1 cargo test --test check schemas", path.display());
    }
}

/// Every key that is written is in the schema, and every key that the schema requires is written.
fn conforms(value: &serde_json::Value, schema: &serde_json::Value, whole: &serde_json::Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => whole.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    if let Some(any) = schema["anyOf"].as_array().filter(|_| !value.is_null()) {
        return conforms(value, &any[0], whole, place);
    }
    match value {
        serde_json::Value::Object(map) => {
            let Some(properties) = schema["properties"].as_object() else { return };
            for (key, v) in map {
                let known = properties.get(key).unwrap_or_else(|| panic!("{place}.{key} is not in the schema"));
                conforms(v, known, whole, &format!("{place}.{key}"));
            }
            for key in schema["required"].as_array().into_iter().flatten() {
                assert!(map.contains_key(key.as_str().unwrap()), "{place} lacks {key}");
            }
        }
        serde_json::Value::Array(all) => all.iter().for_each(|v| conforms(v, &schema["items"], whole, place)),
        _ => {}
    }
}

#[test]
fn what_commands_write_fits_the_schemas() {
    let find = |name: &str| schemas().into_iter().find(|(n, _)| *n == name).unwrap().1.to_value();
    for (name, args) in [
        ("check", vec!["check".to_string(), sample("1-mobilenet-pads")]),
        ("error", vec!["check".to_string(), sample("5-resnet-unloadable")]),
        ("inspect", vec!["inspect".to_string(), "sample_models/models/vit.onnx".to_string()]),
        ("explain", vec!["explain".to_string()]),
        ("inject-list", vec!["inject".to_string(), "--list".to_string(), "sample_models/models/resnet.onnx".to_string()]),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let schema = find(name);
        conforms(&json(&args).1, &schema, &schema, name);
    }
}
