//! Flags, case files, images and tensors.

use super::{json, root, run, sample};
use std::fs;
use std::path::Path;

const RECIPE: &str = "resize = \"squash\"\nsize = [32, 32]\nfilter = \"bilinear\"\n";

/// A case file of the clean MobileNet pair with other lines in it.
fn case_file(folder: &Path, more: &str) -> String {
    let path = folder.join("case.toml");
    fs::write(&path, more.replace("SAMPLES", &root().join("sample_models").display().to_string())).unwrap();
    path.display().to_string()
}

fn pair(recipe: &str, images: &str, compare: &str) -> String {
    format!(
        "[source]\nmodel = \"SAMPLES/models/mobilenet.onnx\"\n[source.preprocess]\n{recipe}\n[target]\nmodel = \"SAMPLES/cases/8-mobilenet-clean-torch/target.onnx\"\n[images]\n{images}\n[compare]\n{compare}\n"
    )
}

/// Folder with the first images of the samples.
fn some_images(folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let name = format!("p{i:03}.png");
        fs::copy(root().join("sample_models/images/probe").join(&name), folder.join(&name)).unwrap();
    }
}

#[test]
fn flags_stand_in_for_a_case_file_and_win_over_it() {
    let dir = tempfile::tempdir().unwrap();
    some_images(&dir.path().join("few"), 3);
    let few = dir.path().join("few").display().to_string();
    let (code, out) = json(&["check", &sample("1-mobilenet-pads"), "--images", &few]);
    assert_eq!((code, &out["mismatches"]["of"]), (0, &3.into()));
    // The target's table in the case file is another recipe than the preset's: the model's input refuses 224 pixels.
    let (code, _, err) = run(&[
        "check",
        "--source",
        "sample_models/models/mobilenet.onnx",
        "--target",
        "sample_models/models/mobilenet.onnx",
        "--images",
        &few,
        "--preset",
        "tflite-mobilenet",
    ]);
    assert_eq!(code, 2);
    assert!(err.contains("input '") && err.contains("224") && err.contains("32"), "{err}");
}

#[test]
fn what_is_missing_is_named_with_its_flag() {
    for (args, word) in [
        (vec!["check"], "--source"),
        (vec!["check", "--source", "a.onnx"], "--target"),
        (vec!["check", "--source", "a.onnx", "--target", "b.onnx"], "--images"),
        (vec!["check", "no/such/case.toml"], "no/such/case.toml"),
        (vec!["check", "sample_models/models/vit.onnx"], "--source"),
        (
            vec![
                "check",
                "--source",
                "sample_models/models/vit.onnx",
                "--target",
                "sample_models/models/vit.onnx",
                "--images",
                "sample_models/images/probe",
            ],
            "--preset",
        ),
    ] {
        let (code, _, err) = run(&args);
        assert_eq!(code, 2, "{args:?}");
        assert!(err.starts_with("error: ") && err.contains(word), "{args:?}: {err}");
    }
    // An empty path is none, and not the folder of the case.
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("case.toml");
    fs::write(&case, "[source]\nmodel = \"\"\n").unwrap();
    let (code, _, err) = run(&["check", "--case", case.to_str().unwrap()]);
    assert!(code == 2 && err.contains("--source"), "{err}");
    let (code, _, err) = run(&["check", &sample("1-mobilenet-pads"), "--preset", "torchvision-imagnet"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean 'torchvision-imagenet'"), "{err}");
}

#[test]
fn an_unknown_key_names_the_nearest_known_one_and_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("[source]\nmodle = \"a\"\n", ["line 2", "'modle'", "did you mean 'model'"]),
        ("[source.preprocess]\nchanels = \"rgb\"\n", ["line 2", "'chanels'", "did you mean 'channels'"]),
        ("[source.preprocess]\nresize = \"squish\"\n", ["line 2", "'squish'", "did you mean 'squash'"]),
        ("[compare]\nlabel-offset = 1\n", ["line 2", "'label-offset'", "did you mean 'label_offset'"]),
        ("[imagse]\npath = 1\n", ["line 1", "'imagse'", "did you mean 'images'"]),
    ] {
        let (code, _, err) = run(&["check", &case_file(dir.path(), text)]);
        assert_eq!(code, 2);
        assert!(words.iter().all(|w| err.contains(w)), "{text}: {err}");
    }
}

#[test]
fn an_unreadable_image_is_named_and_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("images");
    some_images(&images, 2);
    fs::write(images.join("a_broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    fs::write(images.join("b_empty.jpg"), b"").unwrap();
    let path = images.display().to_string();
    let (code, out) = json(&["check", &sample("8-mobilenet-clean-torch"), "--images", &path]);
    assert_eq!((code, &out["mismatches"]["of"], &out["images"]["count"]), (2, &2.into(), &4.into()));
    let (code, text, err) = run(&["check", &sample("8-mobilenet-clean-torch"), "--images", &path, "--format", "junit"]);
    assert!(code == 2 && text.matches("<error").count() == 2 && err.contains("2 of 4 images cannot be read"), "{text}{err}");
    let (code, text, _) = run(&["check", &sample("8-mobilenet-clean-torch"), "--images", &path, "--format", "junit", "--skip-unreadable"]);
    assert!(code == 0 && text.matches("<skipped").count() == 2, "{text}");
    let left: Vec<_> = out["images"]["left_out"].as_array().unwrap().iter().map(|l| l["image"].as_str().unwrap().to_string()).collect();
    assert_eq!(left, ["a_broken.png", "b_empty.jpg"]);
    fs::remove_file(images.join("p000.png")).unwrap();
    fs::remove_file(images.join("p001.png")).unwrap();
    let (code, _, err) = run(&["check", &sample("8-mobilenet-clean-torch"), "--images", &path]);
    assert_eq!(code, 2);
    assert!(err.contains("none of the 2 images") && err.contains("a_broken.png"), "{err}");
}

#[test]
fn class_folders_and_list_files_tell_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    for class in ["bird", "frog"] {
        some_images(&base.join("folders").join(class), 2);
    }
    fs::write(base.join("names.txt"), "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n").unwrap();
    fs::write(base.join("list.txt"), "# comment\nfolders/bird/p000.png bird\n\nfolders/frog/p001.png\t6\n").unwrap();
    let labels = base.join("names.txt").display().to_string();
    for (path, of) in [("folders", 4), ("list.txt", 2)] {
        let images = base.join(path).display().to_string();
        let (code, out) = json(&["check", &sample("8-mobilenet-clean-torch"), "--images", &images, "--labels", &labels]);
        assert_eq!((code, &out["summary"]["accuracy"]["source"]["of"]), (0, &of.into()), "{path}: {out}");
    }
}

#[test]
fn tensors_are_compared_without_a_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let mut array = ndarray::Array4::<f32>::zeros((3, 32, 32, 3));
    array.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 7919) % 255) as f32 / 127.5 - 1.0);
    let path = dir.path().join("inputs.npy");
    ndarray_npy::write_npy(&path, &array).unwrap();
    let images = path.display().to_string();
    let model = "sample_models/models/mobilenet.onnx";
    let (code, out) = json(&["check", "--source", model, "--target", model, "--images", &images, "--criterion", "tolerance"]);
    assert_eq!((code, &out["mismatches"]["of"]), (0, &3.into()), "{out}");
    // Against a target that takes the channels first the axes are turned, as both recipes say.
    let text = pair("layout = \"nhwc\"", &format!("path = \"{images}\""), "");
    let (code, out) = json(&["check", &case_file(dir.path(), &text)]);
    assert_eq!((code, &out["mismatches"]["of"]), (0, &3.into()), "{out}");
    let mut short = fs::read(&path).unwrap();
    short.truncate(short.len() - 1);
    fs::write(&path, short).unwrap();
    let (code, _, err) = run(&["check", "--source", model, "--target", model, "--images", &images]);
    assert_eq!(code, 2);
    assert!(err.contains("inputs.npy"), "{err}");
}

#[test]
fn without_a_table_the_target_follows_the_source() {
    let dir = tempfile::tempdir().unwrap();
    // The Keras source takes NHWC, the torch target NCHW.
    let recipe = format!("{RECIPE}scale = 127.5\nmean = [1.0, 1.0, 1.0]\nlayout = \"nhwc\"\n");
    let text = pair(&recipe, "path = \"SAMPLES/images/probe\"", "");
    let (code, out) = json(&["check", &case_file(dir.path(), &text)]);
    assert_eq!((code, &out["mismatches"]["count"]), (0, &0.into()), "{out}");
}

#[test]
fn outputs_are_asked_for_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = format!("{RECIPE}scale = 127.5\nmean = [1.0, 1.0, 1.0]\nlayout = \"nhwc\"\n");
    let file = case_file(dir.path(), &pair(&recipe, "path = \"SAMPLES/images/probe\"", "output = \"nowhere\""));
    let (code, _, err) = run(&["check", &file]);
    assert_eq!(code, 2);
    assert!(err.contains("no") && err.contains("'nowhere'"), "{err}");
    let file = case_file(dir.path(), &pair(&recipe, "path = \"SAMPLES/images/probe\"", "label_offset = 1"));
    let (code, out) = json(&["check", &file]);
    assert_eq!(code, 1);
    let notes = out["notes"].to_string();
    assert!(notes.contains("less one") && notes.contains("--label-offset 0"), "{notes}");
}

#[test]
fn a_recipe_in_part_is_completed_from_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let base = root().join("sample_models");
    let text = fs::read_to_string(base.join("cases/7-resnet-clean-tensorflow/case.toml")).unwrap();
    let (before, after) = text.split_once("[target.preprocess]").unwrap();
    let after = &after[after.find("[images]").unwrap()..];
    let target = base.join("cases/7-resnet-clean-tensorflow/target.onnx");
    for (table, flips, noted) in [
        ("filter = \"bilinear\"", 0, true),
        ("scale = 3.0", 1, true),
        ("preset = \"torchvision-imagenet\"\nresize = \"squash\"\nsize = [32, 32]\nlayout = \"nhwc\"", 1, false),
    ] {
        let text = format!("{before}[target.preprocess]\n{table}\n{after}")
            .replace("../../", &format!("{}/", base.display()))
            .replace("\"target.onnx\"", &format!("{target:?}"))
            .replace("labels = \"labels.txt\"", "");
        let (code, out) = json(&["check", &case_file(dir.path(), &text)]);
        assert_eq!(code, flips, "{table}: {out}");
        let notes = out["notes"].to_string();
        assert_eq!(notes.contains("does not say resize, size"), noted, "{notes}");
        assert_eq!(notes.contains("taken from the source's recipe"), noted, "{notes}");
        // With all that is used in its place.
        for used in ["resize = ", "channels = ", "mean = [", "std = [", "layout = \\\"nhwc\\\"", "dtype = "] {
            assert_eq!(notes.contains(used), noted, "{used}: {notes}");
        }
    }
    // Channels in another order turn the source's mean round, and that is said.
    let turned = [
        "[source.preprocess]",
        "resize = \"squash\"",
        "layout = \"nhwc\"",
        "mean = [1.0, 2.0, 3.0]",
        "[target.preprocess]",
        "channels = \"bgr\"",
    ]
    .join("\n");
    let text = format!("{turned}\n[images]\npath = {:?}\n", base.join("images/probe"));
    let target = base.join("models/mobilenet.onnx").display().to_string();
    let (_, out) = json(&["check", &case_file(dir.path(), &text), "--source", &target, "--target", &target]);
    let notes = out["notes"].to_string();
    assert!(notes.contains("mean = [3.0, 2.0, 1.0]") && notes.contains("in the order of the target's channels"), "{out}");
}

#[test]
fn a_preset_of_another_size_than_the_input_is_told_the_way_out() {
    let (model, images) = ("sample_models/models/mobilenet.onnx", "sample_models/images/probe");
    let (code, _, err) = run(&["check", "--source", model, "--target", model, "--images", images, "--preset", "torchvision-imagenet"]);
    assert_eq!(code, 2);
    for word in ["size = [32, 32]", "layout = \"nhwc\"", "case file", "[source.preprocess]"] {
        assert!(err.contains(word), "{word}: {err}");
    }
}

#[test]
fn what_is_odd_is_said_in_words_that_help() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["check", "sample_models/models/mobilenet.onnx"]);
    assert!(code == 2 && err.contains("is a model, not a case file") && err.contains("--source MODEL"), "{err}");
    let (code, _, err) = run(&["check", &case_file(dir.path(), "[source.preprocess]\nsize = [32]\n")]);
    assert!(code == 2 && err.contains("line 2") && err.contains("height and width"), "{err}");
    let (code, _, err) = run(&["repair", "--yes", "--holdout", "1", &sample("1-mobilenet-pads")]);
    assert!(code == 2 && err.contains("holdout 1 holds every image back"), "{err}");
    let labels = dir.path().join("few.txt");
    fs::write(&labels, "cat\ndog\n").unwrap();
    let (_, text, _) = run(&["check", &sample("1-mobilenet-pads"), "--labels", &labels.display().to_string()]);
    assert!(text.contains("the labels file has 2 names, the source's output 10 classes"), "{text}");
    let (code, text, _) = run(&["check", "--format", "junit", "--source", "nowhere.onnx", &sample("1-mobilenet-pads")]);
    assert!(code == 2 && text.contains("<error message=\"source: nowhere.onnx"), "{text}");
}
