//! From pairs to regions: what lies between paired values, on both sides.

use super::numbers::error_between;
use super::walk::{Given, Walk};
use super::{Pair, PairKind, Region, Verdict};
use crate::model::ValueId;
use crate::model::onnx::tensor_proto::DataType;
use crate::run::{OpId, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

impl Walk<'_> {
    /// Drops guesses without which everything that follows comes out just as well: saturating functions (Clip, ReLU) accept wrong ones.
    pub fn drop_needless(&mut self) {
        let mut guesses: Vec<ValueId> = self
            .pairs
            .iter()
            .filter(|(v, k)| {
                matches!(k.kind, PairKind::Inferred(_))
                    && k.error > self.tau * 0.3
                    && self.computed.contains_key(v)
                    && !self.target.outputs().contains(v)
            })
            .map(|(v, _)| *v)
            .collect();
        guesses.sort_by_key(|v| std::cmp::Reverse(self.target.producer(*v)));
        for v in guesses {
            if self.is_needless(v) {
                self.log.push(format!("'{}' needs no correction", self.target.model().index().name(v)));
                self.unpair(v);
                if let Some(c) = self.computed.get(&v).cloned() {
                    self.feed(v, c);
                }
            }
        }
    }

    fn is_needless(&self, v: ValueId) -> bool {
        let Some(own) = self.computed.get(&v).cloned() else { return false };
        let mut local: HashMap<ValueId, Vec<Value>> = [(v, own)].into();
        let mut heap: BTreeSet<OpId> = self.target.consumers(v).iter().copied().collect();
        let (mut count, mut hits) = (0, 0);
        while let Some(id) = heap.pop_first() {
            count += 1;
            if count > 30 {
                return false;
            }
            let Ok(made) = self.eval(id, &local, self.images) else { return false };
            for (o, values) in self.target.op(id).made().zip(made) {
                if let (Some(_), Some(fed)) = (self.pairs.get(&o), self.fed.get(&o)) {
                    hits += 1;
                    if super::numbers::worst_error(&values, fed) > self.tau {
                        return false;
                    }
                    continue;
                }
                if self.target.outputs().contains(&o) {
                    return false;
                }
                local.insert(o, values);
                heap.extend(self.target.consumers(o));
            }
        }
        hits > 0
    }

    /// Pairs and regions, in the target's order, as others see them; `plain` are the accumulated errors.
    pub fn finish(&self, plain: &HashMap<ValueId, f32>) -> (Vec<Pair>, Vec<Region>) {
        let rank = |v: &ValueId| self.target.producer(*v).map_or(-1, |p| p.0 as i32);
        let mut targets: Vec<ValueId> = self.pairs.keys().copied().collect();
        targets.sort_by_key(|v| (rank(v), *v));
        let pairs: Vec<Pair> = targets
            .iter()
            .map(|v| {
                let k = &self.pairs[v];
                Pair {
                    source: k.source,
                    target: *v,
                    layout: k.layout.clone(),
                    dtype: self.fed.get(v).and_then(|x| x.first()).map_or(DataType::Float, Value::dtype),
                    error: k.error,
                    kind: k.kind.clone(),
                    confidence: self.confidence(*v),
                }
            })
            .collect();
        let at: HashMap<ValueId, usize> = targets.iter().enumerate().map(|(i, v)| (*v, i)).collect();
        // Ops joined through values that are not paired.
        let mut leader: Vec<usize> = (0..self.target.ops().len()).collect();
        fn find(leader: &mut [usize], mut x: usize) -> usize {
            while leader[x] != x {
                leader[x] = leader[leader[x]];
                x = leader[x];
            }
            x
        }
        for id in self.target.op_ids() {
            for v in &self.target.op(id).data {
                if !at.contains_key(v)
                    && let Some(p) = self.target.producer(*v)
                {
                    let (a, b) = (find(&mut leader, id.at()), find(&mut leader, p.at()));
                    leader[a.max(b)] = a.min(b);
                }
            }
        }
        let mut groups: std::collections::BTreeMap<usize, Vec<OpId>> = std::collections::BTreeMap::new();
        for id in self.target.op_ids() {
            groups.entry(find(&mut leader, id.at())).or_default().push(id);
        }
        let paired: HashSet<ValueId> = pairs.iter().map(|p| p.source).collect();
        let mut taken: HashSet<OpId> = HashSet::new();
        let mut regions: Vec<Region> =
            groups.into_values().map(|target| self.region(target, &at, &pairs, &paired, &mut taken, plain)).collect();
        regions.sort_by_key(|r| r.target.last().copied());
        self.source_only(&mut regions, &taken);
        (pairs, regions)
    }

    /// How sure a pair is: equal numbers are, guesses as far as what follows agrees.
    fn confidence(&self, v: ValueId) -> f32 {
        match &self.pairs[&v].kind {
            PairKind::Equal | PairKind::Pinned => 1.0,
            PairKind::Inferred(_) => 0.8,
        }
    }

    fn region(
        &self,
        target: Vec<OpId>,
        at: &HashMap<ValueId, usize>,
        pairs: &[Pair],
        paired: &HashSet<ValueId>,
        taken: &mut HashSet<OpId>,
        plain: &HashMap<ValueId, f32>,
    ) -> Region {
        let inside: HashSet<OpId> = target.iter().copied().collect();
        let mut inputs: Vec<usize> = Vec::new();
        let mut outputs: Vec<usize> = Vec::new();
        for id in &target {
            let op = self.target.op(*id);
            for v in &op.data {
                if let Some(i) = at.get(v)
                    && self.target.producer(*v).is_none_or(|p| !inside.contains(&p))
                    && !inputs.contains(i)
                {
                    inputs.push(*i);
                }
            }
            outputs.extend(op.made().filter_map(|v| at.get(&v)));
        }
        let isolated = outputs.iter().map(|i| pairs[*i].error).reduce(f32::max);
        let accumulated = outputs.iter().filter_map(|i| plain.get(&pairs[*i].target).copied()).reduce(f32::max);
        let failing = target.iter().find_map(|id| self.failed.get(id));
        let waits = target.iter().any(|id| self.target.op(*id).data.iter().any(|v| !self.fed.contains_key(v)));
        let unread = target.iter().all(|id| !self.target.is_live(*id));
        let shapes_only = outputs.is_empty() && target.iter().all(|id| self.target.op(*id).made().all(|v| !self.live.contains(&v)));
        let (verdict, why) = match (failing, isolated) {
            (Some(why), _) => (Verdict::Unchecked, Some(why.to_string())),
            (None, None) if shapes_only => (Verdict::Clean, None),
            (None, None) => (
                Verdict::Unchecked,
                Some(if unread {
                    "nothing reads what it makes".into()
                } else if waits {
                    "it waits for a node that does not run".into()
                } else {
                    "nothing in the source stands for what it makes".into()
                }),
            ),
            (None, Some(_)) => (Verdict::Clean, None),
        };
        // The source's side: up from what the outputs stand for, to what is paired.
        let mut source: BTreeSet<OpId> = BTreeSet::new();
        let starts: Vec<ValueId> =
            outputs.iter().map(|i| pairs[*i].source).map(|s| self.source.virtual_of(s).map_or(s, |(_, of)| of)).collect();
        let stop: HashSet<ValueId> = inputs.iter().map(|i| pairs[*i].source).collect();
        let mut open: Vec<ValueId> = starts.iter().copied().filter(|s| !stop.contains(s)).collect();
        let mut seen: HashSet<ValueId> = open.iter().copied().collect();
        while let Some(v) = open.pop() {
            let Some(p) = self.source.producer(v) else { continue };
            if !taken.contains(&p) {
                source.insert(p);
            }
            for i in &self.source.network.op(p).data {
                if !paired.contains(i) && !stop.contains(i) && seen.insert(*i) {
                    open.push(*i);
                }
            }
        }
        taken.extend(&source);
        Region { source: source.into_iter().collect(), target, inputs, outputs, isolated, accumulated, verdict, why }
    }

    /// Errors in a plain run of the target on these inputs: the worst image's, for each paired value.
    pub fn accumulated(&self, given: &[Given]) -> HashMap<ValueId, f32> {
        let mut worst: HashMap<ValueId, f32> = HashMap::new();
        for image in 0..self.images {
            let inputs: Vec<Value> = given.iter().filter_map(|(values, _)| values.get(image).cloned()).collect();
            self.target.forward(&inputs, |id, made| {
                for (v, found) in self.target.op(id).made().zip(made.iter().flatten()) {
                    let Some(known) = self.pairs.get(&v) else { continue };
                    let wanted = self.source.values(known.source).and_then(|x| known.layout.apply(x.get(image)?));
                    let error = wanted.map_or(f32::INFINITY, |w| error_between(&self.target.numbers(v, found), &w));
                    worst.entry(v).and_modify(|e| *e = e.max(error)).or_insert(error);
                }
            });
        }
        worst
    }

    /// Source nodes that no region took, each as a row of its own, behind the region that makes what they read.
    fn source_only(&self, regions: &mut Vec<Region>, taken: &HashSet<OpId>) {
        let mut rest: Vec<OpId> = self.source.network.op_ids().filter(|id| !taken.contains(id)).collect();
        rest.sort();
        for id in rest {
            let place = regions.iter().rposition(|r| r.source.last().is_some_and(|l| *l < id)).map_or(0, |i| i + 1);
            regions.insert(
                place,
                Region {
                    source: vec![id],
                    target: Vec::new(),
                    inputs: Vec::new(),
                    outputs: Vec::new(),
                    isolated: None,
                    accumulated: None,
                    verdict: Verdict::Clean,
                    why: None,
                },
            );
        }
    }
}
