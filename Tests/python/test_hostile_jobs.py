"""Jobs that come from others: their fields reach a page as text, and what is wrong in them is named."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from forged_jobs import read_manifest, seal, write_manifest

import fne
from fne._command import main
from fne._command.map_script import SCRIPT
from fne._command.sheet import Hit, write_sheet

PAYLOADS = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onload='alert(1)",
    "--></style><b>&lt;",
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photographs):
    folder = tmp_path_factory.mktemp("pictures")
    for number, path in enumerate(photographs[:5]):
        shutil.copy(path, folder / f"{number}{path.suffix if hasattr(path, 'suffix') else os.path.splitext(path)[1]}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, graph, pictures):
    output = tmp_path_factory.mktemp("finished") / "job"
    fne.embed_dataset(pictures, graph, output, size=(48, 64), codes=["int8", "packed"])
    return output


@pytest.fixture
def job(tmp_path, finished):
    return shutil.copytree(finished, tmp_path / "job")


class Elements(HTMLParser):
    """The elements of a page with the names of their attributes, its addresses, and its text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.addresses, self.text, self.policy = set(), [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.found.add((tag, *sorted(given)))
        self.addresses += [given[name] for name in ("src", "href") if name in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        self.text += "".join(f"\n{value}" for value in given.values())

    def handle_data(self, data):
        self.text += data


def report(job, pictures, output):
    assert main(["report", str(job), "--images", str(pictures), "-o", str(output)]) == 0
    return Elements(output.read_text("utf-8"))


def texts(value, path=()):
    """The places of all texts in a value of JSON."""
    if isinstance(value, str):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from texts(inner, (*path, key))


def replaced(value, path, text):
    if not path:
        return text
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], text)
    return copy


def test_the_policy_allows_the_pages_script_alone(tmp_path, job, pictures):
    page = report(job, pictures, tmp_path / "r.html")
    policy = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert policy["default-src"] == "'none'" and policy["img-src"] == "data:"
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert ("script", "id", "type") in page.found, "the figures, which are data"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_field_is_text(tmp_path, job, pictures, payload):
    """A field is shown as text, or the job is refused. No element or attribute comes of it."""
    plain = report(job, pictures, tmp_path / "plain.html")
    manifest = read_manifest(job)
    shown = set()
    for place in texts(manifest):
        write_manifest(job, replaced(manifest, place, payload))
        output = tmp_path / "-".join(map(str, place))
        if main(["report", str(job), "--images", str(pictures), "-o", str(output)]):
            continue
        page = Elements(output.read_text("utf-8"))
        assert page.found == plain.found and page.policy == plain.policy, place
        assert all(address.startswith("data:") for address in page.addresses), place
        if payload in page.text:
            shown.add(place[-1] if place[-1] != 0 else place)
    wanted = {"sha256", "statistics", "tensorflow", "device", "processor", "resize_mode", "interpolation", "name"}
    assert wanted | {"channel_order", "precision"} <= shown


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_reasons_and_runs_are_text(tmp_path, job, pictures, payload):
    plain = report(job, pictures, tmp_path / "plain.html")
    names = [payload.replace("/", "") + str(number) for number in range(6)]
    (job / "images.list").write_bytes(b"".join(name.encode() + b"\0" for name in names))
    lines = [json.loads(line) for line in (job / "images.jsonl").read_text().splitlines()]
    for line in lines:
        line["reason"] = payload
    (job / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    seal(job)
    run = {"begun": payload, "seconds": 1, "images": 6, "outcome": payload, payload: payload}
    (job / "runs.jsonl").write_text(json.dumps(run) + "\n")
    elsewhere = job.rename(tmp_path / payload.replace("/", ""))
    page = report(elsewhere, pictures, tmp_path / "r.html")
    assert page.found - {("b",)} == plain.found - {("img", "alt", "src")}
    for name in (*names, payload):
        assert name in page.text


BAD_RUNS = [
    b"not json",
    b"[]",
    b'{"images": 1}',
    b'{"images": "1", "seconds": 1}',
    b'{"images": true, "seconds": 1}',
    b'{"images": 1, "seconds": NaN}',
    b'{"images": 1, "seconds": 1e999}',
    b'{"images": 1, "seconds": -1}',
    b'{"images": -1, "seconds": 1}',
    b'{"images": 1, "seconds": 1e300}',
    b'{"images": 1' + b"0" * 400 + b', "seconds": 1}',
    b'{"images": 1' + b"0" * 5000 + b', "seconds": 1}',
    b'{"images": 1, "images": 2, "seconds": 1}',
    b"[" * 100_000,
    b"\xff",
]


@pytest.mark.parametrize("line", BAD_RUNS, ids=lambda line: line[:40].decode("latin-1"))
def test_runs_that_are_wrong(tmp_path, job, capsys, line):
    (job / "runs.jsonl").write_bytes(b'{"images": 1, "seconds": 1}\n' + line + b"\n")
    with pytest.raises(fne.errors.SavedDataError, match=r"runs\.jsonl', line 2,"):
        fne._command.report.write_report(fne.Job(job), tmp_path / "r.html")
    assert main(["report", str(job), "-o", str(tmp_path / "r.html")]) == 1
    assert "runs.jsonl', line 2," in capsys.readouterr().err and not (tmp_path / "r.html").exists()


def test_a_file_of_runs_that_is_too_large(tmp_path, job):
    with open(job / "runs.jsonl", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(fne.errors.SavedDataError, match="1099511627776 bytes"):
        fne._command.report.write_report(fne.Job(job), tmp_path / "r.html")


@pytest.mark.parametrize(
    "place, value, message",
    [
        (("settings", "model", "bytes"), "x", r"settings\.model\.bytes is missing or wrong"),
        (("settings", "model", "bytes"), 2**60, r"settings\.model\.bytes is missing or wrong"),
        (("settings", "input"), {}, r"settings\.input\.tensor is missing"),
        (("settings", "input", "mean"), ["x"], r"settings\.input\.mean\[0\] is missing or wrong"),
        (("settings", "layers", 1, "first_feature"), 0, "layers leave gaps or overlap"),
        (("settings", "layers", 1, "features"), 2**31 - 1, "layers leave gaps or overlap"),
        (("engines",), [], "engines is empty"),
        (("engines",), [{"first_image": 0}], r"engines\[0\]\.tensorflow is missing"),
        (("codes", "statistics"), 1, r"codes\.statistics is missing or wrong"),
        (("images", "count"), 5, r"files\.status\.npy\.bytes' is missing or wrong"),
    ],
)
def test_manifests_that_are_wrong(tmp_path, job, place, value, message):
    manifest = read_manifest(job)
    changed = replaced(manifest, place, value)
    write_manifest(job, changed)
    with pytest.raises(fne.errors.SavedDataError, match=message):
        opened = fne.Job(job)
        assert opened.names and opened.layers


@pytest.mark.parametrize("name", ["codes.npy", "codes_packed.npy", "features.npy", "stats.npy", "status.npy"])
@pytest.mark.parametrize("damage", ["empty", "other shape", "other type", "huge", "pickle", "zip", "text"])
def test_arrays_that_are_wrong(job, name, damage):
    """Opening raises SavedDataError, and takes no memory for sizes that a header only claims."""
    path = job / name
    right = np.load(path)
    contents = {
        "empty": b"",
        "huge": path.read_bytes().replace(b"'shape': (", b"'shape': (9999999999, ", 1),
        "pickle": b"\x80\x04]\x94.",
        "zip": b"PK\x03\x04" + bytes(60),
        "text": b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((",
    }
    if damage == "other shape":
        np.save(path, right[:-1])
    elif damage == "other type":
        np.save(path, np.zeros(right.shape, ">i2"))
    else:
        path.write_bytes(contents[damage])
    with pytest.raises(fne.errors.SavedDataError, match=f"'{name}' has (a damaged header|[0-9]+ bytes)"):
        fne.Job(job)


@pytest.mark.parametrize("line", [b"{}", b"[1", b'{"reason": 1}', None])
def test_reasons_that_are_wrong(job, line):
    lines = (job / "images.jsonl").read_bytes().splitlines()
    (job / "images.jsonl").write_bytes(b"\n".join(lines[:-1] + ([] if line is None else [line])))
    seal(job)
    assert fne.Job(job).statuses[-1] != 0
    with pytest.raises(fne.errors.SavedDataError, match=r"images\.jsonl'(, line 6,)? is damaged"):
        assert fne.Job(job).failures


def test_a_job_without_an_embedded_image(tmp_path, job, capsys):
    np.save(job / "status.npy", np.full(6, 6, np.int32))
    seal(job)
    assert main(["report", str(job), "-o", str(tmp_path / "r.html")]) == 1
    assert "could be embedded; there is nothing to show" in capsys.readouterr().err


def names_that_lead_out(folder, secret):
    os.symlink(secret, folder / "link.png")
    os.symlink(secret.parent, folder / "linked")
    os.mkfifo(folder / "pipe.png")
    return [f"../{secret.parent.name}/{secret.name}", str(secret), "link.png", "linked/secret.png", "pipe.png"]


def test_no_picture_lies_outside_the_folder(tmp_path, job, pictures):
    folder, outside = tmp_path / "images", tmp_path / "outside"
    folder.mkdir(), outside.mkdir()
    shutil.copy(next(pictures.glob("0.*")), outside / "secret.png")
    shutil.copy(next(pictures.glob("0.*")), folder / "inside.png")
    names = names_that_lead_out(folder, outside / "secret.png")
    assert fne.read_image(folder / names[0]).size and fne.read_image(folder / "link.png").size, "they can be read"
    fne.Job(job)
    order = [*names[:4], "inside.png"] if fne.Job(job).ok[:5].all() else ["inside.png", *names[:4]]
    (job / "images.list").write_bytes(b"".join(os.fsencode(name) + b"\0" for name in [*order, "broken.png"]))
    seal(job)
    page = report(job, folder, tmp_path / "r.html")
    shown = {address for address in page.addresses if address != "data:,"}
    assert len(shown) == 1, "one picture, that of inside.png"
    sheet = tmp_path / "sheet.png"
    hits = [Hit(number, name, 1.0) for number, name in enumerate([*names, "inside.png"])]
    write_sheet([folder / "inside.png"], [hits], sheet, folder)
    pixels = fne.read_image(sheet)
    tiles = [pixels[6:134, 18 + 134 * (1 + column) :][:, :128] for column in range(6)]
    assert [set(np.unique(tile)) == {96, 224} for tile in tiles] == [True] * 5 + [False], "grey, with words"
    page = tmp_path / "sheet.html"
    assert write_sheet([folder / "inside.png"], [hits], page, folder, "<b>") == 5
    shown = Elements(page.read_text("utf-8"))
    assert len(shown.addresses) == 3 and all(address.startswith("data:") for address in shown.addresses)
    assert shown.text.count("not found") == 5 and "<b>" in shown.text and "default-src 'none'" in shown.policy


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_on_a_page_of_found_images(tmp_path, pictures, payload):
    query = tmp_path / "query.png"
    shutil.copy(next(pictures.glob("0.*")), query)
    write_sheet([query], [[Hit(0, payload, 1.0)]], tmp_path / "s.html", pictures, payload)
    shown = Elements((tmp_path / "s.html").read_text("utf-8"))
    plain = tmp_path / "p.html"
    write_sheet([query], [[Hit(0, "plain", 1.0)]], plain, pictures, "plain")
    assert shown.found == Elements(plain.read_text("utf-8")).found and payload in shown.text


@pytest.mark.parametrize(
    "data, message",
    [
        (b"no json", "places.json' is damaged"),
        (b"[]", "its value is missing or wrong"),
        (b'{"format": "fne-job"}', "model is missing or wrong"),
        (
            b'{"format": "x", "model": null, "signature": null, "tags": null, "feeds": [], "images": null}',
            "format is missing",
        ),
    ],
)
def test_places_that_are_wrong(tmp_path, job, pictures, graph, capsys, data, message):
    (job / "places.json").write_bytes(data)
    with pytest.raises(fne.errors.SavedDataError, match=message):
        fne.Job(job).model()
    query = str(next(pictures.glob("0.*")))
    assert main(["search", str(job), query, "-o", str(tmp_path / "s.png")]) == 1
    assert message in capsys.readouterr().err
    overruled = ["--model", str(graph), "--images", str(pictures)]
    assert main(["search", str(job), query, "-o", str(tmp_path / "s.png"), *overruled]) == 0


def test_a_job_of_others_does_not_allow_an_unsafe_network(tmp_path, graph, pictures, capsys):
    """The file that a job remembers its network in cannot say that a graph may read and write files."""
    import tensorflow as tf

    with tf.Graph().as_default() as unsafe:
        image = tf.compat.v1.placeholder(tf.float32, [None, 48, 64, 3], name="image")
        length = tf.cast(tf.strings.length(tf.io.read_file(str(graph))), tf.float32)
        tf.nn.relu(tf.nn.conv2d(image * length, np.ones((3, 3, 3, 4), np.float32), 2, "SAME"), name="out")
    path = tmp_path / "unsafe.pb"
    path.write_bytes(unsafe.as_graph_def().SerializeToString())
    model = fne.Model(path, allow_unsafe=True)
    job = fne.embed_dataset(pictures, model, tmp_path / "job")
    query = str(next(pictures.glob("0.*")))
    with pytest.raises(fne.UnsafeGraphError):
        job.extractor()
    assert main(["search", str(job.folder), query]) == 1 and "ReadFile" in capsys.readouterr().err
    assert main(["search", str(job.folder), query, "--allow-unsafe"]) == 0
