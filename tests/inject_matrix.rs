//! A small slice of the injection matrix: faults in clean pairs are localised and named. The whole is in docs/injection.md.

use fixcon::cli::MatrixReport;
use std::process::{Command, Output};

fn sample(path: &str) -> String {
    format!("{}/sample_models/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn matrix(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fixcon")).arg("matrix").args(args).output().expect("the program starts")
}

fn report(output: &Output) -> MatrixReport {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

#[test]
fn faults_of_every_category_are_found_and_named() {
    let (resnet, mobilenet) = (sample("cases/7-resnet-clean-tensorflow"), sample("cases/8-mobilenet-clean-torch"));
    let found = report(&matrix(&[&resnet, &mobilenet, "--no-selves", "--one-way", "--seeds", "1", "--images", "6", "--json"]));
    assert_eq!(found.left_out.len(), 0, "both pairs are clean: {:?}", found.left_out);
    let n = found.trials.len();
    assert!(n > 40, "{n} faults");
    let failed: Vec<_> = found.trials.iter().filter(|t| t.failure.is_some()).map(|t| (&t.key, &t.failure)).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let (place, kind) =
        (found.trials.iter().filter(|t| t.first_right()).count(), found.trials.iter().filter(|t| t.first_kind_right()).count());
    let missed: Vec<_> =
        found.trials.iter().filter(|t| !t.first_kind_right()).map(|t| format!("{} ({}): {}", t.key, t.note, t.said())).collect();
    assert!(place * 100 >= n * 90, "{place} of {n} places; missed: {missed:#?}");
    assert!(kind * 100 >= n * 80, "{kind} of {n} kinds; missed: {missed:#?}");
}

/// A wrong declaration makes everything below it fail, weights of another layer look like a wrong input: each is one fault.
#[test]
fn one_fault_with_many_consequences_is_one_suspect() {
    let cases = ["7-resnet-clean-tensorflow", "8-mobilenet-clean-torch", "9-vit-clean-decomposed"].map(|c| sample(&format!("cases/{c}")));
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    let kinds = "ID-DTYPE,ID-BATCH,WB-SWAP,LH-GROUP";
    let found = report(&matrix(&[&cases[..], &["--no-selves", "--kind", kinds, "--images", "6", "--json"]].concat()));
    for kind in kinds.split(',') {
        assert!(found.trials.iter().any(|t| t.kind == kind), "no {kind}");
    }
    let wrong = found.trials.iter().filter(|t| !t.first_kind_right() || t.others > 0);
    let wrong: Vec<_> = wrong.map(|t| format!("{} ({}): {}, {} others", t.key, t.note, t.said(), t.others)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_run_that_was_broken_off_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, tables) = (folder.path().join("results.jsonl"), folder.path().join("tables.md"));
    let (file, tables) = (file.to_str().expect("UTF-8"), tables.to_str().expect("UTF-8"));
    let case = sample("cases/7-resnet-clean-tensorflow");
    let args = [&case, "--no-selves", "--one-way", "--kind", "WB", "--seeds", "1", "--images", "4", "--results", file];
    let whole = report(&matrix(&[&args[..], &["--json"]].concat()));
    // The last record is cut off in the middle: it is made again, and the others are taken as they are.
    let text = std::fs::read_to_string(file).expect("results");
    assert_eq!(text.lines().count(), whole.trials.len());
    std::fs::write(file, &text[..text.len() - 40]).expect("writable");
    let again = matrix(&[&args[..], &["--output", tables]].concat());
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let mended = std::fs::read_to_string(file).expect("results");
    assert_eq!(mended.lines().count(), text.lines().count());
    let all_but_last = |t: &str| t.lines().take(t.lines().count() - 1).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(all_but_last(&mended), all_but_last(&text));
    let tables = std::fs::read_to_string(tables).expect("tables");
    assert!(tables.contains("| WB-BIAS | 1 |") && tables.contains("## By pair"), "{tables}");
}

#[test]
fn pairs_that_are_not_clean_are_left_out() {
    let output = matrix(&[&sample("cases/2-resnet-swapped"), "--no-selves", "--images", "4"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("2-resnet-swapped") && text.contains("labels differ"), "{text}");
}
