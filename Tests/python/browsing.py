"""What pages must not do in a browser. The tests of pages run it with the Python that has playwright."""

from __future__ import annotations


def opened(browser, address, width, height, schemes):
    """A tab on a page, and the list of what goes wrong in it: messages, errors, dialogs, requests to elsewhere.

    Args:
        schemes: what a request may begin with, beside the address
    """
    tab = browser.new_page(viewport={"width": width, "height": height})
    faults = []
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda failure: faults.append(str(failure)))
    tab.on("dialog", lambda dialog: faults.append(f"a name ran: {dialog.message}"))
    tab.on("request", lambda sent: faults.extend([] if sent.url.startswith((address, *schemes)) else [sent.url]))
    tab.goto(address)
    return tab, faults
