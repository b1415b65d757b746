#!/usr/bin/env python3
"""Repairs cases with `fixcon repair` and prints a table: flips before and after, on the images of the case and on others.

    cargo build --release
    python scripts/paper_table.py CASES [--only paper] [--unseen FOLDER] [--strategies fixcon,paper] [--time-limit 120]

CASES is a folder of folders that each hold a case.toml. FOLDER holds images that no repair saw. The time limit, in seconds, is for
`--strategy paper` alone, the paper's own loop. Needs nothing but Python 3.11.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time
import tomllib


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": {"message": done.stderr.strip() or "no answer"}}


def flips(fixcon, case, unseen):
    found = run(fixcon, "check", "--case", case, "--images", unseen, "--json", "--quiet")
    return found.get("mismatches", {}).get("count")


def repaired_case(case, folder, model, recipe):
    """A case file for the repaired model with the repaired recipe."""
    keys = tomllib.loads(case.read_text())
    keys["source"]["model"] = str((case.parent / keys["source"]["model"]).resolve())
    keys["target"]["model"] = str(model)
    keys["images"] = {"path": str((case.parent / keys["images"]["path"]).resolve())}
    if recipe.exists():
        keys["target"]["preprocess"] = tomllib.loads(recipe.read_text())["preprocess"]
    lines = []

    def table(name, of):
        lines.append(f"[{name}]")
        # A string, number, boolean or list of these is written in JSON as in TOML.
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in of.items() if not isinstance(value, dict))
        for key, value in of.items():
            if isinstance(value, dict):
                table(f"{name}.{key}", value)

    for name, of in keys.items():
        table(name, of)
    out = folder / "case.toml"
    out.write_text("\n".join(lines) + "\n")
    return out


def repair(args, case, strategy):
    """What one strategy leaves: the answer, flips on unseen images, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model, recipe = folder / "repaired.onnx", folder / "recipe.toml"
        options = ["--strategy", strategy, "--time-limit", args.time_limit, "--output", model, "--recipe-output", recipe]
        begun = time.monotonic()
        done = run(args.fixcon, "repair", "--case", case, "--yes", "--json", "--quiet", *options)
        seconds = time.monotonic() - begun
        unseen = ""
        if args.unseen and "error" not in done:
            unseen = flips(args.fixcon, repaired_case(case, folder, model, recipe), args.unseen)
        return done, unseen, seconds


def main():
    p = argparse.ArgumentParser()
    p.add_argument("cases", type=pathlib.Path)
    p.add_argument("--only", default="")
    p.add_argument("--unseen", type=pathlib.Path)
    p.add_argument("--strategies", default="fixcon")
    p.add_argument("--time-limit", default=7200, type=int)
    p.add_argument("--fixcon", default="target/release/fixcon")
    args = p.parse_args()
    strategies = args.strategies.split(",")
    columns = ["after", "unseen after", "edits", "seconds"]
    head = ["case", "differing", "unseen", *(f"{s}: {c}" for s in strategies for c in columns)]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for case in sorted(args.cases.glob("*/case.toml")):
        name = case.parent.name
        if not name.startswith(args.only):
            continue
        before = flips(args.fixcon, case, args.unseen) if args.unseen else ""
        cells, initial = [], ""
        for strategy in strategies:
            done, unseen, seconds = repair(args, case, strategy)
            if "error" in done:
                cells += [done["error"]["message"][:80], "", "", ""]
                continue
            initial = done["initial_mismatches"]
            cells += [done["final_mismatches"], unseen, len(done["accepted"]), f"{seconds:.1f}"]
        row = [name, initial, before, *cells]
        print("| " + " | ".join("does not run" if c is None else str(c) for c in row) + " |", flush=True)


if __name__ == "__main__":
    main()
