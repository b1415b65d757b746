#!/usr/bin/env python3
"""Opens reports in headless Chromium at 1280 and 390 pixels, dark and light: nothing may overflow, every picture must show, nothing may load.

    scripts/report_in_chromium.py REPORT.html... [--shots FOLDER] [--chromium PROGRAM]

Exit code 0 when all is well. Needs Python 3.9 and Chromium; nothing else.
"""
import argparse, html, json, pathlib, re, subprocess, sys, tempfile

MEASURE = """<!DOCTYPE html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;display:block;width:%(width)dpx;height:900px}</style>
<iframe id="f" src="%(page)s"></iframe><pre id="out"></pre><script>
document.getElementById("f").onload = function () {
  const w = this.contentWindow, d = w.document, wide = [];
  for (const e of d.body.querySelectorAll("*")) {
    // What scrolls by itself may be wider than the page.
    if (e.closest(".scroll") || e.closest("svg")) continue;
    const r = e.getBoundingClientRect();
    if (r.right > %(width)d + 0.5 || r.left < -0.5) wide.push(e.tagName + "." + e.className + " " + r.right);
  }
  const images = [...d.images];
  document.getElementById("out").textContent = JSON.stringify({
    scroll: d.documentElement.scrollWidth, wide: wide.slice(0, 5), images: images.length,
    broken: images.filter(i => !i.complete || i.naturalWidth === 0).length, height: d.documentElement.scrollHeight,
    loaded: w.performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
    ground: w.getComputedStyle(d.body).backgroundColor });
};
</script>"""


def chromium(program, dark, *more):
    # preferredColorScheme: 0 is dark, 1 is light.
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    base = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files", scheme]
    return subprocess.run([*base, "--virtual-time-budget=5000", *more], capture_output=True, text=True, timeout=120)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("reports", nargs="+", type=pathlib.Path)
    args.add_argument("--shots", type=pathlib.Path)
    args.add_argument("--chromium", default="chromium")
    args = args.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for report in args.reports:
            for width in (1280, 390):
                grounds = {}
                for dark in (False, True):
                    page = pathlib.Path(folder, "measure.html")
                    page.write_text(MEASURE % {"width": width, "page": report.resolve().as_uri()}, encoding="utf-8")
                    found = chromium(args.chromium, dark, f"--window-size={max(width, 600)},1000", "--dump-dom", page.as_uri())
                    text = re.search(r'<pre id="out">(.*?)</pre>', found.stdout, re.S)
                    seen = json.loads(html.unescape(text.group(1))) if text and text.group(1) else None
                    theme = "dark" if dark else "light"
                    if seen is None:
                        print(f"{report.name} {width} {theme}: not measured: {found.stderr[-300:]}")
                        bad += 1
                        continue
                    grounds[theme] = seen["ground"]
                    well = seen["scroll"] <= width and not seen["wide"] and not seen["broken"] and not seen["loaded"]
                    bad += not well
                    print(f"{report.name} {width} {theme}: {'ok' if well else 'BAD'} {json.dumps(seen)}")
                    if args.shots:
                        args.shots.mkdir(parents=True, exist_ok=True)
                        height = min(seen["height"], 16000)
                        shell = pathlib.Path(folder, "shot.html")
                        shell.write_text(
                            f'<style>body{{margin:0}}iframe{{border:0;display:block;width:{width}px;height:{height}px}}</style>'
                            f'<iframe src="{report.resolve().as_uri()}"></iframe>',
                            encoding="utf-8",
                        )
                        shot = args.shots / f"{report.stem}-{width}-{theme}.png"
                        size = f"--window-size={max(width, 500)},{height}"
                        chromium(args.chromium, dark, size, f"--screenshot={shot.resolve()}", shell.as_uri())
                if len(set(grounds.values())) != 2:
                    print(f"{report.name} {width}: dark and light look alike: {grounds}")
                    bad += 1
    sys.exit(1 if bad else 0)


main()
