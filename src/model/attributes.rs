//! Reading attributes of a node, with the defaults left to the caller.

use super::onnx::{AttributeProto, NodeProto, TensorProto, attribute_proto::AttributeType};

/// What one asks of a node.
pub trait NodeExt {
    /// The attribute of this name.
    fn attr(&self, name: &str) -> Option<&AttributeProto>;
    /// An integer attribute.
    fn int(&self, name: &str) -> Option<i64>;
    /// A list of integers.
    fn ints(&self, name: &str) -> Option<&[i64]>;
    /// A float attribute.
    fn float(&self, name: &str) -> Option<f32>;
    /// A string attribute, where it is UTF-8.
    fn string(&self, name: &str) -> Option<&str>;
    /// A tensor attribute.
    fn tensor(&self, name: &str) -> Option<&TensorProto>;
    /// What people call the node: its name, or its first output when it has none.
    fn label(&self) -> &str;
    /// Domain, with `ai.onnx` as the empty string.
    fn domain_name(&self) -> &str;
}

impl NodeExt for NodeProto {
    fn attr(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name() == name)
    }
    fn int(&self, name: &str) -> Option<i64> {
        self.attr(name).and_then(|a| a.i)
    }
    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attr(name).filter(|a| a.r#type() == AttributeType::Ints || !a.ints.is_empty()).map(|a| &a.ints[..])
    }
    fn float(&self, name: &str) -> Option<f32> {
        self.attr(name).and_then(|a| a.f)
    }
    fn string(&self, name: &str) -> Option<&str> {
        self.attr(name).and_then(|a| a.s.as_ref()).and_then(|s| std::str::from_utf8(s).ok())
    }
    fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attr(name).and_then(|a| a.t.as_ref())
    }
    fn label(&self) -> &str {
        match self.name() {
            "" => self.output.iter().find(|o| !o.is_empty()).map_or("(unnamed)", |o| o),
            name => name,
        }
    }
    fn domain_name(&self) -> &str {
        if self.domain() == "ai.onnx" { "" } else { self.domain() }
    }
}

/// Attributes as values: what edits are made of.
impl AttributeProto {
    /// An integer.
    pub fn of_int(name: &str, value: i64) -> Self {
        Self { name: Some(name.into()), i: Some(value), r#type: Some(AttributeType::Int as i32), ..Self::default() }
    }
    /// A list of integers.
    pub fn of_ints(name: &str, value: &[i64]) -> Self {
        Self { name: Some(name.into()), ints: value.to_vec(), r#type: Some(AttributeType::Ints as i32), ..Self::default() }
    }
    /// A float.
    pub fn of_float(name: &str, value: f32) -> Self {
        Self { name: Some(name.into()), f: Some(value), r#type: Some(AttributeType::Float as i32), ..Self::default() }
    }
    /// A list of floats.
    pub fn of_floats(name: &str, value: &[f32]) -> Self {
        Self { name: Some(name.into()), floats: value.to_vec(), r#type: Some(AttributeType::Floats as i32), ..Self::default() }
    }
    /// A string.
    pub fn of_string(name: &str, value: &str) -> Self {
        Self { name: Some(name.into()), s: Some(value.to_string().into()), r#type: Some(AttributeType::String as i32), ..Self::default() }
    }
    /// A list of strings.
    pub fn of_strings(name: &str, value: &[&str]) -> Self {
        let strings = value.iter().map(|s| (*s).to_string().into()).collect();
        Self { name: Some(name.into()), strings, r#type: Some(AttributeType::Strings as i32), ..Self::default() }
    }
    /// A tensor.
    pub fn of_tensor(name: &str, value: TensorProto) -> Self {
        Self { name: Some(name.into()), t: Some(value), r#type: Some(AttributeType::Tensor as i32), ..Self::default() }
    }
}
