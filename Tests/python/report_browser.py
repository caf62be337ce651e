"""Looks at the map of `fne report` in a browser, as test_report_map.py says. Prints what it found as JSON.

.build/site-venv/bin/python Tests/python/report_browser.py PAGE [SCREENSHOT]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from browsing import opened
from playwright.sync_api import sync_playwright

WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}

#: Where the first point lies on the screen, and how long it takes to point at 200 places.
FIRST = """() => {
  const box = document.getElementById('points').getBoundingClientRect()
  const data = JSON.parse(document.getElementById('points-data').textContent)
  const at = (value, size) => 24 + value / 10000 * (size - 48)
  return [box.left + at(data.x[0], box.width), box.top + at(data.y[0], box.height)]
}"""
HOVERS = """() => {
  const canvas = document.getElementById('points'), box = canvas.getBoundingClientRect(), begun = performance.now()
  for (let i = 0; i < 200; i++) canvas.dispatchEvent(new PointerEvent('pointermove', {
    clientX: box.left + (i * 37) % box.width, clientY: box.top + (i * 53) % box.height}))
  return (performance.now() - begun) / 200
}"""


def look(browser, address, width, height, picture):
    tab, faults = opened(browser, address, width, height, ["data:"])
    tab.wait_for_selector("#map[data-drawn]")
    found = {"drawn_ms": int(tab.get_attribute("#map", "data-drawn"))}
    tab.locator("#map").scroll_into_view_if_needed()
    x, y = tab.evaluate(FIRST)
    tab.mouse.move(x, y)
    tab.wait_for_selector("#tip:not([hidden])")
    found["tip"] = tab.locator("#tip b").inner_text(), tab.locator("#tip li").all_inner_texts()
    if picture:
        tab.screenshot(path=picture)
    tab.mouse.click(x, y)
    tab.wait_for_selector("dialog[open]")
    found["opened"] = tab.locator("#opened h3").inner_text(), tab.locator("#opened li button").all_inner_texts()
    tab.click("#opened li button >> nth=0")
    found["neighbour"] = tab.locator("#opened h3").inner_text()
    tab.keyboard.press("Escape")
    tab.wait_for_selector("dialog:not([open])", state="attached")
    tab.mouse.move(0, 0)
    tab.focus("#points")
    tab.keyboard.press("ArrowRight")
    said = tab.locator("#said").inner_text()
    tab.keyboard.press("ArrowRight")
    found["said"] = said, tab.locator("#said").inner_text()
    tab.keyboard.press("Enter")
    found["keyed"] = tab.locator("#opened h3").inner_text()
    tab.keyboard.press("Escape")
    found["legend"] = tab.locator("#legend button").all_inner_texts()
    tab.click("#closer")
    tab.click("#whole")
    found["hover_ms"] = tab.evaluate(HOVERS)
    if tab.locator("#pictures").is_visible():
        tab.click("#pictures")
    if tab.locator("#legend button").count():  # without its class the first point is not found
        name = found["tip"][0]
        for button in tab.locator("#legend button").all():
            button.click()
        tab.mouse.move(0, 0)
        tab.mouse.move(x + 1, y)
        found["hidden"] = not tab.locator("#tip").is_visible(), name
    found["wide"] = tab.evaluate("document.documentElement.scrollWidth") > width
    return {**found, "faults": faults}


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    address = Path(sys.argv[1]).resolve().as_uri()
    shots = {name: f"{sys.argv[2]}-{name}.png" if len(sys.argv) > 2 else None for name in WIDTHS}
    print(json.dumps({name: look(browser, address, *size, shots[name]) for name, size in WIDTHS.items()}))
    browser.close()
