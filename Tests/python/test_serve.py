"""`fne serve`: what it answers, compared with NumPy on the job's codes, and what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from conftest import ROOT

import fne
from fne._command import main
from fne._command.gallery import Gallery
from fne._command.serving import MOST_BYTES, Server
from fne.errors import MissingFileError


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photographs):
    """60 pictures in three classes, with names that are HTML, and one that fails."""
    root = tmp_path_factory.mktemp("pictures")
    tiles = [fne.read_image(path) for path in photographs]
    for number in range(60):
        label = ["rose & <i>", "lily", "iris"][number % 3]
        (root / label).mkdir(exist_ok=True)
        tile = tiles[number % 24]
        at = 3 * (number // 24)
        name = f"{number:02d} <img src=x onerror=alert(1)>.jpg"
        cv2.imwrite(str(root / label / name), tile[at : at + 90, at : at + 100, ::-1])
    (root / "lily" / "00 broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root.parent / "secret.jpg").write_bytes((photographs[0]).read_bytes())
    return root


@pytest.fixture(scope="module")
def job(tmp_path_factory, graph, folder):
    return fne.embed_dataset(folder, graph, tmp_path_factory.mktemp("job") / "job", size=(48, 64))


class Client:
    """Asks a server."""

    def __init__(self, server):
        self.server, self.port = server, server.server_port

    def ask(self, path, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.headers, data

    def json(self, path, **options):
        status, _, data = self.ask(path, **options)
        assert status == 200, data
        return json.loads(data)

    def raw(self, data):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def started(job, open_model, host="127.0.0.1", **options):
    gallery = Gallery(job, open_model, job.places.images, **options)
    server = Server(gallery, host, 0)
    gallery.prepare()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def stopped(server):
    server.shutdown()
    server.server_close()
    server.gallery.close()


@pytest.fixture(scope="module")
def client(job):
    server = started(job, job.model)
    yield Client(server)
    stopped(server)


def expanded_cosines(job, layers, centred):
    """The cosine of each two images, by NumPy. An image that asks takes its two nearest along, which are itself and one
    more."""
    codes = np.array(job.codes(layers=layers, images=np.flatnonzero(job.ok))).astype(np.float64)
    codes -= codes.mean(0) if centred else 0
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    cosines = unit @ unit.T
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :2]
    asked = unit + (np.maximum(np.take_along_axis(cosines, near, 1), 0)[..., None] * unit[near]).sum(1)
    return asked / np.linalg.norm(asked, axis=1, keepdims=True) @ unit.T


@pytest.mark.parametrize(
    ("query", "layers"),
    [("", ["swish4", "relu5"]), ("&layers=all", None), ("&layers=relu1&layers=bias3", ["relu1", "bias3"])],
)
def test_neighbours_are_numpys(client, job, query, layers):
    good = np.flatnonzero(job.ok)
    for row in (0, 17, 59):
        found = client.json(f"/api/near?image={good[row]}&k=7{query}")["found"]
        expected = expanded_cosines(job, layers, centred=True)[row]
        assert [entry["image"] for entry in found].count(int(good[row])) == 0
        places = [int(np.flatnonzero(good == entry["image"])[0]) for entry in found]
        np.testing.assert_allclose([entry["score"] for entry in found], expected[places], atol=1e-5)
        np.testing.assert_allclose(expected[places], np.sort(np.delete(expected, row))[::-1][:7], atol=1e-5)
        assert [entry["name"] for entry in found] == [job.names[entry["image"]] for entry in found]


def test_a_class_keeps_the_scores(client, job):
    """A class limits what is found. The mean that is taken away stays that of all images."""
    everything = client.json("/api/near?image=5&k=59")["found"]
    one = client.json("/api/near?image=5&k=7&class=lily")["found"]
    expected = [entry for entry in everything if entry["name"].startswith("lily/")][:7]
    assert [entry["image"] for entry in one] == [entry["image"] for entry in expected]
    np.testing.assert_allclose([e["score"] for e in one], [e["score"] for e in expected], atol=1e-6)
    assert {entry["class"] for entry in one} == {"lily"}


def test_about_and_lists(client, job):
    about = client.json("/api/job")
    assert (about["images"], about["embedded"], about["name"]) == (61, 60, "job")
    assert about["classes"] == [["iris", 20], ["lily", 20], ["rose & <i>", 20]]
    assert about["layers"] == [layer.name for layer in job.layers]
    listed = client.json("/api/images?first=15&count=10&class=lily")
    names = [name for number, name in enumerate(job.names) if job.ok[number] and name.startswith("lily/")]
    assert listed["total"] == 20 and [entry["name"] for entry in listed["images"]] == names[15:25]


def test_an_image_that_is_sent_is_found_as_fne_search_finds_it(client, job, folder, capsys):
    path = str(folder / job.names[7])
    answer = client.json("/api/near?k=5", method="POST", body=(folder / job.names[7]).read_bytes())
    assert main(["search", str(job.folder), path, "-k", "5", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    hits = [{name: entry[name] for name in ("image", "name", "score")} for entry in answer["found"]]
    assert hits == expected["queries"][0]["found"] and hits[0]["image"] == 7
    assert answer["compared"] == f"by the {expected['compared']}"


@pytest.mark.parametrize(("words", "batch"), [([], 1), (["--goal", "throughput"], 6)])
def test_the_goal_of_serve(tmp_path, graph, folder, monkeypatch, words, batch):
    """A picture that is dropped runs alone, or padded to the job's batch where its very rows are asked for."""
    job = fne.embed_dataset(folder, graph, tmp_path / "job", size=(48, 64), batch_size=6)
    seen = []

    def serve_forever(server, poll_interval):
        extractor = server.gallery._network()[1]
        answer = server.gallery.near_picture((folder / job.names[7]).read_bytes(), 3, None, None)
        seen.append((extractor.batch_size, answer))

    monkeypatch.setattr(Server, "serve_forever", serve_forever)
    assert main(["serve", str(job.folder), "--port", "0", *words]) == 0
    ((found_batch, answer),) = seen
    assert found_batch == batch
    expected = expanded_cosines(job, ["swish4", "relu5"], centred=True)[7]  # it stands before the broken one
    hits = [(entry["image"], entry["score"]) for entry in answer["found"]]
    good = np.flatnonzero(job.ok)
    assert hits[0][0] == 7 and good[7] == 7
    np.testing.assert_allclose([score for _, score in hits], np.sort(expected)[::-1][:3], atol=1e-3)


def test_the_offered_layers_are_prepared(job, monkeypatch):
    """Nobody waits for them. A job without its network lacks "penultimate" alone."""

    def no_network():
        raise fne.FileError("no network")

    for open_model, missing in ((job.model, []), (no_network, ["penultimate"])):
        gallery = Gallery(job, open_model, job.places.images)
        gallery.prepare()
        gallery._thread.join()
        offered = gallery.about()["offered"]
        assert {"all", "penultimate", "last:10%", "last:25%"} == set(offered)
        with monkeypatch.context() as patch:
            patch.setattr(gallery, "_chosen", lambda layers: pytest.fail(f"{layers} was not prepared"))
            for selector in set(offered) - set(missing):
                assert gallery.near(0, 3, (selector,), None)["found"]
        gallery.close()


def test_several_clients_at_once(client, job):
    paths = [f"/api/near?image={image}&layers={layers}" for image in range(21, 31) for layers in ("all", "relu2")]
    expected = [client.json(path) for path in paths]
    answers = [None] * (4 * len(paths))

    def ask(thread):
        for number, path in enumerate(paths):
            answers[thread * len(paths) + number] = client.json(path)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == 4 * expected


def test_pictures(client, job, folder):
    status, headers, data = client.ask("/picture?image=7")
    assert status == 200 and headers["Content-Type"] == "image/jpeg"
    small = cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    assert small.shape == (160, 160, 3)
    large = cv2.imdecode(np.frombuffer(client.ask("/picture?image=7&large")[2], np.uint8), 1)
    original = cv2.imread(str(folder / job.names[7]))
    assert large.shape == original.shape and np.abs(large.astype(int) - original).mean() < 8
    broken = job.names.index("lily/00 broken.png")
    assert client.ask(f"/picture?image={broken}")[0] == 404


def test_pictures_outside_of_the_folder_stay_there(tmp_path, graph, folder):
    """Names that lead elsewhere, as a job from others may hold, are not followed."""
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(next((folder / "iris").iterdir()), tmp_path / "in" / name)
        shutil.copy(folder.parent / "secret.jpg", tmp_path / name)
    os.symlink(tmp_path / "b.jpg", tmp_path / "in/link.jpg")
    job = fne.embed_dataset(
        ["../a.jpg", "link.jpg", "a.jpg"], graph, tmp_path / "job", size=(48, 64), root=tmp_path / "in"
    )
    server = started(job, job.model)
    try:
        assert [Client(server).ask(f"/picture?image={number}")[0] for number in range(3)] == [404, 404, 200]
    finally:
        stopped(server)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/../../etc/passwd", 404), ("/picture?image=../../etc/passwd", 400), ("/picture?image=-1", 400),
        ("/picture?image=61", 404), ("/picture?image=" + "9" * 50, 400),
        ("/picture", 400), ("/picture?image=%C2%B2", 400),
        ("/picture?image=1&image=2", 400), ("/picture?path=/etc/passwd", 400), ("/%2e%2e/page.js", 404),
        ("/api/near?image=0&k=100000", 400), ("/api/near?image=0&layers=nothing", 400),
        ("/api/near?image=0&class=none", 404), ("/api/near?image=100", 404), ("/api/near?image=0&layers=%FF", 400),
        ("/api/images?first=x", 400), ("/api/images?" + "&".join(["layers=a"] * 100), 400),
        ("/api/near?image=0&layers=" + "a" * 5000, 414), ("/api/near?image=0&layers=" + "a" * 70000, 414),
        ("/api/near?image=0&layers=last:%25", 400), ("/api/nothing", 404),
    ],
)  # fmt: skip # a table
def test_hostile_addresses(client, path, status):
    answered, headers, data = client.ask(path)
    assert answered == status, data
    assert headers["X-Content-Type-Options"] == "nosniff" and b"Traceback" not in data
    if path.startswith(("/api", "/picture")) and len(path) < 65000:
        assert json.loads(data)["error"]


def test_other_hosts_and_pages_are_refused(client):
    own = f"127.0.0.1:{client.port}"
    for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1", f"127.0.0.1.evil:{client.port}", ""):
        assert client.ask("/api/job", Host=host)[0] == 403, host
    assert client.ask("/api/job", Host=f"localhost:{client.port}")[0] == 200
    for origin in ("http://evil.example", "null", f"https://{own}", "http://127.0.0.1:1"):
        assert client.ask("/api/near", method="POST", body=b"x", Origin=origin)[0] == 403
        assert client.ask("/api/job", Origin=origin)[0] == 403
    assert client.ask("/api/job", Origin=f"http://{own}")[0] == 200
    assert client.ask("/picture?image=1", Sec_Fetch_Site="cross-site")[0] == 403
    assert client.ask("/", Sec_Fetch_Site="cross-site")[0] == 200
    assert b" 403 " in client.raw(b"GET /api/job HTTP/1.1\r\n\r\n").split(b"\r\n")[0]


def test_hostile_requests(client, photographs):
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS", "<b>"):
        assert client.ask("/api/job", method=method)[0] == 405
    for body, status in ((b"", 400), (b"no image", 400), (b"\x89PNG\r\n\x1a\n" + bytes(50), 400)):
        answered, _, data = client.ask("/api/near", method="POST", body=body)
        assert answered == status and json.loads(data)["error"], data
    assert client.ask("/api/near?image=1", method="POST", body=b"x")[0] == 400
    assert client.ask("/", method="POST", body=b"x")[0] == 404
    for length, status in ((str(MOST_BYTES + 1), b"413"), ("9" * 4000, b"413"), ("-1", b"411"), ("1e3", b"411")):
        head = f"POST /api/near HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nContent-Length: {length}\r\n\r\n"
        assert client.raw(head.encode()).split()[1] == status
    chunked = f"POST /api/near HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert client.raw(chunked.encode()).split()[1] == b"411"
    short = f"POST /api/near HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nContent-Length: 9\r\n\r\nabc"
    assert client.raw(short.encode()).split()[1] == b"400"
    assert client.raw(b"<script>\r\n\r\n").startswith(b"HTTP/1.1 400") or b"400" in client.raw(b"<script>\r\n\r\n")
    many = b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % number for number in range(300)) + b"\r\n"
    assert client.raw(many).split()[1] == b"431"
    assert b"<script>" not in client.raw(b"GET /<script> HTTP/1.1\r\nHost: <script>\r\n\r\n").partition(b"\r\n\r\n")[2]
    assert client.json("/api/job")["images"] == 61, "it still answers"


def test_the_page_has_nothing_inline(client):
    status, headers, data = client.ask("/")
    policy = headers["Content-Security-Policy"]
    assert status == 200 and "script-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
    assert data.count(b"<script") == data.count(b"</script") == 1 and b"<style" not in data and b"onerror" not in data
    assert "frame-ancestors 'none'" in policy and headers["X-Frame-Options"] == "DENY"


def test_beyond_this_machine_a_token_is_needed(job):
    server = started(job, job.model, host="0.0.0.0")
    client = Client(server)
    try:
        token = server.address.partition("?token=")[2]
        assert len(token) == 32
        assert client.ask("/")[0] == client.ask("/api/job")[0] == client.ask("/picture?image=1")[0] == 403
        assert client.ask("/api/near", method="POST", body=b"x")[0] == 403
        assert client.ask(f"/?token={token[:-1]}")[0] == client.ask("/?token=%FF")[0] == 403
        status, headers, _ = client.ask(f"/?token={token}")
        cookie = headers["Set-Cookie"]
        assert status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
        kept = cookie.partition(";")[0]
        assert client.json("/api/job", Cookie=kept)["images"] == 61
        assert client.ask("/api/job", Cookie=kept, Host=f"evil.example:{client.port}")[0] == 403
        assert client.ask("/api/job", Cookie=kept[:-1])[0] == client.ask("/api/job", Cookie='a="\\')[0] == 403
    finally:
        stopped(server)


def test_without_the_network_clicking_works(job):
    def missing():
        raise MissingFileError("the network is away")

    server = started(job, missing)
    client = Client(server)
    try:
        status, _, data = client.ask("/api/near", method="POST", body=b"x")
        assert status == 409 and "the network is away" in json.loads(data)["error"]
        assert client.json("/api/job")["network"] == {"state": "none", "reason": "the network is away"}
        assert len(client.json("/api/near?image=5&k=3")["found"]) == 3
        assert client.ask("/api/near?image=5&layers=penultimate")[0] == 409
    finally:
        stopped(server)


def serve(job, *options):
    command = [sys.executable, "-m", "fne", "serve", str(job), "--port", "0", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_ends_with_ctrl_c(job):
    process = serve(job.folder)
    address = json.loads(process.stdout.readline())["address"]
    port = int(address.rsplit(":", 1)[1].strip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/api/near?image=3&k=2")
    assert len(json.loads(connection.getresponse().read())["found"]) == 2
    process.send_signal(signal.SIGINT)  # the connection stays open
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_plain_messages(tmp_path, job, graph, folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(job.folder), "--port", str(taken.getsockname()[1])]) == 1
    assert "cannot be listened at: Address already in use; --port 0" in capsys.readouterr().err
    assert main(["serve", str(job.folder), "--port", "70000"]) == 1
    assert "it must be 0 to 65535" in capsys.readouterr().err
    assert main(["serve", str(job.folder), "--host", "no.such.host.invalid", "--port", "0"]) == 1
    assert "no.such.host.invalid, port 0, cannot be listened at" in capsys.readouterr().err

    def stop(phase, done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fne.embed_dataset(folder, graph, tmp_path / "job", size=(48, 64), progress=stop)
    assert main(["serve", str(tmp_path / "job")]) == 1
    assert "is not finished: 0 of 61 images are done" in capsys.readouterr().err


PYTHON = ROOT / ".build/site-venv/bin/python"


@pytest.mark.skipif(not (PYTHON.exists() and shutil.which("chromium")), reason="needs what `make site` installs")
def test_in_a_browser(client, job, folder):
    """Clicking and sending work at the widths of a desk and of a phone. Names are text, and nothing is logged."""
    command = [PYTHON, ROOT / "Tests/python/serve_browser.py", client.server.address, folder / job.names[7]]
    looked = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert looked.returncode == 0, looked.stderr
    image = client.json("/api/images?count=3")["images"][2]["image"]
    expected = client.json(f"/api/near?image={image}")["found"]
    for found in json.loads(looked.stdout).values():
        assert found["faults"] == [] and not found["wide"]
        names = [caption.rsplit("\n", 1)[0] for caption in found["clicked"]]
        assert names == [entry["name"] for entry in expected]
