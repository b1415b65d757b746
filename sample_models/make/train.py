#!/usr/bin/env python3
"""train.py WORK NET [--epochs N]: trains one network on CIFAR-10's training set; writes WORK/ckpt/NET.pt.

One thread, five to twelve minutes. What is there already is not trained again; a broken run goes on from its last epoch."""
import argparse, os, time
os.environ.setdefault("OMP_NUM_THREADS", "1")
from pathlib import Path
import numpy as np, torch
import torch.nn.functional as F
from data import load
from nets import NETS
from recipes import RECIPES

a = argparse.ArgumentParser()
a.add_argument("work")
a.add_argument("net", choices=NETS)
a.add_argument("--epochs", type=int, default=14)
a.add_argument("--batch", type=int, default=128)
o = a.parse_args()
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(1)
np.random.seed(1)
out = Path(o.work) / "ckpt" / (o.net + ".pt")
part = out.with_suffix(".part")
out.parent.mkdir(parents=True, exist_ok=True)
if out.exists():
    print(out.name, "is there")
    raise SystemExit
x, y, xt, yt = load(o.work)
r = RECIPES[o.net]
net = NETS[o.net]().to(memory_format=torch.channels_last)
print(o.net, sum(p.numel() for p in net.parameters()), "parameters", flush=True)
# inputs of 0..255 are divided by 58 while training; the first layer takes that back at the end
SHRINK = 58.0 if r["scale"] == 1.0 else 1.0


def prepare(u):
    """uint8 NHWC -> the values of the network's recipe, NCHW; no resizing: the pictures are 32x32."""
    v = torch.from_numpy(np.ascontiguousarray(u)).float().permute(0, 3, 1, 2)
    if r["channels"] == "bgr":
        v = v.flip(1)
    v = (v / r["scale"] - torch.tensor(r["mean"]).view(1, 3, 1, 1)) / torch.tensor(r["std"]).view(1, 3, 1, 1)
    return (v / SHRINK).contiguous(memory_format=torch.channels_last)


def augment(v):
    """Flip; a random window of 80 to 100 % a side, moved by up to two pixels more, back to 32x32."""
    n = len(v)
    s = 1 - 0.2 * torch.rand(n, 2)
    t = (2 * torch.rand(n, 2) - 1) * (1 - s + 0.12)
    s[:, 0] *= torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    m = torch.zeros(n, 2, 3)
    m[:, 0, 0], m[:, 1, 1], m[:, :, 2] = s[:, 0], s[:, 1], t
    return F.grid_sample(v, F.affine_grid(m, (n, 3, 32, 32), align_corners=False), padding_mode="reflection", align_corners=False)


def accuracy():
    net.eval()
    with torch.no_grad():
        k = sum(int((net(prepare(xt[i:i + 500])).argmax(1).numpy() == yt[i:i + 500]).sum()) for i in range(0, len(xt), 500))
    net.train()
    return k / len(xt)


steps = len(x) // o.batch * o.epochs
if o.net == "vit":
    opt = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05)
    sch = torch.optim.lr_scheduler.OneCycleLR(opt, 3e-3, total_steps=steps, pct_start=0.2)
else:
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4 if o.net != "mobilenet" else 1e-4, nesterov=True)
    sch = torch.optim.lr_scheduler.OneCycleLR(opt, 0.2 if o.net != "mobilenet" else 0.15, total_steps=steps, pct_start=0.2)
first, down = 0, None
if part.exists():
    p = torch.load(part)
    net.load_state_dict(p["net"])
    opt.load_state_dict(p["opt"])
    first, down = p["epoch"], p.get("down")
    if p.get("epochs") != o.epochs:            # fewer than it was begun with: from here straight down to zero
        down = (first, [g["lr"] for g in opt.param_groups])
    if down:
        for g, lr in zip(opt.param_groups, down[1]):
            g["initial_lr"] = lr
        rest = (o.epochs - down[0]) * (len(x) // o.batch)
        sch = torch.optim.lr_scheduler.LambdaLR(opt, lambda k: max(0.0, 1 - k / rest))
    if p.get("epochs") == o.epochs:
        sch.load_state_dict(p["sch"])
net.train()
t0 = time.time()
for e in range(first, o.epochs):
    order = np.random.default_rng(e).permutation(len(x))
    tot = 0.0
    for b in range(len(x) // o.batch):
        i = order[b * o.batch:(b + 1) * o.batch]
        l = F.cross_entropy(net(augment(prepare(x[i]))), torch.from_numpy(y[i]), label_smoothing=0.05)
        opt.zero_grad(set_to_none=True)
        l.backward()
        if o.net == "vit":
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        sch.step()
        tot += l.item()
    print("epoch %d loss %.3f test %.4f  %.0f s" % (e + 1, tot / (b + 1), accuracy(), time.time() - t0), flush=True)
    torch.save(dict(net=net.state_dict(), opt=opt.state_dict(), sch=sch.state_dict(), epoch=e + 1, epochs=o.epochs, down=down), part)
if SHRINK != 1.0:
    w = next(p for p in net.parameters() if p.dim() == 4)
    w.data /= SHRINK
    SHRINK = 1.0
acc = accuracy()
torch.save(dict(net=net.state_dict(), accuracy=acc), out)
part.unlink()
print(o.net, "accuracy %.4f" % acc)
