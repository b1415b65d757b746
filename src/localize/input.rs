//! The input: does the target get what it should? Which recipe, layout and size would make it right?
//!
//! A hypothesis is a recipe with the declared input that goes with it. It is believed when the first weighted nodes of the target,
//! fed with it, make what some node of the source makes.

use super::{Category, Kind, Remedy, Subject, Suspect, feeds};
use crate::align::{Feed as Given, Hints, Layout, Precision, Reference, Region, Verdict, align, candidates, error_between};
use crate::dataset::{AxisOrder, Channels, Element, Feed, Recipe, RecipeKey};
use crate::localize::remedy::Found;
use crate::model::onnx::{TensorShapeProto, ValueInfoProto, tensor_shape_proto::Dimension, tensor_shape_proto::dimension, type_proto};
use crate::model::{Edit, ValueId};
use crate::run::{Network, OpId, Unwatched, Value};
use std::collections::HashSet;

/// What the target is fed for alignment, and what is to be said of its input.
pub(super) struct Chosen {
    /// What the target is fed.
    pub given: Vec<Given>,
    /// The recipe that makes it, where it is the target's own or a mended one.
    pub recipe: Option<Recipe>,
    /// Faults of the recipe and of the declared input.
    pub suspects: Vec<Suspect>,
    /// Remarks.
    pub notes: Vec<String>,
}

impl Chosen {
    /// What the target is fed for another image: by the recipe that was chosen, or as the case says.
    pub(super) fn inputs(&self, subject: &Subject<'_>, image: usize) -> Option<Vec<Value>> {
        let side = self.recipe.as_ref().and_then(|recipe| side(subject, recipe));
        let sides = subject.images.inputs(image, &[subject.source_feed, side.as_ref().unwrap_or(subject.target_feed)]);
        sides.ok().and_then(|mut sides| sides.pop())
    }
}

/// One way to feed the target.
#[derive(Debug, Clone)]
struct Hypothesis {
    recipe: Recipe,
    /// Keys that differ from the case's recipe.
    keys: Vec<RecipeKey>,
}

/// Chooses what the target is fed.
pub(super) fn choose(subject: &Subject<'_>, reference: &Reference<'_>, images: &[usize], precision: Precision, hints: &Hints) -> Chosen {
    let own = subject.images.inputs(images[0], &[subject.target_feed]);
    let (Some(theirs), Some(recipe)) = (&subject.source_feed.recipe, &subject.target_feed.recipe) else {
        // Tensors: given to both sides as they are, or the source's laid out.
        let given = own
            .ok()
            .and_then(|_| tensors(subject, images))
            .map(|v| feeds_of(subject, reference, v))
            .unwrap_or_else(|| from_source(subject, reference));
        return Chosen { given, recipe: None, suspects: Vec::new(), notes: Vec::new() };
    };
    let typed = in_declared_type(subject, recipe);
    let all = hypotheses(recipe, &typed, theirs);
    let fits = |given: &[Given]| score(subject.target, reference, given, precision, hints) > 0;
    // One image refutes most of them.
    for (h, first) in all.iter().zip(first_feeds(subject, reference, images[0], &all)) {
        if first.is_some_and(|given| fits(&given))
            && let Some(given) = feed(subject, reference, images, &h.recipe)
            && (images.len() == 1 || fits(&given))
        {
            // Where the input has other readers, one that takes it in another order may be wrong by itself.
            let own = (!h.keys.is_empty() && has_other_readers(subject.target)).then(|| feed(subject, reference, images, &all[0].recipe));
            if let Some(own) = own.flatten()
                && left_over(subject, reference, &own, precision, hints) < left_over(subject, reference, &given, precision, hints)
            {
                return believed(subject, &all[0], recipe, theirs, own);
            }
            return believed(subject, h, recipe, theirs, given);
        }
    }
    // What is left for the slower comparison: the case's own recipe, and the source's.
    let mut fed: Vec<(usize, Vec<Given>)> = Vec::new();
    for (i, h) in all.iter().enumerate().filter(|(i, h)| *i == 0 || h.is_sources(&typed, theirs)) {
        fed.extend(feed(subject, reference, images, &h.recipe).map(|given| (i, given)));
    }
    if let [(i, given)] = &fed[..] {
        return guessed(believed(subject, &all[*i], recipe, theirs, given.clone()));
    }
    // Something near the input is at fault as well: the whole alignment decides which recipe leaves less to explain, and among equals
    // with which the first fault can be explained.
    let mut best: Option<((usize, bool), usize, &Vec<Given>)> = None;
    for (i, given) in &fed {
        let cost = left_over(subject, reference, given, precision, hints);
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, *i, given));
        }
    }
    match best {
        Some((_, i, given)) => guessed(believed(subject, &all[i], recipe, theirs, given.clone())),
        None => Chosen {
            given: from_source(subject, reference),
            recipe: None,
            suspects: Vec::new(),
            notes: vec!["the target's recipe gives no tensor that it accepts; it is fed the source's".into()],
        },
    }
}

/// Whether more than one node computes with an input.
fn has_other_readers(target: &Network) -> bool {
    let computes = |id: &&OpId| !matches!(target.op(**id).op_type(), "Shape" | "Size");
    target.inputs().iter().any(|v| target.consumers(*v).iter().filter(computes).count() > 1)
}

/// What is left to explain when the target is fed like this: regions and values at fault, and whether no edit mends the first of them.
fn left_over(subject: &Subject<'_>, reference: &Reference<'_>, given: &[Given], precision: Precision, hints: &Hints) -> (usize, bool) {
    let Ok(a) = align(subject.target, reference, given, precision.tau(), hints) else { return (usize::MAX, true) };
    let at_fault = |r: &&Region| r.isolated.is_none_or(|e| e > precision.tau() * 0.3) && !r.target.is_empty();
    let bad = a.regions.iter().filter(at_fault).count();
    let mut regions = a.regions.clone();
    let first = regions.iter().position(|r| at_fault(&r));
    for (i, region) in regions.iter_mut().enumerate() {
        region.verdict = if Some(i) == first { Verdict::Faulty } else { Verdict::Clean };
    }
    let (_, threshold) = super::floor(&a, precision);
    let terms = super::suspects::Terms { threshold, precision, ranges: &Default::default(), diagnose: true };
    let suspects = super::suspects::find(subject, &a, &regions, &terms, &Unwatched);
    let explained = first.is_none() || suspects.first().and_then(|s| s.remedies.first()).is_some_and(|f| f.remedy.safe);
    (a.failures().len() * 10 + bad + a.unexplained().len(), !explained)
}

impl Hypothesis {
    /// Whether it makes the source's tensor, in the target's layout.
    fn is_sources(&self, own: &Recipe, theirs: &Recipe) -> bool {
        let like = as_source(own, theirs);
        self.recipe == like
    }
}

/// The source's recipe with the target's layout, size and element type.
fn as_source(own: &Recipe, theirs: &Recipe) -> Recipe {
    Recipe { layout: own.layout, dtype: own.dtype, size: own.size, ..theirs.clone() }
}

/// The target's recipe in the floating-point type that its input is declared in: a runtime takes no other one.
fn in_declared_type(subject: &Subject<'_>, own: &Recipe) -> Recipe {
    let float = |e: &Element| matches!(e, Element::Float16 | Element::Float32 | Element::Float64);
    let declared = subject.target_feed.inputs.first().and_then(|input| Element::of(input.dtype));
    let dtype = declared.filter(|d| float(d) && float(&own.dtype)).unwrap_or(own.dtype);
    Recipe { dtype, ..own.clone() }
}

/// Ways to feed the target, those that change least first: `own` is its recipe in the element type that is declared.
fn hypotheses(written: &Recipe, own: &Recipe, theirs: &Recipe) -> Vec<Hypothesis> {
    let mut all: Vec<Recipe> = vec![own.clone(), as_source(own, theirs)];
    // The geometry is the source's in any case; for a target with built-in normalisation its values and channels may be raw.
    let flip = |c: Channels| match c {
        Channels::Rgb => Channels::Bgr,
        Channels::Bgr => Channels::Rgb,
        Channels::Gray => Channels::Gray,
    };
    let n = theirs.channels.count();
    let mut norms: Vec<(f64, Vec<f64>, Vec<f64>)> =
        vec![(own.scale, own.mean.clone(), own.std.clone()), (theirs.scale, theirs.mean.clone(), theirs.std.clone())];
    for scale in [1.0, 255.0] {
        norms.push((scale, vec![0.0; n], vec![1.0; n]));
        norms.push((scale, vec![0.5 * 255.0 / scale; n], vec![0.5 * 255.0 / scale; n]));
    }
    norms.push((255.0, vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]));
    for (scale, mean, std) in norms.into_iter().filter(|(_, m, s)| m.len() == n && s.len() == n) {
        for channels in [own.channels, flip(own.channels)] {
            for geometry in [own, theirs] {
                for filter in [own.filter, theirs.filter] {
                    let recipe = Recipe {
                        scale,
                        mean: mean.clone(),
                        std: std.clone(),
                        channels,
                        resize: geometry.resize,
                        resize_to: geometry.resize_to,
                        filter,
                        ..own.clone()
                    };
                    all.push(recipe);
                }
            }
        }
    }
    // Another layout or size than the one that is declared.
    let other = if own.layout == AxisOrder::Nchw { AxisOrder::Nhwc } else { AxisOrder::Nchw };
    let mut shaped = Vec::new();
    for base in [own.clone(), as_source(own, theirs)] {
        if theirs.size.is_some() && theirs.size != own.size {
            shaped.push(Recipe { size: theirs.size, resize_to: theirs.resize_to, ..base.clone() });
        }
        shaped.push(Recipe { layout: other, ..base.clone() });
        if theirs.size != own.size {
            shaped.push(Recipe { layout: other, size: theirs.size, resize_to: theirs.resize_to, ..base });
        }
    }
    all.extend(shaped);
    let mut out: Vec<Hypothesis> = Vec::new();
    for recipe in all {
        if !out.iter().any(|h| h.recipe == recipe) {
            out.push(Hypothesis { keys: written.differing(&recipe), recipe });
        }
    }
    // Changes of layout and size are the larger ones: they touch the model as well.
    let weight = |h: &Hypothesis| {
        use RecipeKey::{Alpha, Channels, Filter, Mean, Resize, Scale, Std};
        let groups = [&[Resize][..], &[Filter], &[Channels], &[Alpha], &[Scale, Mean, Std]];
        let small = groups.iter().filter(|g| g.iter().any(|k| h.keys.contains(k))).count();
        let large = h.keys.iter().filter(|k| k.is_of_shape()).count();
        small + 3 * large
    };
    out.sort_by_key(weight);
    out
}

/// Tensors as the data set gives them to the target.
fn tensors(subject: &Subject<'_>, images: &[usize]) -> Option<Vec<Vec<Value>>> {
    images.iter().map(|i| subject.images.inputs(*i, &[subject.source_feed, subject.target_feed]).ok().map(|mut s| s.remove(1))).collect()
}

/// A recipe as a side of its own, whatever input the target declares.
fn side(subject: &Subject<'_>, recipe: &Recipe) -> Option<Feed> {
    let mut input = subject.target_feed.inputs.first()?.clone();
    input.dims = None;
    Some(Feed { recipe: Some(recipe.clone()), inputs: vec![input], copies: subject.target_feed.copies })
}

/// What a recipe feeds the target on these images.
fn feed(subject: &Subject<'_>, reference: &Reference<'_>, images: &[usize], recipe: &Recipe) -> Option<Vec<Given>> {
    let side = side(subject, recipe)?;
    let values: Option<Vec<Vec<Value>>> =
        images.iter().map(|i| subject.images.inputs(*i, &[&side]).ok().map(|mut s| s.remove(0))).collect();
    Some(feeds_of(subject, reference, values?))
}

/// What each hypothesis feeds the target on the first image. The image is decoded once for a few of them together, not once for all: the
/// likeliest come first and end the search.
fn first_feeds<'a>(
    subject: &'a Subject<'a>,
    reference: &'a Reference<'a>,
    image: usize,
    all: &'a [Hypothesis],
) -> impl Iterator<Item = Option<Vec<Given>>> + 'a {
    let (first, others) = all.split_at(all.len().min(1));
    std::iter::once(first).chain(others.chunks(8)).flat_map(move |some| {
        let sides: Vec<Feed> = some.iter().filter_map(|h| side(subject, &h.recipe)).collect();
        match subject.images.inputs(image, &sides.iter().collect::<Vec<_>>()) {
            Ok(made) if made.len() == some.len() => {
                made.into_iter().map(|values| Some(feeds_of(subject, reference, vec![values]))).collect::<Vec<_>>()
            }
            // One of them makes no tensor that the input takes: each by itself.
            _ => some.iter().map(|h| feed(subject, reference, &[image], &h.recipe)).collect(),
        }
    })
}

/// Pairs inputs by position where their tensors are equal up to a layout.
fn feeds_of(subject: &Subject<'_>, reference: &Reference<'_>, values: Vec<Vec<Value>>) -> Vec<Given> {
    let partners = subject.target.inputs().iter().enumerate().map(|(slot, _)| {
        let s = *subject.source.inputs().get(slot)?;
        let (mine, theirs) = (values.first()?.get(slot)?, reference.values(s)?.first()?);
        // Channels last and first before anything else: square pictures fit many.
        let mut layouts = candidates(theirs.shape(), mine.shape());
        layouts.sort_by_key(|l| !l.is_usual());
        layouts.into_iter().find(|l| l.apply(theirs).is_some_and(|t| error_between(mine, &t) < 1e-6)).map(|l| (s, l))
    });
    feeds(values.clone(), partners.collect::<Vec<Option<(ValueId, Layout)>>>())
}

/// The source's tensors in the layout that the target declares.
fn from_source(subject: &Subject<'_>, reference: &Reference<'_>) -> Vec<Given> {
    let mut out = Vec::new();
    for (slot, s) in subject.source.inputs().iter().enumerate().take(subject.target.inputs().len()) {
        let Some(values) = reference.values(*s) else { continue };
        let shape = values[0].shape();
        let dims = subject.target_feed.inputs.get(slot).and_then(|d| d.dims.clone());
        let fits = |l: &Layout| {
            dims.as_ref()
                .is_some_and(|d| d.len() == l.shape.len() && d.iter().zip(&l.shape).skip(1).all(|(d, s)| d.is_none_or(|d| d == *s)))
        };
        let mut layouts = vec![Layout::flat(shape)];
        if shape.len() == 4 {
            layouts.extend([Layout::permuted(shape, &[0, 2, 3, 1]), Layout::permuted(shape, &[0, 3, 1, 2])]);
        }
        let layout = layouts.iter().find(|l| fits(l)).unwrap_or(&layouts[0]).clone();
        let laid: Vec<Value> = values.iter().filter_map(|v| layout.apply(v)).collect();
        out.push(Given { values: laid, partner: Some((*s, layout)) });
    }
    out
}

/// How many of the target's first weighted nodes make what some node of the source makes. First are those that read the input through no
/// other weighted node: behind a wrong value nothing is right.
fn score(target: &Network, reference: &Reference<'_>, given: &[Given], precision: Precision, hints: &Hints) -> usize {
    let mut below: HashSet<ValueId> = HashSet::new();
    let mut seen = 0;
    let mut last = OpId(0);
    for id in target.op_ids() {
        let op = target.op(id);
        let weighted = op.inputs.iter().flatten().filter_map(|v| target.constant(*v)).any(|c| c.is_float() && c.len() >= 16)
            && matches!(op.op_type(), "Conv" | "MatMul" | "Gemm" | "ConvInteger" | "MatMulInteger");
        let behind = op.data.iter().any(|v| below.contains(v));
        if weighted || behind {
            below.extend(op.made());
        }
        if weighted && !behind {
            seen += 1;
            last = id;
            if seen == 3 {
                break;
            }
        }
    }
    // What follows them: batch norm, where only its output has a partner.
    let end = OpId((last.0 + 6).min(target.ops().len() as u32));
    crate::align::paired_up_to(target, reference, given, precision.tau(), hints, end)
}

/// What follows from a hypothesis that is believed: faults for each key that it changes.
fn believed(subject: &Subject<'_>, h: &Hypothesis, own: &Recipe, theirs: &Recipe, given: Vec<Given>) -> Chosen {
    let mut suspects = Vec::new();
    let mut notes = Vec::new();
    let shape_keys = h.keys.iter().any(|k| k.is_of_shape());
    let declared = declared_edit(subject, &h.recipe);
    if shape_keys || declared.is_some() {
        suspects.push(input_suspect(subject, h, own, declared));
    }
    for (kind, keys) in [
        (Kind::PpCrop, &[RecipeKey::Resize][..]),
        (Kind::PpResize, &[RecipeKey::Filter]),
        (Kind::PpChannels, &[RecipeKey::Channels, RecipeKey::Alpha]),
        (Kind::PpNorm, &[RecipeKey::Scale, RecipeKey::Mean, RecipeKey::Std]),
        (Kind::IdDtype, &[RecipeKey::Dtype]),
    ] {
        let changed: Vec<RecipeKey> = h.keys.iter().copied().filter(|k| keys.contains(k)).collect();
        if changed.is_empty() {
            continue;
        }
        // Only what this key changes, on top of the case's recipe.
        let mut recipe = own.clone();
        recipe.take(&h.recipe, keys);
        let kind = if kind == Kind::PpNorm && changed == [RecipeKey::Scale] { Kind::PpScale } else { kind };
        let also: Vec<Kind> = match kind {
            Kind::PpNorm => vec![Kind::PpScale],
            Kind::PpScale => vec![Kind::PpNorm],
            _ => Vec::new(),
        };
        let words = words(&changed, own, &h.recipe);
        suspects.push(recipe_suspect(kind, also, words, recipe));
    }
    if own.channels != theirs.channels && !h.keys.contains(&RecipeKey::Channels) {
        notes.push(format!("the target takes {} where the source takes {}: its graph is made for that", own.channels, theirs.channels));
    }
    Chosen { given, recipe: Some(h.recipe.clone()), suspects, notes }
}

/// The same, where no layer of the target makes what one of the source makes: then nothing was measured.
fn guessed(mut chosen: Chosen) -> Chosen {
    for suspect in &mut chosen.suspects {
        suspect.evidence = vec!["a guess: no layer near the input makes what one of the source's makes, with any recipe".into()];
        suspect.confidence = 0.5;
        suspect.remedies.iter_mut().for_each(|f| f.after = f32::NAN);
    }
    chosen
}

fn words(keys: &[RecipeKey], own: &Recipe, wanted: &Recipe) -> String {
    let one = |key: &RecipeKey| format!("{} is {}, the network was made for {}", key.name(), key.show(own), key.show(wanted));
    format!("the target's recipe: {}", keys.iter().map(one).collect::<Vec<_>>().join("; "))
}

fn recipe_suspect(kind: Kind, equivalents: Vec<Kind>, words: String, recipe: Recipe) -> Suspect {
    let mut remedy = Remedy::new(kind, Edit::All(Vec::new()), words.clone());
    remedy.recipe = Some(recipe);
    Suspect {
        region: None,
        kind: Some(kind),
        category: kind.category(),
        target_nodes: Vec::new(),
        target_tensors: Vec::new(),
        source_nodes: Vec::new(),
        words,
        evidence: vec!["the target's first layers make what the source's make once the recipe is changed so".into()],
        equivalents,
        confidence: 0.95,
        error: f32::INFINITY,
        splice: None,
        remedies: vec![Found { remedy, after: 0.0 }],
    }
}

/// The declared input as the tensors of a recipe need it, when it is not so.
fn declared_edit(subject: &Subject<'_>, recipe: &Recipe) -> Option<(Edit, String)> {
    let model = subject.target.model();
    let input = model.inputs().next()?.clone();
    let declared = subject.target_feed.inputs.first()?;
    let size = recipe.size?;
    let wanted = recipe.shape(size);
    let dims = declared.dims.clone()?;
    let fits = dims.len() == 4 && dims.iter().zip(&wanted).enumerate().all(|(i, (d, w))| i == 0 || d.is_none_or(|d| d == *w));
    if fits {
        return None;
    }
    let words = format!(
        "the input '{}' is declared {}, the network was made for [{}, {}, {}, {}]",
        input.name(),
        declared.shape_words(),
        "N",
        wanted[1],
        wanted[2],
        wanted[3]
    );
    let mut new: ValueInfoProto = input;
    let Some(type_proto::Value::TensorType(tensor)) = new.r#type.as_mut().and_then(|t| t.value.as_mut()) else { return None };
    let old = tensor.shape.clone().unwrap_or_default();
    let fixed = |n: i64| Dimension { value: Some(dimension::Value::DimValue(n)), ..Dimension::default() };
    // A batch that is open stays open.
    let batch = match (old.dim.len(), old.dim.first()) {
        (4, Some(first)) => first.clone(),
        _ => output_batch(subject).unwrap_or_else(|| fixed(1)),
    };
    let mut shape = TensorShapeProto { dim: vec![batch] };
    shape.dim.extend(wanted[1..].iter().map(|d| fixed(*d as i64)));
    tensor.shape = Some(shape);
    let mut values: Vec<ValueInfoProto> = model.declared_inputs().cloned().collect();
    let place = values.iter().position(|v| v.name() == new.name())?;
    values[place] = new;
    Some((Edit::SetInputs { values }, words))
}

/// Whether what is declared behind the batch are the same extents in another order.
fn is_reordered(declared: &[Option<usize>], wanted: &[usize]) -> bool {
    let sorted = |extents: &[usize]| {
        let mut out = extents[1..].to_vec();
        out.sort_unstable();
        out
    };
    let known: Option<Vec<usize>> = declared.iter().enumerate().map(|(i, d)| if i == 0 { Some(1) } else { *d }).collect();
    known.is_some_and(|d| d.len() == wanted.len() && d[1..] != wanted[1..] && sorted(&d) == sorted(wanted))
}

/// The batch axis as the first output declares it.
fn output_batch(subject: &Subject<'_>) -> Option<Dimension> {
    let output = subject.target.model().outputs().next()?;
    match output.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(t) => t.shape.as_ref()?.dim.first().cloned(),
        _ => None,
    }
}

fn input_suspect(subject: &Subject<'_>, h: &Hypothesis, own: &Recipe, declared: Option<(Edit, String)>) -> Suspect {
    let dims = subject.target_feed.inputs.first().and_then(|d| d.dims.clone());
    let kind = match dims {
        Some(d) if d.len() != 4 => Kind::IdBatch,
        _ if h.keys.contains(&RecipeKey::Layout) => Kind::IdLayout,
        Some(d) if declared.is_some() && h.recipe.size.is_some_and(|size| is_reordered(&d, &h.recipe.shape(size))) => Kind::IdLayout,
        _ => Kind::IdSize,
    };
    let mut recipe = own.clone();
    recipe.take(&h.recipe, &[RecipeKey::Size, RecipeKey::Layout]);
    let (edit, words) = match declared {
        Some((edit, words)) => (edit, words),
        None => (Edit::All(Vec::new()), words(&h.keys.iter().copied().filter(|k| k.is_of_shape()).collect::<Vec<_>>(), own, &h.recipe)),
    };
    let input = subject.target.inputs().first().copied();
    let mut suspect = recipe_suspect(kind, Vec::new(), words, recipe);
    suspect.remedies[0].remedy.edit = edit;
    suspect.target_tensors = input.into_iter().collect();
    suspect.target_nodes =
        input.map(|v| subject.target.consumers(v).iter().map(|c| subject.target.op(*c).node).collect()).unwrap_or_default();
    suspect.category = Category::ID;
    suspect
}
