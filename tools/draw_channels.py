"""Write what the docs show of messages: run `uv run python tools/draw_channels.py` after a change of their looks.

The texts are checked by `tests/test_channels_text.py`; the picture of the mail needs chromium.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from told_messages import told  # noqa: E402

from cvkit.monitoring.channels import page, slack, text, webhook  # noqa: E402
from cvkit.monitoring.messages import Message  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
WIDE, PHONE = 720, 390  # pixels


def shown() -> tuple[Message, Message]:
    """What cvkit tells of an alert that is new and of one that is over; and the first of them alone."""
    with tempfile.TemporaryDirectory() as folder:
        both = told(Path(folder))
    return both, Message(id=both.id, made=both.made, notices=text.ordered(both)[:1])


def texts() -> dict[Path, str]:
    """The files of text, and what has to be in them."""
    both, first = shown()
    (payload,) = slack.payloads(first)
    kept = {"blocks": payload["blocks"], "mrkdwn": payload["mrkdwn"], "text": "..."}
    reference = ROOT / "docs" / "reference"
    return {
        reference / "message.txt": text.plain(both),
        reference / "message.slack.json": json.dumps(kept, indent=1, ensure_ascii=False) + "\n",
        reference / "message.schema.json": json.dumps(webhook.schema(), indent=2) + "\n",
    }


def draw(file: Path, width: int, scheme: str) -> None:
    """A picture of the mail as a browser of this width shows it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        view = browser.new_page(viewport={"width": width, "height": 600}, color_scheme=scheme)  # type: ignore[arg-type]
        view.set_content(page.html(shown()[1]))
        view.screenshot(path=str(file), full_page=True)
        browser.close()


if __name__ == "__main__":
    if any(one.startswith("-") for one in sys.argv[1:]):
        sys.exit(__doc__)
    for file, content in texts().items():
        file.write_text(content, encoding="utf-8")
    draw(ROOT / "docs" / "assets" / "mail.png", WIDE, "light")
    if len(sys.argv) > 1:  # a folder for the other looks, to be looked at
        draw(Path(sys.argv[1]) / "phone-dark.png", PHONE, "dark")
