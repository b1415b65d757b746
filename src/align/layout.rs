//! How one value is laid out in the other graph: reshape, transpose, reshape.

use crate::run::Value;

/// `target = source.reshape(split).transpose(perm).reshape(shape)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The source's dimensions, cut or merged so that the permutation can be said.
    pub split: Vec<usize>,
    /// Axis `i` of the result is axis `perm[i]` of `split`.
    pub perm: Vec<usize>,
    /// The target's dimensions.
    pub shape: Vec<usize>,
}

impl Layout {
    /// The same elements in the same order, under these dimensions.
    pub fn flat(shape: &[usize]) -> Self {
        let count = shape.iter().product();
        Self { split: vec![count], perm: vec![0], shape: shape.to_vec() }
    }

    /// Axes in another order.
    pub fn permuted(source: &[usize], perm: &[usize]) -> Self {
        Self { split: source.to_vec(), perm: perm.to_vec(), shape: perm.iter().map(|p| source[*p]).collect() }
    }

    /// Whether the order of the elements stays.
    pub fn is_flat(&self) -> bool {
        self.perm.iter().enumerate().all(|(i, p)| i == *p)
    }

    /// Whether converters use it as a matter of course: nothing, channels to the end or to the front, a matrix transposed.
    pub fn is_usual(&self) -> bool {
        self.is_flat() || matches!(self.perm[..], [1, 0] | [1, 2, 0] | [2, 0, 1] | [0, 2, 3, 1] | [0, 3, 1, 2])
    }

    /// Lays a source value out as the target has it; `None` when the sizes do not fit.
    pub fn apply(&self, source: &Value) -> Option<Value> {
        if self.is_flat() {
            return source.reshape(&self.shape);
        }
        source.reshape(&self.split)?.transpose(&self.perm)?.reshape(&self.shape)
    }

    /// Lays a target value out as the source has it, `shape` being the source's dimensions.
    pub fn invert(&self, target: &Value, shape: &[usize]) -> Option<Value> {
        let permuted: Vec<usize> = self.perm.iter().map(|p| self.split[*p]).collect();
        target.reshape(&permuted)?.transpose(&inverse(&self.perm))?.reshape(shape)
    }

    /// How far from nothing: permuted at all, and over how many axes.
    pub(super) fn cost(&self) -> (bool, usize) {
        (!self.is_flat(), self.perm.len())
    }

    /// Index in the source of the element at `at` in the target.
    fn source_index(&self, at: usize) -> usize {
        let dims: Vec<usize> = self.perm.iter().map(|p| self.split[*p]).collect();
        let mut rest = at;
        let mut coordinates = vec![0; dims.len()];
        for i in (0..dims.len()).rev() {
            coordinates[self.perm[i]] = rest % dims[i];
            rest /= dims[i];
        }
        coordinates.iter().zip(&self.split).fold(0, |n, (c, d)| n * d + c)
    }

    /// Relative error between a target value and the laid-out source value at about a hundred places; cheap, to choose among layouts.
    pub(super) fn sampled_error(&self, source: &[f32], target: &[f32]) -> f64 {
        let count = target.len();
        let steps = count.min(101);
        let (mut difference, mut norm) = (0.0, 0.0);
        for i in 0..steps {
            // A stride that is coprime to most sizes, so that samples do not line up with an axis.
            let at = (i * (count / steps).max(1) + i * 7) % count;
            let (s, t) = (f64::from(source[self.source_index(at)]), f64::from(target[at]));
            difference += (s - t) * (s - t);
            norm += s * s;
        }
        if norm == 0.0 { if difference == 0.0 { 0.0 } else { f64::INFINITY } } else { (difference / norm).sqrt() }
    }
}

fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut back = vec![0; perm.len()];
    for (i, p) in perm.iter().enumerate() {
        back[*p] = i;
    }
    back
}

/// All orders of `0..n`.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut out = vec![vec![]];
    for _ in 0..n {
        out = out
            .into_iter()
            .flat_map(|p: Vec<usize>| {
                (0..n).filter(|i| !p.contains(i)).map(|i| p.iter().copied().chain([i]).collect()).collect::<Vec<Vec<usize>>>()
            })
            .collect();
    }
    out
}

/// Layouts that can turn the source's dimensions into the target's, the simplest first.
pub fn candidates(source: &[usize], target: &[usize]) -> Vec<Layout> {
    let squeeze = |s: &[usize]| s.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    let (a, t) = (squeeze(source), squeeze(target));
    if a.iter().product::<usize>() != t.iter().product::<usize>() {
        return Vec::new();
    }
    let mut out = vec![Layout::flat(target)];
    if a.len() > 6 || t.len() > 6 {
        return out;
    }
    let moved = |p: &[usize]| p.iter().enumerate().any(|(i, q)| i != *q);
    let sorted = |s: &[usize]| {
        let mut s = s.to_vec();
        s.sort_unstable();
        s
    };
    if sorted(&a) == sorted(&t) {
        for p in permutations(a.len()).into_iter().filter(|p| moved(p)) {
            if p.iter().map(|i| a[*i]).eq(t.iter().copied()) {
                out.push(Layout { split: a.clone(), perm: p, shape: target.to_vec() });
            }
        }
        return out;
    }
    if a.len() <= 4 {
        for p in permutations(a.len()).into_iter().filter(|p| moved(p)) {
            out.push(Layout { split: a.clone(), perm: p, shape: target.to_vec() });
        }
    }
    if t.len() <= 4 {
        for p in permutations(t.len()).into_iter().filter(|p| moved(p)) {
            out.push(Layout { split: p.iter().map(|i| t[*i]).collect(), perm: inverse(&p), shape: target.to_vec() });
        }
    }
    out
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_flat() {
            return write!(f, "same");
        }
        let perm: Vec<String> = self.perm.iter().map(ToString::to_string).collect();
        write!(f, "{}", perm.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applying_and_inverting_is_the_identity() {
        let source = Value::from_f32(&[1, 2, 3, 4], (0..24).map(|i| i as f32).collect());
        for layout in candidates(&[1, 2, 3, 4], &[1, 3, 4, 2]).into_iter().chain(candidates(&[1, 2, 3, 4], &[6, 4])) {
            let there = layout.apply(&source).expect("sizes fit");
            let back = layout.invert(&there, source.shape()).expect("sizes fit");
            assert!(back.same(&source), "{layout:?}");
            let (s, t) = (source.to_f32(), there.to_f32());
            assert_eq!(layout.sampled_error(&s, &t), 0.0, "{layout:?}");
        }
    }

    #[test]
    fn channels_last_is_found() {
        let found = candidates(&[1, 2, 3, 4], &[1, 3, 4, 2]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].perm, [1, 2, 0]);
    }
}
