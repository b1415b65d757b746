#!/usr/bin/env python3
"""Holds `fixcon check` against a corpus whose manifest says how many labels differ.

  compare_check.py CORPUS [--fixcon PROGRAM] [--jobs N] [--only ID,ID] [--json OUT]

CORPUS holds manifest.json (`cases`: id, class, `mismatch_before.probe` or null, route) and cases/ID/case.toml. A case agrees when the
count is within one image of the manifest's (three for quantised targets), or, where the manifest has null because the target does not
load or run, when the exit code is 2. Prints each case that does not agree with the reason; exit code 0 when all agree."""
import argparse, collections, concurrent.futures, json, os, subprocess, sys, time


def allowed(case):
    words = f"{case.get('route', '')} {case.get('id', '')}".lower()
    return 3 if "int8" in words or "qdq" in words or "quant" in words else 1


def run(program, corpus, case):
    file = os.path.join(corpus, "cases", case["id"], "case.toml")
    start = time.time()
    p = subprocess.run([*program, "check", "--case", file, "--json", "--quiet"], capture_output=True, text=True)
    seconds = time.time() - start
    try:
        out = json.loads(p.stdout)
    except ValueError:
        return case, p.returncode, None, (p.stderr or p.stdout).strip()[-300:], seconds
    return case, p.returncode, out, (out.get("error") or {}).get("message", ""), seconds


def verdict(case, code, out, message):
    """None when the case agrees, else the reason; and the difference in images"""
    want = case["mismatch_before"]
    want = want and want["probe"]
    if want is None:
        if code != 2:
            return f"the manifest says it does not run, exit code {code}", None
        error = (out or {}).get("error") or {}
        if not (error.get("node") or error.get("input")):
            return f"refused without naming a node or input: {message}", None
        return None, None
    if code == 2 or not out:
        return f"did not run (exit code {code}): {message}", None
    got = out["mismatches"]["count"]
    if code != (1 if got else 0):
        return f"exit code {code} with {got} mismatches", got - want
    if out["images"]["left_out"]:
        return f"{len(out['images']['left_out'])} images left out", got - want
    if abs(got - want) > allowed(case):
        return f"{got} of {out['mismatches']['of']} differ, the manifest says {want}", got - want
    return None, got - want


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("corpus")
    ap.add_argument("--fixcon", default="target/release/fixcon")
    ap.add_argument("--jobs", type=int, default=1)
    ap.add_argument("--only", default="")
    ap.add_argument("--json", default="", help="write every case's outcome there")
    a = ap.parse_args()
    only = set(filter(None, a.only.split(",")))
    with open(os.path.join(a.corpus, "manifest.json")) as f:
        cases = [c for c in json.load(f)["cases"] if not only or c["id"] in only]
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        results = list(pool.map(lambda c: run(a.fixcon.split(), a.corpus, c), cases))
    bad, exact, refused, differ, seconds = [], 0, 0, collections.Counter(), []
    for case, code, out, message, took in results:
        why, difference = verdict(case, code, out, message)
        seconds.append(took)
        if why:
            bad.append((case, why))
        elif difference is None:
            refused += 1
        else:
            exact += difference == 0
            differ[abs(difference)] += 1
    print(f"{len(results) - len(bad)} of {len(results)} cases agree: {exact} with the very count, "
          + "".join(f"{n} off by {d}, " for d, n in sorted(differ.items()) if d) + f"{refused} refused as they should be")
    print(f"seconds per case: median {sorted(seconds)[len(seconds) // 2]:.2f}, worst {max(seconds):.2f}")
    for case, why in bad:
        print(f"  {case['id']}  {case.get('class', '')}  {case.get('route', '')}: {why}")
    if a.json:
        with open(a.json, "w") as f:
            json.dump([{"id": c["id"], "exit": code, "out": out, "message": message, "seconds": s} for c, code, out, message, s in results], f, indent=1)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
