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
        Self { split: shape.to_vec(), perm: (0..shape.len()).collect(), shape: shape.to_vec() }
    }

    /// Whether the order of the elements stays.
    pub fn is_flat(&self) -> bool {
        self.perm.iter().enumerate().all(|(i, p)| i == *p)
    }

    /// Lays a source value out as the target has it; `None` when the sizes do not fit.
    pub fn apply(&self, source: &Value) -> Option<Value> {
        source.reshape(&self.split)?.transpose(&self.perm)?.reshape(&self.shape)
    }

    /// Lays a target value out as the source has it, `shape` being the source's dimensions.
    pub fn invert(&self, target: &Value, shape: &[usize]) -> Option<Value> {
        let permuted: Vec<usize> = self.perm.iter().map(|p| self.split[*p]).collect();
        let mut back = vec![0; self.perm.len()];
        for (i, p) in self.perm.iter().enumerate() {
            back[*p] = i;
        }
        target.reshape(&permuted)?.transpose(&back)?.reshape(shape)
    }
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
