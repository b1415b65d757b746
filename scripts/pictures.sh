#!/usr/bin/env bash
# Makes the README's pictures from the real screen, and its recording from the real program.
#   scripts/pictures.sh             all of it
#   scripts/pictures.sh pictures    the pictures only
set -euo pipefail
cd "$(dirname "$0")/.."
picture() { cargo run --locked --release --quiet --example picture -- "$@"; }
cases=sample_models/cases
picture --size 132x38 --out docs/pictures/screen.svg $cases/2-resnet-swapped
picture --size 132x38 --out docs/pictures/suspect.svg --keys "} enter" $cases/3-inception-two-faults
picture --size 120x24 --out docs/pictures/proposal.svg --keys "tab tab tab" $cases/1-mobilenet-pads
if [ "${1:-all}" = all ]; then
    FIXCON_RECORD=docs/pictures/repair.cast cargo test --locked --release --test pty six_keys
fi
