#!/usr/bin/env python3
"""Runs this reproducer with onnxruntime and prints what differs. Needs numpy, onnx and onnxruntime. Exit code 1 when something differs."""
import glob, os, sys
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def load(pattern):
    number = lambda path: int(path.rsplit("_", 1)[1].split(".")[0])
    tensors = [onnx.load_tensor(path) for path in sorted(glob.glob(pattern), key=number)]
    return {t.name: numpy_helper.to_array(t) for t in tensors}


def run(folder):
    differs = False
    print(os.path.relpath(folder, here) if folder != here else "converted nodes")
    try:
        session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])
    except Exception as error:
        print(f"  does not load: {str(error).splitlines()[0]}")
        return True
    for data in sorted(glob.glob(os.path.join(folder, "test_data_set_*"))):
        expected = load(os.path.join(data, "output_*.pb"))
        try:
            made = dict(zip([o.name for o in session.get_outputs()], session.run(None, load(os.path.join(data, "input_*.pb")))))
        except Exception as error:
            print(f"  {os.path.basename(data)}: does not run: {str(error).splitlines()[0]}")
            differs = True
            continue
        for name, want in expected.items():
            have = made[name]
            if have.shape != want.shape:
                print(f"  {os.path.basename(data)}: '{name}' has shape {have.shape}, expected {want.shape}")
                differs = True
                continue
            have, want = have.astype(np.float64), want.astype(np.float64)
            error = np.linalg.norm(have - want) / max(np.linalg.norm(want), 1e-30)
            largest = np.abs(have - want).max() if want.size else 0.0
            word = "agrees" if error < 1e-4 else "DIFFERS"
            print(f"  {os.path.basename(data)}: '{name}' {word}, relative L2 {error:.2e}, largest difference {largest:.2e}")
            differs |= not error < 1e-4
    return differs


here = os.path.dirname(os.path.abspath(__file__))
found = run(here)
if os.path.isdir(os.path.join(here, "source")):
    run(os.path.join(here, "source"))
sys.exit(1 if found else 0)
