//! Any bytes as an audit log: an error, or the records up to the first that is not to be trusted.

#![no_main]

use fixcon::audit::Chain;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FILE: LazyLock<tempfile::TempPath> =
    LazyLock::new(|| tempfile::NamedTempFile::new().expect("a temporary file").into_temp_path());

fuzz_target!(|data: &[u8]| {
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
});
