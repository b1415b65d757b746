#!/usr/bin/env python3
"""tf_part.py WORK keras: the Keras twin of the MobileNet (WORK/ckpt/mobilenet.npz) -> WORK/onnx/mobilenet_keras.onnx by tf2onnx
                          and WORK/onnx/mobilenet_kerastflite.onnx by TFLite and tf2onnx
   tf_part.py WORK onnx2tf NAME: WORK/onnx/NAME.onnx -> onnx2tf -> tf2onnx -> WORK/onnx/NAME_tf.onnx (from the SavedModel), NAME_tflite.onnx"""
import os, subprocess, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", TF_USE_LEGACY_KERAS="1", OMP_NUM_THREADS="1")
from pathlib import Path
import numpy as np

work = Path(sys.argv[1])
out = work / "onnx"


def tf2onnx(*args):
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", *map(str, args)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def keras():
    if (out / "mobilenet_kerastflite.onnx").exists():
        return
    import tensorflow as tf, tf_keras as K
    import tf2onnx as t
    from recipes import MOBILE
    L, W, put = K.layers, np.load(work / "ckpt/mobilenet.npz"), []

    def conv(x, key, o, k, s):
        l = L.Conv2D(o, k, s, "same", use_bias=key + ".bias" in W, name=key.replace(".", "_"))
        w = [W[key + ".weight"].transpose(2, 3, 1, 0)]
        put.append((l, w + ([W[key + ".bias"]] if key + ".bias" in W else [])))
        return l(x)

    def depthwise(x, key, s):
        l = L.DepthwiseConv2D(3, s, "same", use_bias=False, name=key.replace(".", "_"))
        put.append((l, [W[key + ".weight"].transpose(2, 3, 0, 1)]))
        return l(x)

    def norm(x, key):
        l = L.BatchNormalization(epsilon=1e-5, name=key.replace(".", "_"))
        put.append((l, [W[key + "." + k] for k in ("weight", "bias", "running_mean", "running_var")]))
        return l(x)
    i = L.Input((32, 32, 3), name="image")
    x = L.ReLU(6.0)(norm(conv(i, "stem", 20, 3, 2), "bn"))
    for b, (ci, co, s) in enumerate(MOBILE):
        p = "blocks.%d." % b
        y = L.ReLU(6.0)(norm(conv(x, p + "exp", 4 * ci, 1, 1), p + "bn1"))
        y = L.ReLU(6.0)(norm(depthwise(y, p + "dw", s), p + "bn2"))
        y = norm(conv(y, p + "pw", co, 1, 1), p + "bn3")
        x = L.Add()([x, y]) if s == 1 and ci == co else y
    x = L.ReLU(6.0)(norm(conv(x, "head", 160, 1, 1), "bnh"))
    x = L.GlobalAveragePooling2D(keepdims=True)(x)
    x = L.Reshape((10,), name="logits")(conv(x, "classes", 10, 1, 1))
    m = K.Model(i, x, name="mobilenet")
    for l, w in put:
        l.set_weights(w)
    sig = lambda b: [tf.TensorSpec((b, 32, 32, 3), tf.float32, name="image")]
    call = lambda b: tf.function(lambda x: m(x, training=False), input_signature=sig(b))
    t.convert.from_function(call(None), input_signature=sig(None), opset=15, output_path=str(out / "mobilenet_keras.onnx"))
    c = tf.lite.TFLiteConverter.from_concrete_functions([call(1).get_concrete_function()])
    f = out / "mobilenet_keras.tflite"
    f.write_bytes(c.convert())
    tf2onnx("--tflite", f, "--opset", "16", "--output", out / "mobilenet_kerastflite.onnx")


def onnx2tf(name):
    if (out / (name + "_tflite.onnx")).exists():
        return
    import importlib, pkgutil, shutil
    import onnx2tf
    # onnx2tf fetches a test picture from the web; these do as well
    pic = lambda *a, **k: np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32)
    for x in pkgutil.walk_packages(onnx2tf.__path__, "onnx2tf."):
        if x.name in ("onnx2tf.onnx2tf", "onnx2tf.utils.common_functions", "onnx2tf.ops.Loop"):
            try:
                importlib.import_module(x.name)
            except Exception:
                pass
    for mod in list(sys.modules.values()):
        if getattr(mod, "__name__", "").startswith("onnx2tf") and hasattr(mod, "download_test_image_data"):
            mod.download_test_image_data = pic
    copy, saved = out / (name + "_copy.onnx"), out / (name + "_saved")
    shutil.copy(out / (name + ".onnx"), copy)             # onnx2tf writes its input file anew
    onnx2tf.convert(input_onnx_file_path=str(copy), output_folder_path=str(saved), non_verbose=True,
                    not_use_onnxsim=True, copy_onnx_input_output_names_to_tflite=False)
    copy.unlink()
    tf2onnx("--saved-model", saved, "--opset", "17", "--output", out / (name + "_tf.onnx"))
    tf2onnx("--tflite", next(saved.glob("*_float32.tflite")), "--opset", "15", "--output", out / (name + "_tflite.onnx"))


{"keras": keras, "onnx2tf": onnx2tf}[sys.argv[2]](*sys.argv[3:])
