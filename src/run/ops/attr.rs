//! Attributes of tract's node messages.

use tract_onnx::pb::{AttributeProto, NodeProto};

/// What our operators ask of a node.
pub(super) trait Attributes {
    /// The attribute of this name.
    fn find(&self, name: &str) -> Option<&AttributeProto>;
    /// An integer.
    fn integer(&self, name: &str) -> Option<i64> {
        self.find(name).map(|a| a.i)
    }
    /// A float.
    fn number(&self, name: &str) -> Option<f32> {
        self.find(name).map(|a| a.f)
    }
    /// A string.
    fn text(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(|a| std::str::from_utf8(&a.s).ok())
    }
    /// A list of integers.
    fn integers(&self, name: &str) -> Option<&[i64]> {
        self.find(name).map(|a| &a.ints[..])
    }
}

impl Attributes for NodeProto {
    fn find(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name == name)
    }
}
