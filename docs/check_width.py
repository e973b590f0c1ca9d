"""Does a page of the built site overflow sideways, on a phone or on a desk? Exit status 1 if so.

Needs Chromium or Chrome on the path; says so and passes where there is none.
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
WIDTHS = (390, 1280)  # pixels
FRAMES = """<!DOCTYPE html><meta charset="utf-8"><body>%s<script>
onload = () => {
    const excess = element => element ? element.scrollWidth - element.clientWidth : 0;
    const found = [...document.querySelectorAll('iframe')].map(frame => {
        const page = frame.contentDocument, article = page.querySelector('article');
        // The theme lets a wide article scroll by itself, which does not widen the page.
        return [frame.title, frame.width, Math.max(excess(page.documentElement), excess(article))];
    });
    document.body.innerHTML = '<pre id="found"></pre>';
    document.getElementById('found').innerText = JSON.stringify(found);
};
</script>"""


def overflowing(site):
    """(page, width of the window, pixels too many) of every page whose text is wider than its
    window.

    Parameters
    ----------
    site : Path
    """
    pages = sorted(path for path in site.resolve().rglob("*.html") if "_static" not in path.parts)
    frames = [
        f'<iframe title="{page.relative_to(site.resolve())}" src="{escape(page.as_uri())}" width="{width}"></iframe>'
        for page in pages
        for width in WIDTHS
    ]
    with tempfile.TemporaryDirectory() as folder:
        harness = Path(folder, "frames.html")
        harness.write_text(FRAMES % "".join(frames), encoding="utf-8")
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--dump-dom",
        ]
        command = [BROWSER, *flags, f"--user-data-dir={folder}/profile", harness.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    found = json.loads(
        unescape(re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)[1])
    )
    if len(found) != len(frames):
        raise RuntimeError(f"{len(found)} of {len(frames)} pages were measured")
    return [(page, width, excess) for page, width, excess in found if excess > 0]


if __name__ == "__main__":
    if BROWSER is None:
        print("no Chromium or Chrome on the path: the width of the pages is not checked")
        sys.exit()
    lost = overflowing(Path(sys.argv[1]))
    sys.exit(
        "\n".join(
            f"{page}: {excess} pixels too wide in a window of {width}"
            for page, width, excess in lost
        )
        or None
    )
