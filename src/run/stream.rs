//! A network run as far as its values are asked for.

use super::network::{Network, OpId};
use super::value::Value;
use crate::model::ValueId;

/// One image on its way through a network. It goes on when somebody asks for a value further down; a value is dropped when neither an op
/// nor anybody else waits for it.
#[derive(Debug)]
pub struct Stream<'a> {
    network: &'a Network,
    next: u32,
    values: Vec<Option<Value>>,
    /// Ops that will read a value, and times that it will be asked for.
    waiting: Vec<u32>,
}

impl<'a> Stream<'a> {
    /// At the top, with one image's inputs. `asked` has every value that will be taken, as often as it will be.
    pub fn new(network: &'a Network, inputs: &[Value], asked: impl IntoIterator<Item = ValueId>) -> Self {
        let count = network.model().index().value_count();
        let mut out = Self { network, next: 0, values: vec![None; count], waiting: vec![0; count] };
        let read = network.op_ids().filter(|id| network.is_live(*id)).flat_map(|id| &network.op(id).data).copied();
        for v in read.chain(asked) {
            if let Some(waiting) = out.waiting.get_mut(v.0 as usize) {
                *waiting += 1;
            }
        }
        for (v, value) in network.inputs().iter().zip(inputs) {
            out.values[v.0 as usize] = Some(value.clone());
        }
        out
    }

    /// A value that was announced, once; `None` where it is not made, because an op on the way to it is dead or does not run.
    pub fn take(&mut self, v: ValueId) -> Option<Value> {
        // What is no value of this network is not made.
        self.values.get(v.0 as usize)?;
        let made_by = self.network.producer(v);
        while made_by.is_some_and(|op| self.next <= op.0) {
            self.step();
        }
        let value = self.values[v.0 as usize].clone();
        self.leave(v);
        value
    }

    fn step(&mut self) {
        let id = OpId(self.next);
        self.next += 1;
        if !self.network.is_live(id) {
            return;
        }
        let op = self.network.op(id);
        if let Ok(made) = self.network.eval(id, |v| self.values[v.0 as usize].as_ref()) {
            for (v, value) in op.made().zip(made).filter(|(v, _)| self.waiting[v.0 as usize] > 0) {
                self.values[v.0 as usize] = Some(value);
            }
        }
        for v in &op.data {
            self.leave(*v);
        }
    }

    fn leave(&mut self, v: ValueId) {
        let waiting = &mut self.waiting[v.0 as usize];
        *waiting = waiting.saturating_sub(1);
        if *waiting == 0 {
            self.values[v.0 as usize] = None;
        }
    }
}
