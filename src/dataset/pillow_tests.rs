//! Against what Pillow and numpy gave; `scripts/pillow_reference.py` made the files.

use super::recipe::{Alpha, Filter, RecipeKeys};
use super::resize::{Window, resize};
use super::tensor::{shaped, tensor};
use super::{Picture, npy};
use crate::run::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn reference() -> HashMap<String, Value> {
    npy::read(&data().join("pillow.npz")).unwrap().into_iter().collect()
}

fn picture(value: &Value) -> Picture {
    Picture { height: value.shape()[0], width: value.shape()[1], rgb: value.bytes().to_vec() }
}

#[test]
fn resizing_is_pillows_to_the_bit() {
    let all = reference();
    let source = picture(&all["picture"]);
    let mut seen = 0;
    for (name, want) in &all {
        let Some((filter, size)) = name.strip_prefix("resize/").and_then(|n| n.split_once('/')) else { continue };
        let filter: Filter = filter.parse().unwrap();
        let (w, h) = size.split_once('x').unwrap();
        let (w, h) = (w.parse().unwrap(), h.parse().unwrap());
        let want = picture(want);
        let got = resize(&source, w, h, filter, Window::whole(w, h));
        let differ = got.rgb.iter().zip(&want.rgb).filter(|(a, b)| a != b).count();
        assert_eq!((got.width, got.height, differ), (w, h, 0), "{name}");
        // A part is cut out of the same whole.
        let part = Window { x: w / 3, y: h / 4, width: w - w / 3, height: h - h / 4 - h / 5 };
        assert_eq!(resize(&source, w, h, filter, part), want.crop(part), "part of {name}");
        seen += 1;
    }
    assert_eq!(seen, 44);
}

#[test]
fn tensors_are_numpys_to_the_bit() {
    let all = reference();
    let source = picture(&all["picture"]);
    let mut seen = 0;
    for (name, keys) in &all {
        let Some(number) = name.strip_prefix("recipe/").and_then(|n| n.strip_suffix("/keys")) else { continue };
        let text = std::str::from_utf8(keys.bytes()).unwrap();
        let keys: RecipeKeys = toml::from_str(text).unwrap();
        let recipe = keys.resolve().unwrap();
        let made = tensor(&shaped(&source, &recipe.geometry()).unwrap(), &recipe).unwrap();
        let want = &all[&format!("recipe/{number}/tensor")];
        assert_eq!(made.dtype(), want.dtype(), "{text}");
        assert_eq!(made.shape(), want.shape(), "{text}");
        assert!(made.same(want), "{text}");
        assert_eq!(made.shape(), recipe.shape([source.height, source.width]));
        seen += 1;
    }
    assert_eq!(seen, 11);
}

#[test]
fn pictures_are_decoded_as_pillow_decodes_them() {
    let all = reference();
    let mut seen = 0;
    for (name, want) in &all {
        let Some(file) = name.strip_prefix("decode/") else { continue };
        let want = picture(want);
        let got = Picture::open(&data().join("images").join(file), Alpha::Drop).unwrap();
        assert_eq!((got.width, got.height), (want.width, want.height), "{file}");
        let worst = got.rgb.iter().zip(&want.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let mean = got.rgb.iter().zip(&want.rgb).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / want.rgb.len() as f64;
        // Lossy formats leave the last bit of the transform, and all of the chroma upsampling, to the decoder. Ours does JPEG as
        // Pillow's does, but for CMYK.
        let (most, average) = match file {
            "lossy.webp" => (40, 3.0),
            "cmyk.jpg" => (3, 0.5),
            _ => (0, 0.0),
        };
        assert!(worst <= most && mean <= average, "{file}: worst {worst}, mean {mean}");
        seen += 1;
    }
    assert!(seen >= 33, "{seen}");
}
