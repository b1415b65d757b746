//! Any text as a case file: an error in words or a case that can be written and read again.

#![no_main]

use fixcon::dataset::CaseFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match CaseFile::parse(text) {
        Err(why) => assert!(!why.is_empty()),
        Ok(case) => {
            assert_eq!(CaseFile::parse(&case.to_toml()).as_ref(), Ok(&case));
            for keys in [case.source.preprocess, case.target.preprocess].into_iter().flatten() {
                if let Ok(recipe) = keys.resolve() {
                    // A table with every key gives the same recipe.
                    assert_eq!(fixcon::dataset::Recipe::from_toml(&recipe.to_toml()).unwrap(), recipe);
                }
            }
        }
    }
});
