//! An operator given as two functions: shapes, and values.

use std::fmt;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// What is known of an input when shapes are inferred.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub dtype: DatumType,
    pub shape: TVec<usize>,
    /// The value, for the inputs that the operator says it wants.
    pub value: Option<Arc<Tensor>>,
}

/// Element type and shape of an output.
pub(super) type Made = (DatumType, TVec<usize>);

type Shapes = dyn Fn(&[Known]) -> TractResult<Vec<Made>> + Send + Sync;
type Values = dyn Fn(&[TValue]) -> TractResult<Vec<Tensor>> + Send + Sync;

/// An operator of our own. It works wherever all shapes are known, in single nodes and in whole plans.
#[derive(Clone)]
pub(super) struct Own {
    name: &'static str,
    outputs: usize,
    wanted: Vec<usize>,
    shapes: Arc<Shapes>,
    values: Arc<Values>,
}

impl Own {
    /// An operator with one output.
    pub fn new(
        name: &'static str,
        shape: impl Fn(&[Known]) -> TractResult<Made> + Send + Sync + 'static,
        value: impl Fn(&[TValue]) -> TractResult<Tensor> + Send + Sync + 'static,
    ) -> Self {
        Self::many(name, 1, move |k| Ok(vec![shape(k)?]), move |v| Ok(vec![value(v)?]))
    }

    /// An operator with several outputs.
    pub fn many(
        name: &'static str,
        outputs: usize,
        shapes: impl Fn(&[Known]) -> TractResult<Vec<Made>> + Send + Sync + 'static,
        values: impl Fn(&[TValue]) -> TractResult<Vec<Tensor>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, outputs, wanted: Vec::new(), shapes: Arc::new(shapes), values: Arc::new(values) }
    }

    /// Says which inputs must be known by value before shapes can be told.
    pub fn wanting(mut self, inputs: impl IntoIterator<Item = usize>) -> Self {
        self.wanted = inputs.into_iter().collect();
        self
    }

    /// As tract's ONNX reader wants it.
    pub fn built(self) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
        Ok((expand(self), vec![]))
    }

    fn known(&self, facts: &[&TypedFact]) -> TractResult<Vec<Known>> {
        let known = |(i, fact): (usize, &&TypedFact)| {
            let shape = fact.shape.as_concrete().with_context(|| format!("{}: the shape of input {i} is not known", self.name))?;
            let value = fact.konst.clone().filter(|_| self.wanted.contains(&i));
            ensure!(value.is_some() || !self.wanted.contains(&i), "{}: input {i} must be a constant", self.name);
            Ok(Known { dtype: fact.datum_type, shape: shape.into(), value })
        };
        facts.iter().enumerate().map(known).collect()
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }
}

impl Eq for Own {}

impl Expansion for Own {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        s.given_all(inputs.iter().map(|i| &i.datum_type), move |s, types| {
            s.given_all(inputs.iter().map(|i| &i.shape), move |s, shapes| {
                let types = types.clone();
                s.given_all(self.wanted.iter().filter_map(|i| inputs.get(*i)).map(|i| &i.value), move |s, values| {
                    let mut known = Vec::with_capacity(types.len());
                    for (i, (dtype, shape)) in types.iter().zip(&shapes).enumerate() {
                        let shape = shape.iter().map(TDim::to_usize).collect::<Result<_, _>>()?;
                        let value = self.wanted.iter().position(|w| *w == i).map(|at| values[at].clone());
                        known.push(Known { dtype: *dtype, shape, value });
                    }
                    for (output, (dtype, shape)) in outputs.iter().zip((self.shapes)(&known)?) {
                        s.equals(&output.datum_type, dtype)?;
                        s.equals(&output.shape, shape.iter().map(|d| d.to_dim()).collect::<TVec<TDim>>())?;
                    }
                    Ok(())
                })
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Own {
    fn name(&self) -> StaticName {
        self.name.into()
    }
    op_as_typed_op!();
}

impl EvalOp for Own {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok((self.values)(&inputs)?.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for Own {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let made = (self.shapes)(&self.known(inputs)?)?;
        Ok(made.into_iter().map(|(dtype, shape)| dtype.fact(shape)).collect())
    }
    as_op!();
}
