#!/usr/bin/env python3
"""Every node of every model alone, on the values that onnxruntime gives it: names what differs by more than rounding.

    cargo build --release --example isolated
    python benches/nodes_against_onnxruntime.py CASES... [--sources] [--bin target/release/examples/isolated]

Needs numpy, onnx, onnxruntime, pillow.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import tempfile
import tomllib

import numpy as np
import onnx
import onnxruntime as ort
from against_onnxruntime import prepare


def values(model, x):
    """All values of a run without graph optimisations."""
    m = onnx.load(str(model))
    known = {o.name for o in m.graph.output}
    wanted = [o for n in m.graph.node for o in n.output if o]
    for name in wanted:
        if name not in known:
            m.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    out = dict(zip(wanted, session.run(wanted, {first.name: x})))
    out[first.name] = x
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("cases", nargs="+", type=pathlib.Path)
    a.add_argument("--sources", action="store_true")
    a.add_argument("--bin", default="target/release/examples/isolated")
    a = a.parse_args()
    ort.set_default_logger_severity(4)
    files = sorted({f for c in a.cases for f in ([c] if c.is_file() else c.rglob("case.toml"))})
    kinds, seen = collections.Counter(), set()
    for file in files:
        case = tomllib.loads(file.read_text())
        for side in ("source", "target") if a.sources else ("target",):
            model = (file.parent / case[side]["model"]).resolve()
            if model in seen:
                continue
            seen.add(model)
            recipe = case[side].get("preprocess") or case["source"]["preprocess"]
            image = sorted(p for p in (file.parent / case["images"]["path"]).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))[0]
            name = model.parent.name if side == "target" else model.stem
            try:
                got = values(model, prepare(image, recipe)[None])
            except Exception as e:
                print(f"{name}: onnxruntime refuses: {str(e).splitlines()[0][:100]}")
                continue
            with tempfile.TemporaryDirectory() as d:
                listed, at = [], 0
                with open(f"{d}/v.bin", "wb") as out:
                    for n, v in got.items():
                        v = np.asarray(v)
                        if v.dtype == object:
                            continue
                        listed.append({"name": n, "dtype": int(onnx.helper.np_dtype_to_tensor_dtype(v.dtype)), "shape": v.shape, "at": at})
                        at += out.write(np.ascontiguousarray(v).tobytes())
                pathlib.Path(f"{d}/v.json").write_text(json.dumps(listed))
                p = subprocess.run([a.bin, model, f"{d}/v.json", f"{d}/v.bin"], capture_output=True, text=True)
                for line in (p.stdout + (p.stderr if p.returncode else "")).splitlines():
                    print(f"{name}: {line[:200]}", flush=True)
                    kinds[" ".join(line.split()[:2])] += 1
    print(len(seen), "models;", dict(kinds))


if __name__ == "__main__":
    main()
