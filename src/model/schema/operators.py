"""Writes operators.tsv: what the ONNX operators are, version by version, from the onnx package (and onnxruntime, for its own domain).

python operators.py > operators.tsv      # with onnx 1.23, onnxruntime 1.32
One line a version: domain, name, since, inputs least..most, outputs least..most, attributes. `*` is without limit; an attribute is
name:type, with `!` when required, and with `=value` where the schema has a default that is one number or word; a deprecated version has `-` in place of its attributes. Then, for ONNX's own domain, the element type
of each input: a variable, a number of TensorProto.DataType, or `?` for what is no tensor; `+` repeats the last one with one type, `*` with
any. Then what the variables may be. Last the names of the inputs.
"""
import sys

import numpy as np
import onnx
from onnx import defs

MANY = 2**31 - 1
KINDS = {"FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "SPARSE_TENSOR": "st", "TYPE_PROTO": "tp",
         "FLOATS": "fs", "INTS": "is", "STRINGS": "ss", "TENSORS": "ts", "GRAPHS": "gs"}


def kind(attribute):
    name = str(attribute.type).split(".")[-1]
    return KINDS[name]


def default(attribute):
    """`=value`, in the shortest form that reads back; nothing for lists, which have no space to stand in."""
    value = attribute.default_value if hasattr(attribute, "default_value") else onnx.AttributeProto.FromString(attribute._default_value)
    if value.type == onnx.AttributeProto.UNDEFINED:
        return ""
    value = onnx.helper.get_attribute_value(value)
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, float):
        value = np.format_float_scientific(np.float32(value), unique=True, trim="-")
    return "" if isinstance(value, (list, tuple)) or " " in str(value) or not str(value) else f"={value}"


def number(text):
    """`tensor(float16)` as its number, `None` for sequences and the like."""
    name = text.removeprefix("tensor(").removesuffix(")").upper()
    if not text.startswith("tensor("):
        return None
    return str(onnx.TensorProto.DataType.Value({"FLOAT32": "FLOAT"}.get(name, name)))


def types(schema):
    sets = {c.type_param_str: [number(t) for t in c.allowed_type_strs] for c in schema.type_constraints}
    # Variables that also stand for sequences or optional values are left alone.
    sets = {k: sorted(set(v), key=int) for k, v in sets.items() if None not in v}
    inputs = []
    for parameter in schema.inputs:
        name = parameter.type_str
        token = name if name in sets else number(name) or "?"
        if parameter.option == defs.OpSchema.FormalParameterOption.Variadic:
            token += "+" if parameter.is_homogeneous else "*"
        inputs.append(token)
    used = {t.rstrip("+*") for t in inputs}
    return inputs, [f"{k}={','.join(v)}" for k, v in sorted(sets.items()) if k in used]


def line(schema, domain):
    many = lambda n: "*" if n >= MANY else str(n)
    attributes = " ".join(f"{k}:{kind(a)}{'!' if a.required else ''}{default(a)}" for k, a in sorted(schema.attributes.items()))
    if schema.deprecated:
        attributes = "-"
    inputs, constraints = ([], []) if domain or not isinstance(schema, defs.OpSchema) else types(schema)
    return "\t".join([domain, schema.name, str(schema.since_version), f"{schema.min_input}..{many(schema.max_input)}",
                      f"{schema.min_output}..{many(schema.max_output)}", attributes,
                      " ".join(inputs), " ".join(constraints), " ".join(i.name for i in schema.inputs)])


def main():
    lines = {line(s, s.domain) for s in defs.get_all_schemas_with_history()}
    try:
        import onnxruntime.capi.onnxruntime_pybind11_state as state
        schemas = state.get_all_operator_schema()
        lines |= {line(s, s.domain) for s in schemas if s.domain == "com.microsoft"}
        # Its optimiser writes this one into ONNX's own domain.
        lines |= {line(s, "") for s in schemas if s.name == "SimplifiedLayerNormalization"}
    except ImportError:
        sys.exit("onnxruntime is needed for the domain com.microsoft")
    print(f"# onnx {onnx.__version__}, operator set {defs.onnx_opset_version()}; see operators.py")
    for text in sorted(lines, key=lambda t: (t.split("\t")[0], t.split("\t")[1], int(t.split("\t")[2]))):
        print(text)


main()
