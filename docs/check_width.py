"""Does a page of the built site overflow sideways, on a phone or on a desk, or is anything on it cut?
Exit status 1 if so.

On a phone code, tables and equations may scroll by themselves. On a desk they may not: what scrolls
there is cut for those who do not notice. Needs Chromium or Chrome on the path; says so and passes
where there is none.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from html import escape, unescape
from pathlib import Path

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE, DESK = 390, 1280  # pixels
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--dump-dom",
]
FRAMES = """<!DOCTYPE html><meta charset="utf-8"><body>%s<script>
onload = () => {
    const excess = element => element ? element.scrollWidth - element.clientWidth : 0;
    const found = [...document.querySelectorAll('iframe')].map(frame => {
        const page = frame.contentDocument, article = page.querySelector('article');
        // The theme lets a wide article scroll by itself, which does not widen the page.
        const wide = Math.max(excess(page.documentElement), excess(article));
        const scrolling = [...article?.querySelectorAll('pre, table, .equation > math') ?? []]
            .filter(element => excess(element) > 1 && !element.closest('.sd-card'))
            .map(element => [element.textContent.trim().slice(0, 60), excess(element)]);
        return [frame.title, frame.width, wide, scrolling];
    });
    document.body.innerHTML = '<pre id="found"></pre>';
    document.getElementById('found').innerText = JSON.stringify(found);
};
</script>"""


def overflowing(site):
    """What is wider than it may be: a line of text for each.

    Parameters
    ----------
    site : Path
    """
    pages = sorted(path for path in site.resolve().rglob("*.html") if "_static" not in path.parts)
    frames = [
        f'<iframe title="{page.relative_to(site.resolve())}" src="{escape(page.as_uri())}" width="{width}"></iframe>'
        for page in pages
        for width in (PHONE, DESK)
    ]
    found = measured(frames)
    if len(found) != len(frames):
        raise RuntimeError(f"{len(found)} of {len(frames)} pages were measured")
    lines = []
    for page, width, excess, scrolling in found:
        if excess > 0:
            lines.append(f"{page}: {excess} pixels too wide in a window of {width}")
        if int(width) == DESK:
            lines += [
                f"{page}: cut by {pixels} pixels in a window of {width}: {' '.join(start.split())}"
                for start, pixels in scrolling
            ]
    return lines


def measured(frames):
    """What the browser finds in each frame: title, width, pixels too many, and what scrolls."""
    with tempfile.TemporaryDirectory() as folder:
        harness = Path(folder, "frames.html")
        harness.write_text(FRAMES % "".join(frames), encoding="utf-8")
        command = [BROWSER, *FLAGS, f"--user-data-dir={folder}/profile", harness.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)[1]
    return json.loads(unescape(text))


if __name__ == "__main__":
    if BROWSER is None:
        print("no Chromium or Chrome on the path: the width of the pages is not checked")
        sys.exit()
    sys.exit("\n".join(overflowing(Path(sys.argv[1]))) or None)
