//! Who makes and who reads each value, and an order in which nodes can run.

use super::file::{Graph, Part};
use super::onnx::{GraphProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto};
use super::{Model, NodeExt};
use std::collections::{BinaryHeap, HashMap, HashSet};

/// A node of the main graph, by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A value or initializer of the main graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// The index of a graph. It accepts broken graphs (cycles, values made twice or never): the checker names those.
#[derive(Debug, Clone, Default)]
pub struct Index {
    nodes: Vec<usize>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    names: Vec<String>,
    by_name: HashMap<String, ValueId>,
    producer: Vec<Option<NodeId>>,
    consumers: Vec<Vec<NodeId>>,
    initializer: HashMap<ValueId, usize>,
    order: Vec<NodeId>,
    cyclic: Vec<NodeId>,
}

impl Index {
    pub(super) fn new(graph: &Graph) -> Self {
        let mut index = Self::default();
        for (place, part) in graph.parts.iter().enumerate() {
            match part {
                Part::Node(_) => index.nodes.push(place),
                other => {
                    if let Some(name) = other.initializer_name() {
                        let id = index.intern(name);
                        index.initializer.entry(id).or_insert(place);
                    }
                }
            }
        }
        for part in &graph.parts {
            match part {
                Part::Input(e) => {
                    let id = index.intern(e.message.name());
                    if !index.initializer.contains_key(&id) {
                        index.inputs.push(id);
                    }
                }
                Part::Output(e) => {
                    let id = index.intern(e.message.name());
                    index.outputs.push(id);
                }
                _ => {}
            }
        }
        let mut reads: Vec<Vec<ValueId>> = Vec::with_capacity(index.nodes.len());
        for at in 0..index.nodes.len() {
            let Part::Node(e) = &graph.parts[index.nodes[at]] else { unreachable!("nodes hold places of nodes") };
            let id = NodeId(at as u32);
            for name in e.message.output.iter().filter(|n| !n.is_empty()) {
                let value = index.intern(name);
                index.producer[value.0 as usize].get_or_insert(id);
            }
            let mut values: Vec<ValueId> = self::reads(&e.message).into_iter().map(|n| index.intern(n)).collect();
            let mut seen = HashSet::new();
            values.retain(|v| seen.insert(*v));
            for v in &values {
                index.consumers[v.0 as usize].push(id);
            }
            reads.push(values);
        }
        index.sort(&reads);
        index
    }

    fn intern(&mut self, name: &str) -> ValueId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = ValueId(self.names.len() as u32);
        self.names.push(name.to_string());
        self.by_name.insert(name.to_string(), id);
        self.producer.push(None);
        self.consumers.push(Vec::new());
        id
    }

    /// Kahn's order, the earliest node of the file first; what lies on a cycle is left out of it.
    fn sort(&mut self, reads: &[Vec<ValueId>]) {
        let mut open: Vec<usize> = reads.iter().map(|vs| vs.iter().filter(|v| self.producer[v.0 as usize].is_some()).count()).collect();
        let ready = |n: usize| std::cmp::Reverse(n);
        let mut heap: BinaryHeap<_> = open.iter().enumerate().filter(|(_, o)| **o == 0).map(|(n, _)| ready(n)).collect();
        let mut made: Vec<Vec<ValueId>> = vec![Vec::new(); reads.len()];
        for (v, p) in self.producer.iter().enumerate() {
            if let Some(p) = p {
                made[p.0 as usize].push(ValueId(v as u32));
            }
        }
        while let Some(std::cmp::Reverse(n)) = heap.pop() {
            self.order.push(NodeId(n as u32));
            for v in &made[n] {
                for c in &self.consumers[v.0 as usize] {
                    open[c.0 as usize] -= 1;
                    if open[c.0 as usize] == 0 {
                        heap.push(ready(c.0 as usize));
                    }
                }
            }
        }
        self.cyclic = (0..reads.len()).filter(|n| open[*n] > 0).map(|n| NodeId(n as u32)).collect();
    }

    /// All nodes, in the order of the file.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }
    /// Nodes in an order in which they can run. Nodes on or behind a cycle are not in it.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }
    /// Nodes that can never run because they lie on a cycle or wait for one.
    pub fn cyclic(&self) -> &[NodeId] {
        &self.cyclic
    }
    /// Inputs of the graph that are not initializers.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }
    /// Outputs of the graph.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }
    /// How many values, initializers among them, the graph names.
    pub fn value_count(&self) -> usize {
        self.names.len()
    }
    /// The value of this name.
    pub fn value(&self, name: &str) -> Option<ValueId> {
        self.by_name.get(name).copied()
    }
    /// A value's name.
    pub fn name(&self, value: ValueId) -> &str {
        &self.names[value.0 as usize]
    }
    /// The node that makes a value.
    pub fn producer(&self, value: ValueId) -> Option<NodeId> {
        self.producer[value.0 as usize]
    }
    /// The nodes that read a value, in the order of the file; a node whose sub-graph reads it counts.
    pub fn consumers(&self, value: ValueId) -> &[NodeId] {
        &self.consumers[value.0 as usize]
    }
    /// Whether a value is an initializer, dense or sparse.
    pub fn is_initializer(&self, value: ValueId) -> bool {
        self.initializer.contains_key(&value)
    }

    pub(super) fn node_place(&self, node: NodeId) -> usize {
        self.nodes[node.0 as usize]
    }
    pub(super) fn initializer_place(&self, value: ValueId) -> Option<usize> {
        self.initializer.get(&value).copied()
    }
}

/// Names of all values a node reads, those that its sub-graphs take from outside included.
pub fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names = Vec::new();
    read_by(node, &mut names);
    names
}

fn read_by<'a>(node: &'a NodeProto, out: &mut Vec<&'a str>) {
    out.extend(node.input.iter().filter(|n| !n.is_empty()).map(String::as_str));
    for attribute in &node.attribute {
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            captured_by(graph, out);
        }
    }
}

fn captured_by<'a>(graph: &'a GraphProto, out: &mut Vec<&'a str>) {
    let mut own: HashSet<&str> = graph.input.iter().map(|v| v.name()).chain(graph.initializer.iter().map(|t| t.name())).collect();
    for node in &graph.node {
        let mut names = Vec::new();
        read_by(node, &mut names);
        out.extend(names.into_iter().filter(|n| !own.contains(n)));
        own.extend(node.output.iter().map(String::as_str));
    }
    out.extend(graph.output.iter().map(|v| v.name()).filter(|n| !own.contains(n)));
}

/// Looking things up in the main graph.
impl Model {
    /// A node.
    pub fn node(&self, id: NodeId) -> &NodeProto {
        match &self.graph.parts[self.index.node_place(id)] {
            Part::Node(e) => &e.message,
            _ => unreachable!("the index holds places of nodes"),
        }
    }
    /// All nodes with their ids, in the order of the file.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, &NodeProto)> {
        self.index.nodes().map(|id| (id, self.node(id)))
    }
    /// The dense initializer of this name.
    pub fn initializer(&self, name: &str) -> Option<&TensorProto> {
        let place = self.index.initializer_place(self.index.value(name)?)?;
        match &self.graph.parts[place] {
            Part::Initializer(e) => Some(&e.message),
            _ => None,
        }
    }
    /// The sparse initializer of this name.
    pub fn sparse_initializer(&self, name: &str) -> Option<&SparseTensorProto> {
        let place = self.index.initializer_place(self.index.value(name)?)?;
        match &self.graph.parts[place] {
            Part::Sparse(e) => Some(&e.message),
            _ => None,
        }
    }
    /// All sparse initializers, in the order of the file.
    pub fn sparse_initializers(&self) -> impl Iterator<Item = &SparseTensorProto> {
        self.graph.parts.iter().filter_map(|p| if let Part::Sparse(e) = p { Some(&e.message) } else { None })
    }
    /// All dense initializers, in the order of the file.
    pub fn initializers(&self) -> impl Iterator<Item = &TensorProto> {
        self.graph.parts.iter().filter_map(|p| if let Part::Initializer(e) = p { Some(&e.message) } else { None })
    }
    /// Declared inputs, those that are initializers left out.
    pub fn inputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        self.graph
            .parts
            .iter()
            .filter_map(|p| if let Part::Input(e) = p { Some(&e.message) } else { None })
            .filter(|v| self.index.value(v.name()).is_none_or(|id| !self.index.is_initializer(id)))
    }
    /// All declared inputs, initializers among them, in the order of the file.
    pub fn declared_inputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        self.graph.parts.iter().filter_map(|p| if let Part::Input(e) = p { Some(&e.message) } else { None })
    }
    /// Declared outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        self.graph.parts.iter().filter_map(|p| if let Part::Output(e) = p { Some(&e.message) } else { None })
    }
    /// The node whose first output has this name: how edits and logs name a node, as names of nodes need not be unique.
    pub fn node_by_output(&self, output: &str) -> Option<NodeId> {
        self.index.producer(self.index.value(output)?)
    }
    /// What people call a node: its name, or its first output.
    pub fn label(&self, id: NodeId) -> &str {
        self.node(id).label()
    }
}
