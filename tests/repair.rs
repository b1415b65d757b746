//! Localising and mending the sample models, as a user of the commands sees it.

use assert_cmd::Command;
use fixcon::model::onnx::tensor_proto::DataType;
use fixcon::model::onnx::{AttributeProto, NodeProto};
use fixcon::model::{Edit, Existing, Model};
use fixcon::run::Value as Tensor;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

/// All cases with what the manifest says of them.
fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("manifest.json")).expect("the manifest is there");
    let manifest: Value = serde_json::from_str(&text).expect("the manifest is JSON");
    manifest["cases"].as_array().expect("it lists cases").clone()
}

fn case_file(case: &Value) -> PathBuf {
    root().join("cases").join(case["id"].as_str().expect("a case has an id")).join("case.toml")
}

fn fixcon(args: &[&str], case: &Path, threads: &str) -> Value {
    let mut command = Command::cargo_bin("fixcon").expect("the program is built");
    let output = command.args(args).args(["--threads", threads, "--json", "--quiet", "--case"]).arg(case).output().expect("it runs");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{}: {e}: {}", case.display(), String::from_utf8_lossy(&output.stderr)))
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().map(|a| a.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Whether a suspect names the place of a fault: a node or tensor of it, or for the input its category.
fn names_place(suspect: &Value, fault: &Value) -> bool {
    let input = matches!(fault["category"].as_str(), Some("PP" | "ID"));
    let truth: Vec<&str> = names(&fault["nodes"]).into_iter().chain(names(&fault["tensors"])).collect();
    let said = names(&suspect["target_nodes"]).into_iter().chain(names(&suspect["target_tensors"]));
    (input && suspect["category"] == fault["category"]) || said.into_iter().any(|n| truth.contains(&n))
}

#[test]
fn clean_conversions_have_no_suspect() {
    for case in cases().iter().filter(|c| c["class"] == "clean") {
        let found = fixcon(&["localize"], &case_file(case), "0");
        assert_eq!(found["verdict"], "clean", "{}", case["id"]);
        assert_eq!(found["suspects"].as_array().map(Vec::len), Some(0), "{}", case["id"]);
        let unchecked: Vec<&Value> = found["regions"].as_array().into_iter().flatten().filter(|r| r["verdict"] != "clean").collect();
        assert!(unchecked.is_empty(), "{}: {unchecked:?}", case["id"]);
    }
}

#[test]
fn the_first_suspect_names_the_place_of_a_fault() {
    let faulty: Vec<Value> = cases().into_iter().filter(|c| c["faults"].as_array().is_some_and(|f| !f.is_empty())).collect();
    assert!(faulty.len() >= 12);
    let mut missed = Vec::new();
    for case in &faulty {
        let found = fixcon(&["localize"], &case_file(case), "0");
        let faults = case["faults"].as_array().cloned().unwrap_or_default();
        let suspects = found["suspects"].as_array().cloned().unwrap_or_default();
        if !suspects.first().is_some_and(|s| faults.iter().any(|f| names_place(s, f))) {
            missed.push(format!("{}: {:?}", case["id"], suspects.first().map(|s| (s["kind"].clone(), s["target_nodes"].clone()))));
        }
        assert!(
            faults.iter().all(|f| suspects.iter().any(|s| names_place(s, f))) || !missed.is_empty(),
            "{}: not all faults are found",
            case["id"]
        );
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn the_ranking_of_the_paper_orders_suspects_and_regions() {
    let case = root().join("cases/3-inception-two-faults/case.toml");
    let found = fixcon(&["localize", "--ranking", "kruskal-wallis"], &case, "0");
    assert_eq!(found["ranking"], "kruskal-wallis");
    assert_eq!(found["ranking_images"], serde_json::json!([15, 15]));
    // Shares that activations of onnxruntime and scipy.stats.kruskal give for the same images; rounding may move an element.
    for (node, wanted) in [("/m3/c/c.1/c.1.0/Conv", 105.0 / 512.0), ("/m3/Concat", 112.0 / 2176.0), ("/fc/Gemm", 0.1)] {
        let region = found["regions"].as_array().and_then(|r| r.iter().find(|r| names(&r["target"]).last() == Some(&node)));
        let share = region.and_then(|r| r["significant"].as_f64()).expect("it was tested");
        assert!((share - wanted).abs() < 0.005, "{node}: {share}, not {wanted}");
    }
    let shares: Vec<f64> = found["suspects"].as_array().into_iter().flatten().filter_map(|s| s["significant"].as_f64()).collect();
    assert!(shares.len() == 2 && shares[0] >= shares[1], "{shares:?}");
    // The table lists clean regions, too, the largest share first.
    let mut command = Command::cargo_bin("fixcon").expect("the program is built");
    let output = command.args(["localize", "--ranking", "kruskal-wallis", "--case"]).arg(&case).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let table = text.lines().skip_while(|l| !l.starts_with("ranking  Kruskal-Wallis, 15 flipped against 15 agreeing"));
    let rows: Vec<f64> = table.filter_map(|l| l.trim_end().strip_suffix(" %")?.rsplit(' ').next()?.parse().ok()).collect();
    assert!(rows.len() == 20 && rows.is_sorted_by(|x, y| x >= y) && rows[0] > 20.0, "{text}");
}

#[test]
fn without_flips_there_is_no_ranking_and_it_is_said() {
    let found = fixcon(&["localize", "--ranking", "kruskal-wallis"], &root().join("cases/8-mobilenet-clean-torch/case.toml"), "0");
    assert_eq!(found["ranking"], "splice");
    assert!(names(&found["notes"]).iter().any(|n| n.contains("0 flipped")), "{}", found["notes"]);
}

#[test]
fn repairs_reach_zero_flips_and_replay_to_the_same_digest_on_one_thread_and_on_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let chosen = ["1-mobilenet-pads", "3-inception-two-faults", "5-resnet-unloadable", "4-vit-preprocessing", "13-inception-layout"];
    for case in cases().iter().filter(|c| chosen.contains(&c["id"].as_str().unwrap_or_default())) {
        let id = case["id"].as_str().expect("a case has an id");
        let mut digests = Vec::new();
        for threads in ["1", "2"] {
            let model = folder.path().join(format!("{id}-{threads}.onnx"));
            let log = folder.path().join(format!("{id}-{threads}.jsonl"));
            let (model, log) = (model.to_str().expect("a plain path"), log.to_str().expect("a plain path"));
            let done = fixcon(&["repair", "--yes", "--output", model, "--audit-log", log], &case_file(case), threads);
            assert_eq!(done["final_mismatches"], 0, "{id}: {done}");
            let replayed = Command::cargo_bin("fixcon")
                .expect("the program is built")
                .args(["replay", log, "--threads", threads])
                .output()
                .expect("it runs");
            assert!(replayed.status.success(), "{id}: {}", String::from_utf8_lossy(&replayed.stdout));
            // The log's name is in the model's metadata, so the edits are what can be compared.
            digests.push(done["accepted"].as_array().map(|a| a.iter().map(|e| e["edit"].to_string()).collect::<Vec<_>>()));
        }
        assert_eq!(digests[0], digests[1], "{id}: another repair on two threads");
    }
}

#[test]
fn a_declaration_that_nothing_takes_is_mended_in_the_declaration() {
    let folder = tempfile::tempdir().expect("a folder");
    let clean = root().join("cases/9-vit-clean-decomposed/case.toml");
    let mut command = Command::cargo_bin("fixcon").expect("the program is built");
    let made = command
        .args(["inject", "--kind", "ID-DTYPE,ID-BATCH", "--every-way", "--json", "--case"])
        .arg(&clean)
        .arg("--output-dir")
        .arg(folder.path())
        .output()
        .expect("it runs");
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let faults = made["faults"].as_array().expect("faults");
    assert!(faults.len() >= 2, "{made}");
    for (i, fault) in faults.iter().enumerate() {
        let model = folder.path().join(format!("mended-{i}.onnx"));
        let case = PathBuf::from(fault["case"].as_str().expect("a case"));
        let done = fixcon(&["repair", "--yes", "--output", model.to_str().expect("a plain path")], &case, "0");
        assert_eq!(done["final_mismatches"], 0, "{}: {done}", fault["note"]);
    }
}

#[test]
fn what_the_edits_changed_is_declared_as_it_is_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.onnx");
    let case = root().join("cases/16-mobilenet-onnx2tf");
    let shape = |path: &Path| {
        let model = Model::open(path).expect("it is a model");
        // Nothing contradicts what is declared, before as after.
        assert_eq!(fixcon::model::true_outputs(&model), None, "{}", path.display());
        model.outputs().map(fixcon::repair::words::declared_shape).collect::<Vec<_>>()
    };
    assert_eq!(shape(&case.join("target.onnx")), ["4×10"]);
    let done = fixcon(&["repair", "--yes", "--output", output.to_str().expect("a plain path")], &case.join("case.toml"), "0");
    assert_eq!(done["final_mismatches"], 0, "{done}");
    assert_eq!(shape(&output), ["1×10"]);
    assert!(fixcon::audit::replay(&output.with_extension("fixcon.jsonl"), None).expect("it replays").is_same());
}

#[test]
fn what_exists_is_not_replaced_without_being_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("there.onnx");
    std::fs::write(&model, "mine").expect("written");
    let case = root().join("cases/1-mobilenet-pads/case.toml");
    let mut command = Command::cargo_bin("fixcon").expect("the program is built");
    let output = command.args(["repair", "--yes", "--quiet", "--output"]).arg(&model).arg("--case").arg(&case).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--force"));
    assert_eq!(std::fs::read_to_string(&model).expect("it is there"), "mine");
}

/// A bundled case with another table for the target's recipe, as a file in a folder.
fn with_target_recipe(folder: &Path, id: &str, table: &str) -> PathBuf {
    let case = root().join("cases").join(id);
    let text = std::fs::read_to_string(case.join("case.toml")).expect("the case is there");
    let (before, after) = text.split_once("[target.preprocess]").expect("it has a table");
    let after = &after[after.find("[images]").expect("it has images")..];
    let text = format!("{before}[target.preprocess]\n{table}\n\n{after}")
        .replace("../../", &format!("{}/", root().display()))
        .replace("\"target.onnx\"", &format!("{:?}", case.join("target.onnx")))
        .replace("\"labels.txt\"", &format!("{:?}", root().join("labels.txt")));
    let path = folder.join(format!("{id}.toml"));
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn an_edit_that_shows_nothing_is_refused_and_the_log_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    // The target takes channels last and has a fault near the input: no recipe makes any layer right, and the guess mends nothing.
    let table = "resize = \"squash\"\nfilter = \"bilinear\"\nchannels = \"rgb\"\nscale = 255.0\nmean = [0.0]\nstd = [1.0]\nlayout = \"nchw\"\ndtype = \"float32\"";
    let case = with_target_recipe(folder.path(), "16-mobilenet-onnx2tf", table);
    let log = folder.path().join("log.jsonl");
    let done = fixcon(&["repair", "--yes", "--audit-log", log.to_str().expect("a plain path")], &case, "0");
    assert_eq!((&done["initial_mismatches"], &done["final_mismatches"]), (&100.into(), &100.into()), "{done}");
    // What was measured at its place is kept: it is one of several faults.
    let kept: Vec<&str> = done["accepted"].as_array().into_iter().flatten().filter_map(|a| a["kind"].as_str()).collect();
    assert!(!kept.is_empty() && kept.iter().all(|k| *k == "LH-PADS"), "{kept:?}");
    let left = done["left"].as_array().and_then(|l| l.iter().find(|s| s["category"] == "ID")).expect("the guess is left");
    assert!(left["refused"].as_str().is_some_and(|w| w.contains("flips stay at 100")), "{left}");
    let text = std::fs::read_to_string(&log).expect("the log is there");
    assert!(text.lines().any(|l| l.contains("\"reject\"") && l.contains("flips stay at 100")), "{text}");
}

#[test]
fn a_recipe_of_another_element_type_than_the_input_is_mended_in_the_recipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = "resize = \"squash\"\nsize = [32, 32]\nfilter = \"bilinear\"\nchannels = \"rgb\"\nscale = 127.5\nmean = [1.0, 1.0, 1.0]\nstd = [1.0, 1.0, 1.0]\nlayout = \"nchw\"\ndtype = \"float16\"";
    let case = with_target_recipe(folder.path(), "8-mobilenet-clean-torch", table);
    let recipe = folder.path().join("recipe.toml");
    let done = fixcon(&["repair", "--yes", "--recipe-output", recipe.to_str().expect("a plain path")], &case, "0");
    let kinds: Vec<&str> = done["accepted"].as_array().into_iter().flatten().filter_map(|a| a["kind"].as_str()).collect();
    assert_eq!((kinds, &done["final_mismatches"], &done["recipe_changed"]), (vec!["ID-DTYPE"], &0.into(), &true.into()), "{done}");
    assert!(std::fs::read_to_string(&recipe).expect("it is written").contains("dtype = \"float32\""));
}

/// The sample ResNet with its pooled values brought to one size, `x / sqrt(mean(x²))`, by way of squares that half precision cannot hold: in
/// single precision, or in half precision between two casts.
fn squared(folder: &Path, name: &str, dtype: DataType) {
    let model = Model::open(root().join("models/resnet.onnx")).expect("a sample opens");
    let flatten = "/Flatten_output_0";
    let (id, pooled) = (model.node_by_output(flatten).expect("it is there"), "/avg/AveragePool_output_0");
    assert_eq!(model.node(id).input[0], pooled);
    let constant = |name: &str, x: f32| Edit::AddInitializer {
        tensor: Tensor::from_f32(&[], vec![x]).cast(dtype).expect("a float type").to_proto(name),
    };
    let node = |op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| Edit::InsertNode {
        before: Some(flatten.into()),
        node: NodeProto {
            op_type: Some(op.into()),
            name: Some(output.into()),
            input: inputs.iter().map(|i| (*i).into()).collect(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        },
    };
    let to = |dtype: DataType| vec![AttributeProto::of_int("to", dtype as i64)];
    let axes = vec![AttributeProto::of_ints("axes", &[1, 2, 3])];
    let edits = vec![
        constant("gain", 400.0),
        constant("tiny", 1e-3),
        node("Cast", &[pooled], "given", to(dtype)),
        node("Mul", &["given", "gain"], "scaled", Vec::new()),
        node("Mul", &["scaled", "scaled"], "squares", Vec::new()),
        node("ReduceMean", &["squares"], "mean", axes),
        node("Add", &["mean", "tiny"], "above", Vec::new()),
        node("Sqrt", &["above"], "root", Vec::new()),
        node("Div", &["scaled", "root"], "even", Vec::new()),
        node("Cast", &["even"], "taken", to(DataType::Float)),
        Edit::RewireInput { node: flatten.into(), slot: 0, value: "taken".into() },
    ];
    let (model, _) = model.apply(&Edit::All(edits)).expect("it can be built");
    model.save(folder.join(name), Existing::Refuse).expect("written");
}

#[test]
fn what_half_precision_cannot_hold_computes_as_in_the_source_between_casts() {
    let folder = tempfile::tempdir().expect("a folder");
    squared(folder.path(), "source.onnx", DataType::Float);
    squared(folder.path(), "target.onnx", DataType::Float16);
    let text = std::fs::read_to_string(root().join("cases/2-resnet-swapped/case.toml")).expect("the case is there");
    let text = text
        .replace("\"../../models/resnet.onnx\"", "\"source.onnx\"")
        .replace("../../", &format!("{}/", root().display()))
        .replace("\"labels.txt\"", &format!("{:?}", root().join("labels.txt")));
    let case = folder.path().join("case.toml");
    std::fs::write(&case, text).expect("written");
    let output = folder.path().join("out.onnx");
    let done = fixcon(&["repair", "--yes", "--output", output.to_str().expect("a plain path")], &case, "0");
    let accepted = done["accepted"].as_array().expect("a list");
    assert_eq!((accepted.len(), &done["final_mismatches"]), (1, &0.into()), "{done}");
    assert_eq!(accepted[0]["kind"], "WB-PRECISION", "{done}");
    let words = accepted[0]["words"].as_str().unwrap_or_default();
    assert!(words.contains("'squares' reaches") && words.contains("65504"), "{words}");
    let mended = Model::open(&output).expect("it is a model");
    // No more than is needed is wide, and nothing is left that nobody reads.
    assert!(mended.nodes().any(|(_, n)| n.output[0] == "scaled"));
    assert!(mended.initializer("tiny").is_none() && mended.initializer("gain").is_some());
}

#[test]
fn two_networks_are_not_mended_into_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.onnx");
    let repair = |more: &[&str]| {
        let mut command = Command::cargo_bin("fixcon").expect("the program is built");
        command.args(["repair", "--yes", "--quiet", "--source"]).arg(root().join("models/resnet.onnx")).arg("--output").arg(&output);
        command.arg("--case").arg(root().join("cases/3-inception-two-faults/case.toml")).args(more).output().expect("it runs")
    };
    let refused = repair(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("do not look like the same network") && words.contains("only 0 of the target's 57 nodes"), "{words}");
    // Refused after both had run, and nothing is left in the way of the corrected command.
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
    let forced = repair(&["--unrelated", "--force"]);
    assert_ne!(forced.status.code(), Some(2), "{}", String::from_utf8_lossy(&forced.stderr));
}

#[test]
fn what_the_command_reads_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = with_target_recipe(folder.path(), "1-mobilenet-pads", "layout = \"nhwc\"");
    let target = folder.path().join("target.onnx");
    std::fs::copy(root().join("cases/1-mobilenet-pads/target.onnx"), &target).expect("copied");
    let missing = folder.path().join("nowhere/out.onnx");
    for (output, words) in
        [(&target, "is read by this very command"), (&case, "is read by this very command"), (&missing, "there is no folder")]
    {
        let before = std::fs::read(output).ok();
        let mut command = Command::cargo_bin("fixcon").expect("the program is built");
        command.args(["repair", "--yes", "--quiet", "--force", "--output"]).arg(output).arg("--case").arg(&case);
        let refused = command.arg("--target").arg(&target).output().expect("it runs");
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(words), "{}", String::from_utf8_lossy(&refused.stderr));
        assert_eq!(std::fs::read(output).ok(), before);
    }
}
