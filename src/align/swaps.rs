//! Layers that carry each other's weights look like layers that read each other's inputs. They are not: the layer that belongs here is
//! here, and the values above it are right.

use super::reference::weights_of;
use super::walk::Walk;
use crate::model::ValueId;
use crate::run::OpId;
use std::collections::HashSet;

impl Walk<'_> {
    /// Whether `v`, which `id` reads, comes from a layer of the same size that reads the partner of `s`: with weights exchanged between
    /// the two, `id` would make of `s` just what that layer should have made.
    pub(super) fn is_behind_its_twin(&self, id: OpId, v: ValueId, s: ValueId) -> bool {
        let sizes: Vec<usize> = weights_of(self.target, id).map(|w| w.len).collect();
        if sizes.is_empty() {
            return false;
        }
        let (mut open, mut seen) = (vec![v], HashSet::new());
        while let Some(u) = open.pop() {
            let Some(p) = self.target.producer(u).filter(|_| seen.insert(u)) else { continue };
            let data = &self.target.op(p).data;
            let reads = data.iter().any(|d| self.pairs.get(d).is_some_and(|k| k.source == s));
            if reads && weights_of(self.target, p).any(|w| sizes.contains(&w.len)) {
                return true;
            }
            open.extend(data.iter().filter(|d| !self.pairs.contains_key(d)));
        }
        false
    }

    /// Whether the source has a layer of this size that reads `here`, and `id` carries the weights of another one, which reads elsewhere.
    pub(super) fn has_weights_from_elsewhere(&self, id: OpId, here: ValueId) -> bool {
        let sizes: Vec<usize> = weights_of(self.target, id).map(|w| w.len).collect();
        let network = self.source.network;
        let real = (here.0 as usize) < network.model().index().value_count();
        let mut at_home = if real { network.consumers(here).iter() } else { [].iter() };
        !sizes.is_empty()
            && at_home.any(|c| weights_of(network, *c).any(|w| sizes.contains(&w.len)))
            && self.by_weights(id).first().is_some_and(|nearest| *nearest != here)
    }
}
