#!/usr/bin/env python3
"""torch_part.py WORK [NET ...]: WORK/ckpt/NET.pt -> WORK/onnx/NET_*.onnx by the exporters of PyTorch, by onnx2torch,
and float16 and int8; the weights also as WORK/ckpt/NET.npz. What is there is not made again."""
import contextlib, logging, os, sys, warnings
os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
from pathlib import Path
import numpy as np, onnx, torch
import common
from nets import NETS
from recipes import RECIPES

torch.set_num_threads(1)
work = Path(sys.argv[1])
out = work / "onnx"
out.mkdir(exist_ok=True)
X = torch.zeros(2, 3, 32, 32)
IO = dict(input_names=["input"], output_names=["logits"])


def legacy(net, f, opset, bn=False, batch=True):
    torch.onnx.export(net, (X if batch else X[:1],), str(f), dynamo=False, opset_version=opset, **IO,
                      training=torch.onnx.TrainingMode.PRESERVE if bn else torch.onnx.TrainingMode.EVAL,
                      dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}} if batch else None)


def dynamo(net, f, opset, batch=True):
    torch.onnx.export(net, (X if batch else X[:1],), str(f), dynamo=True, opset_version=opset, external_data=False, verbose=False,
                      dynamic_shapes=({0: torch.export.Dim("N")},) if batch else None, **IO)


def onnx2torch(_, f, opset, frm):
    from onnx2torch import convert
    legacy(convert(onnx.load(str(frm))).eval(), f, opset, batch=False)


def float16(_, f, frm):
    from onnxconverter_common import float16 as h
    onnx.save(h.convert_float_to_float16(onnx.load(str(frm)), keep_io_types=True), str(f))


def int8(_, f, frm, recipe):
    """QDQ, one scale a tensor, weights of seven bits (so that every processor gives the same), calibrated on training pictures."""
    from PIL import Image
    from data import load
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(s):
            s.x = iter([common.preprocess(Image.fromarray(p), recipe)[None] for p in load(work)[0][:200]])

        def get_next(s):
            x = next(s.x, None)
            return None if x is None else {"input": x}
    quantize_static(str(frm), str(f), Reader(), quant_format=QuantFormat.QDQ, per_channel=False,
                    weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8, reduce_range=True)


T = {   # of each network: suffix, how, further arguments
    "mobilenet": [("legacy17", legacy, (17,)), ("legacy11b1", legacy, (11, False, False)), ("dynamo18", dynamo, (18,)), ("int8", int8, (out / "mobilenet_legacy17.onnx", RECIPES["mobilenet"]))],
    "resnet": [("bn13", legacy, (13, True)), ("legacy17", legacy, (17,)), ("dynamo20b1", dynamo, (20, False))],
    "inception": [("legacy17", legacy, (17,)), ("dynamo18", dynamo, (18,)), ("bn13", legacy, (13, True)),
                  ("onnx2torch16b1", onnx2torch, (16, out / "inception_legacy17.onnx"))],
    "vit": [("legacy17", legacy, (17,)), ("dynamo18", dynamo, (18,)), ("legacy14b1", legacy, (14, False, False)),
            ("onnx2torch16b1", onnx2torch, (16, out / "vit_legacy14b1.onnx")), ("fp16", float16, (out / "vit_legacy17.onnx",))],
}
for n in sys.argv[2:] or NETS:
    c = torch.load(work / "ckpt" / (n + ".pt"))
    net = NETS[n]()
    net.load_state_dict(c["net"])
    net = (net.as_linear() if n == "mobilenet" else net).eval()
    np.savez(work / "ckpt" / (n + ".npz"), **{k: v.numpy() for k, v in c["net"].items()})
    for tag, how, more in T[n]:
        f = out / ("%s_%s.onnx" % (n, tag))
        if f.exists():
            continue
        try:
            with torch.no_grad(), open(os.devnull, "w") as nul, contextlib.redirect_stdout(nul):   # an exporter that fails prints its graph
                how(net, f, *more)
            print("made", f.name, f.stat().st_size, flush=True)
        except Exception as e:
            print("FAILED", f.name, str(e)[-300:], flush=True)
