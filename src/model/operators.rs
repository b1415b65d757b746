//! The table of operators: who exists since when, with which inputs, outputs and attributes.

use super::onnx::AttributeProto;
use super::onnx::attribute_proto::AttributeType;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Made by `schema/operators.py`.
const TABLE: &str = include_str!("schema/operators.tsv");

/// One version of an operator.
#[derive(Debug)]
pub(super) struct Operator {
    pub since: i64,
    /// Least and largest number of inputs.
    pub inputs: (usize, usize),
    /// Least and largest number of outputs.
    pub outputs: (usize, usize),
    /// `None`: this version is deprecated and must not be used any more.
    pub attributes: Option<Vec<Attribute>>,
    /// Names of the inputs; one that repeats stands once.
    names: Vec<&'static str>,
    /// Element types of the inputs, as the table has them.
    types: Vec<&'static str>,
    /// What the variables among them may be.
    variables: Vec<(&'static str, Vec<i32>)>,
}

/// An attribute of an operator.
#[derive(Debug)]
pub(super) struct Attribute {
    pub name: &'static str,
    pub kind: AttributeType,
    /// Whether it must be there.
    pub required: bool,
    /// What it is where it is not there, as the table has it; `None` for none, and for lists.
    default: Option<&'static str>,
}

/// The element type that an input must have.
pub(super) enum Wanted<'a> {
    /// Nothing is said.
    Any,
    /// This one, by its number.
    Only(i32),
    /// One of these, and, if so said, the same as all others of the same variable.
    Variable(&'a str, &'a [i32], bool),
}

impl Operator {
    /// The element type that the input of a slot must have.
    pub fn input_type(&self, slot: usize) -> Wanted<'_> {
        let last = self.types.last().copied().filter(|t| t.ends_with(['+', '*']));
        let Some(token) = self.types.get(slot).copied().or(last) else { return Wanted::Any };
        let name = token.trim_end_matches(['+', '*']);
        if let Ok(number) = name.parse() {
            return Wanted::Only(number);
        }
        let variable = self.variables.iter().find(|(n, _)| *n == name);
        variable.map_or(Wanted::Any, |(name, allowed)| Wanted::Variable(name, allowed, !token.ends_with('*')))
    }
}

type Table = HashMap<&'static str, HashMap<&'static str, Vec<Operator>>>;

/// By domain, then by name, versions from old to new.
static OPERATORS: LazyLock<Table> = LazyLock::new(|| {
    let mut out = Table::new();
    for line in TABLE.lines().filter(|l| !l.starts_with('#')) {
        if let Some((domain, name, operator)) = parse(line) {
            out.entry(domain).or_default().entry(name).or_default().push(operator);
        }
    }
    out
});

fn parse(line: &'static str) -> Option<(&'static str, &'static str, Operator)> {
    let [domain, name, since, inputs, outputs, attributes, types, variables, names] =
        line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    let range = |text: &str| {
        let (least, most) = text.split_once("..")?;
        Some((least.parse().ok()?, if most == "*" { usize::MAX } else { most.parse().ok()? }))
    };
    let attribute = |text: &'static str| {
        let (text, default) = text.split_once('=').map_or((text, None), |(text, default)| (text, Some(default)));
        let (name, kind) = text.split_once(':')?;
        let required = kind.ends_with('!');
        let kind = match kind.trim_end_matches('!') {
            "f" => AttributeType::Float,
            "i" => AttributeType::Int,
            "s" => AttributeType::String,
            "t" => AttributeType::Tensor,
            "g" => AttributeType::Graph,
            "st" => AttributeType::SparseTensor,
            "tp" => AttributeType::TypeProto,
            "fs" => AttributeType::Floats,
            "is" => AttributeType::Ints,
            "ss" => AttributeType::Strings,
            "ts" => AttributeType::Tensors,
            "gs" => AttributeType::Graphs,
            _ => return None,
        };
        Some(Attribute { name, kind, required, default })
    };
    let attributes = match attributes {
        "-" => None,
        list => Some(list.split_whitespace().map(attribute).collect::<Option<_>>()?),
    };
    let variable = |text: &'static str| {
        let (name, numbers) = text.split_once('=')?;
        Some((name, numbers.split(',').map(|n| n.parse().ok()).collect::<Option<Vec<i32>>>()?))
    };
    let types = types.split_whitespace().collect();
    let names = names.split_whitespace().collect();
    let variables = variables.split_whitespace().map(variable).collect::<Option<_>>()?;
    Some((
        domain,
        name,
        Operator { names, types, variables, since: since.parse().ok()?, inputs: range(inputs)?, outputs: range(outputs)?, attributes },
    ))
}

/// Whether the table knows the domain at all.
pub(super) fn knows_domain(domain: &str) -> bool {
    OPERATORS.contains_key(domain)
}

/// The version of an operator that counts in a version of its operator set. `Err` with the first version when it came later, or `None`
/// when there is no such operator.
pub(super) fn find(domain: &str, name: &str, version: i64) -> Result<&'static Operator, Option<i64>> {
    let versions = OPERATORS.get(domain).and_then(|d| d.get(name)).ok_or(None)?;
    versions.iter().rev().find(|o| o.since <= version).ok_or_else(|| versions.first().map(|o| o.since))
}

/// The version since which an operator is as it is in a version of its operator set; `None` where it is not there, or not to be used any more.
pub fn first_version(domain: &str, name: &str, version: i64) -> Option<i64> {
    find(domain, name, version).ok().filter(|o| o.attributes.is_some()).map(|o| o.since)
}

/// Names of the attributes that a node can have; none where the operator is not known.
pub fn attribute_names(domain: &str, name: &str, version: i64) -> impl Iterator<Item = &'static str> {
    let found = find(domain, name, version).ok().and_then(|o| o.attributes.as_ref());
    found.into_iter().flatten().map(|a| a.name)
}

/// What an attribute of an operator is where a node does not have it; `None` where nothing is said, as of one that then counts from the shapes.
/// `like` is the same attribute of another node: it tells the name, and how many numbers a list has.
pub fn default_attribute(domain: &str, op: &str, version: i64, like: &AttributeProto) -> Option<AttributeProto> {
    let name = like.name();
    // Lists along the spatial axes, of which the definition says what each number is.
    match name {
        "strides" | "dilations" => return Some(AttributeProto::of_ints(name, &vec![1; like.ints.len()])),
        "pads" | "output_padding" => return Some(AttributeProto::of_ints(name, &vec![0; like.ints.len()])),
        _ => {}
    }
    let found = find(domain, op, version).ok()?.attributes.as_ref()?.iter().find(|a| a.name == name)?;
    let text = found.default?;
    match found.kind {
        AttributeType::Float => text.parse().ok().map(|f| AttributeProto::of_float(name, f)),
        AttributeType::Int => text.parse().ok().map(|i| AttributeProto::of_int(name, i)),
        AttributeType::String => Some(AttributeProto::of_string(name, text)),
        _ => None,
    }
}

/// Names of the inputs of an operator, in order, one that repeats once; none where the operator is not known.
pub fn input_names(domain: &str, name: &str, version: i64) -> impl Iterator<Item = &'static str> {
    find(domain, name, version).ok().into_iter().flat_map(|o| &o.names).copied()
}

/// The newest operator set of ONNX that the table has.
pub(super) fn newest() -> i64 {
    static NEWEST: LazyLock<i64> =
        LazyLock::new(|| TABLE.lines().next().and_then(|l| l.split("operator set ").nth(1)?.split(';').next()?.parse().ok()).unwrap_or(0));
    *NEWEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood_and_in_order() {
        let lines = TABLE.lines().filter(|l| !l.starts_with('#'));
        assert!(lines.clone().count() > 600);
        for line in lines {
            assert!(parse(line).is_some(), "{line}");
        }
        assert!(OPERATORS.values().flat_map(HashMap::values).all(|v| v.windows(2).all(|w| w[0].since < w[1].since)));
        assert!(newest() >= 26);
    }

    #[test]
    fn attributes_that_are_not_there_are_what_the_schema_says() {
        let of = |op: &str, version: i64, name: &str| {
            default_attribute("", op, version, &AttributeProto { name: Some(name.into()), ints: vec![2, 2], ..AttributeProto::default() })
        };
        assert_eq!(of("LRN", 13, "bias"), Some(AttributeProto::of_float("bias", 1.0)));
        assert_eq!(of("DepthToSpace", 13, "mode"), Some(AttributeProto::of_string("mode", "DCR")));
        assert_eq!(of("TopK", 11, "largest"), Some(AttributeProto::of_int("largest", 1)));
        assert_eq!(of("Softmax", 11, "axis"), Some(AttributeProto::of_int("axis", 1)));
        assert_eq!(of("Softmax", 13, "axis"), Some(AttributeProto::of_int("axis", -1)));
        assert_eq!(of("Conv", 11, "strides"), Some(AttributeProto::of_ints("strides", &[1, 1])));
        assert_eq!(of("Conv", 11, "kernel_shape"), None);
        assert_eq!(of("NoSuchOperator", 11, "axis"), None);
    }

    #[test]
    fn the_version_that_counts_is_the_newest_that_is_not_too_new() {
        let clip = |v| find("", "Clip", v).unwrap();
        assert_eq!((clip(6).since, clip(6).inputs), (6, (1, 1)));
        assert_eq!((clip(13).since, clip(13).inputs), (13, (1, 3)));
        assert_eq!(find("", "LayerNormalization", 16).unwrap_err(), Some(17));
        assert!(find("", "NoSuchOperator", 17).unwrap_err().is_none());
        assert!(find("", "Upsample", 13).unwrap().attributes.is_none());
    }
}
