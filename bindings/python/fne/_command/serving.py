"""The server of `fne serve`: what may be asked, by whom, and what is answered."""

from __future__ import annotations

import hmac
import html
import ipaddress
import json
import secrets
import socket
import socketserver
import sys
import threading
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fne
from fne._command.gallery import Gallery, NoNetworkError, NoSuchImageError
from fne._command.output import show_traceback
from fne._command.serve_page import PAGE, SCRIPT, STYLE
from fne.errors import OutOfMemoryError

#: The most bytes of an image that is sent, and of an address.
MOST_BYTES, MOST_ADDRESS = 32 << 20, 4096

#: The most neighbours and listed images of an answer, the most requests at once, and the seconds that a client has.
_MOST_IMAGES, _MOST_REQUESTS, _PATIENCE = 200, 32, 20

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/": ("text/html; charset=utf-8", PAGE),
    "/page.js": ("text/javascript; charset=utf-8", SCRIPT),
    "/page.css": ("text/css; charset=utf-8", STYLE),
}
_NAMES = {"/api/job": set(), "/api/images": {"first", "count", "class"}, "/picture": {"image", "large"}}
_NEAR = {"image", "k", "layers", "class"}


class _Refused(Exception):
    """A request that is not answered as it was meant."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves a gallery.

    Args:
        host, port: where it listens; port 0: a free one

    Raises:
        FileError: the address cannot be listened at; the message says why
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, gallery: Gallery, host: str, port: int) -> None:
        self.gallery, self.host = gallery, host
        self._requests = threading.BoundedSemaphore(_MOST_REQUESTS)
        if not 0 <= port <= 65535:
            raise fne.InvalidArgumentError(f"--port is {port}; it must be 0 to 65535")
        try:
            family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__(where[:2], _Handler)  # type: ignore[arg-type]
        except OSError as failure:
            raise fne.FileError(
                f"{host}, port {port}, cannot be listened at: {failure.strerror}; --port 0 takes a free port"
            ) from None
        self.token = None if is_loopback(self.server_address[0]) else secrets.token_urlsafe(24)
        self.cookie = f"fne-{self.server_port}"

    def server_bind(self) -> None:
        """Listens, without the look-up of the host's name that the standard library makes."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def address(self) -> str:
        """What a browser opens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/" + (f"?token={self.token}" if self.token else "")

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server.

        A page elsewhere can have its own name lead to this machine. Its requests then carry that name.
        """
        name, _, port = host.rpartition(":") if host.rpartition(":")[2].isdecimal() else (host, "", "80")
        if port != str(self.server_port):
            return False
        name = name.strip("[]").lower()
        if self.token is None:
            return name == "localhost" or is_loopback(name)
        return name in {self.host.lower(), socket.gethostname().lower(), "localhost"} or _is_number(name)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers on a thread. Where there are too many already, the connection is closed."""
        if not self._requests.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._requests.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news. Anything else is a fault of ours, and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            show_traceback()


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: Any) -> bool:
    """Whether an address is one that only this machine reaches."""
    return _is_number(str(host)) and ipaddress.ip_address(str(host)).is_loopback


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    server_version, sys_version = "fne", ""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = _PATIENCE
    wbufsize = -1

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def _answered(self, answer: Any) -> None:
        try:
            self._check()
            answer()
        except _Refused as refused:
            self.send_error(refused.status, str(refused))
        except NoSuchImageError as missing:
            self.send_error(HTTPStatus.NOT_FOUND, str(missing))
        except NoNetworkError as missing:
            self.send_error(HTTPStatus.CONFLICT, f"the job's network is not there: {missing}")
        except OutOfMemoryError as failure:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, str(failure))
        except fne.FNEError as failure:
            self.send_error(HTTPStatus.BAD_REQUEST, str(failure))
        except OSError:  # the client went away
            self.close_connection = True

    # ---- who may ask

    def _check(self) -> None:
        if len(self.path) > MOST_ADDRESS:
            raise _Refused(HTTPStatus.REQUEST_URI_TOO_LONG, f"the address has more than {MOST_ADDRESS} bytes")
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self.server.knows(hosts[0]):
            raise _Refused(HTTPStatus.FORBIDDEN, "the request names another host")
        origin = self.headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{hosts[0]}".lower():
            raise _Refused(HTTPStatus.FORBIDDEN, "the request comes from another page")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none") and urlsplit(self.path).path != "/":
            raise _Refused(HTTPStatus.FORBIDDEN, "the request comes from another page")
        if self.server.token is not None and not self._has_token(self.server.token):
            raise _Refused(HTTPStatus.FORBIDDEN, "the address lacks the token that `fne serve` printed")

    def _has_token(self, token: str) -> bool:
        given = parse_qs(urlsplit(self.path).query).get("token", [])
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            cookie = None
        given += [] if cookie is None else [cookie.value]
        return any(hmac.compare_digest(one.encode("utf-8", "replace"), token.encode()) for one in given)

    # ---- what is asked

    def _get(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows is no request
        path = urlsplit(self.path).path
        if path in _FILES:
            kind, text = _FILES[path]
            self._send(HTTPStatus.OK, kind, text.encode())
        elif path == "/picture":
            given = self._given(_NAMES[path])
            picture = self.server.gallery.picture(self._number(given, "image"), "large" in given)
            if isinstance(picture, str):
                raise _Refused(HTTPStatus.NOT_FOUND, f"the picture is {picture}")
            self._send(HTTPStatus.OK, *picture, keep="private, max-age=600")
        elif path == "/api/job":
            self._given(_NAMES[path])
            self._json(self.server.gallery.about())
        elif path == "/api/images":
            given = self._given(_NAMES[path])
            first, count = self._number(given, "first", 0), self._number(given, "count", 60, _MOST_IMAGES)
            self._json(self.server.gallery.listed(first, count, given.get("class", [None])[0]))
        elif path == "/api/near":
            given = self._given(_NEAR)
            self._json(self.server.gallery.near(self._number(given, "image"), *self._how(given)))
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self) -> None:
        self.close_connection = True  # a body that is refused stays unread
        if urlsplit(self.path).path != "/api/near":
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        how = self._how(self._given(_NEAR - {"image"}))
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or "Transfer-Encoding" in self.headers:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the request does not say how many bytes its image has")
        if len(length) > 10 or int(length) > MOST_BYTES:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the image has more than {MOST_BYTES >> 20} MiB; send a smaller one",
            )
        data = self.rfile.read(int(length))
        if len(data) < int(length) or not data:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the image is empty, or it was cut short")
        self._json(self.server.gallery.near_picture(data, *how))

    def _given(self, names: set[str]) -> dict[str, list[str]]:
        """The values of the address, by their names."""
        try:
            given = parse_qs(
                urlsplit(self.path).query,
                keep_blank_values=True,
                strict_parsing=False,
                errors="strict",
                max_num_fields=64,
            )
        except ValueError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the address cannot be read") from None
        given.pop("token", None)
        for name, values in given.items():
            if name not in names or (len(values) > 1 and name != "layers"):
                raise _Refused(HTTPStatus.BAD_REQUEST, f"the address has {name!r}, which is not known here, or twice")
        return given

    def _number(self, given: dict[str, list[str]], name: str, otherwise: int | None = None, most: int = 1 << 40) -> int:
        text = given.get(name, [""])[0]
        if not text and name not in given and otherwise is not None:
            return otherwise
        if not (text.isascii() and text.isdecimal() and len(text) < 14 and int(text) <= most):
            raise _Refused(HTTPStatus.BAD_REQUEST, f"{name} is {text!r}; it must be a number from 0 to {most}")
        return int(text)

    def _how(self, given: dict[str, list[str]]) -> tuple[int, tuple[str, ...] | None, str | None]:
        k = max(self._number(given, "k", 20, _MOST_IMAGES), 1)
        layers = tuple(part for part in given.get("layers", []) if part)
        return k, layers or None, given.get("class", [None])[0]

    # ---- what is answered

    def _json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(value).encode())

    def _send(self, status: int, kind: str, data: bytes, keep: str = "no-store") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Cache-Control", keep),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        if self.server.token is not None and status == HTTPStatus.OK:
            self.send_header(
                "Set-Cookie", f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            )
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """An error as JSON for scripts, and as a page for people. The standard library calls it for bad requests."""
        code = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.close_connection = True
        words = message or code.phrase
        if getattr(self, "path", "").startswith(("/api/", "/picture")):
            self._send(code, "application/json", json.dumps({"error": words}).encode())
            return
        title = f"{code.value} {code.phrase}"
        text = f"<!DOCTYPE html><title>{title}</title><h1>{title}</h1><p>{html.escape(words)}</p>\n"
        self._send(code, "text/html; charset=utf-8", text.encode("utf-8", "replace"))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is logged: names and tokens stay out of the terminal."""
