"""Looks at the page of `fne serve` in a browser, as test_serve.py says. Prints what it found as JSON.

.build/site-venv/bin/python Tests/python/serve_browser.py ADDRESS IMAGE
"""

from __future__ import annotations

import json
import sys

from browsing import opened
from playwright.sync_api import sync_playwright

WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}


def look(browser, address, image, width, height):
    tab, faults = opened(browser, address, width, height, ["data:", "blob:"])
    tab.click("#images figure >> nth=2")
    tab.wait_for_selector("#found figure")
    clicked = tab.locator("#found figcaption").all_inner_texts()
    tab.select_option("#class", index=1)
    tab.wait_for_function("() => document.querySelectorAll('#images figure').length === 20")
    tab.select_option("#class", index=0)
    tab.set_input_files("#file", image)
    tab.wait_for_function("() => document.querySelector('#found span')?.textContent === '1.0000'")
    wide = tab.evaluate("document.documentElement.scrollWidth") > width
    return {"faults": faults, "clicked": clicked, "wide": wide}


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    print(json.dumps({name: look(browser, *sys.argv[1:3], *size) for name, size in WIDTHS.items()}))
    browser.close()
