#!/usr/bin/env python3
"""Writes a reproducer of every faulty case of a corpus and runs it with onnxruntime alone: the first test set must show the fault (another
value, another shape, or it does not load), the second one and the source's nodes must not.

    scripts/verify_reproducers.py [CORPUS] [--fixcon PROGRAM] [--keep FOLDER] [--only WORD]

CORPUS is a folder with manifest.json and cases/ (sample_models when absent). Exit code 0 when every category that the corpus has is shown by
at least one reproducer and no reproducer contradicts itself. Needs numpy, onnx and onnxruntime.
"""
import argparse, collections, glob, json, os, pathlib, subprocess, sys, tempfile
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def load(pattern):
    number = lambda path: int(path.rsplit("_", 1)[1].split(".")[0])
    return [onnx.load_tensor(path) for path in sorted(glob.glob(pattern), key=number)]


def differs(folder, data):
    """How what onnxruntime makes of a test set differs from what it should be; None when it does not."""
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"])
        feeds = {t.name: numpy_helper.to_array(t) for t in load(os.path.join(folder, data, "input_*.pb"))}
        made = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
    except Exception as error:
        return "fails: " + str(error).splitlines()[0][:110]
    worst = 0.0
    for t in load(os.path.join(folder, data, "output_*.pb")):
        want, have = numpy_helper.to_array(t).astype(np.float64), made[t.name].astype(np.float64)
        if want.shape != have.shape:
            return f"shape {have.shape}, expected {want.shape}"
        error = np.linalg.norm(have - want) / max(np.linalg.norm(want), 1e-30)
        worst = max(worst, error if np.isfinite(error) else np.inf)
    return f"relative L2 {worst:.1e}" if worst > 1e-4 else None


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parent.parent
    args.add_argument("corpus", nargs="?", type=pathlib.Path, default=root / "sample_models")
    args.add_argument("--fixcon", default=str(root / "target/release/fixcon"))
    args.add_argument("--keep", type=pathlib.Path)
    args.add_argument("--only", default="")
    args = args.parse_args()
    manifest = json.loads((args.corpus / "manifest.json").read_text(encoding="utf-8"))
    shown, tried, wrong = collections.Counter(), collections.Counter(), 0
    with tempfile.TemporaryDirectory() as temporary:
        for case in manifest["cases"]:
            if not case.get("faults") or args.only not in case["id"]:
                continue
            folder = pathlib.Path(args.keep or temporary) / case["id"]
            command = [args.fixcon, "export", str(args.corpus / "cases" / case["id"]), "-o", str(folder), "--json", "--quiet", "--force"]
            done = subprocess.run(command, capture_output=True, text=True)
            try:
                said = json.loads(done.stdout)
            except ValueError:
                print(f"{case['id']:<34} no JSON: {done.stderr[-200:]}")
                wrong += 1
                continue
            if "error" in said:
                print(f"{case['id']:<34} {said['error']['message'][:140]}")
                tried[case["faults"][0]["category"]] += 1
                continue
            category = said["kind"][:2]
            tried[category] += 1
            first = differs(folder, "test_data_set_0")
            second = differs(folder, "test_data_set_1") if (folder / "test_data_set_1").is_dir() else None
            source = differs(folder / "source", "test_data_set_0") if (folder / "source").is_dir() else None
            shown[category] += first is not None
            # Where the built-in engine and onnxruntime disagree, or what should be right is not, the reproducer is worth nothing.
            bad = (first is None) == (said["shows"] != "nothing") or second or source
            wrong += bool(bad)
            nodes = len(onnx.load(folder / "model.onnx").graph.node)
            note = "" if not bad else f"  BAD: mended {second}, source {source}, said {said['shows']}"
            print(f"{case['id']:<34} {said['kind']:<15} {nodes:>3} nodes  {first}{note}", flush=True)
    for category in sorted(tried):
        print(f"{category}: {shown[category]} of {tried[category]} reproducers show the fault with onnxruntime")
    lacking = [c for c in tried if not shown[c]]
    print(f"{wrong} contradict themselves" + (f"; nothing shown for {', '.join(lacking)}" if lacking else ""))
    sys.exit(1 if wrong or lacking else 0)


main()
