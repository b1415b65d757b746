//! What a model takes as input, and whether a recipe makes it.

use super::DatasetError;
use super::recipe::{AxisOrder, Channels, Element, Recipe, RecipeKeys, Resize};
use crate::model::Model;
use crate::model::onnx::ValueInfoProto;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::type_proto;
use crate::run::Value;

/// A declared input of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DataType,
    /// Dimensions, `None` where one is open; `None` as a whole when no shape is declared.
    pub dims: Option<Vec<Option<usize>>>,
}

impl Declared {
    /// All inputs of a model that are not initializers.
    pub fn of(model: &Model) -> Vec<Self> {
        let one = |v: &ValueInfoProto| {
            let (dtype, dims) = v.tensor_type().map_or((element_type(v), None), |(t, d)| (t, Some(d)));
            Self { name: v.name().into(), dtype, dims }
        };
        model.inputs().map(one).collect()
    }

    /// Dimensions as people read them.
    pub fn shape_words(&self) -> String {
        match &self.dims {
            None => "any shape".into(),
            Some(dims) => {
                let words: Vec<_> = dims.iter().map(|d| d.map_or("?".to_string(), |d| d.to_string())).collect();
                format!("[{}]", words.join(", "))
            }
        }
    }

    /// Shape of the tensor that the model is given for one image of this shape: a fixed batch is filled by repeating.
    pub fn given(&self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        if let (Some(first), Some(batch)) = (shape.first_mut(), self.dims.as_ref().and_then(|d| *d.first()?))
            && *first == 1
        {
            *first = batch;
        }
        shape
    }

    /// As one of an image's axes, a dimension with this place in `[N, C, H, W]`.
    fn image_axis(&self, layout: AxisOrder, axis: usize) -> Option<usize> {
        let dims = self.dims.as_ref().filter(|d| d.len() == 4)?;
        let place = match layout {
            AxisOrder::Nchw => axis,
            AxisOrder::Nhwc => [0, 3, 1, 2][axis],
        };
        dims[place]
    }

    /// How to say another size than that of a preset, where images of another size would fit.
    fn size_hint(&self, shape: &[usize]) -> String {
        let channels = |layout| if layout == AxisOrder::Nchw { shape.get(1) } else { shape.get(3) };
        let fits = |now: &AxisOrder, then: &AxisOrder| {
            let declared = self.image_axis(*then, 1);
            shape.len() == 4 && matches!(channels(*now), Some(1 | 3)) && declared.is_some_and(|c| channels(*now) == Some(&c))
        };
        let layouts = [AxisOrder::Nchw, AxisOrder::Nhwc];
        let pairs = layouts.iter().flat_map(|now| layouts.iter().map(move |then| (now, then)));
        let Some((now, then)) = pairs.into_iter().filter(|(now, then)| fits(now, then)).min_by_key(|(now, then)| now != then) else {
            return String::new();
        };
        let Some((height, width)) = self.image_axis(*then, 2).zip(self.image_axis(*then, 3)) else { return String::new() };
        let layout = match (now == then, then) {
            (true, _) => "",
            (false, AxisOrder::Nchw) => " and layout = \"nchw\"",
            (false, AxisOrder::Nhwc) => " and layout = \"nhwc\"",
        };
        format!(
            " (recipe: size = [{height}, {width}]{layout}; no flag says it: write a case file with these keys beside preset = \"NAME\" \
             under [source.preprocess], and give it in the place of --preset)"
        )
    }

    /// Whether the tensor of one image may be given here, as strictly as onnxruntime sees it. A fixed batch is filled by repeating.
    ///
    /// # Errors
    /// [`DatasetError::Input`] with both types or shapes, and the recipe's key where one would mend it.
    pub fn accepts(&self, value: &Value) -> Result<(), DatasetError> {
        let bad = |why: String| Err(DatasetError::Input { input: self.name.clone(), why });
        if self.dtype != DataType::Undefined && value.dtype() != self.dtype {
            let hint = Element::of(self.dtype).map(|e| format!(" (recipe: dtype = \"{e}\")")).unwrap_or_default();
            return bad(format!("is declared {}, the images become {}{hint}", self.dtype.as_str_name(), value.dtype().as_str_name()));
        }
        let Some(dims) = &self.dims else { return Ok(()) };
        let shape = value.shape();
        let fits = |shape: &[usize]| {
            dims.len() == shape.len()
                && dims.iter().zip(shape).enumerate().all(|(i, (d, s))| i == 0 && *s == 1 && dims.len() > 1 || d.is_none_or(|d| d == *s))
        };
        if fits(shape) {
            return Ok(());
        }
        let turned = |perm: [usize; 4]| shape.len() == 4 && fits(&perm.map(|p| shape[p]));
        let hint = match () {
            () if turned([0, 3, 1, 2]) => " (recipe: layout = \"nchw\")".into(),
            () if turned([0, 2, 3, 1]) => " (recipe: layout = \"nhwc\")".into(),
            () => self.size_hint(shape),
        };
        bad(format!("is declared {}, the images become {shape:?}{hint}", self.shape_words()))
    }
}

/// Element type of a declaration that says no shape.
fn element_type(v: &ValueInfoProto) -> DataType {
    match v.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(t)) => DataType::try_from(t.elem_type()).unwrap_or(DataType::Undefined),
        _ => DataType::Undefined,
    }
}

/// One side's inputs, with the recipe that fills them from images.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// `None` where the images are tensors already.
    pub recipe: Option<Recipe>,
    /// What the model takes.
    pub inputs: Vec<Declared>,
    /// How often an image is given at once, along the first axis.
    pub copies: usize,
}

impl Feed {
    /// The same with an image given so many times at once.
    pub fn times(&self, copies: usize) -> Self {
        Self { copies, ..self.clone() }
    }

    /// The batch that all inputs are declared with, where it is a fixed one.
    pub fn batch(&self) -> Option<usize> {
        let mut each = self.inputs.iter().map(|i| *i.dims.as_ref()?.first()?);
        let first = each.next()??;
        each.all(|batch| batch == Some(first)).then_some(first)
    }

    /// A model with its recipe; a size that the recipe leaves open is taken from the model's declared input.
    pub fn new(model: &Model, recipe: Option<Recipe>) -> Self {
        let inputs = Declared::of(model);
        let recipe = recipe.map(|mut r| {
            if r.size.is_none()
                && r.resize != Resize::None
                && let Some(input) = inputs.first()
            {
                r.size = input.image_axis(r.layout, 2).zip(input.image_axis(r.layout, 3)).map(|(h, w)| [h, w]);
            }
            r
        });
        Self { recipe, inputs, copies: 1 }
    }

    /// A model without a recipe of its own: the other side's, with size, layout and float width of this model's declared input.
    pub fn like(model: &Model, other: &Recipe) -> Self {
        let inputs = Declared::of(model);
        let mut recipe = other.clone();
        if let Some(input) = inputs.first() {
            let channels = Some(recipe.channels.count());
            let is = |layout| input.image_axis(layout, 1) == channels;
            match (is(AxisOrder::Nchw), is(AxisOrder::Nhwc)) {
                (true, false) => recipe.layout = AxisOrder::Nchw,
                (false, true) => recipe.layout = AxisOrder::Nhwc,
                _ => {}
            }
            if recipe.resize != Resize::None
                && let Some(size) = input.image_axis(recipe.layout, 2).zip(input.image_axis(recipe.layout, 3))
            {
                recipe.size = Some([size.0, size.1]);
            }
            if let Some(float) = Element::of(input.dtype).filter(|e| matches!(e, Element::Float16 | Element::Float32 | Element::Float64)) {
                recipe.dtype = float;
            }
        }
        Self { recipe: Some(recipe), inputs, copies: 1 }
    }

    /// The target's recipe as it is written, and `theirs`, the source's. Without one of its own it follows the source; what one without a
    /// preset does not say it takes over, which is said in words where it makes a difference.
    ///
    /// # Errors
    /// An unknown preset, or values that contradict each other.
    pub fn following(model: &Model, own: Option<RecipeKeys>, theirs: Option<&Recipe>) -> Result<(Self, Option<String>), DatasetError> {
        Ok(match (own, theirs) {
            (Some(own), Some(theirs)) if own.preset.is_none() => {
                let like = Self::like(model, theirs).recipe.unwrap_or_else(|| theirs.clone());
                let Completed { recipe, matters, turned } = completed(own.clone(), like)?;
                let feed = Self::new(model, Some(recipe));
                let note = matters.then(|| taken_over(&own, feed.recipe.as_ref(), turned));
                (feed, note)
            }
            (Some(own), _) => (Self::new(model, Some(own.resolve()?)), None),
            (None, Some(theirs)) => (Self::like(model, theirs), None),
            (None, None) => (Self::new(model, None), None),
        })
    }
}

/// What both sides take, as a case's two recipes say.
#[derive(Debug, Clone, PartialEq)]
pub struct Sides {
    /// The source's.
    pub source: Feed,
    /// The target's.
    pub target: Feed,
    /// What the target's recipe leaves to the source's, in words, where that makes a difference.
    pub note: Option<String>,
}

impl Sides {
    /// From the models and the recipes as they are written, the source's first; see [`Feed::following`].
    ///
    /// # Errors
    /// An unknown preset, or values that contradict each other.
    pub fn of(models: [&Model; 2], recipes: [&Option<RecipeKeys>; 2]) -> Result<Self, DatasetError> {
        let source = Feed::new(models[0], recipes[0].clone().map(RecipeKeys::resolve).transpose()?);
        let (target, note) = Feed::following(models[1], recipes[1].clone(), source.recipe.as_ref())?;
        Ok(Self { source, target, note })
    }
}

/// What a recipe takes over that does not say everything itself, in words: every key that it does not have, as it is used.
fn taken_over(own: &RecipeKeys, used: Option<&Recipe>, turned: bool) -> String {
    let own = toml::to_string(own).unwrap_or_default();
    let said = |key: &str| own.lines().any(|line| line.split_once(" = ").is_some_and(|(k, _)| k == key));
    let text = used.map(Recipe::to_toml).unwrap_or_default();
    let (keys, lines): (Vec<&str>, Vec<&str>) =
        text.lines().filter_map(|line| Some((line.split_once(" = ")?.0, line))).filter(|(key, _)| !said(key)).unzip();
    let turned = if turned { "; mean and std are the source's in the order of the target's channels" } else { "" };
    format!(
        "the target's recipe does not say {}: taken from the source's recipe and the target's input are {}{turned}",
        keys.join(", "),
        lines.join(", ")
    )
}

/// A recipe whose missing keys are those of another one.
struct Completed {
    recipe: Recipe,
    /// Whether any of them is not what it would be otherwise.
    matters: bool,
    /// Whether values of the other one stand in another order, as its channels do.
    turned: bool,
}

fn completed(own: RecipeKeys, like: Recipe) -> Result<Completed, DatasetError> {
    let channels = own.channels.unwrap_or(like.channels);
    // One value a channel, in the order of the channels.
    let each = |values: &[f64]| match (like.channels, channels) {
        (a, b) if a == b => Some(values.to_vec()),
        (Channels::Gray, _) | (_, Channels::Gray) => None,
        _ => Some(values.iter().rev().copied().collect()),
    };
    let below = RecipeKeys {
        preset: None,
        resize: Some(like.resize),
        size: like.size,
        // Belongs to the way of resizing: without it, the smaller side of `size`.
        resize_to: like.resize_to.filter(|_| own.resize.is_none()),
        filter: Some(like.filter),
        channels: Some(channels),
        alpha: Some(like.alpha),
        scale: Some(like.scale),
        mean: each(&like.mean),
        std: each(&like.std),
        layout: Some(like.layout),
        dtype: Some(like.dtype),
    };
    let alone = RecipeKeys { channels: Some(channels), ..own.clone() }.resolve()?;
    let recipe = own.clone().over(below).resolve()?;
    let matters =
        Recipe { size: recipe.size, resize_to: recipe.resize_to, ..alone } != recipe || own.channels.is_none() && channels != Channels::Rgb;
    let uneven = |own: &Option<_>, values: &[f64]| own.is_none() && values.first() != values.last();
    let turned = like.channels != channels && (uneven(&own.mean, &recipe.mean) || uneven(&own.std, &recipe.std));
    Ok(Completed { recipe, matters, turned })
}
