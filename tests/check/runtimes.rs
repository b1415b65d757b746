//! The second runtime: what is said when it is not there, and that both runtimes agree when it is.

use super::{run, sample};

#[cfg(not(feature = "ort"))]
#[test]
fn a_build_without_it_says_how_to_get_it() {
    let case = sample("1-mobilenet-pads");
    for args in [["check", &case, "--runtime", "ort"].as_slice(), &["check", &case, "--self"]] {
        let (code, _, err) = run(args);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("--features ort"), "{err}");
    }
}

#[cfg(feature = "ort")]
#[test]
fn a_library_that_is_not_there_is_named_with_the_flag_that_names_another() {
    let case = sample("1-mobilenet-pads");
    let (code, _, err) = run(&["check", &case, "--runtime", "ort", "--ort-lib", "no/such/libonnxruntime.so"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no/such/libonnxruntime.so") && err.contains("--ort-lib") && err.contains("ORT_DYLIB_PATH"), "{err}");
}

/// With `ORT_DYLIB_PATH` set, as `cargo test --features ort` is meant to be run; there is nothing to compare with otherwise.
#[cfg(feature = "ort")]
#[test]
fn both_runtimes_agree() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        return eprintln!("ORT_DYLIB_PATH is not set: nothing was compared");
    }
    use super::json;
    for case in ["1-mobilenet-pads", "9-vit-clean-decomposed"] {
        let case = sample(case);
        let (code, own) = json(&["check", &case, "--self"]);
        assert_eq!((code, &own["mismatches"]["count"]), (0, &0.into()), "{own}");
        assert!(own["summary"]["distance"]["relative_l2_max"].as_f64().unwrap() < 1e-5, "{own}");
        let (_, tract) = json(&["check", &case]);
        let (_, ort) = json(&["check", &case, "--runtime", "ort"]);
        assert_eq!(tract["mismatches"], ort["mismatches"]);
    }
}
