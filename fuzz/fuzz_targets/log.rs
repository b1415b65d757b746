//! Any bytes as an audit log: an error, or the records up to the first that is not to be trusted. And the same lines sealed anew, as whoever
//! forges a log would: what is accepted then gives every report.

#![no_main]

use fixcon::audit::{Chain, canonical};
use fixcon::report::{Report, brief, html, junit, markdown, sarif};
use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

static FILE: LazyLock<tempfile::TempPath> =
    LazyLock::new(|| tempfile::NamedTempFile::new().expect("a temporary file").into_temp_path());

fuzz_target!(|data: &[u8]| {
    as_it_is(data);
    std::fs::write(&*FILE, sealed(data)).expect("a temporary file");
    let Ok(report) = Report::read(&FILE) else { return };
    assert!(report.whole || report.problem.is_some());
    brief(&report);
    markdown(&report);
    html(&report).expect("a page");
    junit(&report).expect("a table of tests");
    sarif(&report).expect("a list of results");
});

fn as_it_is(data: &[u8]) {
    std::fs::write(&*FILE, data).expect("a temporary file");
    let Ok(chain) = Chain::read(&FILE) else { return };
    assert!(chain.cut_off <= data.len());
    assert!(chain.problem.is_some() || chain.state.is_some(), "what is whole has a state");
    // The chain of a log that is accepted does not survive a change of any byte of its first record.
    let records = chain.records.len();
    if chain.trusted().is_ok() {
        assert!(records > 0);
        let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
        let mut changed = data.to_vec();
        changed[end / 2] ^= 1;
        std::fs::write(&*FILE, &changed).expect("a temporary file");
        assert!(Chain::read(&FILE).map_or(true, |c| c.trusted().is_err()), "a changed record was accepted");
    }
}

/// The lines that are JSON objects, numbered, chained and hashed as [`Chain`] wants them.
fn sealed(data: &[u8]) -> String {
    let mut out = String::new();
    let mut prev = "0".repeat(64);
    let lines = data.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Json>(line).ok());
    for (at, mut json) in lines.filter(Json::is_object).enumerate() {
        json["seq"] = (at + 1).into();
        json["prev"] = prev.into();
        if let Some(members) = json.as_object_mut() {
            members.remove("hash");
        }
        let text = canonical(&json).expect("what was JSON is JSON");
        prev = Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        json["hash"] = prev.clone().into();
        out += &canonical(&json).expect("what was JSON is JSON");
        out.push('\n');
    }
    out
}
