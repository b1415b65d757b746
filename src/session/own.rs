//! Edits that a person writes: another value for a proposal, an attribute of a node, or what the source has there.

use super::sheet::{Row, Sheet};
use super::words;
use crate::align::relative_error;
use crate::localize::{Kind, attribute_kind, replaced_constant};
use crate::model::onnx::AttributeProto;
use crate::model::onnx::attribute_proto::AttributeType;
use crate::model::{Edit, Model, NodeExt, attribute_names, first_version, input_names};
use crate::repair::{Job, Proposal};
use crate::run::{Network, OpId, Value};

/// Weights that differ by no more are the same: folding rounds.
const ROUNDING: f32 = 1e-6;

/// More numbers in a constant than this are data, and nothing that one types.
const LONGEST: usize = 64;

/// The attribute or the few numbers that a proposal sets, when that is all it does, as an attribute.
pub fn single(edit: &Edit, model: &Model) -> Option<AttributeProto> {
    match edit {
        Edit::SetAttribute { attribute, .. } => Some(attribute.clone()),
        Edit::ReplaceInitializer { tensor } => written_number(tensor.name(), &Value::from_proto(model, tensor).ok()?),
        Edit::All(edits) => match &edits[..] {
            [one] => single(one, model),
            _ => None,
        },
        _ => None,
    }
}

/// An edit that sets one value, with another one.
fn with_value(edit: &Edit, value: &AttributeProto) -> Edit {
    match edit {
        Edit::SetAttribute { node, .. } => Edit::SetAttribute { node: node.clone(), attribute: value.clone() },
        Edit::ReplaceInitializer { tensor } => {
            let dtype = crate::model::onnx::tensor_proto::DataType::try_from(tensor.data_type()).unwrap_or_default();
            let new = constant(value);
            Edit::ReplaceInitializer { tensor: new.cast(dtype).unwrap_or(new).to_proto(tensor.name()) }
        }
        Edit::All(edits) => Edit::All(edits.iter().map(|e| with_value(e, value)).collect()),
        other => other.clone(),
    }
}

/// A proposal with another value for the attribute that it sets.
///
/// # Errors
/// In words, when it sets none, or the text is no value for it.
pub fn changed(proposal: &Proposal, text: &str, model: &Model) -> Result<Proposal, String> {
    let old = single(&proposal.edit, model).ok_or("this proposal sets no single value")?;
    let value = parse(old.name(), text, Some(&old))?;
    let words = format!("{} set to {} by hand", old.name(), words::attribute(&value));
    let edit = with_value(&proposal.edit, &value);
    Ok(Proposal { edit, words, isolated: (proposal.isolated.0, f32::NAN), ..proposal.clone() })
}

/// What can be written for the row's target node, as `name = value` with what it has, or `name = ` where it has none: its attributes, and the inputs
/// that are few constant numbers, such as the `max` of a Clip.
///
/// # Errors
/// In words, when the row has not one node in the target.
pub fn attributes(sheet: &Sheet, row: usize) -> Result<Vec<String>, String> {
    let cell = sheet.rows.get(row).and_then(|r| r.target.as_ref());
    if sheet.target.is_none() {
        return Ok(Vec::new());
    }
    let (network, id) = only(&sheet.target, cell.map(|c| &c.ops[..]), "target")?;
    let (model, node) = (network.model(), network.model().node(network.op(id).node));
    let domain = node.domain_name();
    Ok(attribute_names(domain, node.op_type(), model.opset(domain))
        .map(|name| format!("{name} = {}", node.attr(name).map(words::attribute).unwrap_or_default()))
        .chain(numbers(network, id).iter().map(|(_, n)| format!("{} = {}", n.name(), words::attribute(n))))
        .collect())
}

/// The inputs of a node that are few constant numbers, with their places, as if they were attributes: what are inputs in one operator set are
/// attributes in another.
fn numbers(network: &Network, id: OpId) -> Vec<(usize, AttributeProto)> {
    let (op, node) = (network.op(id), network.model().node(network.op(id).node));
    let names = input_names(node.domain_name(), node.op_type(), network.model().opset(node.domain_name()));
    let written = |(slot, name): (usize, &str)| {
        let constant = network.constant(op.inputs.get(slot).copied().flatten()?)?;
        Some((slot, written_number(name, constant)?))
    };
    names.enumerate().filter_map(written).collect()
}

/// A number or a short list of numbers as it is written.
fn written_number(name: &str, constant: &Value) -> Option<AttributeProto> {
    if constant.shape().len() > 1 || constant.len() > LONGEST {
        return None;
    }
    Some(match (constant.is_float(), constant.shape()) {
        (true, []) => AttributeProto::of_float(name, constant.to_f32()[0]),
        (true, _) => AttributeProto::of_floats(name, &constant.to_f32()),
        (false, []) => AttributeProto::of_int(name, constant.to_i64()[0]),
        (false, _) => AttributeProto::of_ints(name, &constant.to_i64()),
    })
}

/// A number or list of numbers as a constant.
fn constant(number: &AttributeProto) -> Value {
    match number.r#type() {
        AttributeType::Float => Value::from_f32(&[], vec![number.f()]),
        AttributeType::Floats => Value::from_f32(&[number.floats.len()], number.floats.clone()),
        AttributeType::Int => Value::from_i64(&[], vec![number.i()]),
        _ => Value::from_i64(&[number.ints.len()], number.ints.clone()),
    }
}

/// Whether a text is a value of the same type as the one that is there now.
///
/// # Errors
/// In words.
pub fn check_value(text: &str, now: &str) -> Result<(), String> {
    parse("value", text, parse("value", now, None).ok().as_ref()).map(drop)
}

/// Whether a text is `name = value`, with a value of the type that the attribute has; `attributes` are what the node can have.
///
/// # Errors
/// In words.
pub fn check_attribute(text: &str, attributes: &[String]) -> Result<(), String> {
    let (name, value) = split(text)?;
    let now = attributes.iter().find_map(|a| a.strip_prefix(name)?.trim_start().strip_prefix('='));
    if now.is_none() && !attributes.is_empty() {
        return Err(format!("there is no attribute or constant input '{name}'"));
    }
    let like = now.map(str::trim).filter(|v| !v.is_empty()).and_then(|v| parse(name, v, None).ok());
    parse(name, value, like.as_ref()).map(drop)
}

/// Name and value.
fn split(text: &str) -> Result<(&str, &str), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name = value, such as pads = [0, 0, 1, 1]")?;
    Ok((name.trim(), value))
}

/// An attribute or a constant input of the row's target node, written as `name = value`. `suspect` is the place of the row among what is decided on.
///
/// # Errors
/// In words, when the row has not one node in the target, or the text is no attribute.
pub fn written(job: &Job, sheet: &Sheet, row: &Row, suspect: usize, text: &str) -> Result<Proposal, String> {
    let (network, id) = only(&sheet.target, row.target.as_ref().map(|c| &c.ops[..]), "target")?;
    let (name, value) = split(text)?;
    let key = network.key(id);
    let proposal = |op: &str, node: String, attribute: &AttributeProto, edit: Edit| Proposal {
        suspect,
        kind: attribute_kind(op, name),
        nodes: vec![node],
        edit,
        recipe: None,
        words: format!("{name} of {op} set to {} by hand", words::attribute(attribute)),
        safe: true,
        isolated: (row.isolated.unwrap_or(f32::NAN), f32::NAN),
    };
    if let Some((slot, now)) = numbers(network, id).into_iter().find(|(_, n)| n.name() == name) {
        let number = parse(name, value, Some(&now))?;
        let edit = replaced_constant(network, id, slot, &constant(&number)).ok_or_else(|| format!("{name} cannot be written"))?;
        return Ok(proposal(network.op(id).op_type(), network.label(id).to_string(), &number, edit));
    }
    let now = job.target.model().node_by_output(&key).map(|n| job.target.model().node(n)).ok_or("the node is no longer there")?;
    let theirs = row.source.as_ref().and_then(|c| c.ops.first()).and_then(|op| Some(sheet.source.as_ref()?.op(*op).proto()));
    let like = now.attr(name).or_else(|| theirs.and_then(|n| n.attr(name)));
    if let Some(version) = first_version(now.domain_name(), now.op_type(), job.target.model().opset(now.domain_name())) {
        let mut known = attribute_names(now.domain_name(), now.op_type(), version).peekable();
        if !known.any(|n| n == name) {
            let all: Vec<&str> = attribute_names(now.domain_name(), now.op_type(), version).collect();
            let has = if all.is_empty() { "none: what it is given are inputs".into() } else { all.join(", ") };
            return Err(format!("{} of version {version} has no attribute '{name}'; it has {has}", now.op_type()));
        }
    }
    let attribute = parse(name, value, like)?;
    let edit = Edit::SetAttribute { node: key, attribute: attribute.clone() };
    Ok(proposal(now.op_type(), now.label().to_string(), &attribute, edit))
}

/// All attributes and weights in which the row's target node differs from its source node, taken from the source.
///
/// # Errors
/// In words, when the row has not one node of the same operator on each side, or nothing differs that can be taken over.
pub fn taken(job: &Job, sheet: &Sheet, row: &Row, suspect: usize) -> Result<Proposal, String> {
    let (source, a) = only(&sheet.source, row.source.as_ref().map(|c| &c.ops[..]), "source")?;
    let (target, b) = only(&sheet.target, row.target.as_ref().map(|c| &c.ops[..]), "target")?;
    let (theirs, mine) = (source.op(a), target.op(b));
    if theirs.op_type() != mine.op_type() {
        return Err(format!("{} and {} are not the same operator", theirs.op_type(), mine.op_type()));
    }
    let key = target.key(b);
    let model = job.target.model();
    let now = model.node_by_output(&key).map(|n| model.node(n)).ok_or("the node is no longer there")?;
    let op = now.op_type();
    let mut edits = Vec::new();
    let mut kinds = Vec::new();
    for attribute in &theirs.proto().attribute {
        let have = now.attr(attribute.name()).cloned().or_else(|| model.default_attribute(now, attribute));
        if have.as_ref().map(words::attribute) != Some(words::attribute(attribute)) {
            edits.push(Edit::SetAttribute { node: key.clone(), attribute: attribute.clone() });
            kinds.push(attribute_kind(op, attribute.name()));
        }
    }
    for attribute in &now.attribute {
        let default = model.default_attribute(now, attribute);
        if theirs.proto().attr(attribute.name()).is_none() && default.map(|d| words::attribute(&d)) != Some(words::attribute(attribute)) {
            edits.push(Edit::RemoveAttribute { node: key.clone(), attribute: attribute.name().into() });
            kinds.push(attribute_kind(op, attribute.name()));
        }
    }
    for (slot, (v, w)) in theirs.inputs.iter().zip(&mine.inputs).enumerate() {
        let (Some(v), Some(w)) = (v, w) else { continue };
        let (Some(wanted), Some(have)) = (source.constant(*v), target.constant(*w)) else { continue };
        let name = target.model().index().name(*w);
        let rounded = || wanted.is_float() && relative_error(&have.to_f32(), &wanted.to_f32()) <= ROUNDING;
        let differs = !(wanted.same(have) || rounded());
        if differs && wanted.shape() == have.shape() && wanted.dtype() == have.dtype() && model.initializer(name).is_some() {
            edits.push(Edit::ReplaceInitializer { tensor: wanted.to_proto(name) });
            kinds.push(if slot == 2 { Kind::WbBias } else { Kind::WbValues });
        }
    }
    let kind = *kinds.first().ok_or("nothing differs that can be taken over as it is")?;
    let safe = true;
    let nodes = vec![now.label().to_string()];
    let words = format!("{op} as the source has it");
    Ok(Proposal {
        suspect,
        kind,
        edit: Edit::All(edits),
        recipe: None,
        words,
        nodes,
        safe,
        isolated: (row.isolated.unwrap_or(f32::NAN), f32::NAN),
    })
}

/// The one op of a side.
fn only<'a>(network: &'a Option<std::sync::Arc<Network>>, ops: Option<&[OpId]>, side: &str) -> Result<(&'a Network, OpId), String> {
    match (network, ops) {
        (Some(network), Some([one])) => Ok((network, *one)),
        (_, None | Some([])) => Err(format!("there is no node of the {side} in this row")),
        (None, Some([_])) => Err(format!("the {side} is not loaded")),
        (_, Some(ops)) => Err(format!("{} nodes of the {side} are in this row: one alone can be edited", ops.len())),
    }
}

/// A value as it is typed: of the type of `like`, or of the type that it looks like.
///
/// # Errors
/// In words.
pub fn parse(name: &str, text: &str, like: Option<&AttributeProto>) -> Result<AttributeProto, String> {
    let text = text.trim();
    let bad = |what: &str| format!("'{text}' is no {what}");
    let items: Vec<&str> = text.trim_start_matches('[').trim_end_matches(']').split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
    let ints = || items.iter().map(|t| t.parse::<i64>()).collect::<Result<Vec<_>, _>>().ok();
    let floats = || items.iter().map(|t| t.parse::<f32>()).collect::<Result<Vec<_>, _>>().ok();
    let of_floats = |v: Vec<f32>| AttributeProto::of_floats(name, &v);
    if name.is_empty() {
        return Err("the name of the attribute is missing".into());
    }
    match like.map(|a| a.r#type()) {
        Some(AttributeType::Int) => text.parse().map(|i| AttributeProto::of_int(name, i)).map_err(|_| bad("whole number")),
        Some(AttributeType::Float) => text.parse().map(|f| AttributeProto::of_float(name, f)).map_err(|_| bad("number")),
        Some(AttributeType::Ints) => ints().map(|v| AttributeProto::of_ints(name, &v)).ok_or_else(|| bad("list of whole numbers")),
        Some(AttributeType::Floats) => floats().map(of_floats).ok_or_else(|| bad("list of numbers")),
        Some(AttributeType::String) => Ok(AttributeProto::of_string(name, text.trim_matches('"'))),
        Some(_) => Err(format!("{name} is no number, list of numbers or word")),
        None if text.starts_with('[') => match (ints(), floats()) {
            (Some(v), _) => Ok(AttributeProto::of_ints(name, &v)),
            (None, Some(v)) => Ok(of_floats(v)),
            _ => Err(bad("list of numbers")),
        },
        None => match (text.parse::<i64>(), text.parse::<f32>()) {
            (Ok(i), _) => Ok(AttributeProto::of_int(name, i)),
            (Err(_), Ok(f)) => Ok(AttributeProto::of_float(name, f)),
            _ if text.is_empty() => Err("the value is missing".into()),
            _ => Ok(AttributeProto::of_string(name, text.trim_matches('"'))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_they_are_shown() {
        for a in [
            AttributeProto::of_ints("pads", &[0, 0, 1, 1]),
            AttributeProto::of_int("axis", -1),
            AttributeProto::of_float("epsilon", 1e-3),
            AttributeProto::of_string("auto_pad", "SAME_UPPER"),
        ] {
            assert_eq!(parse(a.name(), &words::attribute(&a), Some(&a)), Ok(a.clone()));
            assert_eq!(parse(a.name(), &words::attribute(&a), None), Ok(a));
        }
        let pads = AttributeProto::of_ints("pads", &[]);
        assert_eq!(parse("pads", "0,0, 1,1", Some(&pads)), Ok(AttributeProto::of_ints("pads", &[0, 0, 1, 1])));
        assert!(parse("pads", "[0, x]", Some(&pads)).is_err());
        assert!(parse("axis", "", None).is_err());
        assert!(parse("", "1", None).is_err());
    }
}
