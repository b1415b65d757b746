#!/usr/bin/env python3
"""cases.py WORK [--only 1,2] [--try]: sources and cases from WORK/onnx; runs each on the pictures; writes manifest.json.

A case whose fault changes fewer than five labels of the probe pictures is an error."""
import argparse, json, sys
from pathlib import Path
import numpy as np, onnx
from onnx import helper as oh, numpy_helper as nh
import common
from common import ROOT, labels, tensors
from recipes import RECIPES

a = argparse.ArgumentParser()
a.add_argument("work")
a.add_argument("--only", default="")
a.add_argument("--try", dest="trial", action="store_true", help="write nothing")
o = a.parse_args()
DIR = Path(o.work) / "onnx"
SOURCES = {   # network: file, route, layout
    "mobilenet": ("mobilenet_keras", "keras-tf2onnx-op15", "nhwc"),
    "resnet": ("resnet_bn13", "legacy-bn-op13", "nchw"),
    "inception": ("inception_dynamo18", "dynamo-op18", "nchw"),
    "vit": ("vit_legacy17", "legacy-fold-op17", "nchw"),
}
WHAT = {
    "mobilenet": "MobileNetV2-like: inverted residuals, depthwise, ReLU6, TensorFlow's SAME padding",
    "resnet": "ResNet-like: batch norm, skips, max pool, flatten; pixels 0..255, BGR, mean only",
    "inception": "four branches, average pools that count the padding, Concat",
    "vit": "convolutional stem, 16 tokens, learnt positions, three blocks of attention and GELU",
}
ROUTES = {    # targets: layout, route
    "mobilenet_kerastflite": ("nhwc", "keras-tflite-tf2onnx-op16-b1"), "mobilenet_legacy17": ("nchw", "legacy-fold-op17"),
    "mobilenet_legacy11b1": ("nchw", "legacy-fold-op11-b1"), "mobilenet_dynamo18": ("nchw", "dynamo-op18"),
    "mobilenet_int8": ("nchw", "int8-qdq-pertensor"), "mobilenet_legacy11b1_tf": ("nhwc", "onnx2tf-savedmodel-tf2onnx-op17"),
    "resnet_legacy17": ("nchw", "legacy-fold-op17"), "resnet_dynamo20b1": ("nchw", "dynamo-op20-b1"),
    "resnet_legacy17_tf": ("nhwc", "onnx2tf-savedmodel-tf2onnx-op17"), "resnet_legacy17_tflite": ("nhwc", "onnx2tf-tflite-tf2onnx-op15"),
    "inception_legacy17": ("nchw", "legacy-fold-op17"), "inception_bn13": ("nchw", "legacy-bn-op13"),
    "inception_onnx2torch16b1": ("nchw", "onnx2torch-legacy-op16-b1"), "inception_legacy17_tf": ("nhwc", "onnx2tf-savedmodel-tf2onnx-op17"),
    "inception_legacy17_tflite": ("nhwc", "onnx2tf-tflite-tf2onnx-op15"),
    "vit_dynamo18": ("nchw", "dynamo-op18"), "vit_onnx2torch16b1": ("nchw", "onnx2torch-legacy-op16-b1"), "vit_fp16": ("nchw", "fp16-legacy-op17"),
}
ALSO = {"PP-NORM": ["PP-SCALE"], "LH-ACT": ["WB-VALUES"], "TS-FLATTEN": ["TS-PERM", "CG-EXTRA"],
        "ID-LAYOUT": ["TS-PERM", "TS-FLATTEN", "TS-RESHAPE"]}


def tidy(m):
    """Names for all nodes; out with notes that tell where and how the file was made, and with shapes that are not true."""
    m.doc_string = m.graph.doc_string = ""
    for n in m.graph.node:
        n.doc_string = ""
        del n.metadata_props[:]
    for v in (*m.graph.value_info, *m.graph.input, *m.graph.output, *m.graph.initializer):
        v.doc_string = ""
        if hasattr(v, "metadata_props"):
            del v.metadata_props[:]
    del m.graph.metadata_props[:]
    return common.honest(common.name_nodes(m))


class Target:
    """A converted model that faults are put into; remembers what it changed."""
    def __init__(s, name):
        s.m = tidy(onnx.load(str(DIR / (name + ".onnx"))))
        s.g = s.m.graph
        s.faults = []

    def nodes(s, op, **attrs):
        return [n for n in s.g.node if n.op_type == op and all(s.get(n, k) == v for k, v in attrs.items())]

    def get(s, n, k):
        return next((oh.get_attribute_value(x) for x in n.attribute if x.name == k), None)

    def set(s, n, k, v):
        for x in [x for x in n.attribute if x.name == k]:
            n.attribute.remove(x)
        n.attribute.append(oh.make_attribute(k, v))

    def tensor(s, name):
        return next((i for i in s.g.initializer if i.name == name), None)

    def value(s, name):
        i = s.tensor(name)
        if i is None:                                     # a Constant node
            c = next((n for n in s.g.node if n.op_type == "Constant" and n.output[0] == name), None)
            return None if c is None else nh.to_array(oh.get_attribute_value(c.attribute[0]))
        return nh.to_array(i)

    def put(s, name, v):
        s.tensor(name).CopyFrom(nh.from_array(np.ascontiguousarray(v), name))

    def maker(s, value):
        return next((n for n in s.g.node if value in n.output), None)

    def users(s, value):
        return [n for n in s.g.node if value in n.input]

    def dims(s, f):
        """Shapes of values, as inferred by onnx."""
        m = onnx.shape_inference.infer_shapes(s.m)
        return {v.name: [d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim] for v in (*m.graph.value_info, *m.graph.input)}.get(f)

    def fault(s, kind, nodes, tensors, note, also=None):
        f = dict(category=kind[:2], kind=kind, nodes=[n if isinstance(n, str) else n.name for n in nodes], tensors=list(tensors), note=note)
        also = also or ALSO.get(kind)
        if also:
            f["also"] = also
        s.faults.append(f)

    # ---- weights
    def weights(s):
        """Names of the convolution weights, in the order of the graph."""
        return [n.input[1] for n in s.nodes("Conv") if s.tensor(n.input[1]) is not None]

    def swap(s, i, j):
        a, b = (s.nodes("Conv")[k] for k in (i, j))
        x, y = s.value(a.input[1]), s.value(b.input[1])
        assert x.shape == y.shape, (x.shape, y.shape)
        s.put(a.input[1], y)
        s.put(b.input[1], x)
        s.fault("WB-SWAP", [a, b], [a.input[1], b.input[1]], "weights of two layers of equal shape exchanged")

    def no_bias(s, i):
        n = s.nodes("Conv")[i]
        assert len(s.users(n.input[2])) == 1
        s.put(n.input[2], s.value(n.input[2]) * 0)
        s.fault("WB-BIAS", [n], [n.input[2]], "bias zeroed")

    def noise(s, i, sigma):
        n = s.nodes("Conv")[i]
        w = s.value(n.input[1])
        s.put(n.input[1], (w + np.random.default_rng(7).normal(0, sigma * w.std(), w.shape)).astype(np.float32))
        s.fault("WB-VALUES", [n], [n.input[1]], "noise of %g sigma" % sigma)

    # ---- hyperparameters
    def pads(s, i, v):
        n = s.nodes("Conv")[i]
        note = "pads %s in place of %s" % (v, list(s.get(n, "pads")))
        s.set(n, "pads", v)
        s.fault("LH-PADS", [n], [], note)

    def pool(s, i):
        n = s.nodes("AveragePool")[i]
        v = 1 - (s.get(n, "count_include_pad") or 0)
        s.set(n, "count_include_pad", v)
        s.fault("LH-POOL", [n], [], "count_include_pad turned round")

    def clip(s, i, v):
        n = s.nodes("Clip")[i]
        if len(n.input) > 2:
            k = "clip_max_%d" % i
            s.g.initializer.append(nh.from_array(np.float32(v), k))
            n.input[2] = k
        else:
            k = None
            s.set(n, "max", float(v))
        s.fault("LH-ACT", [n], [k] if k else [], "upper bound of Clip %g in place of 6" % v)

    def epsilon(s, i, v):
        n = s.nodes("LayerNormalization")[i]
        s.set(n, "epsilon", v)
        s.fault("LH-EPS", [n], [], "epsilon %g in place of 1e-05" % v)

    # ---- structure
    def perm(s, i, v, **attrs):
        n = s.nodes("Transpose", **attrs)[i]
        note = "perm %s in place of %s" % (v, list(s.get(n, "perm")))
        s.set(n, "perm", v)
        s.fault("TS-PERM", [n], [], note)

    def axis(s, op, i, v):
        n = s.nodes(op)[i]
        note = "axis %d in place of %d" % (v, s.get(n, "axis"))
        s.set(n, "axis", v)
        s.fault("TS-AXIS", [n], [], note)

    def flatten(s):
        """The pooled map is flattened in the order of NHWC, the weights still expect NCHW."""
        n = next(n for n in s.g.node if n.op_type in ("Reshape", "Flatten") and s.maker(n.input[0]).op_type == "AveragePool")
        t = oh.make_node("Transpose", [n.input[0]], [n.input[0] + "_nhwc"], name="Transpose_nhwc", perm=[0, 2, 3, 1])
        s.g.node.insert(list(s.g.node).index(n), t)
        n.input[0] = t.output[0]
        s.fault("TS-FLATTEN", [t, n], [], "flattened in the order [0, 2, 3, 1]; the rows of the next weight expect [0, 1, 2, 3]")

    def drop(s, n, keep=0):
        p, users = s.maker(n.input[keep]), s.users(n.output[0])
        assert p is not None and users
        for u in users:
            for k, x in enumerate(u.input):
                if x == n.output[0]:
                    u.input[k] = n.input[keep]
        s.g.node.remove(n)
        v = [x for x in s.g.value_info if x.name == n.output[0]]
        for x in v:
            s.g.value_info.remove(x)
        s.fault("CG-MISSING", [p, *users], [], "%s %s removed; input %d passed on" % (n.op_type, n.name, keep))

    def concat(s, i, order):
        n = [n for n in s.nodes("Concat") if len(n.input) == 4][i]
        ins = list(n.input)
        for k, j in enumerate(order):
            n.input[k] = ins[j]
        s.fault("CG-REWIRED", [n], [], "inputs of Concat in the order %s" % order)

    def unknown(s, op, i, name):
        n = s.nodes(op)[i]
        n.op_type = name
        s.fault("CG-UNSUPPORTED", [n], [], "operator %s unknown to ONNX in place of %s" % (name, op))

    def declare(s, dims, kind, note):
        i = s.g.input[0]
        first = s.users(i.name)
        sh = i.type.tensor_type.shape
        for d, v in zip(sh.dim, dims):
            if v is not None:
                d.dim_value = v
        del s.g.value_info[:]
        s.fault(kind, first, [i.name], note)


def pad_nodes(t):
    """What onnx2tf does by itself to a Pad of PyTorch's that is asymmetric; returns the mended model as well."""
    bad = [n for n in t.nodes("Pad") if t.value(n.input[1])[4]]
    clean = onnx.ModelProto()
    clean.CopyFrom(t.m)
    for n in clean.graph.node:
        if n.name in [b.name for b in bad]:
            nhwc = n is not None and n.input[0] == clean.graph.input[0].name
            k = n.name + "_mended"
            clean.graph.initializer.append(nh.from_array(np.array([0, 0, 0, 0, 0, 1, 1, 0] if nhwc else [0, 0, 0, 0, 0, 0, 1, 1], np.int64), k))
            n.input[1] = k
    del clean.graph.value_info[:]
    del clean.graph.output[0].type.tensor_type.shape.dim[:]
    for d in (None, 10):
        x = clean.graph.output[0].type.tensor_type.shape.dim.add()
        if d:
            x.dim_value = d
    t.fault("LH-PADS", bad, sorted({n.input[1] for n in bad}),
            "onnx2tf: pads of three Pad nodes left in a wrong axis order; the batch axis grows from 1 to 4", ["TS-PERM", "TS-AXIS"])
    return clean


# name, source, target, class, what is done to the target, title, about [, what is done to the recipe]
C = [
    ("1-mobilenet-pads", "mobilenet", "mobilenet_kerastflite", "injected", lambda t: t.pads(5, [1, 1, 1, 1]),
     "MobileNet, Keras → TFLite → ONNX", "one wrong padding, one key to mend it"),
    ("2-resnet-swapped", "resnet", "resnet_dynamo20b1", "injected", lambda t: t.swap(5, 7),
     "ResNet, weights exchanged", "two layers carry each other's weights"),
    ("3-inception-two-faults", "inception", "inception_legacy17", "injected", lambda t: (t.no_bias(9), t.concat(2, [0, 1, 3, 2])),
     "Inception, two faults at once", "both found in one pass"),
    ("4-vit-preprocessing", "vit", "vit_dynamo18", "injected", None,
     "ViT, wrong preprocessing", "the graph is right, the recipe is not",
     (dict(mean=[0.0] * 3, std=[1.0] * 3), "PP-NORM", "recipe: mean and std left out")),
    ("5-resnet-unloadable", "resnet", "resnet_legacy17", "unloadable", lambda t: t.unknown("Relu", 5, "FusedRelu"),
     "ResNet that does not load", "named node, then repaired"),
    ("6-mobilenet-int8", "mobilenet", "mobilenet_int8", "precision", None,
     "MobileNet int8, nothing broken", "precision, explained, not \"repaired\""),
    ("7-resnet-clean-tensorflow", "resnet", "resnet_legacy17_tf", "clean", None,
     "ResNet, PyTorch → TF → ONNX, clean", "other layout, names, fusion: no fault"),
    ("8-mobilenet-clean-torch", "mobilenet", "mobilenet_dynamo18", "clean", None,
     "MobileNet, Keras vs PyTorch, clean", "NHWC left, NCHW right, no difference"),
    ("9-vit-clean-decomposed", "vit", "vit_onnx2torch16b1", "clean", None,
     "ViT, ONNX → PyTorch → ONNX, clean", "one LayerNormalization as nine nodes"),
    ("10-vit-float16", "vit", "vit_fp16", "precision", None,
     "ViT in float16, nothing broken", "half precision: a higher floor"),
    ("11-inception-bgr", "inception", "inception_legacy17_tflite", "injected", None,
     "Inception, red and blue exchanged", "the recipe reads BGR instead of RGB",
     (dict(channels="bgr"), "PP-CHANNELS", "recipe: channels exchanged")),
    ("12-mobilenet-size", "mobilenet", "mobilenet_legacy11b1", "injected",
     lambda t: t.declare([None, None, 28, 28], "ID-SIZE", "height and width declared 28"),
     "MobileNet, declared too small", "28×28 declared, trained on 32×32", dict(size=[28, 28])),
    ("13-inception-layout", "inception", "inception_onnx2torch16b1", "unloadable",
     lambda t: t.declare([None, 32, 32, 3], "ID-LAYOUT", "input declared in the other layout, graph unchanged"),
     "Inception, declared NHWC, but NCHW", "does not run: another shape declared", dict(layout="nhwc")),
    ("14-vit-attention", "vit", "vit_onnx2torch16b1", "injected", lambda t: t.perm(1, [0, 2, 3, 1], perm=[0, 2, 1, 3]),
     "ViT, attention heads scrambled", "one Transpose with a wrong perm"),
    ("15-resnet-flatten", "resnet", "resnet_legacy17_tf", "injected", lambda t: t.flatten(),
     "ResNet, flattened in another order", "NHWC order before a weight of NCHW"),
    ("16-mobilenet-onnx2tf", "mobilenet", "mobilenet_legacy11b1_tf", "real", pad_nodes,
     "MobileNet, PyTorch → TF → ONNX", "a real fault: Pad nodes on wrong axes"),
    ("17-mobilenet-clip", "mobilenet", "mobilenet_legacy17", "injected", lambda t: t.clip(2, 1.0),
     "MobileNet, ReLU6 that stops at 1", "one constant of one activation"),
    ("18-vit-epsilon", "vit", "vit_dynamo18", "injected", lambda t: t.epsilon(0, 1.0),
     "ViT, a coarse epsilon", "one attribute of one normalization"),
    ("19-inception-no-relu", "inception", "inception_bn13", "injected", lambda t: t.drop(t.nodes("Relu")[12]),
     "Inception, an activation left out", "a node is missing from one branch"),
    ("20-inception-noise", "inception", "inception_legacy17_tf", "injected", lambda t: t.noise(3, 0.8),
     "Inception, weights spoilt", "one layer's weights, every number off"),
]


def evaluate(model, r, part):
    """Labels as a user sees them: a first output with more rows than pictures is read as one row."""
    return labels(model, tensors(part, r))


def make(c):
    name, net, file, cls, do, title, about = c[:7]
    more = c[7] if len(c) > 7 else None
    src, route, lay = SOURCES[net]
    sp = dict(RECIPES[net], layout=lay)
    tp = clean_tp = dict(RECIPES[net], layout=ROUTES[file][0])
    source = ROOT / "models" / (net + ".onnx")
    t = Target(file)
    clean = t.m.SerializeToString()
    r = do(t) if do else None
    if isinstance(r, onnx.ModelProto):
        clean = r.SerializeToString()
    if isinstance(more, dict):
        tp = dict(tp, **more)
    elif more:
        tp = dict(tp, **more[0])
        t.faults.append(dict(category="PP", kind=more[1], nodes=[], tensors=[], note=more[2], **({"also": ALSO[more[1]]} if more[1] in ALSO else {})))
    data = t.m.SerializeToString()
    before, was, err = {}, {}, None
    for part, of in (("probe", "of"), ("unseen", "of_unseen")):
        want = evaluate(source, sp, part)
        was[part] = int((want != evaluate(clean, clean_tp, part)).sum())
        try:
            got = evaluate(data, tp, part)
            before[part], before[of] = int((want != got).sum()), len(want)
        except Exception as e:
            err = str(e).split("\n")[0][:200]
    if err:
        before = None
    ok = (err is None) == (cls != "unloadable") and (cls == "precision" or not any(was.values()))
    ok &= cls not in ("injected", "real") or bool(before) and before["probe"] >= 5
    ok &= cls != "clean" or not any((before["probe"], before["unseen"]))
    print("%-28s %-10s %-12s %s, clean %s %s%s" % (name, cls, "+".join(f["kind"] for f in t.faults), before and "%d/%d %d/%d" % tuple(before[k] for k in ("probe", "of", "unseen", "of_unseen")),
                                             was, err or "", "" if ok else "   NOT AS IT SHOULD BE"), flush=True)
    if not o.trial:
        d = ROOT / "cases" / name
        d.mkdir(parents=True, exist_ok=True)
        (d / "target.onnx").write_bytes(data)
        (d / "labels.txt").write_text((ROOT / "labels.txt").read_text())
        (d / "case.toml").write_text(common.toml(title, about, "../../models/%s.onnx" % net, sp, "target.onnx", tp))
    return ok, dict(id=name, net=net, source="models/%s.onnx" % net, source_route=route, target="cases/%s/target.onnx" % name,
                    route=ROUTES[file][1], **{"class": cls}, faults=t.faults, mismatch_before=before, mismatch_clean=was)


def accuracy(f, r):
    """On CIFAR-10's whole test set, uncropped."""
    from PIL import Image
    from data import load
    _, _, x, y = load(o.work)
    return float((labels(f, np.stack([common.preprocess(Image.fromarray(p), r) for p in x])) == y).mean())


def size(p):
    return sum(f.stat().st_size for f in p.rglob("*") if f.is_file())


def weights(f):
    return sum(int(np.prod(i.dims)) for i in onnx.load(str(f)).graph.initializer)


def readme(nets, cases):
    """The two tables of README.md."""
    f = ROOT / "README.md"
    t = f.read_text()
    row = lambda *c: "| " + " | ".join(map(str, c)) + " |\n"
    n = "".join(row(k, *v) for k, v in nets.items())
    s = ""
    for c in C:
        e = next((x for x in cases if x["id"] == c[0]), None)
        if e:
            b = e["mismatch_before"]
            s += row("`%s`" % c[0], e["route"], e["class"], ", ".join(x["kind"] for x in e["faults"]) or "–", c[6],
                     "%d of %d" % (b["probe"], b["of"]) if b else "does not run")
    for tag, body in (("nets", n), ("cases", s)):
        i, j = t.index("<!-- %s -->" % tag), t.index("<!-- end of %s -->" % tag)
        head = "\n".join(t[i:j].split("\n")[:3]) + "\n"
        t = t[:i] + head + body + t[j:]
    f.write_text(t)


def main():
    (ROOT / "models").mkdir(exist_ok=True)
    truth = json.loads((ROOT / "images/truth.json").read_text())
    names, nets = (ROOT / "labels.txt").read_text().split(), {}
    for net, (file, _, lay) in SOURCES.items():
        if not (DIR / (file + ".onnx")).exists():
            print(net, "left out: no model yet")
            continue
        f = ROOT / "models" / (net + ".onnx")
        f.write_bytes(tidy(onnx.load(str(DIR / (file + ".onnx")))).SerializeToString())
        k = [int((labels(f, tensors(p, dict(RECIPES[net], layout=lay))) == [names.index(truth["%s/%s" % (p, q.name)]) for q in common.pictures(p)]).sum()) for p in ("probe", "unseen")]
        print("%s: %d of %d probe, %d of %d unseen pictures right" % (net, k[0], len(common.pictures("probe")), k[1], len(common.pictures("unseen"))))
        nets[net] = (WHAT[net], weights(f), SOURCES[net][1], "%.1f %%" % (100 * accuracy(f, dict(RECIPES[net], layout=lay))), k[0], k[1])
    mf = ROOT / "manifest.json"
    old = {c["id"]: c for c in json.loads(mf.read_text())["cases"]} if mf.exists() else {}
    only, good = set(filter(None, o.only.split(","))), True
    for c in C:
        if only and c[0].split("-")[0] not in only:
            continue
        if not (DIR / (c[2] + ".onnx")).exists() or not (DIR / (SOURCES[c[1]][0] + ".onnx")).exists():
            print(c[0], "left out: no model yet")
            continue
        ok, e = make(c)
        good &= ok
        old[c[0]] = e
    if not o.trial:
        cases = [old[c[0]] for c in C if c[0] in old]
        mf.write_text(json.dumps(dict(format=1, images={p: len(common.pictures(p)) for p in ("probe", "unseen")}, cases=cases), indent=1, ensure_ascii=False) + "\n")
        readme(nets, cases)
        print("%d cases, %.2f MB altogether" % (len(cases), size(ROOT) / 1e6))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
