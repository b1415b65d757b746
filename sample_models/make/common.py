"""Recipes, evaluation with onnxruntime, small tools for ONNX files."""
import json
from pathlib import Path
import numpy as np, onnx, onnxruntime as ort
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def preprocess(im, r):
    """decode RGB -> resize / crop -> channels -> float / scale -> mean / std -> layout; no batch axis"""
    im = (im if isinstance(im, Image.Image) else Image.open(im)).convert("RGB")
    H, W = r["size"]
    f = FILTERS[r["filter"]]
    if r["resize"] == "squash":
        im = im.resize((W, H), f)
    elif r["resize"] == "shorter-side":               # long side rounded down; centre crop, offset rounded down
        s, (w, h) = r["resize_to"], im.size
        im = im.resize((s, s * h // w) if w <= h else (s * w // h, s), f)
        x, y = (im.width - W) // 2, (im.height - H) // 2
        im = im.crop((x, y, x + W, y + H))
    elif r["resize"] == "letterbox":                  # fit inside, black bars, offset rounded down
        k = min(H / im.height, W / im.width)
        w, h = max(1, int(im.width * k + 0.5)), max(1, int(im.height * k + 0.5))
        bg = Image.new("RGB", (W, H))
        bg.paste(im.resize((w, h), f), ((W - w) // 2, (H - h) // 2))
        im = bg
    else:
        raise ValueError(r["resize"])
    a = np.asarray(im)
    if r["channels"] == "bgr":
        a = a[..., ::-1]
    a = (a.astype(np.float32) / np.float32(r["scale"]) - np.float32(r["mean"])) / np.float32(r["std"])
    return np.ascontiguousarray(a if r["layout"] == "nhwc" else a.transpose(2, 0, 1))


def pictures(part):
    return sorted((ROOT / "images" / part).glob("*.png"))


_seen = {}


def tensors(part, r):
    k = part + json.dumps(r, sort_keys=True)
    if k not in _seen:
        _seen[k] = np.stack([preprocess(p, r) for p in pictures(part)])
    return _seen[k]


def session(model):
    ort.set_default_logger_severity(4)
    o = ort.SessionOptions()
    o.intra_op_num_threads = o.inter_op_num_threads = 1
    o.log_severity_level = 4
    return ort.InferenceSession(model if isinstance(model, bytes) else str(model), o, providers=["CPUExecutionProvider"])


def outputs(model, x):
    """Rows of the first output, one a picture."""
    s = session(model)
    i = s.get_inputs()[0]
    b = i.shape[0]
    step = b if isinstance(b, int) and b > 0 else 50
    return np.concatenate([np.asarray(s.run(None, {i.name: x[k:k + step]})[0], np.float32).reshape(len(x[k:k + step]), -1)
                           for k in range(0, len(x), step)])


def labels(model, x):
    o = outputs(model, x)
    return np.where(np.isnan(o), -np.inf, o).argmax(1)


def name_nodes(m):
    """Every node gets a name of its own."""
    seen = set()
    for i, n in enumerate(m.graph.node):
        if not n.name or n.name in seen:
            n.name = "%s_%d" % (n.op_type, i)
        seen.add(n.name)
    return m


def honest(m):
    """Takes out the shapes of inner values when onnx's own shape inference contradicts them."""
    try:
        onnx.shape_inference.infer_shapes(m, check_type=True, strict_mode=True, data_prop=True)
    except Exception:
        del m.graph.value_info[:]
    return m


def toml(title, about, src, sp, tgt, tp):
    def sec(p):
        return "".join("%s = %s\n" % (k, json.dumps(v)) for k, v in p.items())
    return ("title = %s\nabout = %s\n\n[source]\nmodel = %s\n\n[source.preprocess]\n%s\n[target]\nmodel = %s\n\n[target.preprocess]\n%s\n"
            "[images]\npath = \"../../images/probe\"\nlabels = \"labels.txt\"\n"
            % (json.dumps(title, ensure_ascii=False), json.dumps(about, ensure_ascii=False), json.dumps(src), sec(sp), json.dumps(tgt), sec(tp)))
