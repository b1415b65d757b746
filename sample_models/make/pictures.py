#!/usr/bin/env python3
"""pictures.py WORK: images/probe, images/unseen, images/truth.json and labels.txt from CIFAR-10's test set.

Every picture is cropped at random to 28..32 pixels a side, so that squash, centre crop and letterbox differ."""
import json, sys
from pathlib import Path
import numpy as np
from PIL import Image
from data import load

LABELS = "airplane automobile bird cat deer dog frog horse ship truck".split()
COUNT = {"probe": 10, "unseen": 6}                      # of each class

root = Path(__file__).resolve().parent.parent
_, _, x, y = load(sys.argv[1])
rng = np.random.default_rng(20)
of = {c: list(rng.permutation(np.flatnonzero(y == c))) for c in range(10)}
truth = {}
for part, n in COUNT.items():
    d = root / "images" / part
    d.mkdir(parents=True, exist_ok=True)
    pick = rng.permutation([of[c].pop() for c in range(10) for _ in range(n)])
    for k, i in enumerate(pick):
        h, w = rng.integers(28, 33, 2)
        t, l = rng.integers(0, 33 - h), rng.integers(0, 33 - w)
        name = "%s%03d.png" % (part[0], k)
        Image.fromarray(x[i, t:t + h, l:l + w]).save(d / name, optimize=True)
        truth["%s/%s" % (part, name)] = LABELS[y[i]]
(root / "images/truth.json").write_text(json.dumps(truth, indent=0) + "\n")
(root / "labels.txt").write_text("\n".join(LABELS) + "\n")
print(len(truth), "pictures")
