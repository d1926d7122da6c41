"""Looks at a page in headless Chromium: errors, what is too wide, and text that is hard to read."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LEAST_CONTRAST = 4.5  # WCAG 2.1, level AA
NOTE_ERRORS = """<script>
window.errors = [];
addEventListener("error", (event) => errors.push(event.message));
console.error = (...words) => errors.push(words.join(" "));
</script>"""
LOOK = """
const frame = document.getElementById("page");
frame.addEventListener("load", () => {
  const view = frame.contentWindow, page = view.document;
  for (const part of page.querySelectorAll("details")) part.open = true;
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = numbers(color).map((c) => (c /= 255, c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = view.getComputedStyle(element).backgroundColor;
      if (numbers(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const pale = [];
  const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode()); ) {
    const parent = node.parentElement;
    if (!node.data.trim() || !parent.getClientRects().length) continue;
    const style = view.getComputedStyle(parent);
    const ink = luminance(parent.ownerSVGElement ? style.fill : style.color);
    const paper = luminance(behind(parent));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < LEAST) pale.push(`${contrast.toFixed(1)}: ${node.data.trim().slice(0, 40)}`);
  }
  if (view.check) view.check();
  const seen = { errors: view.errors, width: page.documentElement.scrollWidth, pale: [...new Set(pale)] };
  seen.text = page.body.innerText.length;
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
""".replace("LEAST", str(LEAST_CONTRAST))


def looked_at(page: Path, width: int, *, dark: bool = False, then: str = "") -> dict:
    """Return the `errors`, the `width` that the page takes of a window's width, and what is `pale`.

    Args:
        page: The file.
        width: Of the window, in pixels: a frame within a wider one, since Chromium has a least width.
        dark: Whether the reader likes dark pages.
        then: A script that the page runs at its end.
    """
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.skip("there is no Chromium here; `apt install chromium` brings one")
    text = page.read_text(encoding="utf-8").replace("<head>", f"<head>{NOTE_ERRORS}", 1)
    text = text.replace("</body>", f"<script>window.check = () => {{{then}}};</script></body>")
    wrapped = page.with_name(f"{page.stem}.{width}.html")
    wrapped.write_text(
        f'<pre id="seen"></pre><iframe id="page" width="{width}" height="900" style="border: 0"></iframe>'
        f"<script>{LOOK}frame.srcdoc = {json.dumps(text).replace('</', '<' + chr(92) + '/')};</script>",
        encoding="utf-8",
    )
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    options += [f"--user-data-dir={page.parent / 'chromium'}", "--window-size=1600,1000"]
    options += [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    done = subprocess.run(
        [chromium, *options, "--dump-dom", wrapped.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, f"Chromium says nothing of {escape(page.name)}: {done.stderr[-500:]}"
    return json.loads(unescape(found[1]))
