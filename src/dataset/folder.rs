//! Where images come from: a folder, a folder of class folders, a list, one file, or tensors.

use super::feed::Feed;
use super::recipe::{Alpha, AxisOrder, Geometry};
use super::tensor::{shaped, tensor};
use super::{DatasetError, Picture, npy};
use crate::model::{read_file, read_text, regular};
use crate::run::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Extensions that are taken for images, in lower case.
const EXTENSIONS: &[&str] = &["jpg", "jpeg", "jpe", "png", "bmp", "webp", "gif"];
/// Bytes above which a file is not taken for a list, of images, class names or classes.
const MAX_LIST: u64 = 64 << 20;
/// Bytes of decoded pictures that are kept for the next pass.
const CACHE: usize = 256 << 20;

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// File name, with the class folder in front where there is one; or the index of a tensor.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Class that the image is known to show.
    pub truth: Option<usize>,
}

/// The images of a case, in a fixed order. Any thread may ask for any of them.
#[derive(Debug)]
pub struct ImageSet {
    items: Vec<Item>,
    /// Where the images are tensors: name and all of them, the images along axis 0.
    arrays: Vec<(String, Value)>,
    classes: Option<Vec<String>>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    pictures: HashMap<(usize, Alpha), Arc<Picture>>,
    bytes: usize,
}

impl ImageSet {
    /// Lists the images; none is decoded yet.
    ///
    /// # Errors
    /// [`DatasetError::Images`] when the path cannot be read or there is no image.
    pub fn open(path: &Path, labels: Option<&Path>, truth: Option<&Path>) -> Result<Self, DatasetError> {
        let bad = |why: String| DatasetError::Images { path: path.into(), why };
        let classes = labels.map(read_labels).transpose()?;
        let meta = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?;
        let extension = extension(path);
        let mut arrays = Vec::new();
        let mut items = if meta.is_dir() {
            folder(path, classes.as_deref()).map_err(bad)?
        } else if extension == "npy" || extension == "npz" {
            arrays = npy::read(path).map_err(bad)?;
            tensor_items(path, &arrays).map_err(bad)?
        } else if EXTENSIONS.contains(&extension.as_str()) {
            vec![Item { name: file_name(path), path: path.into(), truth: None }]
        } else {
            list(path, classes.as_deref()).map_err(bad)?
        };
        if items.is_empty() {
            return Err(bad(format!("holds no image ({})", EXTENSIONS.join(", "))));
        }
        if let Some(file) = truth {
            read_truth(file, &mut items, classes.as_deref())?;
        }
        Ok(Self { items, arrays, classes, cache: Mutex::default() })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether there is none; [`ImageSet::open`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// All images.
    pub fn items(&self) -> &[Item] {
        &self.items
    }
    /// Names of the classes, in the order of the outputs.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }
    /// What is odd about the class names of a network with so many classes.
    pub fn names_remark(&self, classes: usize) -> Option<String> {
        let names = self.classes().map(<[String]>::len).filter(|n| *n != classes)?;
        Some(format!("the labels file has {names} names, the source's output {classes} classes: names may stand for other classes"))
    }
    /// Whether the images are tensors, for which there is no recipe.
    pub fn is_tensors(&self) -> bool {
        !self.arrays.is_empty()
    }

    /// An image, decoded; kept for the next pass while there is room.
    ///
    /// # Errors
    /// [`DatasetError::Image`] when it cannot be decoded, or is a tensor.
    pub fn picture(&self, index: usize, alpha: Alpha) -> Result<Arc<Picture>, DatasetError> {
        let item = &self.items[index];
        if self.is_tensors() {
            return Err(DatasetError::Image { path: item.path.clone(), why: "is a tensor, not a picture".into() });
        }
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache().pictures.get(&(index, alpha)) {
            return Ok(found.clone());
        }
        let picture = Arc::new(Picture::open(&item.path, alpha)?);
        let mut cache = cache();
        // First come, first kept: every pass goes over all images, so throwing out the oldest would never hit.
        if cache.bytes + picture.rgb.len() <= CACHE && cache.pictures.insert((index, alpha), picture.clone()).is_none() {
            cache.bytes += picture.rgb.len();
        }
        Ok(picture)
    }

    /// The inputs of an image for each of these sides. The image is decoded once, and resized once for all that do it alike.
    ///
    /// # Errors
    /// [`DatasetError::Image`] for an image that is to be left out; [`DatasetError::Input`] or [`DatasetError::Recipe`] for a side
    /// that takes no image of this set.
    pub fn inputs(&self, index: usize, sides: &[&Feed]) -> Result<Vec<Vec<Value>>, DatasetError> {
        let once = self.once(index, sides)?;
        let times = |(values, feed): (Vec<Value>, &&Feed)| values.iter().map(|v| v.repeated(feed.copies)).collect();
        Ok(once.into_iter().zip(sides).map(times).collect())
    }

    fn once(&self, index: usize, sides: &[&Feed]) -> Result<Vec<Vec<Value>>, DatasetError> {
        if self.is_tensors() {
            return sides.iter().enumerate().map(|(s, feed)| self.slices(index, feed, sides[0], s > 0)).collect();
        }
        let mut done: Vec<(Geometry, Arc<Picture>)> = Vec::new();
        let mut out = Vec::with_capacity(sides.len());
        for feed in sides {
            let recipe = feed.recipe.as_ref().ok_or_else(|| {
                DatasetError::Missing("images need a recipe: give --preset NAME or a [source.preprocess] table in a case file".into())
            })?;
            let [input] = &feed.inputs[..] else {
                let names: Vec<_> = feed.inputs.iter().map(|i| i.name.as_str()).collect();
                return Err(DatasetError::Input {
                    input: names.join("', '"),
                    why: format!("images fill one input, the model has {}; give the tensors of all as an .npz file", names.len()),
                });
            };
            let how = recipe.geometry();
            let picture = match done.iter().find(|(g, _)| *g == how) {
                Some((_, picture)) => picture.clone(),
                None => {
                    let picture = Arc::new(shaped(&*self.picture(index, recipe.alpha)?, &how)?);
                    done.push((how, picture.clone()));
                    picture
                }
            };
            let value = tensor(&picture, recipe)?;
            input.accepts(&value)?;
            out.push(vec![value]);
        }
        Ok(out)
    }

    /// The tensors of one image: arrays by the inputs' names, or in their order. They are laid out as the first side's recipe says.
    fn slices(&self, index: usize, feed: &Feed, first: &Feed, turn: bool) -> Result<Vec<Value>, DatasetError> {
        let mut out = Vec::with_capacity(feed.inputs.len());
        for (at, input) in feed.inputs.iter().enumerate() {
            let bad = |why: String| DatasetError::Input { input: input.name.clone(), why };
            let named = self.arrays.iter().find(|(n, _)| *n == input.name);
            let by_place = || self.arrays.get(at).filter(|_| self.arrays.len() == feed.inputs.len());
            let (_, array) = named.or_else(by_place).ok_or_else(|| {
                let names: Vec<_> = self.arrays.iter().map(|(n, _)| format!("'{n}'")).collect();
                bad(format!("no array of this name; there are {}", names.join(", ")))
            })?;
            let size = array.size() / array.shape()[0];
            let mut shape = array.shape().to_vec();
            shape[0] = 1;
            let mut value = Value::from_bytes(array.dtype(), &shape, &array.bytes()[index * size..(index + 1) * size])
                .map_err(|e| bad(e.to_string()))?;
            let layout = |f: &Feed| f.recipe.as_ref().map(|r| r.layout);
            let perm = match (layout(first), layout(feed)) {
                (Some(AxisOrder::Nchw), Some(AxisOrder::Nhwc)) => Some([0, 2, 3, 1]),
                (Some(AxisOrder::Nhwc), Some(AxisOrder::Nchw)) => Some([0, 3, 1, 2]),
                _ => None,
            };
            if let Some(turned) = perm.filter(|_| turn && shape.len() == 4).and_then(|p| value.transpose(&p)) {
                value = turned;
            }
            if value.is_float()
                && let Some(cast) = value.cast(input.dtype).filter(Value::is_float)
            {
                value = cast;
            }
            input.accepts(&value)?;
            out.push(value);
        }
        Ok(out)
    }
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Images of a folder by name; when it holds none itself, those of the folders in it, which are classes.
fn folder(path: &Path, classes: Option<&[String]>) -> Result<Vec<Item>, String> {
    let entries = |path: &Path| -> Result<Vec<PathBuf>, String> {
        let read = std::fs::read_dir(path).map_err(|e| e.to_string())?;
        let mut all: Vec<_> = read.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        all.sort();
        Ok(all)
    };
    let images = |all: &[PathBuf]| -> Vec<PathBuf> {
        all.iter().filter(|p| EXTENSIONS.contains(&extension(p).as_str()) && p.is_file()).cloned().collect()
    };
    let all = entries(path)?;
    let own = images(&all);
    if !own.is_empty() {
        return Ok(own.into_iter().map(|p| Item { name: file_name(&p), path: p, truth: None }).collect());
    }
    let mut out = Vec::new();
    for (place, class) in all.iter().filter(|p| p.is_dir()).enumerate() {
        let name = file_name(class);
        let truth = match classes {
            Some(classes) => classes.iter().position(|c| *c == name),
            None => Some(place),
        };
        out.extend(images(&entries(class)?).into_iter().map(|p| Item { name: format!("{name}/{}", file_name(&p)), path: p, truth }));
    }
    Ok(out)
}

/// One image a line, relative to the list; behind it, after white space, its class by name or number. `#` begins a comment line.
fn list(path: &Path, classes: Option<&[String]>) -> Result<Vec<Item>, String> {
    if regular(path).map_err(|e| e.to_string())?.len() > MAX_LIST {
        return Err(format!("is no image, and too long for a list of images ({MAX_LIST} bytes at most)"));
    }
    let bytes = read_file(path, MAX_LIST).map_err(|e| e.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "is no image, no .npy or .npz file, and no list of images")?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut out = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let whole = folder.join(line);
        let (file, class) = match line.rsplit_once(char::is_whitespace) {
            Some((file, class)) if !whole.exists() => (file.trim_end(), Some(class)),
            _ => (line, None),
        };
        let truth = class.and_then(|c| class_index(c, classes));
        out.push(Item { name: file.to_string(), path: folder.join(file), truth });
    }
    Ok(out)
}

fn class_index(word: &str, classes: Option<&[String]>) -> Option<usize> {
    classes.and_then(|c| c.iter().position(|c| c == word)).or_else(|| word.parse().ok())
}

fn tensor_items(path: &Path, arrays: &[(String, Value)]) -> Result<Vec<Item>, String> {
    let count = |v: &Value| v.shape().first().copied().unwrap_or(0);
    let first = arrays.first().map_or(0, |(_, v)| count(v));
    if let Some((name, v)) = arrays.iter().find(|(_, v)| count(v) != first) {
        return Err(format!("array '{name}' holds {} images, the first one {first}", count(v)));
    }
    if arrays.iter().any(|(_, v)| v.is_empty()) {
        return Err("it holds no tensor".into());
    }
    Ok((0..first).map(|i| Item { name: format!("{}[{i}]", file_name(path)), path: path.into(), truth: None }).collect())
}

fn read_labels(path: &Path) -> Result<Vec<String>, DatasetError> {
    let text = read_text(path, MAX_LIST).map_err(|e| DatasetError::Images { path: path.into(), why: e.to_string() })?;
    Ok(text.lines().map(|l| l.trim().to_string()).collect())
}

/// Images of the file are found by the longest way they end alike: `probe/p000.png`, or `p000.png`.
fn read_truth(path: &Path, items: &mut [Item], classes: Option<&[String]>) -> Result<(), DatasetError> {
    let bad = |why: String| DatasetError::Images { path: path.into(), why };
    let text = read_text(path, MAX_LIST).map_err(|e| bad(e.to_string()))?;
    let map: HashMap<String, serde_json::Value> = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    for item in items {
        let parts: Vec<_> = item.path.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
        let found = (0..parts.len()).find_map(|i| map.get(&parts[i..].join("/")));
        item.truth = match found {
            Some(serde_json::Value::String(word)) => class_index(word, classes),
            Some(other) => other.as_u64().map(|n| n as usize),
            None => item.truth,
        };
    }
    Ok(())
}
