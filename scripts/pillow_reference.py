#!/usr/bin/env python3
"""Makes tests/data/pillow.npz and tests/data/images: what Pillow and numpy make of small pictures, for the tests of `dataset`.

  pip install pillow==13.0.0 numpy && python3 scripts/pillow_reference.py

Arrays of the file: `picture` (rows, columns, 3); `resize/FILTER/WIDTHxHEIGHT` of it; `decode/FILE` for each file of tests/data/images;
`recipe/N/keys` (a TOML table as bytes) and `recipe/N/tensor` for each recipe, made of the picture by the arithmetic of `preprocess`."""
import io, json, os, struct, zlib
import numpy as np
from PIL import Image, ImageOps

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data")
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
SIZES = [(20, 15), (61, 20), (30, 47), (122, 95), (150, 31), (7, 101), (1, 1), (60, 46), (62, 48), (61, 47), (55, 30)]
RECIPES = [
    {"resize": "squash", "size": [12, 10], "filter": "bilinear", "channels": "rgb", "scale": 255.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "layout": "nchw", "dtype": "float32"},
    {"resize": "shorter-side", "resize_to": 14, "size": [12, 11], "filter": "bicubic", "channels": "bgr", "scale": 1.0, "mean": [103.939, 116.779, 123.68], "layout": "nhwc", "dtype": "float32"},
    {"resize": "shorter-side", "resize_to": 9, "size": [12, 16], "filter": "lanczos", "scale": 127.5, "mean": [1.0, 1.0, 1.0], "layout": "nchw"},
    {"resize": "shorter-side", "size": [8, 9], "filter": "nearest", "scale": 3.0, "std": [0.3, 0.7, 0.9]},
    {"resize": "letterbox", "size": [13, 11], "filter": "bilinear", "scale": 255.0, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "layout": "nhwc"},
    {"resize": "letterbox", "size": [9, 30], "filter": "bicubic", "channels": "bgr", "scale": 255.0},
    {"resize": "squash", "size": [10, 10], "filter": "bicubic", "channels": "gray", "scale": 255.0, "mean": [0.1307], "std": [0.3081]},
    {"resize": "squash", "size": [6, 7], "filter": "bilinear", "scale": 255.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "dtype": "float16"},
    {"resize": "squash", "size": [6, 7], "filter": "bilinear", "scale": 255.0, "mean": [0.5, 0.5, 0.5], "layout": "nhwc", "dtype": "uint8"},
    {"resize": "squash", "size": [6, 7], "filter": "lanczos", "scale": 255.0, "mean": [0.3, 0.3, 0.3], "std": [0.7, 0.7, 0.7], "dtype": "float64"},
    {"resize": "none", "size": [47, 61], "scale": 255.0},
]


def preprocess(im, r):
    h, w = r["size"]
    f = FILTERS[r.get("filter", "bilinear")]
    mode = r["resize"]
    if mode == "squash":
        im = im.resize((w, h), f)
    elif mode == "shorter-side":
        s, (iw, ih) = int(r.get("resize_to", min(h, w))), im.size
        im = im.resize((s, s * ih // iw) if iw <= ih else (s * iw // ih, s), f)
        x, y = (im.width - w) // 2, (im.height - h) // 2
        im = im.crop((x, y, x + w, y + h))
    elif mode == "letterbox":
        k = min(h / im.height, w / im.width)
        rw, rh = max(1, int(im.width * k + 0.5)), max(1, int(im.height * k + 0.5))
        ground = Image.new("RGB", (w, h))
        ground.paste(im.resize((rw, rh), f), ((w - rw) // 2, (h - rh) // 2))
        im = ground
    channels = r.get("channels", "rgb")
    a = np.asarray(im.convert("L"))[..., None] if channels == "gray" else np.asarray(im)
    if channels == "bgr":
        a = a[..., ::-1]
    dtype = np.dtype(r.get("dtype", "float32"))
    if dtype.kind == "u":
        a = a.astype(dtype)
    else:
        n = a.shape[2]
        mean, std = (np.asarray(r.get(k, [d] * n), np.float32) for k, d in (("mean", 0.0), ("std", 1.0)))
        a = ((a.astype(np.float32) / np.float32(r.get("scale", 1.0)) - mean) / std).astype(dtype)
    a = a if r.get("layout", "nchw") == "nhwc" else a.transpose(2, 0, 1)
    return np.ascontiguousarray(a)[None]


def picture(width, height, seed):
    """smooth colours, hard edges and noise, so that curves overshoot and clip"""
    g = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    a = np.stack([127 + 120 * np.sin(x / 5 + c) * np.cos(y / (4 + c)) for c in range(3)], -1)
    a[height // 3:height // 2, width // 4:width // 2] = (255, 0, 255)
    a[height // 2:, width // 2:width // 2 + 3] = 0
    return np.clip(a + g.normal(0, 12, a.shape), 0, 255).astype(np.uint8)


def png(rows, depth, colour, extra=b""):
    """a PNG file as Pillow cannot write it; `rows` are bytes of scan lines"""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    height, width = rows["shape"]
    lines = b"".join(b"\0" + r for r in rows["lines"])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)) + extra + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def main():
    folder = os.path.join(ROOT, "images")
    os.makedirs(folder, exist_ok=True)
    out = {}
    p = picture(61, 47, 1)
    im = Image.fromarray(p)
    out["picture"] = p
    for name, f in FILTERS.items():
        for w, h in SIZES:
            out[f"resize/{name}/{w}x{h}"] = np.asarray(im.resize((w, h), f))
    for i, r in enumerate(RECIPES):
        text = "".join(f"{k} = {json.dumps(v)}\n" for k, v in r.items())
        out[f"recipe/{i}/keys"] = np.frombuffer(text.encode(), np.uint8)
        out[f"recipe/{i}/tensor"] = preprocess(im, r)

    small = picture(24, 17, 2)
    s = Image.fromarray(small)
    alpha = s.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.linspace(0, 255, 24 * 17).astype(np.uint8).reshape(17, 24)))
    save = lambda im, name, **k: im.save(os.path.join(folder, name), **k)
    save(s, "rgb.png")
    save(s.convert("L"), "gray.png")
    save(alpha, "rgba.png")
    save(s.convert("LA"), "gray_alpha.png")
    save(s.convert("1"), "one_bit.png")
    save(s.quantize(17), "palette.png", transparency=3)
    save(s, "rgb.bmp")
    save(s.quantize(30), "palette.bmp")
    save(s, "lossless.webp", lossless=True)
    save(s, "lossy.webp", quality=90)
    save(s.quantize(64), "frames.gif", save_all=True, append_images=[s.rotate(180).quantize(64)])
    save(s, "444.jpg", quality=92, subsampling=0)
    save(s, "420.jpg", quality=92, subsampling=2)
    save(s, "progressive.jpg", quality=92, subsampling=0, progressive=True)
    save(s.convert("L"), "gray.jpg", quality=92)
    save(s, "422.jpg", quality=92, subsampling=1)
    save(s, "420_progressive.jpg", quality=80, subsampling=2, progressive=True)
    save(s, "422_restart.jpg", quality=60, subsampling=1, restart_marker_blocks=1)
    save(s, "420_coarse.jpg", quality=5, subsampling=2, optimize=True)
    save(s.resize((3, 2)), "420_tiny.jpg", subsampling=2)
    save(s.resize((5, 1)), "422_tiny.jpg", subsampling=1)
    save(s, "rgb.jpg", quality=92, keep_rgb=True)
    save(s.convert("CMYK"), "cmyk.jpg", quality=95)
    for o in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        save(s, f"exif{o}.jpg", quality=92, subsampling=0, exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(s, "exif6.png", exif=exif)
    wide = small.astype(np.uint16) * 256 + 77
    open(os.path.join(folder, "rgb16.png"), "wb").write(png({"shape": (17, 24), "lines": [r.astype(">u2").tobytes() for r in wide]}, 16, 2))
    open(os.path.join(folder, "gray16.png"), "wb").write(png({"shape": (17, 24), "lines": [r[:, 0].astype(">u2").tobytes() for r in wide]}, 16, 0))
    for name in sorted(os.listdir(folder)):
        im = ImageOps.exif_transpose(Image.open(os.path.join(folder, name)))
        if name == "gray16.png":  # Pillow makes nearly all of it white; the upper byte is meant
            out[f"decode/{name}"] = np.repeat(small[:, :, :1], 3, 2)
        else:
            out[f"decode/{name}"] = np.asarray(im.convert("RGB"))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **out)
    open(os.path.join(ROOT, "pillow.npz"), "wb").write(buffer.getvalue())


if __name__ == "__main__":
    main()
