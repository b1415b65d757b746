#!/usr/bin/env python3
"""fixcon beside onnxruntime from PyPI: same cases, same images, same number of threads, turn about in one run.

    cargo build --release --bin fixcon --example outputs
    python benches/side_by_side.py CASE... [--threads 1,2] [--rounds 3] [--ort-lib libonnxruntime.so]

CASE is a case.toml or a folder that holds one. Three measurements a case:
  check    files to labels, both models: `fixcon check` from start to exit against Pillow, NumPy and onnxruntime in one Python
           process, whose own start and imports are not counted; a session for each model, one thread an image
  run      the models alone on ready tensors, without loading: images a second, source and target together
  one      one image through the source, outputs only, one thread
  values   one image through the source with every value kept, one thread
The fastest round counts, and for `one` and `values` the fastest of many runs of each round: other work on the machine only ever makes
it slower. Ratios are onnxruntime's time over ours: above 1 fixcon is faster. Memory is the largest resident size of the process.
Needs numpy, onnx, onnxruntime, pillow.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent


def sides(case):
    c = tomllib.loads(case.read_text())
    recipe = c["source"]["preprocess"]
    other = c["target"].get("preprocess") or recipe
    images = sorted(p for p in (case.parent / c["images"]["path"]).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    return [(case.parent / c["source"]["model"], recipe), (case.parent / c["target"]["model"], other)], images


def child(what, case, threads):
    """The onnxruntime side of one measurement; prints seconds and a count."""
    import numpy as np
    import onnx
    import onnxruntime as ort

    sys.path.insert(0, str(HERE))
    from against_onnxruntime import prepare

    ort.set_default_logger_severity(4)

    def session(model):
        o = ort.SessionOptions()
        o.intra_op_num_threads = o.inter_op_num_threads = 1
        o.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return ort.InferenceSession(model, o, providers=["CPUExecutionProvider"])

    models, images = sides(case)
    begun = time.perf_counter()
    if what == "check":
        sessions = [session(str(m)) for m, _ in models]

        def one(path):
            return [int(np.argmax(s.run(None, {s.get_inputs()[0].name: prepare(path, r)[None]})[0])) for s, (_, r) in zip(sessions, models)]

        with ThreadPoolExecutor(threads) as pool:
            labels = list(pool.map(one, images))
        seconds = time.perf_counter() - begun
        print(json.dumps({"seconds": seconds, "images": len(images), "flips": sum(a != b for a, b in labels)}))
    elif what == "run":
        seconds = 0
        for m, r in models:
            s = session(str(m))
            x = [prepare(p, r)[None] for p in images[:40]]
            name = s.get_inputs()[0].name
            s.run(None, {name: x[0]})
            t = time.perf_counter()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda v: s.run(None, {name: v})[0], x))
            seconds += time.perf_counter() - t
        print(json.dumps({"seconds": seconds, "images": min(40, len(images))}))
    else:
        m, r = models[0]
        g = onnx.load(str(m))
        known = {o.name for o in g.graph.output}
        for n in g.graph.node if what == "values" else []:
            for o in n.output:
                if o and o not in known:
                    g.graph.output.append(onnx.helper.make_empty_tensor_value_info(o))
        s = session(g.SerializeToString())
        x = {s.get_inputs()[0].name: prepare(images[0], r)[None]}
        best, runs = 1e9, 0
        while runs < 12 or time.perf_counter() - begun < 2:
            t = time.perf_counter()
            s.run(None, x)
            best = min(best, time.perf_counter() - t)
            runs += 1
        print(json.dumps({"seconds": best, "images": 1}))


def measured(command, env=None):
    """A command's output, wall time and largest resident size in MB."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        p = subprocess.Popen(command, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return p.returncode, out.read().decode(), err.read().decode(), time.perf_counter() - begun, usage.ru_maxrss / 1024


def ours(what, case, threads, a, runtime):
    env = dict(os.environ, **({"ORT_DYLIB_PATH": a.ort_lib} if runtime == "ort" else {}))
    if what == "check":
        code, out, err, seconds, memory = measured([a.fixcon, "check", str(case), "--json", "--quiet", "--threads", str(threads), "--runtime", runtime], env)
        if code not in (0, 1):
            sys.exit(f"{case}: fixcon check failed: {err[-300:]}")
        report = json.loads(out)
        return {"seconds": seconds, "images": report["mismatches"]["of"], "flips": report["mismatches"]["count"], "memory": memory}
    sys.path.insert(0, str(HERE))
    import numpy as np
    from against_onnxruntime import prepare

    models, images = sides(case)
    total, count, memory = 0.0, 0, 0.0
    with tempfile.TemporaryDirectory() as d:
        for m, r in models if what == "run" else models[:1]:
            np.save(f"{d}/x.npy", np.stack([prepare(p, r) for p in images[:40]]).astype(np.float32))
            mode = {"run": "whole", "one": "best", "values": "values"}[what]
            if runtime == "ort":
                mode = {"whole": "ort", "best": "best-ort"}[mode]
            code, _, err, _, used = measured([a.outputs, str(m), f"{d}/x.npy", f"{d}/y.npy", mode, str(threads)], env)
            if code:
                sys.exit(f"{m}: {err[-300:]}")
            words = err.split("built")[-1].split()
            count, seconds = int(words[2]), float(words[4])
            total += seconds
            memory = max(memory, used)
    return {"seconds": total, "images": count, "memory": memory}


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--child":
        return child(sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4]))
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("cases", nargs="+", type=pathlib.Path)
    a.add_argument("--threads", default="1,2")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--fixcon", default="target/release/fixcon")
    a.add_argument("--outputs", default="target/release/examples/outputs")
    a.add_argument("--ort-lib", help="measure --runtime ort too, with this library (needs a build with --features ort)")
    a.add_argument("--what", default="check,run,one,values")
    a = a.parse_args()
    runtimes = ["tract"] + (["ort"] if a.ort_lib else [])
    print(f"{'case':34} {'what':7} thr  {'onnxruntime':>16}  " + "  ".join(f"{'fixcon, ' + r:>24}" for r in runtimes))
    for case in a.cases:
        case = case / "case.toml" if case.is_dir() else case
        for threads in map(int, a.threads.split(",")):
            for what in a.what.split(","):
                if what in ("one", "values") and threads > 1:
                    continue
                rows = {"onnxruntime": []} | {r: [] for r in runtimes}
                for _ in range(a.rounds):
                    code, out, err, _, memory = measured([sys.executable, __file__, "--child", what, str(case), str(threads)])
                    if code:
                        sys.exit(f"{case}: {err[-400:]}")
                    rows["onnxruntime"].append(json.loads(out) | {"memory": memory})
                    for r in runtimes:
                        if what != "values" or r == "tract":
                            rows[r].append(ours(what, case, threads, a, r))

                def show(name):
                    if not rows[name]:
                        return ""
                    t = min(x["seconds"] for x in rows[name])
                    m = max(x["memory"] for x in rows[name])
                    speed = f"{t * 1000:.1f} ms" if what in ("one", "values") else f"{rows[name][0]['images'] / t:.1f}/s"
                    reference = min(x["seconds"] for x in rows["onnxruntime"])
                    ratio = "" if name == "onnxruntime" else f" x{reference / t:.2f}"
                    flips = {x.get("flips") for x in rows[name]} - {None}
                    return f"{speed}{ratio} {m:.0f}MB" + (f" {'/'.join(map(str, sorted(flips)))}" if flips else "")

                shown = "  ".join(f"{show(r):>24}" for r in runtimes)
                print(f"{case.parent.name[:34]:34} {what:7} {threads:3}  {show('onnxruntime'):>16}  {shown}", flush=True)


if __name__ == "__main__":
    main()
