#!/bin/sh
# run.sh WORK: makes everything in this folder anew. WORK (some 9 GB) holds the environments, the data, the checkpoints and
# the converted models; what is there already is not made again. Needs Python 3.11, npm, 8 GB of memory; about an hour on two cores.
set -eu
work=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
for v in torch tensorflow; do
    if [ ! -e "$work/env-$v/ok" ]; then
        python3 -m venv "$work/env-$v"
        "$work/env-$v/bin/pip" install -q -r "requirements-$v.txt"
        touch "$work/env-$v/ok"
    fi
done
torch=$work/env-torch/bin/python tf=$work/env-tensorflow/bin/python
"$torch" pictures.py "$work"
"$torch" train.py "$work" mobilenet --epochs 9
"$torch" train.py "$work" resnet --epochs 12
"$torch" train.py "$work" inception --epochs 6
"$torch" train.py "$work" vit --epochs 16
"$torch" torch_part.py "$work"
"$tf" tf_part.py "$work" keras
for m in resnet_legacy17 inception_legacy17 mobilenet_legacy11b1; do
    "$tf" tf_part.py "$work" onnx2tf "$m"
done
"$torch" cases.py "$work"
