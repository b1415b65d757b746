//! Layers with a window: padding, strides, dilations, pooling, groups; and resizing.

use super::scene::Scene;
use super::weights::weight_slot;
use super::{Fault, Variant, pick};
use crate::localize::Kind;
use crate::model::onnx::AttributeProto;
use crate::model::{Edit, NodeExt};
use crate::run::{OpId, Value};
use rand::Rng;
use rand::rngs::SmallRng;

pub(super) const VARIANTS: &[Variant] = &[
    Variant { kind: Kind::LhPads, name: "exchanged", make: pads_exchanged },
    Variant { kind: Kind::LhPads, name: "all-at-one-side", make: pads_at_one_side },
    Variant { kind: Kind::LhPads, name: "columns", make: pads_of_columns },
    Variant { kind: Kind::LhPads, name: "symmetric", make: pads_symmetric },
    Variant { kind: Kind::LhPads, name: "auto", make: pads_auto },
    Variant { kind: Kind::LhPads, name: "pad-node", make: pad_node_moved },
    Variant { kind: Kind::LhPads, name: "pad-mode", make: pad_node_mode },
    Variant { kind: Kind::LhPads, name: "pad-value", make: pad_node_value },
    Variant { kind: Kind::LhStride, name: "dilation", make: dilation },
    Variant { kind: Kind::LhStride, name: "stride", make: stride },
    Variant { kind: Kind::LhPool, name: "count-include-pad", make: count_include_pad },
    Variant { kind: Kind::LhPool, name: "ceil-mode", make: ceil_mode },
    Variant { kind: Kind::LhPool, name: "kernel", make: pool_kernel },
    Variant { kind: Kind::LhPool, name: "average-maximum", make: average_maximum },
    Variant { kind: Kind::LhGroup, name: "split", make: group_split },
    Variant { kind: Kind::LhGroup, name: "merged", make: group_merged },
    Variant { kind: Kind::LhResize, name: "mode", make: resize_mode },
    Variant { kind: Kind::LhResize, name: "coordinates", make: resize_coordinates },
    Variant { kind: Kind::LhResize, name: "nearest-mode", make: resize_nearest },
    Variant { kind: Kind::LhResize, name: "cubic-coefficient", make: resize_cubic },
];

/// The window of a convolution or pooling, on its spatial axes.
struct Window {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    /// Begins, then ends; what auto_pad comes to.
    pads: Vec<i64>,
    size: Vec<i64>,
}

impl Window {
    fn of(scene: &Scene, id: OpId) -> Option<Self> {
        let node = scene.node(id);
        if !matches!(node.op_type(), "Conv" | "ConvInteger" | "QLinearConv" | "FusedConv" | "MaxPool" | "AveragePool" | "LpPool") {
            return None;
        }
        let size: Vec<i64> = scene.input_shape(id, 0)?.get(2..)?.iter().map(|d| *d as i64).collect();
        let axes = size.len();
        let weight = if node.op_type() == "QLinearConv" { 3 } else { 1 };
        let kernel = match node.ints("kernel_shape") {
            Some(k) => k.to_vec(),
            None => scene.input_shape(id, weight)?.get(2..)?.iter().map(|d| *d as i64).collect(),
        };
        let list = |name: &str| node.ints(name).map_or_else(|| vec![1; axes], <[i64]>::to_vec);
        let (strides, dilations) = (list("strides"), list("dilations"));
        let explicit = node.ints("pads").map_or_else(|| vec![0; 2 * axes], <[i64]>::to_vec);
        if axes == 0 || [&kernel, &strides, &dilations].iter().any(|l| l.len() != axes) || explicit.len() != 2 * axes {
            return None;
        }
        let mut out = Self { kernel, strides, dilations, pads: explicit, size };
        match node.string("auto_pad").unwrap_or("NOTSET") {
            "NOTSET" => {}
            "VALID" => out.pads.fill(0),
            auto => out.pads = out.same(auto == "SAME_UPPER"),
        }
        Some(out)
    }

    /// The padding of SAME_UPPER or SAME_LOWER.
    fn same(&self, upper: bool) -> Vec<i64> {
        let axes = self.size.len();
        let mut pads = vec![0; 2 * axes];
        for i in 0..axes {
            let out = (self.size[i] + self.strides[i] - 1) / self.strides[i].max(1);
            let total = ((out - 1) * self.strides[i] + (self.kernel[i] - 1) * self.dilations[i] + 1 - self.size[i]).max(0);
            let (less, more) = (total / 2, total - total / 2);
            (pads[i], pads[i + axes]) = if upper { (less, more) } else { (more, less) };
        }
        pads
    }
}

/// A fault that gives a layer other explicit pads.
fn with_pads(scene: &Scene, id: OpId, change: impl FnOnce(&Window) -> Option<Vec<i64>>) -> Option<Fault> {
    let window = Window::of(scene, id)?;
    let pads = change(&window)?;
    if pads == window.pads {
        return None;
    }
    let note = format!("pads {pads:?} in place of {:?}", window.pads);
    let mut attributes = vec![AttributeProto::of_ints("pads", &pads)];
    if scene.node(id).string("auto_pad").is_some_and(|a| a != "NOTSET") {
        attributes.push(AttributeProto::of_string("auto_pad", "NOTSET"));
    }
    Some(Fault::new(scene.set_attributes(id, attributes, &[])?, note).at(scene.label(id)))
}

fn pads_exchanged(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with_pads(scene, id, |w| Some([&w.pads[w.size.len()..], &w.pads[..w.size.len()]].concat()))
}

fn pads_at_one_side(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let end = rng.random::<bool>();
    with_pads(scene, id, |w| {
        let axes = w.size.len();
        let total: Vec<i64> = (0..axes).map(|i| w.pads[i] + w.pads[i + axes]).collect();
        let none = vec![0; axes];
        Some(if end { [none, total].concat() } else { [total, none].concat() })
    })
}

fn pads_of_columns(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with_pads(scene, id, |w| {
        let (last, mut pads) = (w.size.len() - 1, w.pads.clone());
        let end = pads.len() - 1;
        (pads[last], pads[end]) = if pads[last] > 0 { (0, pads[last] + pads[end]) } else { (pads[end], 0) };
        Some(pads)
    })
}

/// An odd sum of pads made even, where the stride hides one row and column.
fn pads_symmetric(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with_pads(scene, id, |w| {
        let axes = w.size.len();
        let half: Vec<i64> = (0..axes).map(|i| (w.pads[i] + w.pads[i + axes] + 1) / 2).collect();
        Some([half.clone(), half].concat())
    })
}

fn pads_auto(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let window = Window::of(scene, id)?;
    let upper = rng.random::<bool>();
    if window.same(upper) == window.pads {
        return None;
    }
    let name = if upper { "SAME_UPPER" } else { "SAME_LOWER" };
    let now =
        scene.node(id).string("auto_pad").filter(|a| *a != "NOTSET").map_or_else(|| format!("pads {:?}", window.pads), str::to_string);
    let edits = scene.set_attributes(id, vec![AttributeProto::of_string("auto_pad", name)], &["pads"])?;
    Some(Fault::new(edits, format!("{name} in place of {now}")).at(scene.label(id)))
}

/// The amounts of a Pad node, with their slot where they are an input.
fn pad_amounts(scene: &Scene, id: OpId) -> Option<Vec<i64>> {
    if scene.op_type(id) != "Pad" {
        return None;
    }
    match scene.node(id).ints("pads") {
        Some(pads) => Some(pads.to_vec()),
        None => Some(scene.constant(id, 1)?.to_i64()),
    }
}

fn pad_node_moved(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let now = pad_amounts(scene, id)?;
    let rank = now.len() / 2;
    let mut new = [&now[rank..], &now[..rank]].concat();
    if new == now {
        new = [vec![0; rank], (0..rank).map(|i| now[i] + now[i + rank]).collect()].concat();
    }
    let note = format!("pads {new:?} in place of {now:?}");
    if scene.node(id).ints("pads").is_some() {
        return Some(Fault::new(scene.set_attributes(id, vec![AttributeProto::of_ints("pads", &new)], &[])?, note).at(scene.label(id)));
    }
    let (edits, name) = scene.set_constant(id, 1, &Value::from_i64(&[new.len()], new))?;
    Some(Fault::new(edits, note).at(scene.label(id)).on(name))
}

fn pad_node_mode(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    pad_amounts(scene, id)?;
    let now = scene.node(id).string("mode").unwrap_or("constant");
    let other: Vec<&str> = ["constant", "reflect", "edge"].into_iter().filter(|m| *m != now).collect();
    let new = pick(rng, &other)?;
    let edits = scene.set_attributes(id, vec![AttributeProto::of_string("mode", new)], &[])?;
    Some(Fault::new(edits, format!("Pad mode {new} in place of {now}")).at(scene.label(id)))
}

fn pad_node_value(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    pad_amounts(scene, id)?;
    if scene.node(id).string("mode").unwrap_or("constant") != "constant" {
        return None;
    }
    // Of the size of what is padded, or it would not be felt.
    let data = scene.value(scene.input(id, 0)?)?.to_f32();
    let largest = data.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let value = largest * pick(rng, &[-1.0f32, -0.5, 0.5, 1.0])?;
    let note = format!("padded with {value}");
    if scene.node(id).ints("pads").is_some() {
        return Some(Fault::new(scene.set_attributes(id, vec![AttributeProto::of_float("value", value)], &[])?, note).at(scene.label(id)));
    }
    let constant = Value::from_f32(&[], vec![value]).cast(scene.value(scene.input(id, 0)?)?.dtype())?;
    let (make, name) = scene.new_constant(id, "pad_value", &constant);
    let rewire = Edit::RewireInput { node: scene.key(id), slot: 2, value: name.clone() };
    Some(Fault::new(vec![make, rewire], note).at(scene.label(id)).on(name))
}

fn dilation(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let window = Window::of(scene, id)?;
    if !scene.op_type(id).starts_with("Conv") || window.kernel.iter().all(|k| *k == 1) {
        return None;
    }
    let axes = window.size.len();
    let new: Vec<i64> = window.dilations.iter().map(|d| if *d == 1 { 2 } else { 1 }).collect();
    let mut pads = window.pads.clone();
    for i in 0..axes {
        // What the window grows or shrinks by is padded more or less.
        let more = (window.kernel[i] - 1) * (new[i] - window.dilations[i]);
        pads[i] += more / 2;
        pads[i + axes] += more - more / 2;
    }
    if pads.iter().any(|p| *p < 0) {
        return None;
    }
    let note = format!("dilations {new:?} in place of {:?}, pads {pads:?}", window.dilations);
    let attributes = vec![
        AttributeProto::of_ints("dilations", &new),
        AttributeProto::of_ints("pads", &pads),
        AttributeProto::of_string("auto_pad", "NOTSET"),
    ];
    Some(Fault::new(scene.set_attributes(id, without_default(scene, id, attributes), &[])?, note).at(scene.label(id)))
}

fn stride(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let window = Window::of(scene, id)?;
    if !scene.op_type(id).starts_with("Conv") {
        return None;
    }
    let axes = window.size.len();
    let mut pads = window.pads.clone();
    let mut new = window.strides.clone();
    for i in 0..axes {
        if new[i] == 1 {
            new[i] = 2;
            let out = *scene.output_shape(id)?.get(i + 2)? as i64;
            let total = 2 * (out - 1) + (window.kernel[i] - 1) * window.dilations[i] + 1 - window.size[i];
            (pads[i], pads[i + axes]) = (total / 2, total - total / 2);
        }
    }
    if new == window.strides || pads.iter().any(|p| *p < 0) {
        return None;
    }
    let note = format!("strides {new:?} in place of {:?}, pads {pads:?}", window.strides);
    let attributes = vec![
        AttributeProto::of_ints("strides", &new),
        AttributeProto::of_ints("pads", &pads),
        AttributeProto::of_string("auto_pad", "NOTSET"),
    ];
    Some(Fault::new(scene.set_attributes(id, without_default(scene, id, attributes), &[])?, note).at(scene.label(id)))
}

/// Leaves auto_pad out where the node has none.
fn without_default(scene: &Scene, id: OpId, mut attributes: Vec<AttributeProto>) -> Vec<AttributeProto> {
    attributes.retain(|a| a.name() != "auto_pad" || scene.node(id).attr("auto_pad").is_some());
    attributes
}

fn count_include_pad(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "AveragePool" {
        return None;
    }
    let now = scene.node(id).int("count_include_pad").unwrap_or(0);
    let edits = scene.set_attributes(id, vec![AttributeProto::of_int("count_include_pad", i64::from(now == 0))], &[])?;
    Some(Fault::new(edits, "count_include_pad turned round").at(scene.label(id)))
}

fn ceil_mode(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if !matches!(scene.op_type(id), "AveragePool" | "MaxPool") {
        return None;
    }
    let now = scene.node(id).int("ceil_mode").unwrap_or(0);
    // The shape may change here: what follows has to bear it.
    let edit = Edit::SetAttribute { node: scene.key(id), attribute: AttributeProto::of_int("ceil_mode", i64::from(now == 0)) };
    Some(Fault::new(edit, if now == 0 { "ceil_mode added" } else { "ceil_mode dropped" }).at(scene.label(id)))
}

fn pool_kernel(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if !matches!(scene.op_type(id), "AveragePool" | "MaxPool") {
        return None;
    }
    let window = Window::of(scene, id)?;
    let axes = window.size.len();
    let by = if rng.random::<bool>() || window.kernel.iter().any(|k| *k < 2) { 1 } else { -1 };
    let new: Vec<i64> = window.kernel.iter().map(|k| k + by).collect();
    let mut pads = window.pads.clone();
    for i in 0..axes {
        // At the side that has room for it.
        let side = if (by > 0) == (pads[i] < pads[i + axes]) { i } else { i + axes };
        pads[side] += by;
    }
    if pads.iter().any(|p| *p < 0) || (0..axes).any(|i| pads[i].max(pads[i + axes]) >= new[i]) {
        return None;
    }
    let note = format!("kernel {new:?} in place of {:?}, pads {pads:?}", window.kernel);
    let attributes = vec![
        AttributeProto::of_ints("kernel_shape", &new),
        AttributeProto::of_ints("pads", &pads),
        AttributeProto::of_string("auto_pad", "NOTSET"),
    ];
    Some(Fault::new(scene.set_attributes(id, without_default(scene, id, attributes), &[])?, note).at(scene.label(id)))
}

fn average_maximum(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let now = scene.op_type(id).to_string();
    let other = match now.as_str() {
        "AveragePool" => "MaxPool",
        "MaxPool" if scene.op(id).made().count() == 1 => "AveragePool",
        "GlobalAveragePool" => "GlobalMaxPool",
        "GlobalMaxPool" => "GlobalAveragePool",
        // The mean over height and width, not that of a normalisation.
        "ReduceMean" if scene.input_shape(id, 0)?.len() == 4 => "ReduceMax",
        _ => return None,
    };
    let mut with = scene.node(id).clone();
    with.op_type = Some(other.into());
    with.attribute.retain(|a| !matches!(a.name(), "count_include_pad" | "storage_order"));
    if other == "AveragePool" && scene.opset() < 19 {
        with.attribute.retain(|a| a.name() != "dilations");
    }
    // Before operator set 18 both took their axes as an attribute, since then as an input.
    let edit = Edit::ReplaceNode { node: scene.key(id), with };
    Some(Fault::new(edit, format!("{other} in place of {now}")).at(scene.label(id)).or(&[Kind::CgOther]))
}

/// A fault that gives a convolution other groups, with a weight that fits them.
fn with_groups(scene: &Scene, id: OpId, groups: i64, shape: [usize; 4], take: impl Fn(usize, usize) -> usize) -> Option<Fault> {
    let slot = weight_slot(scene, id)?;
    let w = scene.constant(id, slot)?;
    let (old, inner) = (w.to_f32(), shape[2] * shape[3]);
    let mut data = Vec::with_capacity(shape.iter().product());
    for o in 0..shape[0] {
        for i in 0..shape[1] {
            let from = (o * w.shape()[1] + take(o, i)) * inner;
            data.extend_from_slice(old.get(from..from + inner)?);
        }
    }
    let new = Value::from_f32(&shape, data).cast(w.dtype())?;
    let (mut edits, name) = scene.set_constant(id, slot, &new)?;
    edits.push(Edit::SetAttribute { node: scene.key(id), attribute: AttributeProto::of_int("group", groups) });
    let now = scene.node(id).int("group").unwrap_or(1);
    Some(Fault::new(edits, format!("group {groups} in place of {now}")).at(scene.label(id)).on(name).or(&[Kind::WbValues]))
}

/// Two groups where there was one: what goes from one half of the channels to the other is lost.
fn group_split(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let w = scene.constant(id, weight_slot(scene, id)?)?;
    let [o, i, h, x] = *w.shape() else { return None };
    if scene.op_type(id) != "Conv" || scene.node(id).int("group").unwrap_or(1) != 1 || o % 2 != 0 || i % 2 != 0 {
        return None;
    }
    with_groups(scene, id, 2, [o, i / 2, h, x], move |out, input| input + if out >= o / 2 { i / 2 } else { 0 })
}

/// One group where there were several: every output sees the channels of all groups.
fn group_merged(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let w = scene.constant(id, weight_slot(scene, id)?)?;
    let [o, i, h, x] = *w.shape() else { return None };
    let groups = scene.node(id).int("group").unwrap_or(1);
    if scene.op_type(id) != "Conv" || !(2..=4096).contains(&groups) || o * i * groups as usize > 1 << 20 {
        return None;
    }
    with_groups(scene, id, 1, [o, i * groups as usize, h, x], move |_, input| input % i)
}

/// A fault in a string or float attribute of a Resize.
fn with_resize(scene: &Scene, id: OpId, attribute: AttributeProto, note: String) -> Option<Fault> {
    if !matches!(scene.op_type(id), "Resize" | "Upsample") {
        return None;
    }
    Some(Fault::new(scene.set_attributes(id, vec![attribute], &[])?, note).at(scene.label(id)))
}

fn resize_text(scene: &Scene, id: OpId, rng: &mut SmallRng, name: &str, default: &str, of: &[&str]) -> Option<Fault> {
    let now = scene.node(id).string(name).unwrap_or(default);
    let others: Vec<&str> = of.iter().copied().filter(|m| *m != now).collect();
    let new = pick(rng, &others)?;
    with_resize(scene, id, AttributeProto::of_string(name, new), format!("{name} {new} in place of {now}"))
}

fn resize_mode(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    resize_text(scene, id, rng, "mode", "nearest", &["nearest", "linear"])
}

fn resize_coordinates(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    resize_text(scene, id, rng, "coordinate_transformation_mode", "half_pixel", &["half_pixel", "asymmetric", "align_corners"])
}

fn resize_nearest(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if scene.node(id).string("mode").unwrap_or("nearest") != "nearest" {
        return None;
    }
    resize_text(scene, id, rng, "nearest_mode", "round_prefer_floor", &["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
}

fn resize_cubic(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if scene.node(id).string("mode") != Some("cubic") {
        return None;
    }
    let now = scene.node(id).float("cubic_coeff_a").unwrap_or(-0.75);
    let new = if (now + 0.75).abs() < 1e-3 { -0.5 } else { -0.75 };
    with_resize(scene, id, AttributeProto::of_float("cubic_coeff_a", new), format!("cubic_coeff_a {new} in place of {now}"))
}
