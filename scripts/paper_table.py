#!/usr/bin/env python3
"""Repairs cases with `fixcon repair` and prints a table: flips before and after, on the images of the case and on others.

    cargo build --release
    python scripts/paper_table.py CASES [--only paper] [--unseen FOLDER] [--fixcon target/release/fixcon]

CASES is a folder of folders that each hold a case.toml. FOLDER holds images that no repair saw. Needs nothing but Python 3.11.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": {"message": done.stderr.strip() or "no answer"}}


def flips(fixcon, case, unseen, target=None):
    extra = ["--target", target] if target else []
    found = run(fixcon, "check", "--case", case, "--images", unseen, "--json", "--quiet", *extra)
    return found.get("mismatches", {}).get("count")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("cases", type=pathlib.Path)
    p.add_argument("--only", default="")
    p.add_argument("--unseen", type=pathlib.Path)
    p.add_argument("--fixcon", default="target/release/fixcon")
    args = p.parse_args()
    print("| case | differing | after repair | unseen | after repair | edits | seconds |\n|---|---|---|---|---|---|---|")
    for case in sorted(args.cases.glob("*/case.toml")):
        name = case.parent.name
        if not name.startswith(args.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "repaired.onnx"
            begun = time.monotonic()
            done = run(args.fixcon, "repair", "--case", case, "--yes", "--json", "--quiet", "--output", model)
            seconds = time.monotonic() - begun
            if "error" in done:
                print(f"| {name} | {done['error']['message'][:80]} |")
                continue
            unseen = ("", "")
            if args.unseen:
                before = flips(args.fixcon, case, args.unseen)
                # A repaired recipe is no part of the model: it stands in the answer.
                after = "see recipe" if any("preprocess" in e for e in done["accepted"]) else flips(args.fixcon, case, args.unseen, model)
                unseen = (before, after)
            cells = [name, done["initial_mismatches"], done["final_mismatches"], *unseen, len(done["accepted"]), f"{seconds:.1f}"]
            print("| " + " | ".join("does not run" if c is None else str(c) for c in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
