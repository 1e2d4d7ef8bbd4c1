"""The report as a browser shows it: what axe finds, what sticks out, whether the plots are drawn."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.experiments.test_report import DIGITS, report, result_of

AXE = Path(os.environ.get("AXE_CORE", "")) / "axe.min.js"
CHROMIUM = shutil.which("chromium")
RUN = """
addEventListener("load", async () => {
  const later = ms => new Promise(then => setTimeout(then, ms));
  await later(3000);
  document.querySelectorAll("details").forEach(folded => { folded.open = true; });
  await later(3000);
  const found = (await axe.run()).violations.map(v => `${v.id}: ${v.nodes[0].html.slice(0, 200)}`);
  const wide = document.documentElement.scrollWidth - innerWidth;
  const drawn = [...document.querySelectorAll(".plot")].map(plot => plot.querySelectorAll("svg").length > 0);
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({ found, wide, drawn });
  document.body.append(told);
});
"""


@pytest.mark.skipif(not (CHROMIUM and AXE.is_file()), reason="needs chromium, and AXE_CORE=FOLDER of the npm package")
@pytest.mark.parametrize(("width", "look"), [(1200, 1), (500, 0)])
def test_axe_finds_nothing_and_nothing_sticks_out(width, look, tmp_path):
    found = [{"field": f"c{i}", "mean": 0.5 / (i + 1), "error": 0.01} for i in range(20)]
    simple = {"name": "logistic regression", "rows": 9, "features": 3, "val": {"accuracy": 0.5}, "difference": [0, 1]}
    result = result_of(DIGITS, {"accuracy": 0.9, "ece": 0.1}) | {
        "importance": found,
        "interval": [0.8, 0.95],
        "baseline": {"accuracy": 0.1},
        "simple": simple | {"test": {"accuracy": 0.5}},
    }
    text, _ = report(tmp_path, result=result)
    nonce = re.search("nonce-([^']+)", text)
    assert nonce is not None
    scripts = "".join(f'<script nonce="{nonce[1]}">{code}</script>' for code in (AXE.read_text(), RUN))
    page = tmp_path / "report.html"
    page.write_text(text.replace("</body>", f"{scripts}</body>"))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    command += [f"--blink-settings=preferredColorScheme={look}", f"--window-size={width},900", "--dump-dom"]
    said = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=100, check=True).stdout
    told = re.search('<pre id="told">(.*?)</pre>', said, re.DOTALL)
    assert told is not None, said[-500:]
    seen = json.loads(html.unescape(told[1]))
    assert seen["found"] == [] and seen["wide"] <= 0
    assert seen["drawn"] and all(seen["drawn"])
