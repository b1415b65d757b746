"""What the scripts share that needs no framework."""
# inverted residuals of the MobileNet: channels in, channels out, stride
MOBILE = [(20, 20, 1), (20, 32, 2), (32, 32, 1), (32, 56, 2), (56, 56, 1), (56, 56, 1)]

# How each network wants its pictures. `train.py` trains on exactly these values.
TORCH = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
RECIPES = {
    "mobilenet": dict(resize="squash", size=[32, 32], filter="bilinear", channels="rgb", scale=127.5,
                      mean=[1.0] * 3, std=[1.0] * 3, layout="nchw", dtype="float32"),
    "resnet": dict(resize="squash", size=[32, 32], filter="bilinear", channels="bgr", scale=1.0,
                   mean=[103.939, 116.779, 123.68], std=[1.0] * 3, layout="nchw", dtype="float32"),
    "inception": dict(resize="shorter-side", resize_to=34, size=[32, 32], filter="bicubic", channels="rgb", scale=255.0,
                      mean=[0.5] * 3, std=[0.5] * 3, layout="nchw", dtype="float32"),
    "vit": dict(resize="squash", size=[32, 32], filter="bicubic", channels="rgb", scale=255.0, **TORCH,
                layout="nchw", dtype="float32"),
}
