#!/usr/bin/env python3
"""Runs the models of cases on real images, here and in onnxruntime, and compares the outputs.

    cargo build --release --example outputs
    python benches/against_onnxruntime.py CASES... [--images 8] [--modes whole,nodes] [--sources] [--bin target/release/examples/outputs]

CASES are case.toml files or folders that hold such files. One line a model: relative difference to onnxruntime without and with its
graph optimisations, and images whose label differs. Needs numpy, onnxruntime, pillow.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import numpy as np
import onnxruntime as ort
from PIL import Image

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def prepare(path, r):
    """One image as a recipe says, without batch axis."""
    im = Image.open(path).convert("RGB")
    h, w = r["size"]
    f = FILTERS[r.get("filter", "bilinear")]
    mode = r.get("resize", "squash")
    if mode == "squash":
        im = im.resize((w, h), f)
    elif mode == "shorter-side":
        s, (iw, ih) = int(r.get("resize_to", min(h, w))), im.size
        im = im.resize((s, s * ih // iw) if iw <= ih else (s * iw // ih, s), f)
        x, y = (im.width - w) // 2, (im.height - h) // 2
        im = im.crop((x, y, x + w, y + h))
    elif mode == "letterbox":
        k = min(h / im.height, w / im.width)
        nw, nh = max(1, int(im.width * k + 0.5)), max(1, int(im.height * k + 0.5))
        bg = Image.new("RGB", (w, h))
        bg.paste(im.resize((nw, nh), f), ((w - nw) // 2, (h - nh) // 2))
        im = bg
    a = np.asarray(im.convert("L"))[..., None] if r.get("channels") == "gray" else np.asarray(im)
    if r.get("channels") == "bgr":
        a = a[..., ::-1]
    n = a.shape[2]
    mean, std = (np.asarray(r.get(k, [d] * n), np.float32) for k, d in (("mean", 0.0), ("std", 1.0)))
    if not r.get("dtype", "float32").startswith("u"):
        a = (a.astype(np.float32) / np.float32(r.get("scale", 1.0)) - mean) / std
    return np.ascontiguousarray(a if r.get("layout", "nchw") == "nhwc" else a.transpose(2, 0, 1)).astype(r.get("dtype", "float32"))


def reference(model, x, level):
    o = ort.SessionOptions()
    o.graph_optimization_level = level
    o.intra_op_num_threads = 1
    s = ort.InferenceSession(str(model), o, providers=["CPUExecutionProvider"])
    rows = []
    i = s.get_inputs()[0]
    k = i.shape[0] if isinstance(i.shape[0], int) else 1
    for one in x:
        # The first image of a batch stands for it.
        got = s.run(None, {i.name: np.stack([one] * k)})
        rows.append(np.concatenate([np.asarray(v[: max(1, len(v) // k)] if np.ndim(v) else v, np.float32).ravel() for v in got]))
    return np.stack(rows), got


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("cases", nargs="+", type=pathlib.Path)
    a.add_argument("--images", type=int, default=8)
    a.add_argument("--modes", default="whole,nodes")
    a.add_argument("--sources", action="store_true", help="the sources too")
    a.add_argument("--bin", default="target/release/examples/outputs")
    a.add_argument("--tolerance", type=float, default=1e-4, help="print only what differs by more; 0 prints all")
    a = a.parse_args()
    ort.set_default_logger_severity(4)
    files = sorted({f for c in a.cases for f in ([c] if c.is_file() else c.rglob("case.toml"))})
    seen, shown, refused = set(), 0, 0
    for file in files:
        case = tomllib.loads(file.read_text())
        for side in ("source", "target") if a.sources else ("target",):
            model = (file.parent / case[side]["model"]).resolve()
            recipe = case[side].get("preprocess") or case["source"]["preprocess"]
            if (model, str(recipe)) in seen:
                continue
            seen.add((model, str(recipe)))
            images = sorted(p for p in (file.parent / case["images"]["path"]).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
            x = np.stack([prepare(p, recipe) for p in images[: a.images]])
            name = model.parent.name if side == "target" else model.stem
            try:
                plain, last = reference(model, x, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
                default, _ = reference(model, x, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
            except Exception as e:
                plain = default = None
                refused += 1
                print(f"{name:40} onnxruntime refuses: {str(e).splitlines()[0][:110]}")
            with tempfile.TemporaryDirectory() as d:
                np.save(f"{d}/x.npy", x.astype(np.float32))
                for mode in a.modes.split(","):
                    p = subprocess.run([a.bin, model, f"{d}/x.npy", f"{d}/y.npy", mode, "1"], capture_output=True, text=True)
                    said = " | ".join(line for line in p.stderr.splitlines() if not line.startswith("built"))[:300]
                    if p.returncode:
                        print(f"{name:40} {mode:6} FAILS {said}")
                        continue
                    if plain is None:
                        print(f"{name:40} {mode:6} runs all the same {said}")
                        continue
                    y = np.load(f"{d}/y.npy")
                    if y.shape != plain.shape:
                        print(f"{name:40} {mode:6} SHAPE {y.shape} not {plain.shape}")
                        continue
                    off = [float(np.abs(y - r).max() / max(np.abs(r).max(), 1e-30)) for r in (plain, default)]
                    k = np.asarray(last[0]).size // max(1, len(np.asarray(last[0])))
                    flips = [int((y[:, :k].argmax(1) != r[:, :k].argmax(1)).sum()) for r in (plain, default)]
                    own = int((plain[:, :k].argmax(1) != default[:, :k].argmax(1)).sum())
                    shown += 1
                    if min(off) > a.tolerance or not np.isfinite(off).all() or any(flips) or said or not a.tolerance:
                        gap = float(np.abs(plain - default).max() / max(np.abs(plain).max(), 1e-30))
                        print(f"{name:40} {mode:6} off {off[0]:.1e} {off[1]:.1e} flips {flips[0]} {flips[1]} of {len(y)} (onnxruntime's own {gap:.1e}, {own}) {said}")
                    sys.stdout.flush()
    print(f"{shown} runs compared, {refused} models that onnxruntime refuses")


if __name__ == "__main__":
    main()
