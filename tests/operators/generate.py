#!/usr/bin/env python3
"""Makes cases.bin: models of one node each, their inputs, and what onnxruntime gives for them.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    python tests/operators/generate.py

A record is a little-endian u32 length and a ModelProto. Its graph holds the node under test; unused initializers carry the data:
`value:NAME` for an input, `expect:NAME` for an output. `metadata_props` has the case's name under `case`.
"""
import pathlib
import struct
import sys
import zlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)
MS = "com.microsoft"
CASES = []


class Const:
    """An input that is an initializer of the model."""

    def __init__(self, value):
        self.value = np.asarray(value)


def K(value):
    return Const(value)


def ints(*values):
    return Const(np.array(values, np.int64))


def case(op, opset, inputs, outs=1, domain="", tag="", **attrs):
    """outs: how many outputs, or a string of 0 and 1 saying which are named."""
    name = f"{op}-{opset}" + (f"-{tag}" if tag else "")
    for k, v in attrs.items():
        text = v.decode() if isinstance(v, bytes) else str(v).replace(" ", "")
        if len(text) < 24:
            name += f"-{k}={text}"
    CASES.append((name, op, opset, inputs, outs, domain, attrs))


def rng_for(text):
    return np.random.default_rng(zlib.crc32(text.encode()))


_count = [0]


def r(*shape, lo=-2.0, hi=2.0, dtype=np.float32):
    _count[0] += 1
    g = rng_for(f"{shape}{_count[0]}")
    if np.issubdtype(dtype, np.integer):
        return g.integers(lo, hi, size=shape, dtype=dtype, endpoint=True)
    return g.uniform(lo, hi, size=shape).astype(dtype)


def special(*shape):
    """Values with both infinities among them."""
    x = r(*shape)
    f = x.reshape(-1)
    f[1], f[2] = np.inf, -np.inf
    return x


def u8(*shape, lo=0, hi=255):
    return r(*shape, lo=lo, hi=hi, dtype=np.uint8)


def s8(*shape, lo=-128, hi=127):
    return r(*shape, lo=lo, hi=hi, dtype=np.int8)


f32, f16, i64, i32 = np.float32, np.float16, np.int64, np.int32


def convolutions():
    x1, x2, x3 = r(1, 4, 9), r(1, 4, 6, 5), r(1, 2, 4, 4, 3)
    case("Conv", 11, [x1, K(r(3, 4, 3)), K(r(3))], tag="1d", pads=[1, 1], strides=[2])
    case("Conv", 11, [x1, K(r(8, 1, 3))], tag="1d-dw", group=4, dilations=[2])
    case("Conv", 11, [x2, K(r(3, 4, 3, 3)), K(r(3))], tag="2d", pads=[1, 1, 1, 1])
    case("Conv", 11, [x2, K(r(3, 4, 3, 2)), K(r(3))], tag="odd-pads", pads=[1, 0, 2, 1])
    case("Conv", 11, [x2, K(r(3, 4, 1, 1)), K(r(3))], tag="1x1")
    case("Conv", 11, [x2, K(r(3, 4, 1, 1)), K(r(3))], tag="1x1-s2", strides=[2, 2])
    case("Conv", 11, [x2, K(r(6, 2, 3, 3)), K(r(6))], tag="grouped", group=2, pads=[1, 1, 1, 1], strides=[2, 2])
    case("Conv", 11, [x2, K(r(4, 1, 3, 3)), K(r(4))], tag="dw", group=4, pads=[1, 1, 1, 1])
    case("Conv", 11, [x2, K(r(4, 1, 3, 3)), K(r(4))], tag="dw-s2", group=4, pads=[0, 0, 1, 1], strides=[2, 2])
    case("Conv", 11, [x2, K(r(4, 1, 5, 5))], tag="dw5", group=4, pads=[2, 2, 2, 2])
    case("Conv", 11, [x2, K(r(4, 1, 3, 3))], tag="dw-s3", group=4, pads=[2, 1, 0, 1], strides=[3, 2])
    case("Conv", 11, [x2, K(r(8, 1, 3, 3)), K(r(8))], tag="dw-mult", group=4, pads=[1, 1, 1, 1])
    case("Conv", 11, [x2, K(r(4, 1, 3, 3))], tag="dw-dil", group=4, pads=[2, 2, 2, 2], dilations=[2, 2])
    case("Conv", 11, [x2, K(r(3, 4, 2, 2))], tag="dil", dilations=[2, 3])
    for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        case("Conv", 11, [x2, K(r(3, 4, 3, 3))], auto_pad=pad, strides=[2, 2])
        case("Conv", 11, [x2, K(r(4, 1, 2, 3))], tag="dw", auto_pad=pad, group=4)
    case("Conv", 11, [x3, K(r(3, 2, 2, 3, 2)), K(r(3))], tag="3d", pads=[0, 1, 0, 1, 1, 1], strides=[1, 2, 1])
    case("Conv", 22, [r(2, 4, 4, 4), K(r(3, 4, 3, 3)), K(r(3))], tag="batch", pads=[1, 1, 1, 1])
    case("Conv", 11, [x2, r(3, 4, 3, 3), r(3)], tag="weights-are-data", pads=[1, 1, 1, 1])
    case("Conv", 11, [r(1, 4, 5, 5, dtype=f16), K(r(3, 4, 3, 3, dtype=f16)), K(r(3, dtype=f16))], tag="f16", pads=[1, 1, 1, 1])
    y1, y2 = r(1, 3, 6), r(1, 4, 3, 4)
    case("ConvTranspose", 11, [y1, K(r(3, 2, 3))], tag="1d", strides=[2])
    case("ConvTranspose", 11, [y2, K(r(4, 3, 3, 3)), K(r(3))], tag="plain")
    case("ConvTranspose", 11, [y2, K(r(4, 3, 3, 3)), K(r(3))], tag="s2", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    case("ConvTranspose", 11, [y2, K(r(4, 3, 2, 2)), K(r(3))], tag="2x2", strides=[2, 2])
    case("ConvTranspose", 11, [y2, K(r(4, 3, 3, 3))], tag="shape", strides=[2, 2], output_shape=[7, 8])
    case("ConvTranspose", 11, [y2, K(r(4, 3, 3, 3))], strides=[2, 2], auto_pad="SAME_UPPER")
    case("ConvTranspose", 11, [y2, K(r(4, 3, 3, 3))], strides=[2, 2], auto_pad="SAME_LOWER")
    case("ConvTranspose", 11, [y2, K(r(4, 2, 3, 3)), K(r(4))], tag="grouped", group=2, strides=[2, 1], pads=[1, 0, 1, 1])
    case("ConvTranspose", 11, [y2, K(r(4, 1, 3, 3))], tag="dw", group=4, strides=[2, 2], pads=[1, 1, 1, 1])
    case("ConvTranspose", 11, [y2, K(r(4, 3, 2, 2))], tag="dil", dilations=[2, 2])
    case("ConvTranspose", 11, [r(1, 2, 3, 3, 3), K(r(2, 2, 2, 2, 2))], tag="3d", strides=[2, 2, 2])
    for a in (dict(), dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1])):
        case("ConvInteger", 10, [u8(1, 3, 5, 5), K(u8(2, 3, 3, 3)), K(np.uint8(120)), K(np.uint8(128))], tag="u8u8", **a)
        case("ConvInteger", 10, [u8(1, 3, 5, 5), K(s8(2, 3, 3, 3)), K(np.uint8(7)), K(np.int8(0))], tag="u8s8", **a)
    case("ConvInteger", 10, [u8(1, 3, 5, 5), K(u8(2, 3, 3, 3))], tag="no-zero")
    case("ConvInteger", 10, [u8(1, 3, 5, 5), K(u8(2, 3, 3, 3)), np.uint8(3), K(np.uint8(128))], tag="x-zero-is-data", pads=[1, 1, 1, 1])
    case("ConvInteger", 10, [u8(1, 4, 5, 5), K(u8(4, 1, 3, 3)), np.uint8(3), K(np.uint8(128))], tag="dw", group=4, pads=[1, 1, 1, 1])


def pools():
    x = r(1, 1, 7, 8) - 3.0
    for op, more in (("MaxPool", [{}]), ("AveragePool", [{}, {"count_include_pad": 1}])):
        for m in more:
            case(op, 12 if op == "MaxPool" else 11, [x], kernel_shape=[2, 2], strides=[2, 2], **m)
            case(op, 12 if op == "MaxPool" else 11, [x], kernel_shape=[3, 3], pads=[1, 1, 1, 1], **m)
            case(op, 12 if op == "MaxPool" else 11, [x], kernel_shape=[3, 2], pads=[1, 0, 0, 1], strides=[2, 3], **m)
            case(op, 12 if op == "MaxPool" else 11, [x], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, **m)
            case(op, 12 if op == "MaxPool" else 11, [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, **m)
            case(op, 12 if op == "MaxPool" else 11, [x], kernel_shape=[2, 2], strides=[3, 3], pads=[0, 0, 1, 1], ceil_mode=1, **m)
            for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
                case(op, 12 if op == "MaxPool" else 11, [x], kernel_shape=[3, 3], strides=[2, 2], auto_pad=pad, **m)
        case(op, 22, [r(1, 2, 9)], tag="1d", kernel_shape=[3], strides=[2], pads=[1, 1])
        case(op, 22, [r(1, 2, 4, 5, 3)], tag="3d", kernel_shape=[2, 2, 2], strides=[2, 1, 2], pads=[0, 1, 0, 0, 0, 1])
    case("MaxPool", 12, [x], kernel_shape=[3, 3], dilations=[2, 2], strides=[2, 2])
    case("MaxPool", 12, [x], 2, tag="indices", kernel_shape=[2, 2], strides=[2, 2])
    case("MaxPool", 12, [special(1, 1, 6, 6)], tag="inf", kernel_shape=[2, 2], strides=[2, 2])
    case("MaxPool", 12, [u8(1, 2, 6, 6)], tag="u8", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("AveragePool", 19, [x], kernel_shape=[2, 3], dilations=[2, 2])
    case("AveragePool", 19, [x], kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2])
    case("AveragePool", 7, [x], tag="old", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    case("AveragePool", 11, [r(1, 2, 6, 6, dtype=f16)], tag="f16", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    for p in (1, 2, 3):
        case("LpPool", 18, [x], kernel_shape=[2, 2], strides=[2, 2], p=p)
    case("LpPool", 11, [x], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        case(op, 1, [x])
        case(op, 22, [r(2, 3, 5)], tag="1d")
        case(op, 22, [r(1, 2, 3, 2, 4)], tag="3d")
    case("GlobalLpPool", 2, [x])
    case("GlobalAveragePool", 1, [r(1, 2, 5, 5, dtype=f16)], tag="f16")


def resizes():
    x = r(1, 1, 4, 5)
    e = K(np.zeros(0, f32))
    sizes_up, sizes_down = ints(1, 1, 7, 9), ints(1, 1, 3, 2)
    for mode in ("nearest", "linear", "cubic"):
        for c in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
            for tag, sizes in (("up", sizes_up), ("down", sizes_down)):
                case("Resize", 13, [x, None, None, sizes], tag=tag, mode=mode, coordinate_transformation_mode=c)
    case("Resize", 19, [x, None, None, sizes_up], mode="linear", coordinate_transformation_mode="half_pixel_symmetric")
    for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        for c in ("half_pixel", "asymmetric", "align_corners"):
            case("Resize", 13, [x, None, None, sizes_up], mode="nearest", nearest_mode=n, coordinate_transformation_mode=c)
    case("Resize", 11, [x, e, K(np.array([1, 1, 2, 2], f32))], tag="scales", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    case("Resize", 13, [x, None, K(np.array([1, 1, 1.7, 0.6], f32))], tag="scales", mode="linear")
    case("Resize", 13, [x, None, K(np.array([1, 1, 1.7, 0.6], f32))], tag="scales", mode="nearest")
    case("Resize", 13, [x, None, K(np.array([1, 1, 1.7, 0.6], f32))], tag="scales", mode="cubic", cubic_coeff_a=-0.5)
    case("Resize", 13, [x, None, None, sizes_up], tag="excl", mode="cubic", exclude_outside=1)
    case("Resize", 10, [x, K(np.array([1, 1, 2, 3], f32))], mode="nearest")
    case("Resize", 10, [x, K(np.array([1, 1, 2, 1.5], f32))], mode="linear")
    case("Resize", 18, [x, None, None, ints(7, 9)], tag="axes", mode="linear", axes=[2, 3])
    case("Resize", 18, [x, None, None, ints(3, 2)], tag="anti", mode="linear", antialias=1, axes=[2, 3])
    case("Resize", 18, [x, None, None, ints(3, 2)], tag="anti", mode="cubic", antialias=1, axes=[2, 3])
    case("Resize", 18, [x, None, None, ints(8, 12)], mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger")
    case("Resize", 18, [x, None, None, ints(8, 12)], mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_smaller")
    case("Resize", 13, [r(1, 4, 5, 2), None, None, ints(1, 8, 10, 2)], tag="nhwc", mode="linear")
    case("Resize", 13, [r(1, 4, 5, 2), None, None, ints(1, 8, 10, 2)], tag="nhwc", mode="nearest")
    case("Resize", 13, [r(1, 2, 6), None, None, ints(1, 2, 9)], tag="1d", mode="linear")
    case("Resize", 13, [r(1, 1, 3, 4, 3), None, None, ints(1, 1, 4, 5, 4)], tag="3d", mode="linear")
    case("Resize", 13, [x, K(np.array([0, 0, 0.1, 0.2, 1, 1, 0.9, 1.1], f32)), None, ints(1, 1, 5, 6)], tag="crop", mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0.5)
    case("Resize", 13, [r(1, 2, 4, 4, dtype=f16), None, None, ints(1, 2, 7, 7)], tag="f16", mode="linear")
    case("Resize", 13, [u8(1, 2, 4, 4), None, None, ints(1, 2, 8, 8)], tag="u8", mode="nearest")
    case("Upsample", 9, [x, K(np.array([1, 1, 2, 3], f32))], mode="nearest")
    case("Upsample", 9, [x, K(np.array([1, 1, 2, 3], f32))], mode="linear")
    case("Upsample", 7, [x], mode="nearest", scales=[1.0, 1.0, 2.0, 2.0])
    case("GridSample", 16, [x, r(1, 3, 4, 2, lo=-1.2, hi=1.2)], mode="bilinear")
    case("GridSample", 16, [x, r(1, 3, 4, 2, lo=-1.2, hi=1.2)], mode="nearest", padding_mode="border")
    case("GridSample", 20, [x, r(1, 3, 4, 2, lo=-1.2, hi=1.2)], mode="linear", padding_mode="reflection", align_corners=1)
    case("GridSample", 16, [x, r(1, 3, 4, 2, lo=-1.2, hi=1.2)], mode="bicubic")
    case("AffineGrid", 20, [r(1, 2, 3), ints(1, 2, 4, 5)])
    case("AffineGrid", 20, [r(1, 2, 3), ints(1, 2, 4, 5)], align_corners=1)

def normalisations():
    x = r(2, 4, 3, 3)
    four = [K(r(4)), K(r(4)), K(r(4)), K(r(4, lo=0.5))]
    case("BatchNormalization", 9, [x, *four], epsilon=1e-3)
    case("BatchNormalization", 15, [x, *four])
    case("BatchNormalization", 7, [x, *four], tag="old")
    case("BatchNormalization", 15, [r(2, 4), *four], tag="2d")
    case("BatchNormalization", 15, [r(1, 4, 5), *four], tag="1d")
    case("BatchNormalization", 15, [x, *(c.value for c in four)], tag="data")
    case("BatchNormalization", 15, [x.astype(f16), *(K(c.value.astype(f16)) for c in four)], tag="f16")
    case("BatchNormalization", 15, [x.astype(f16), *four], tag="f16-f32")
    case("InstanceNormalization", 6, [x, K(r(4)), K(r(4))], epsilon=1e-3)
    case("InstanceNormalization", 22, [r(1, 3, 7), K(r(3)), K(r(3))], tag="1d")
    case("GroupNormalization", 21, [r(1, 4, 3, 3), K(r(4)), K(r(4))], num_groups=2)
    case("GroupNormalization", 21, [r(1, 6, 3), K(r(6)), K(r(6))], num_groups=3, epsilon=1e-2)
    case("LayerNormalization", 17, [r(2, 3, 8), K(r(8)), K(r(8))], axis=-1)
    case("LayerNormalization", 17, [r(2, 3, 8), K(r(8))], tag="no-bias", epsilon=1e-3)
    case("LayerNormalization", 17, [r(2, 3, 4), K(r(3, 4)), K(r(3, 4))], axis=1)
    case("LayerNormalization", 17, [r(2, 3, 8), K(r(8)), K(r(8))], 3, tag="stats")
    case("LayerNormalization", 17, [r(2, 3, 8, dtype=f16), K(r(8, dtype=f16)), K(r(8, dtype=f16))], tag="f16")
    case("RMSNormalization", 23, [r(2, 3, 8), K(r(8))], axis=-1)
    case("LpNormalization", 1, [r(2, 5)], axis=-1, p=2)
    case("LpNormalization", 1, [r(2, 5)], axis=0, p=1)
    case("MeanVarianceNormalization", 13, [x])
    case("MeanVarianceNormalization", 13, [x], axes=[2, 3])
    case("LRN", 13, [r(1, 7, 3, 3)], size=5)
    case("LRN", 13, [r(1, 6, 3, 3)], size=3, alpha=2e-2, beta=0.6, bias=1.5)
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        case(op, 11, [r(2, 3, 4)], tag="old-default")
        case(op, 11, [r(2, 3, 4)], tag="old", axis=2)
        case(op, 11, [r(2, 3, 4)], tag="old", axis=0)
        case(op, 13, [r(2, 3, 4)], tag="default")
        case(op, 13, [r(2, 3, 4)], axis=1)
        case(op, 13, [r(2, 3, 4)], axis=-3)
    case("Softmax", 13, [r(2, 6, lo=-100, hi=100)], tag="wide")
    case("Softmax", 13, [r(2, 6, dtype=f16)], tag="f16")
    case("Softmax", 1, [r(2, 3, 4)], tag="first")
    case("Softmax", 13, [np.array([[1, -np.inf, 2, -np.inf]], f32)], tag="masked")


def activations():
    x = r(2, 7, lo=-6, hi=6)
    s = special(2, 7)
    simple = ["Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Neg", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh", "Mish", "Gelu", "Reciprocal", "Selu", "Elu", "Celu", "LeakyRelu", "HardSigmoid", "ThresholdedRelu", "Tan", "Atan", "Sinh", "Cosh", "Asinh", "Identity"]
    version = {"Gelu": 20, "Mish": 18, "HardSwish": 14, "Celu": 12, "ThresholdedRelu": 10, "Round": 11}
    for op in simple:
        case(op, version.get(op, 13), [x])
        if op not in ("Cos", "Sin", "Tan"):
            case(op, version.get(op, 13), [s], tag="inf")
    case("Gelu", 20, [x], approximate="tanh")
    for op in ("Log", "Sqrt"):
        case(op, 13, [r(2, 5, lo=0.01)])
        case(op, 13, [x], tag="negative")
    for op in ("Acos", "Asin", "Atanh"):
        case(op, 7, [r(2, 5, lo=-0.9, hi=0.9)])
    case("Acosh", 9, [r(2, 5, lo=1.1, hi=3)])
    case("Elu", 6, [x], alpha=0.5)
    case("Celu", 12, [x], alpha=2.0)
    case("Selu", 6, [x], alpha=1.5, gamma=2.0)
    case("LeakyRelu", 6, [x], alpha=0.2)
    case("HardSigmoid", 6, [x], alpha=1 / 6, beta=0.5)
    case("ThresholdedRelu", 10, [x], alpha=2.0)
    case("Shrink", 9, [x], lambd=1.5, bias=0.5)
    case("PRelu", 9, [r(1, 3, 2, 2), K(r(3, 1, 1))])
    case("PRelu", 16, [r(1, 3, 2, 2), K(r(1))], tag="one")
    case("PRelu", 16, [r(2, 3), r(2, 3)], tag="data")
    case("PRelu", 16, [r(1, 3, 2, 2, dtype=f16), K(r(3, 1, 1, dtype=f16))], tag="f16")
    case("Swish", 24, [x])
    case("MaxPool", 12, [special(1, 2, 5, 6)], tag="nan-window", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("Clip", 6, [x], min=-1.0, max=2.5)
    case("Clip", 6, [x], max=2.5)
    case("Clip", 11, [x, K(f32(0)), K(f32(6))])
    case("Clip", 12, [x, None, K(f32(1))], tag="max")
    case("Clip", 13, [x, K(f32(-1))], tag="min")
    case("Clip", 13, [x, f32(-1), f32(2)], tag="data")
    case("Clip", 13, [x], tag="none")
    case("Clip", 13, [x.astype(f16), K(f16(0)), K(f16(6))], tag="f16")
    case("Clip", 13, [r(2, 5, lo=-9, hi=9, dtype=i64), K(i64(-2)), K(i64(4))], tag="i64")
    case("Clip", 13, [x, K(f32(3)), K(f32(-3))], tag="min-above-max")
    nan = x.copy()
    nan[0, :3] = np.nan
    for op in ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Gelu", "Mish", "Softplus", "Erf", "Exp"):
        case(op, version.get(op, 13), [nan], tag="nan")
    case("Clip", 13, [nan, K(f32(0)), K(f32(6))], tag="nan")
    case("Swish", 24, [nan], tag="nan")
    case("Softmax", 13, [nan], tag="nan")
    case("ReduceMax", 13, [nan], tag="nan", axes=[1])
    case("ReduceMean", 13, [nan], tag="nan", axes=[1])
    case("Max", 13, [nan, x], tag="nan")
    case("Min", 13, [x, nan], tag="nan")
    for op in ("Sigmoid", "Tanh", "Erf", "Exp", "Relu", "HardSigmoid", "LeakyRelu"):
        case(op, 13, [x.astype(f16)], tag="f16")


def arithmetic():
    a, b = r(2, 3, 4), r(3, 1)
    for op in ("Add", "Sub", "Mul", "Div"):
        case(op, 7, [a, b])
        case(op, 14, [a, K(r(4))], tag="const")
        case(op, 14, [K(r(4)), a], tag="const-first")
        case(op, 14, [r(5, lo=-9, hi=9, dtype=i64), K(i64(2))], tag="i64")
        case(op, 14, [r(5, lo=-9, hi=-1, dtype=i32), r(5, lo=1, hi=3, dtype=i32)], tag="i32")
        case(op, 14, [a.astype(f16), K(b.astype(f16))], tag="f16")
        case(op, 14, [r(3), r(2, 3)], tag="grow")
    case("Add", 14, [special(2, 4), special(2, 4)[::-1].copy()], tag="inf")
    case("Pow", 13, [r(2, 3, lo=0.1), K(f32(2))])
    case("Pow", 13, [r(2, 3), K(f32(3))], tag="cube")
    case("Pow", 13, [r(2, 3, lo=0.1), K(f32(0.5))], tag="root")
    case("Pow", 13, [r(2, 3), K(np.array(2, i64))], tag="int-exponent")
    case("Pow", 13, [r(2, 3, lo=0.1), r(3)], tag="data")
    case("Mod", 13, [r(6, lo=-9, hi=9, dtype=i64), K(i64(4))])
    case("Mod", 13, [r(6), K(f32(0.7))], fmod=1)
    case("Sqrt", 13, [r(2, 3, lo=0, dtype=f16)], tag="f16")
    for op in ("Max", "Min", "Mean", "Sum"):
        case(op, 13, [r(2, 3), r(1, 3), r(2, 1)])
        case(op, 13, [r(2, 3)], tag="one")
    case("Max", 13, [r(5, lo=-9, hi=9, dtype=i64), K(i64(1))], tag="i64")
    for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"):
        case(op, 16, [np.round(r(2, 4)), K(np.round(r(4)))])
        case(op, 16, [r(4, lo=-2, hi=2, dtype=i64), K(i64(0))], tag="i64")
    t = r(2, 3) > 0
    for op in ("And", "Or", "Xor"):
        case(op, 7, [t, K(np.array([True, False, True]))])
    case("Not", 1, [t])
    case("Equal", 13, [t, K(np.array([True]))], tag="bool")
    case("Where", 16, [t, r(2, 3), K(f32(-1))])
    case("Where", 16, [t, r(3, lo=-9, hi=9, dtype=i64), r(2, 1, lo=-9, hi=9, dtype=i64)], tag="i64")
    case("Where", 16, [t, K(f32(-np.inf)), r(2, 3)], tag="mask")
    case("Where", 16, [t, r(2, 3, dtype=f16), r(3, dtype=f16)], tag="f16")
    case("IsNaN", 13, [np.array([1, np.nan, np.inf], f32)])
    case("IsInf", 10, [np.array([1, np.nan, np.inf, -np.inf], f32)])
    case("IsInf", 10, [np.array([1, np.nan, np.inf, -np.inf], f32)], detect_negative=0)
    case("BitShift", 11, [u8(4), K(np.array([1, 2, 3, 0], np.uint8))], direction="RIGHT")
    T = TensorProto
    x = r(2, 3, lo=-5, hi=5)
    for to, tag in ((T.INT64, "i64"), (T.INT32, "i32"), (T.FLOAT16, "f16"), (T.BOOL, "bool"), (T.DOUBLE, "f64"), (T.INT8, "s8")):
        case("Cast", 13, [x], tag=tag, to=to)
    case("Cast", 13, [u8(4)], tag="u8-f32", to=T.FLOAT)
    case("Cast", 13, [t], tag="bool-f32", to=T.FLOAT)
    case("Cast", 13, [np.array([0.0, -0.0, 0.5, np.nan], f32)], tag="zero-bool", to=T.BOOL)
    case("Cast", 13, [x.astype(f16)], tag="f16-f32", to=T.FLOAT)
    case("CastLike", 15, [x, K(np.zeros(1, i64))])
    case("CastLike", 19, [x, r(2, dtype=f16)], tag="data")
    for a in ({}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}):
        case("CumSum", 14, [r(2, 4), K(i64(1))], **a)
    case("CumSum", 14, [r(2, 4), K(i32(-2))], tag="negative-axis")


def reductions():
    x = r(2, 3, 4, lo=0.2)
    for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"):
        case(op, 11, [x], tag="old", axes=[1], keepdims=0)
        case(op, 13, [x], tag="all-old")
        case(op, 18, [x, ints(-1, 0)])
        case(op, 18, [x], tag="all")
    case("ReduceSum", 11, [x], tag="old", axes=[0, 2])
    case("ReduceSum", 13, [x, ints(1)], keepdims=0)
    case("ReduceSum", 13, [x, ints(2)], keepdims=1)
    case("ReduceSum", 13, [x], tag="all", keepdims=0)
    case("ReduceSum", 13, [x, ints()], tag="noop", noop_with_empty_axes=1)
    case("ReduceMean", 18, [x, ints()], tag="empty-is-all")
    case("ReduceMean", 18, [x], tag="noop", noop_with_empty_axes=1)
    case("ReduceMean", 13, [r(1, 4, 5, 5, dtype=f16)], tag="f16", axes=[2, 3])
    case("ReduceSum", 13, [r(2, 5, lo=-9, hi=9, dtype=i64), ints(1)], tag="i64")
    case("ReduceMean", 13, [r(2, 5, lo=-9, hi=9, dtype=i32)], tag="i32", axes=[1])
    case("ReduceMax", 13, [r(2, 5, lo=-9, hi=9, dtype=i64)], tag="i64", axes=[1])
    case("ReduceProd", 13, [r(4, lo=1, hi=4, dtype=i64)], tag="i64", keepdims=0)
    ties = np.array([[1, 3, 3, 0], [2, 2, 1, 2]], f32)
    for op in ("ArgMax", "ArgMin"):
        case(op, 13, [ties], axis=1)
        case(op, 13, [ties], axis=-1, keepdims=0, select_last_index=1)
        case(op, 11, [ties], tag="default")
    case("TopK", 11, [r(2, 6), ints(3)], 2)
    case("TopK", 11, [r(2, 6), ints(2)], 2, axis=0, largest=0)
    case("TopK", 11, [np.array([[1, 3, 3, 0, 3]], f32), ints(3)], 2, tag="ties")
    case("TopK", 10, [r(3, 5), ints(1)], 2, axis=1)
    case("TopK", 1, [r(2, 6)], 2, k=3)
    case("NonZero", 13, [np.array([[1, 0, 2], [0, 3, 0]], f32)])


def shapes():
    x = r(2, 3, 4)
    case("Reshape", 13, [x, ints(0, -1)])
    case("Reshape", 13, [x, ints(4, 6)])
    case("Reshape", 14, [x, ints(-1)])
    case("Reshape", 14, [x, np.array([6, 4], i64)], tag="data")
    case("Reshape", 14, [np.zeros((0, 3), f32), ints(3, 0)], tag="empty", allowzero=1)
    case("Flatten", 13, [r(2, 3, 2, 2)])
    case("Flatten", 13, [r(2, 3, 2, 2)], axis=-1)
    case("Flatten", 9, [r(2, 3)], axis=0)
    case("Transpose", 13, [x])
    case("Transpose", 13, [r(1, 2, 3, 4)], perm=[0, 2, 3, 1])
    case("Squeeze", 11, [r(1, 3, 1)], axes=[0])
    case("Squeeze", 13, [r(1, 3, 1), ints(-1)])
    case("Squeeze", 13, [r(1, 3, 1)], tag="all")
    case("Unsqueeze", 11, [x], axes=[0, 4])
    case("Unsqueeze", 13, [x, ints(1, -1)])
    case("Concat", 13, [r(1, 2, 2), r(1, 3, 2), K(r(1, 1, 2))], axis=1)
    case("Concat", 13, [r(2, 2), r(2, 2)], axis=-1)
    case("Concat", 13, [ints(1, 2), np.array([3], i64)], tag="i64", axis=0)
    case("Split", 11, [r(2, 6)], 2, axis=1, split=[2, 4])
    case("Split", 11, [r(2, 6)], 3, axis=-1)
    case("Split", 13, [r(2, 6), ints(1, 2, 3)], 3, axis=1)
    case("Split", 13, [r(4, 3)], 2, tag="even")
    case("Split", 18, [r(7, 2)], 3, tag="uneven", num_outputs=3)
    case("TopK", 11, [r(2, 6), ints(3)], "01", tag="one-named")
    case("Slice", 9, [r(4, 5)], tag="old", starts=[1, 0], ends=[3, 1000])
    case("Slice", 13, [r(4, 5), ints(0, 1), ints(-1, 5)])
    case("Slice", 13, [r(4, 5), ints(0), ints(5), ints(1), ints(2)], tag="step")
    case("Slice", 13, [r(4, 5), ints(-1), ints(-(2**63) + 1), ints(0), ints(-1)], tag="back")
    case("Slice", 13, [r(4, 5), ints(4), ints(0), ints(-1), ints(-2)], tag="back2")
    case("Slice", 13, [r(4, 5), ints(1), ints(2**63 - 1), ints(1)], tag="open")
    case("Slice", 13, [r(4, 5), np.array([1], i64), np.array([3], i64), np.array([0], i64)], tag="data")
    case("Slice", 13, [r(4, 5), ints(3), ints(1), ints(0)], tag="empty")
    case("Slice", 13, [r(4, 5), ints(1), ints(2**63 - 1), ints(0), ints(1)], tag="open-step")
    case("Cast", 13, [K(np.array([2**63 - 1, -(2**63), 3], i64))], tag="large", to=TensorProto.INT64)
    case("Cast", 13, [r(3, lo=-9, hi=9, dtype=i64)], tag="i64-i64", to=TensorProto.INT64)
    for mode in ("constant", "reflect", "edge"):
        case("Pad", 13, [r(1, 1, 3, 4), ints(0, 0, 1, 2, 0, 0, 2, 1)], mode=mode)
    case("Pad", 13, [r(3, 4), ints(1, 0, 0, 2), K(f32(1.5))], tag="value")
    case("Pad", 13, [r(3, 4), ints(-1, 0, 1, -2)], tag="negative")
    case("Pad", 13, [r(3, 4), np.array([1, 0, 0, 2], i64)], tag="data")
    case("Pad", 2, [r(3, 4)], tag="old", pads=[1, 0, 0, 2], value=2.0)
    case("Pad", 18, [r(1, 2, 3), ints(1, 2), None, ints(2)], tag="axes")
    case("Pad", 18, [r(1, 2, 3), ints(1, 2), K(f32(3)), ints(-1)], tag="axes-value")
    case("Pad", 19, [r(2, 4), ints(0, 1, 0, 2)], mode="wrap")
    case("Pad", 13, [r(2, 4, dtype=f16), ints(0, 1, 0, 2)], tag="f16")
    case("Pad", 13, [r(2, 3, lo=-9, hi=9, dtype=i64), ints(0, 1, 0, 2), K(i64(7))], tag="i64")
    case("Expand", 13, [r(3, 1), ints(2, 3, 4)])
    case("Expand", 13, [r(3, 4), ints(1, 1)], tag="smaller")
    case("Tile", 13, [r(2, 3), ints(2, 1)])
    case("Tile", 13, [r(2, 3), ints(1, 3)])
    case("Gather", 13, [r(5, 3), K(np.array([[0, 2], [4, -1]], i64))])
    case("Gather", 13, [r(2, 5), K(i64(1))], axis=1)
    case("Gather", 13, [r(2, 5), np.array([3, 0], i64)], tag="data", axis=-1)
    case("Gather", 13, [r(5, 3), K(np.array([1, 1], i32))], tag="i32")
    case("GatherElements", 13, [r(3, 4), np.array([[0, 2, 1, 0], [1, 1, 1, 1]], i64)])
    case("GatherElements", 13, [r(3, 4), K(np.array([[0], [-1], [3]], i64))], axis=1)
    case("GatherND", 13, [r(2, 3, 4), K(np.array([[0, 1], [1, 2]], i64))])
    case("GatherND", 13, [r(2, 3, 4), K(np.array([[1], [2]], i64))], batch_dims=1)
    case("ScatterND", 16, [r(4, 3), K(np.array([[1], [3]], i64)), r(2, 3)])
    case("ScatterND", 16, [r(4, 3), K(np.array([[1], [1]], i64)), r(2, 3)], reduction="add")
    case("ScatterElements", 16, [r(3, 3), K(np.array([[0, 2, 1]], i64)), r(1, 3)])
    case("ScatterElements", 18, [r(3, 3), K(np.array([[0, 2, 1], [0, 1, 1]], i64)), r(2, 3)], axis=1, reduction="add")
    case("DepthToSpace", 13, [r(1, 8, 2, 3)], blocksize=2)
    case("DepthToSpace", 13, [r(1, 8, 2, 3)], blocksize=2, mode="CRD")
    case("SpaceToDepth", 13, [r(1, 2, 4, 6)], blocksize=2)
    case("Shape", 13, [x])
    case("Shape", 15, [r(2, 3, 4, 5)], start=1, end=-1)
    case("Size", 13, [x])
    case("ConstantOfShape", 9, [np.array([2, 3], i64)], tag="data", value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.5]))
    case("ConstantOfShape", 9, [np.array([2], i64)], tag="default")
    case("Range", 11, [i64(1), K(i64(9)), K(i64(3))])
    case("Range", 11, [f32(1), K(f32(2)), K(f32(0.3))], tag="f32")
    case("OneHot", 11, [np.array([0, 2, -1], i64), K(i64(3)), K(np.array([0, 1], f32))])
    case("OneHot", 11, [np.array([0, 2], i64), K(i64(3)), K(np.array([2, 5], f32))], axis=0)
    case("Trilu", 14, [r(3, 4)])
    case("Trilu", 14, [r(3, 4), K(i64(1))], tag="k", upper=0)
    case("EyeLike", 9, [r(3, 4)], k=1)
    case("ReverseSequence", 10, [r(4, 3), ints(1, 4, 2)], batch_axis=1, time_axis=0)
    case("Dropout", 13, [x])
    case("Dropout", 10, [x], tag="old", ratio=0.4)
    case("Dropout", 13, [x, K(f32(0.5)), K(np.array(False))], tag="inputs")
    case("Einsum", 12, [r(2, 3, 4), r(2, 4, 5)], equation="bij,bjk->bik")
    case("Einsum", 12, [r(2, 3), r(4, 3)], equation="ij,kj->ik")
    case("Einsum", 12, [r(3, 4)], equation="ij->ji")
    case("Einsum", 12, [r(3, 4)], equation="ij->i")
    case("Einsum", 12, [r(1, 2, 3, 4), r(1, 2, 5, 4)], equation="bhqd,bhkd->bhqk")
    case("NonMaxSuppression", 11, [np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11]]], f32), np.array([[[0.9, 0.75, 0.6]]], f32), ints(3), K(np.array([0.5], f32)), K(np.array([0.0], f32))])


def products():
    case("MatMul", 13, [r(3, 4), K(r(4, 5))])
    case("MatMul", 13, [r(2, 3, 4), r(2, 4, 5)], tag="batch")
    case("MatMul", 13, [r(2, 1, 3, 4), r(3, 4, 2)], tag="broadcast")
    case("MatMul", 13, [r(4), r(4, 3)], tag="vector")
    case("MatMul", 13, [r(2, 3, 4), r(4)], tag="vector-right")
    case("MatMul", 13, [r(3, 4, dtype=f16), K(r(4, 5, dtype=f16))], tag="f16")
    case("MatMul", 13, [r(2, 3, lo=-9, hi=9, dtype=i32), r(3, 2, lo=-9, hi=9, dtype=i32)], tag="i32")
    case("Gemm", 13, [r(3, 4), K(r(4, 5)), K(r(5))])
    case("Gemm", 13, [r(3, 4), K(r(5, 4)), K(r(5))], transB=1)
    case("Gemm", 13, [r(4, 3), K(r(4, 5)), K(r(3, 1))], transA=1, alpha=0.5, beta=2.0)
    case("Gemm", 13, [r(3, 4), K(r(4, 5))], tag="no-bias", alpha=2.0)
    case("Gemm", 13, [r(3, 4), K(r(4, 5)), K(f32(1.5))], tag="scalar-bias")
    case("Gemm", 13, [r(3, 4), K(r(4, 5)), K(r(5))], tag="beta0", beta=0.0)
    case("Gemm", 9, [r(1, 4), r(4, 5), r(1, 5)], tag="data")
    case("Gemm", 13, [r(2, 4, dtype=f16), K(r(5, 4, dtype=f16)), K(r(5, dtype=f16))], tag="f16", transB=1)
    case("Gemm", 13, [r(2, 4, dtype=f16), K(r(4, 5, dtype=f16)), K(r(5, dtype=f16))], tag="f16", alpha=0.5, beta=0.25)
    case("MatMulInteger", 10, [u8(3, 4), K(u8(4, 5)), K(np.uint8(100)), K(np.uint8(128))], tag="u8u8")
    case("MatMulInteger", 10, [u8(3, 4), K(s8(4, 5)), K(np.uint8(100)), K(np.int8(0))], tag="u8s8")
    case("MatMulInteger", 10, [u8(3, 4), K(s8(4, 5)), np.uint8(100), K(np.int8(0))], tag="a-zero-is-data")
    case("MatMulInteger", 10, [u8(3, 4), K(u8(4, 5))], tag="no-zero")
    case("MatMulInteger", 10, [u8(2, 3, 4), K(s8(4, 5)), K(np.uint8(9)), K(s8(5, lo=-3, hi=3))], tag="per-column")
    q, k, v = r(1, 2, 5, 4), r(1, 2, 6, 4), r(1, 2, 6, 4)
    case("Attention", 23, [q, k, v])
    case("Attention", 23, [q, k, v], scale=0.3)
    case("Attention", 23, [q, k, v, K(r(5, 6))], tag="mask")
    case("Attention", 23, [q, k, v, K(r(5, 6) > 0)], tag="bool-mask")
    case("Attention", 23, [r(1, 2, 5, 4), r(1, 2, 5, 4), r(1, 2, 5, 4)], is_causal=1)
    case("Attention", 23, [r(1, 5, 8), r(1, 6, 8), r(1, 6, 8)], tag="3d", q_num_heads=2, kv_num_heads=2)
    case("Attention", 23, [r(1, 4, 5, 4), r(1, 2, 6, 4), r(1, 2, 6, 4)], tag="gqa")
    case("RotaryEmbedding", 23, [r(1, 2, 3, 4), K(r(3, 2)), K(r(3, 2)), K(np.array([[0, 1, 2]], i64))])
    case("LSTM", 14, [r(3, 1, 2), K(r(1, 12, 2)), K(r(1, 12, 3)), K(r(1, 24))], 3, hidden_size=3)
    case("GRU", 14, [r(3, 1, 2), K(r(1, 9, 2)), K(r(1, 9, 3)), K(r(1, 18))], 2, hidden_size=3)


def quantised():
    x = r(2, 3, 4, lo=-3, hi=3)
    for zp, tag in ((np.uint8(120), "u8"), (np.int8(-5), "s8")):
        case("QuantizeLinear", 13, [x, K(f32(0.02)), K(zp)], tag=tag)
        case("QuantizeLinear", 13, [x, K(r(3, lo=0.01, hi=0.05)), K(np.array([1, 2, 3], zp.dtype))], tag=tag + "-axis", axis=1)
        case("QuantizeLinear", 13, [x, f32(0.02), zp], tag=tag + "-data")
        q = (u8 if tag == "u8" else s8)(2, 3, 4)
        case("DequantizeLinear", 13, [q, K(f32(0.02)), K(zp)], tag=tag)
        case("DequantizeLinear", 13, [q, K(r(3, lo=0.01, hi=0.05)), K(np.array([1, 2, 3], zp.dtype))], tag=tag + "-axis", axis=1)
        case("DequantizeLinear", 13, [q, K(r(2, lo=0.01, hi=0.05)), K(np.array([1, 2], zp.dtype))], tag=tag + "-axis0", axis=0)
        case("DequantizeLinear", 13, [q, f32(0.02), zp], tag=tag + "-data")
    case("QuantizeLinear", 13, [np.array([0.5, 1.5, 2.5, -0.5, 300, -300, 0.25], f32), K(f32(1.0)), K(np.uint8(10))], tag="ties")
    case("QuantizeLinear", 13, [r(64, lo=-4, hi=4), K(f32(0.0313)), K(np.uint8(128))], tag="many")
    case("QuantizeLinear", 10, [x, K(f32(0.1))], tag="no-zero")
    case("DequantizeLinear", 10, [u8(5), K(f32(0.1))], tag="no-zero")
    case("DequantizeLinear", 13, [r(4, lo=-1000, hi=1000, dtype=i32), K(f32(0.001))], tag="i32")
    case("DequantizeLinear", 13, [K(r(4, lo=-1000, hi=1000, dtype=i32)), K(r(4, lo=0.01, hi=0.02)), K(np.zeros(4, i32))], tag="i32-axis", axis=0)
    case("QuantizeLinear", 21, [x, K(f32(0.02)), K(np.uint16(30000))], tag="u16")
    case("DequantizeLinear", 21, [r(4, lo=0, hi=60000, dtype=np.uint16), K(f32(0.001)), K(np.uint16(30000))], tag="u16")
    case("QuantizeLinear", 19, [x.astype(f16), K(f16(0.02)), K(np.uint8(100))], tag="f16")
    case("DequantizeLinear", 19, [u8(5), K(f16(0.02)), K(np.uint8(100))], tag="f16")
    case("QuantizeLinear", 21, [r(2, 4), K(r(2, 2, lo=0.01, hi=0.05)), K(u8(2, 2))], tag="blocked", axis=1, block_size=2)
    case("DequantizeLinear", 21, [u8(2, 4), K(r(2, 2, lo=0.01, hi=0.05)), K(u8(2, 2))], tag="blocked", axis=1, block_size=2)
    case("DynamicQuantizeLinear", 11, [x], 3)
    case("DynamicQuantizeLinear", 11, [r(5, lo=1, hi=3)], 3, tag="positive")
    case("DynamicQuantizeLinear", 11, [np.zeros(4, f32)], 3, tag="zeros")
    qa = [u8(1, 3, 5, 5), K(f32(0.02)), K(np.uint8(120))]
    qo = [K(f32(0.1)), K(np.uint8(100))]
    case("QLinearConv", 10, [*qa, K(u8(2, 3, 3, 3)), K(f32(0.01)), K(np.uint8(128)), *qo], tag="u8", pads=[1, 1, 1, 1])
    case("QLinearConv", 10, [*qa, K(s8(2, 3, 3, 3)), K(r(2, lo=0.005, hi=0.02)), K(np.zeros(2, np.int8)), *qo, K(r(2, lo=-900, hi=900, dtype=i32))], tag="s8-channel", strides=[2, 2])
    case("QLinearConv", 10, [s8(1, 4, 5, 5), K(f32(0.02)), K(np.int8(3)), K(s8(4, 1, 3, 3)), K(f32(0.01)), K(np.int8(0)), K(f32(0.1)), K(np.int8(-7))], tag="s8-dw", group=4, pads=[1, 1, 1, 1])
    case("QLinearMatMul", 10, [u8(3, 4), K(f32(0.02)), K(np.uint8(120)), K(u8(4, 5)), K(f32(0.01)), K(np.uint8(128)), *qo], tag="u8")
    case("QLinearMatMul", 10, [u8(3, 4), K(f32(0.02)), K(np.uint8(120)), K(s8(4, 5)), K(r(5, lo=0.005, hi=0.02)), K(np.zeros(5, np.int8)), *qo], tag="s8-column")
    ms = dict(domain=MS)
    y = u8(1, 3, 4, 4)
    a = [y, K(f32(0.02)), K(np.uint8(120))]
    b = [u8(1, 3, 1, 1), K(f32(0.03)), K(np.uint8(90))]
    case("QLinearAdd", 1, [*a, *b, *qo], **ms)
    case("QLinearMul", 1, [*a, *b, K(f32(0.05)), K(np.uint8(100))], **ms)
    case("QLinearSigmoid", 1, [*a, K(f32(1 / 256)), K(np.uint8(0))], **ms)
    case("QLinearLeakyRelu", 1, [*a, *qo], alpha=0.1, **ms)
    case("QLinearGlobalAveragePool", 1, [*a, *qo], channels_last=0, **ms)
    case("QLinearAveragePool", 1, [*a, *qo], kernel_shape=[2, 2], strides=[2, 2], **ms)
    case("QLinearSoftmax", 1, [u8(2, 6), K(f32(0.05)), K(np.uint8(120)), K(f32(1 / 256)), K(np.uint8(0))], opset_=13, axis=-1, **ms)
    case("QLinearConcat", 1, [*qo, y, K(f32(0.02)), K(np.uint8(120)), u8(1, 2, 4, 4), K(f32(0.03)), K(np.uint8(90))], axis=1, **ms)
    case("QLinearReduceMean", 1, [*a, *qo], axes=[2, 3], keepdims=1, **ms)
    case("QGemm", 1, [u8(2, 4), K(f32(0.02)), K(np.uint8(120)), K(s8(4, 5)), K(f32(0.01)), K(np.int8(0)), K(r(5, lo=-500, hi=500, dtype=i32)), *qo], **ms)
    case("QGemm", 1, [u8(2, 4), K(f32(0.02)), K(np.uint8(120)), K(s8(5, 4)), K(r(5, lo=0.005, hi=0.02)), K(np.zeros(5, np.int8)), K(r(5, lo=-500, hi=500, dtype=i32))], tag="float-out", transB=1, alpha=1.0, **ms)
    case("QuantizeLinear", 1, [x, K(f32(0.02)), K(np.uint8(120))], tag="ms", **ms)
    case("DequantizeLinear", 1, [u8(2, 3), K(f32(0.02)), K(np.uint8(120))], tag="ms", **ms)
    case("MatMulIntegerToFloat", 1, [u8(2, 4), K(s8(4, 5)), K(f32(0.02)), K(f32(0.01)), K(np.uint8(120)), K(np.int8(0)), K(r(5))], **ms)
    case("DynamicQuantizeMatMul", 1, [r(2, 4), K(s8(4, 5)), K(f32(0.01)), K(np.int8(0)), K(r(5))], **ms)


def contributed():
    ms = dict(domain=MS)
    x = r(2, 3, 8, lo=-3, hi=3)
    case("Gelu", 1, [x], tag="ms", **ms)
    case("BiasGelu", 1, [x, K(r(8))], **ms)
    case("FastGelu", 1, [x, K(r(8))], **ms)
    case("FastGelu", 1, [x], tag="no-bias", **ms)
    case("QuickGelu", 1, [x], **ms)
    case("QuickGelu", 1, [x], alpha=1.0, **ms)
    case("FusedMatMul", 1, [r(2, 3, 4), r(2, 5, 4)], transB=1, alpha=0.5, **ms)
    case("FusedMatMul", 1, [r(2, 4, 3), r(2, 4, 5)], transA=1, **ms)
    for act, params in (("Relu", None), ("LeakyRelu", [0.1]), ("Clip", [0.0, 1.0]), ("Sigmoid", None), ("HardSigmoid", [0.2, 0.5])):
        more = {"activation_params": params} if params else {}
        case("FusedConv", 1, [r(1, 2, 4, 4), K(r(3, 2, 3, 3)), K(r(3))], activation=act, pads=[1, 1, 1, 1], **more, **ms)
    case("FusedConv", 1, [r(1, 3, 5, 5), K(r(4, 3, 3, 3)), K(r(4)), r(1, 4, 5, 5)], tag="sum", activation="Relu", pads=[1, 1, 1, 1], **ms)
    case("FusedGemm", 1, [r(2, 4), K(r(4, 5)), K(r(5))], activation="Relu", **ms)
    case("SkipLayerNormalization", 1, [x, r(2, 3, 8), K(r(8)), K(r(8))], **ms)
    case("SkipLayerNormalization", 1, [x, r(2, 3, 8), K(r(8)), K(r(8)), K(r(8))], tag="bias", **ms)
    case("SimplifiedLayerNormalization", 1, [x, K(r(8))], tag="onnx", axis=-1)
    case("MultiHeadAttention", 1, [r(1, 5, 8), r(1, 5, 8), r(1, 5, 8)], num_heads=2, **ms)


def graph(tag, inputs, nodes, constants, output="y"):
    """Several nodes: (op, inputs, output, attributes) with names; what optimised plans join must mean the same."""
    CASES.append((f"graph-{tag}", nodes, 17, inputs, output, constants, {}))


def graphs():
    x, y = r(1, 2, 4, 5), r(1, 3, 4, 5)
    conv = {"w": r(3, 2, 3, 3), "b": r(3), "p": r(3, 2, 1, 1), "dw": r(2, 1, 3, 3), "six": f32(6), "zero": f32(0), "s": r(3, 1, 1), "t": r(1, 3, 1, 1)}
    pads = dict(pads=[1, 1, 1, 1])

    def some(*names):
        return {n: conv[n] for n in names}

    graph("conv-relu", {"x": x}, [("Conv", "x w b", "c", pads), ("Relu", "c", "y", {})], some("w", "b"))
    graph("conv-clip", {"x": x}, [("Conv", "x w", "c", pads), ("Clip", "c zero six", "y", {})], some("w", "zero", "six"))
    graph("conv-scale-shift", {"x": x}, [("Conv", "x w b", "c", pads), ("Mul", "c s", "m", {}), ("Add", "t m", "a", {}), ("Relu", "a", "y", {})], some("w", "b", "s", "t"))
    graph("conv-sub", {"x": x}, [("Conv", "x w", "c", pads), ("Sub", "c s", "y", {})], some("w", "s"))
    graph("conv-subtracted", {"x": x}, [("Conv", "x w", "c", pads), ("Sub", "s c", "y", {})], some("w", "s"))
    graph("conv-add-add", {"x": x, "y1": y, "y2": y[::-1] * 2}, [("Conv", "x w b", "c", pads), ("Add", "c y1", "a", {}), ("Add", "a y2", "d", {}), ("Relu", "d", "y", {})], some("w", "b"))
    graph("conv-relu-add", {"x": x, "y1": y}, [("Conv", "x p", "c", {}), ("Relu", "c", "d", {}), ("Add", "d y1", "y", {})], some("p"))
    graph("conv-itself", {"x": x}, [("Conv", "x p", "c", {}), ("Add", "c c", "y", {})], some("p"))
    graph("two-convs-added", {"x": x}, [("Conv", "x p b", "c", {}), ("Conv", "x w", "d", pads), ("Add", "c d", "a", {}), ("Relu", "a", "y", {})], some("p", "b", "w"))
    graph("residual", {"x": x}, [("Conv", "x w", "c", pads), ("Relu", "c", "d", {}), ("Conv", "d q", "e", {}), ("Add", "e c", "y", {})], some("w") | {"q": r(3, 3, 1, 1)})
    graph("concat-conv", {"x": x, "y1": y}, [("Concat", "x y1", "c", {"axis": 1}), ("Conv", "c q b", "d", {}), ("Relu", "d", "y", {})], {"q": r(3, 5, 1, 1), "b": conv["b"]})
    graph("depthwise-clip", {"x": x}, [("Conv", "x dw", "c", pads | {"group": 2}), ("Clip", "c zero six", "y", {})], some("dw", "zero", "six"))
    graph("depthwise-bn", {"x": x}, [("Conv", "x dw", "c", pads | {"group": 2}), ("BatchNormalization", "c g h m v", "d", {}), ("Relu", "d", "y", {})], some("dw") | {"g": r(2), "h": r(2), "m": r(2), "v": r(2, lo=0.5)})
    graph("conv-bn-relu", {"x": x}, [("Conv", "x p", "c", {}), ("BatchNormalization", "c g h m v", "d", {}), ("Relu", "d", "y", {})], some("p") | {"g": r(3), "h": r(3), "m": r(3), "v": r(3, lo=0.5)})
    graph("pad-conv", {"x": x}, [("Pad", "x pads", "p0", {}), ("Conv", "p0 w", "y", {"strides": [2, 2]})], some("w") | {"pads": np.array([0, 0, 1, 0, 0, 0, 1, 2], i64)})
    graph("linear-bias-relu", {"x": r(1, 7, 6)}, [("MatMul", "x w", "m", {}), ("Add", "m b", "a", {}), ("Relu", "a", "y", {})], {"w": r(6, 5), "b": r(5)})
    graph("linear-residual", {"x": r(1, 7, 6)}, [("MatMul", "x w", "m", {}), ("Add", "m b", "a", {}), ("Add", "a x", "y", {})], {"w": r(6, 6), "b": r(6)})
    graph("linear-row-term", {"x": r(1, 5, 6)}, [("MatMul", "x w", "m", {}), ("Add", "m b", "y", {})], {"w": r(6, 5), "b": r(5, 1)})
    graph("clips-that-cross", {"x": x}, [("Conv", "x p", "c", {}), ("Max", "c six", "d", {}), ("Min", "d zero", "y", {})], some("p", "six", "zero"))
    graph("nhwc", {"x": r(1, 4, 5, 2)}, [("Transpose", "x", "n", {"perm": [0, 3, 1, 2]}), ("Conv", "n w b", "c", pads), ("Relu", "c", "d", {}), ("Transpose", "d", "y", {"perm": [0, 2, 3, 1]})], some("w", "b"))
    nan = x.copy()
    nan[0, 1, 2, 2] = np.nan
    graph("nan-through-conv-clip", {"x": nan}, [("Conv", "x w", "c", pads), ("Clip", "c zero six", "y", {})], some("w", "zero", "six"))
    graph("nan-through-depthwise-relu", {"x": nan}, [("Conv", "x dw", "c", pads | {"group": 2}), ("Relu", "c", "y", {})], some("dw"))
    graph("nan-through-linear-relu", {"x": np.where(np.arange(42).reshape(1, 7, 6) == 9, np.nan, r(1, 7, 6)).astype(f32)}, [("MatMul", "x w", "m", {}), ("Relu", "m", "y", {})], {"w": r(6, 5)})
    for opset, shape in ((15, (2, 3, 4, 5)), (18, (2, 3, 4, 5)), (15, (6, 3))):
        norm = [K(r(3)), K(r(3)), K(r(3)), K(r(3, lo=0.5))]
        case("BatchNormalization", opset, [r(*shape), *norm], tag=f"trained-{len(shape)}d", training_mode=1)
        case("BatchNormalization", opset, [r(*shape), *norm], outs=3, tag=f"trained-{len(shape)}d", training_mode=1, momentum=0.7)


def recurrent():
    def weights(gates, directions=1, hidden=3, data=2, bias=True):
        n = gates * hidden
        return [K(r(directions, n, data)), K(r(directions, n, hidden)), K(r(directions, 2 * n)) if bias else None]

    for op, gates, functions in (("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 1)):
        outs = 3 if op == "LSTM" else 2
        x, state = r(5, 2, 2), r(1, 2, 3)
        both = np.concatenate([state, -state])
        case(op, 14, [x, *weights(gates, bias=False)[:2]], outs, tag="plain", hidden_size=3)
        case(op, 14, [x, *weights(gates)], outs, direction="reverse", hidden_size=3)
        case(op, 14, [x, *weights(gates, 2)], outs, direction="bidirectional", hidden_size=3)
        case(op, 14, [x, *weights(gates, 2), None, K(both)], outs, tag="state", direction="bidirectional", hidden_size=3)
        case(op, 14, [x, *weights(gates), K(np.array([3, 5], np.int32))], outs, tag="lengths", hidden_size=3)
        case(op, 14, [x, *weights(gates), K(np.array([3, 5], np.int32))], outs, tag="lengths", direction="reverse", hidden_size=3)
        case(op, 14, [x, *weights(gates)], outs, tag="functions", activations=["HardSigmoid", "Relu", "Softsign"][:functions], hidden_size=3)
        case(op, 14, [x, *weights(gates)], outs, tag="clip", clip=0.5, hidden_size=3)
        case(op, 14, [x, *weights(gates)], "01", tag="last", hidden_size=3)
    case("GRU", 14, [x, *weights(3)], 2, linear_before_reset=1, hidden_size=3)
    case("LSTM", 14, [x, *weights(4), None, K(state), K(state * 2), K(r(1, 9))], 3, tag="peepholes", hidden_size=3)

    x = r(2, 6, 4)
    for axis, size in ((1, 2), (-1, 4), (0, 1)):
        nodes = [("SplitToSequence", "x n", "s", {"axis": axis}), ("SequenceAt", "s at", "y", {})]
        graph(f"sequence-{axis}-{size}", {"x": x}, nodes, {"n": np.array(size, i64), "at": np.array(-1, i64)})
    graph("sequence-of-rows", {"x": x}, [("SplitToSequence", "x", "s", {"axis": 1, "keepdims": 0}), ("SequenceAt", "s at", "y", {})], {"at": np.array(2, i64)})
    for axis, new in ((1, 0), (1, 1), (-1, 1), (2, 0)):
        nodes = [("SplitToSequence", "x n", "s", {"axis": 1}), ("ConcatFromSequence", "s", "y", {"axis": axis, "new_axis": new})]
        graph(f"sequence-joined-{axis}-{new}", {"x": x}, nodes, {"n": np.array([2, 2, 2], i64)})
    graph("sequence-made", {"x": x, "z": x + 1}, [("SequenceConstruct", "x z x", "s", {}), ("ConcatFromSequence", "s", "y", {"axis": 1, "new_axis": 1})], {})
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["v", "half"], ["h"]),
            helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["h", "f"], ["v2"]),
            helper.make_node("ReduceSum", ["v2"], ["s"], keepdims=0),
            helper.make_node("Less", ["s", "limit"], ["c2"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [2, 6, 4]),
        ],
        [helper.make_tensor_value_info(n, t, None) for n, t in (("c2", TensorProto.BOOL), ("v2", TensorProto.FLOAT), ("s", TensorProto.FLOAT))],
        [numpy_helper.from_array(f32(0.5), "half")],
    )
    for tag, turns, limit in (("counted", 3, 1e9), ("ended", 50, 300.0)):
        given = {"m": np.array(turns, i64), "go": np.array(True), "limit": f32(limit)}
        for what in "vs":
            graph(f"loop-{tag}-{what}", {"x": x}, [("Loop", "m go x", "v,s", {"body": body}), ("Identity", what, "y", {})], given)
    graph("sequence-length", {"x": x}, [("SplitToSequence", "x n", "s", {"axis": 1}), ("SequenceLength", "s", "y", {})], {"n": np.array(3, i64)})


def build(op, opset, inputs, outs, domain, attrs):
    if isinstance(op, list):
        nodes = [helper.make_node(o, i.split(), out.split(","), name=out, **a) for o, i, out, a in op]
        given = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()]
        inits = [numpy_helper.from_array(np.asarray(v), n) for n, v in domain.items()]
        g = helper.make_graph(nodes, "g", given, [helper.make_empty_tensor_value_info(outs)], inits)
        return helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), dict(inputs), [outs]
    if "opset_" in attrs:
        attrs["opset"] = attrs.pop("opset_")
    names, graph_inputs, inits, feeds = [], [], [], {}
    for i, v in enumerate(inputs):
        if v is None:
            names.append("")
            continue
        name = f"x{i}"
        names.append(name)
        if isinstance(v, Const):
            inits.append(numpy_helper.from_array(np.ascontiguousarray(v.value).reshape(v.value.shape), name))
        else:
            v = np.asarray(v)
            feeds[name] = v
            graph_inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape))
    mask = outs if isinstance(outs, str) else "1" * outs
    outputs = [f"y{i}" if m == "1" else "" for i, m in enumerate(mask)]
    node = helper.make_node(op, names, outputs, name="node", domain=domain, **attrs)
    imports = [helper.make_opsetid("", max(opset, 13) if domain else opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    graph = helper.make_graph([node], "g", graph_inputs, [helper.make_empty_tensor_value_info(o) for o in outputs if o], inits)
    model = helper.make_model(graph, opset_imports=imports, ir_version=8 if opset < 21 else 10)
    return model, feeds, [o for o in outputs if o]


def probabilities():
    """Softmax in integers over more than two axes; what is added behind leaves the numbers of the others as they are."""
    steps = [K(np.float32(0.05)), K(np.uint8(120)), K(np.float32(1 / 256)), K(np.uint8(0))]
    codes = lambda *shape: r(*shape, lo=0, hi=255, dtype=np.uint8)  # noqa: E731
    for tag, shape, axis in (("rank-3", (1, 4, 6), -1), ("rank-3-middle", (1, 4, 6), 1), ("rank-5", (1, 2, 5, 1, 1), 1)):
        case("QLinearSoftmax", 1, [codes(*shape), *steps], tag=tag, opset_=13, axis=axis, domain=MS)


def main():
    for make in (convolutions, pools, resizes, normalisations, activations, arithmetic, reductions, shapes, products, quantised, contributed, graphs, recurrent, probabilities):
        make()
    records, skipped, seen = [], [], set()
    for name, op, opset, inputs, outs, domain, attrs in CASES:
        while name in seen:
            name += "'"
        seen.add(name)
        model, feeds, outputs = build(op, opset, inputs, outs, domain, dict(attrs))
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        try:
            # Output types are left to onnxruntime's inference.
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            results = session.run(outputs, feeds)
        except Exception as e:  # what onnxruntime refuses has no reference
            skipped.append(f"{name}: {str(e).splitlines()[0][:150]}")
            continue
        for info, v in zip(model.graph.output, results):
            info.CopyFrom(helper.make_tensor_value_info(info.name, helper.np_dtype_to_tensor_dtype(np.asarray(v).dtype), None))
        for key, values in (("value", feeds), ("expect", dict(zip(outputs, results)))):
            for n, v in values.items():
                model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(v).reshape(np.shape(v)), f"{key}:{n}"))
        entry = model.metadata_props.add()
        entry.key, entry.value = "case", name
        data = model.SerializeToString()
        records.append(struct.pack("<I", len(data)) + data)
    out = pathlib.Path(__file__).with_name("cases.bin")
    out.write_bytes(b"".join(records))
    print(f"{len(records)} cases, {out.stat().st_size} bytes; {len(skipped)} without reference:")
    print("\n".join(skipped))


if __name__ == "__main__":
    sys.exit(main())
