//! Element types of inputs against the operator's specification.

use super::{Call, Fault, fault};
use crate::model::NodeExt;
use crate::model::operators::{self, Wanted};
use crate::model::types::type_name;
use std::collections::HashMap;

impl Call<'_> {
    /// Inputs that must be of one type are, and each is of a type that the operator takes.
    pub(super) fn typed(&self) -> Result<(), Fault> {
        let Ok(operator) = operators::find(self.node.domain_name(), self.node.op_type(), self.opset) else { return Ok(()) };
        let mut first: HashMap<&str, usize> = HashMap::new();
        for slot in 0..self.inputs.len() {
            let Some(fact) = self.fact(slot) else { continue };
            let said = || format!("input {slot} ('{}')", self.node.input[slot]);
            match operator.input_type(slot) {
                Wanted::Any => {}
                Wanted::Only(number) => {
                    if fact.dtype as i32 != number {
                        return fault!(said(), "is {}, {} takes another type there", type_name(fact.dtype), self.node.op_type());
                    }
                }
                Wanted::Variable(name, allowed, together) => {
                    if !allowed.contains(&(fact.dtype as i32)) {
                        return fault!(
                            said(),
                            "is {}, which {} of version {} does not take",
                            type_name(fact.dtype),
                            self.node.op_type(),
                            operator.since
                        );
                    }
                    let other = *first.entry(name).or_insert(slot);
                    if let Some(one) = self.fact(other)
                        && together
                        && one.dtype != fact.dtype
                    {
                        return fault!(
                            said(),
                            "is {}, input {other} ('{}') is {}: {} takes one type for both",
                            type_name(fact.dtype),
                            self.node.input[other],
                            type_name(one.dtype),
                            self.node.op_type()
                        );
                    }
                }
            }
        }
        Ok(())
    }
}
