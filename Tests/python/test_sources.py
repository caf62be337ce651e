"""What jobs take as images: folders of odd shapes, and lists. The listing can be interrupted, and leaves nothing out
without a word."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import textwrap

import failing_reads
import pyarrow.json
import pytest

import fne
from fne import _ffi

SIZE = (48, 64)


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return failing_reads.build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def model(graph):
    return fne.Model(graph)


def listed(source, model, output, **options):
    """The names of a job that is stopped when it begins."""

    class StopError(Exception):
        pass

    def stop(phase, done, total):
        raise StopError

    with pytest.raises(StopError):
        fne.embed_dataset(source, model, output, size=SIZE, progress=stop, **options)
    return fne.Job(output).names


# ---- folders


def test_each_real_folder_is_listed_once(tmp_path, photographs, model):
    """A chain of diamonds: 2^30 paths lead to the last folder. Its real path is the name."""
    for level in range(31):
        (tmp_path / f"pictures/level{level:02}").mkdir(parents=True)
        if level > 0:
            for link in ("b", "a"):
                (tmp_path / f"pictures/level{level - 1:02}" / link).symlink_to(f"../level{level:02}")
    (tmp_path / "pictures/level00/top").symlink_to("..")
    shutil.copy(photographs[0], tmp_path / "pictures/level30/photograph.jpg")
    assert listed(tmp_path / "pictures", model, tmp_path / "job") == ["level30/photograph.jpg"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_path_of_a_folder_that_only_links_reach(tmp_path, photographs, model, order):
    """The fewest links, and then the first by bytes: "k-1/x" comes before "k/x", since "-" comes before "/"."""
    outside, folder = tmp_path / "outside", tmp_path / "pictures"
    for path in (outside / "deep/er", outside / "far", folder / "real"):
        path.mkdir(parents=True)
    for path in (outside / "deep/er/1.jpg", outside / "deep/2.jpg", outside / "far/3.jpg", folder / "real/4.jpg"):
        shutil.copy(photographs[0], path)
    links = [
        ("k", outside / "deep"),
        ("k-1", outside / "deep"),
        ("z", outside / "deep/er"),
        ("a", folder / "real"),  # it is reached without a link
        ("real/y", outside / "far"),
        ("real/x", outside / "far"),
    ]
    for name, target in links[::order]:
        (folder / name).symlink_to(target)
    (outside / "deep/back").symlink_to(folder)
    (outside / "deep/er/a").symlink_to(outside / "far")  # over two links
    names = listed(folder, model, tmp_path / "job")
    assert names == ["k-1/2.jpg", "k-1/er/1.jpg", "real/4.jpg", "real/x/3.jpg"]


def test_a_link_to_nothing_is_an_image_that_is_missing(tmp_path, photographs, graph):
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(photographs[0], folder / "good.jpg")
    for name in ("gone.jpg", "gone", ".gone.jpg"):
        (folder / name).symlink_to(tmp_path / "nowhere")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.jpg")
    logged = []
    fne.set_log_callback(lambda level, message: logged.append((level, message)))
    try:
        job = fne.embed_dataset(folder, graph, tmp_path / "job", size=SIZE)
    finally:
        fne.set_log_callback(None)
    assert job.names == ["gone.jpg", "good.jpg", "loop.png"] and job.ok.tolist() == [False, True, False]
    assert "No such file" in job.failures[0] and "symbolic links" in job.failures[2]
    assert [message for level, message in logged if level == "warning" and "statistics of" not in message] == [
        f"cannot follow the link '{folder / 'gone'}': No such file or directory. It is left out"
    ]


def test_folders_that_cannot_be_read_are_left_out_or_an_error(tmp_path, shim, photographs, graph):
    (tmp_path / "pictures/locked").mkdir(parents=True)
    for path in (tmp_path / "pictures/1.jpg", tmp_path / "pictures/locked/2.jpg"):
        shutil.copy(photographs[0], path)
    program = """
        source, graph, output = sys.argv[1:]
        fail("locked", "open", errno.EACCES)
        import warnings
        options = {"size": (48, 64), "on_error": "raise"}
        message = raised(fne.FileError, fne.embed_dataset, source, Path(graph), output, **options)
        assert "pictures/locked': Permission denied. Make it readable, or pass a list" in message, message
        with warnings.catch_warnings(record=True) as told:
            job = fne.embed_dataset(source, Path(graph), output + "without", size=(48, 64))
        assert job.names == ["1.jpg"] and job.intake == fne.Intake({"JPEG": 1}, {"unreadable folder": 1})
        assert [str(warning.message) for warning in told if warning.category is fne.JobWarning] == [
            f"cannot list '{source}/locked': Permission denied. The folder is left out"
        ]
        fail("pictures", "open", errno.EACCES)
        message = raised(fne.FileError, fne.embed_dataset, source, Path(graph), output, size=(48, 64))
        assert "pictures': Permission denied. Make it readable" in message, message
        for call in ("open", "readdir"):
            fail("locked", call, errno.EIO, times=2)  # and this passes
            fne.embed_dataset(source, Path(graph), output + call, size=(48, 64))
            assert calls() >= 3 and fne.Job(output + call).names == ["1.jpg", "locked/2.jpg"]
        fail("locked", "readdir", errno.ESTALE)
        message = raised(fne.FileSystemError, fne.embed_dataset, source, Path(graph), output, size=(48, 64))
        assert "Stale file handle" in message
    """
    failing_reads.run(shim, program, tmp_path / "pictures", graph, tmp_path / "job")


def make_deep(folder, levels, name, image):
    """Folders in each other, of which the deepest holds an image. The system takes no path of theirs at once."""
    folder.mkdir()
    above = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=above)
        below = os.open(name, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    file = os.open("photograph.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=above)
    os.write(file, image.read_bytes())
    os.close(file)
    os.close(above)


def test_paths_longer_than_the_system_takes_at_once(tmp_path, photographs, graph):
    folder, part = tmp_path / "pictures", "p" * 200
    make_deep(folder, 30, part, photographs[0])
    shutil.copy(photographs[0], folder / "short.jpg")
    path = f"{folder}/" + 30 * f"{part}/" + "photograph.jpg"
    assert len(path) > 6000
    with pytest.raises(OSError, match="too long"):
        os.stat(path)
    job = fne.embed_dataset(folder, graph, tmp_path / "job", size=SIZE)
    assert job.names == [path[len(str(folder)) + 1 :], "short.jpg"] and job.ok.all()
    assert job.features()[0].tobytes() == job.features()[1].tobytes()
    assert (fne.read_image(path) == fne.read_image(photographs[0])).all()
    with pytest.raises(fne.FileError, match="No such file"):
        fne.read_image(path + "2")
    with pytest.raises(fne.FileError, match="too long"):
        fne.read_image(f"{folder}/" + "p" * 6000)


def test_trees_deeper_than_there_are_descriptors(tmp_path, photographs, graph):
    make_deep(tmp_path / "pictures", 400, "d", photographs[0])
    program = """
        import resource, sys, fne
        from pathlib import Path
        fne.Extractor(Path(sys.argv[2]), size=(48, 64)).close()  # TensorFlow is loaded
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        job = fne.embed_dataset(sys.argv[1], Path(sys.argv[2]), sys.argv[3], size=(48, 64))
        assert job.names == [400 * "d/" + "photograph.jpg"] and job.ok.all()
    """
    arguments = [tmp_path / "pictures", graph, tmp_path / "job"]
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)], check=True)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64


def test_the_listing_is_interrupted(tmp_path, shim, photographs, graph):
    """Ctrl-C while a slow folder is listed: long before the end, as KeyboardInterrupt."""
    (tmp_path / "pictures").mkdir()
    for number in range(1000):
        (tmp_path / f"pictures/{number}.jpg").symlink_to(photographs[0])
    program = """
        source, graph, output = sys.argv[1:]
        model = fne.Model(Path(graph))
        fail("pictures", "readdir", 0)
        def interrupt():
            while calls() < 50:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        raised(KeyboardInterrupt, fne.embed_dataset, source, model, output, size=(48, 64))
        assert 50 <= calls() < 500, calls()
        assert not Path(output).exists()
    """
    failing_reads.run(shim, program, tmp_path / "pictures", graph, tmp_path / "job")


def test_the_listing_is_reported_and_cancelled_in_c(tmp_path, photographs, graph):
    (tmp_path / "pictures").mkdir()
    for number in range(100):
        (tmp_path / f"pictures/{number}.jpg").symlink_to(photographs[0])
    model = fne.Model(graph)
    found = []

    def job(answer):
        def listing(user, count):
            found.append((user, count))
            return answer

        options = _ffi.defaults(_ffi.JobOptions, _ffi.lib.fne_job_options_init)
        options.source = os.fsencode(tmp_path / "pictures")
        options.listing, options.listing_user = _ffi.LISTING(listing), 77
        extractor = _ffi.defaults(_ffi.ExtractorOptions, _ffi.lib.fne_extractor_options_init)
        extractor.height, extractor.width = SIZE
        return _ffi.open_handle(
            _ffi.lib.fne_job_open,
            _ffi.lib.fne_job_close,
            os.fsencode(tmp_path / "job"),
            model._handle(),
            ctypes.byref(extractor),
            ctypes.byref(options),
        )

    job(0).close()
    assert found and found[0][0] == 77 and all(0 <= count <= 100 for _, count in found)
    with pytest.raises(fne.CancelledError, match="listing was cancelled"):
        job(1)


# ---- lists


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_a_mark_before_a_list_is_no_part_of_a_name(tmp_path, photographs, model, separator):
    names = [os.fsencode(path) for path in photographs[:3]]
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbf" + b"".join(name + separator for name in names))
    assert listed(tmp_path / "list", model, tmp_path / "job") == [str(path) for path in photographs[:3]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_a_list_in_utf_16_is_an_error(tmp_path, model, encoding):
    text = "a.jpg\nb.jpg\n"
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (tmp_path / "list").write_bytes(mark + text.encode(encoding))
    with pytest.raises(fne.InvalidArgumentError, match="is a text in UTF-16. Save it as UTF-8"):
        fne.embed_dataset(tmp_path / "list", model, tmp_path / "job", size=SIZE)


# ---- images.jsonl


def test_images_jsonl_is_utf_8_for_every_name(tmp_path, photographs, graph):
    """What Arrow, pandas and Spark read. The exact bytes are in images.list."""
    folder = os.fsencode(tmp_path / "pictures")
    os.mkdir(folder)
    shown = {
        b"a \xff\xfe.jpg": "a \ufffd\ufffd.jpg",
        'b \u00e4\u65e5\U0001f600 "q" \\.jpg'.encode(): 'b \u00e4\u65e5\U0001f600 "q" \\.jpg',
        b"c\nd\r\t\x01\x1b\x7f.jpg": "c\nd\r\t\x01\x1b\x7f.jpg",
        b"e \xed\xa0\x80.jpg": "e \ufffd\ufffd\ufffd.jpg",
        "f\u0085\u009b\u2028\u2029\ufeff\u202e.jpg".encode(): "f\u0085\u009b\u2028\u2029\ufeff\u202e.jpg",
        b"g\xf0\x9f.jpg": "g\ufffd.jpg",
        b"h\xff.png": "h\ufffd.png",
    }
    for name in shown:
        shutil.copy(photographs[0], os.path.join(folder, name))
    (tmp_path / "pictures" / os.fsdecode(b"h\xff.png")).write_bytes(b"\xff no picture")
    job = fne.embed_dataset(os.fsdecode(folder), graph, tmp_path / "job", size=SIZE)
    assert job.names == [os.fsdecode(name) for name in sorted(shown)]
    assert (tmp_path / "job/images.list").read_bytes() == b"".join(name + b"\0" for name in sorted(shown))
    text = (tmp_path / "job/images.jsonl").read_bytes().decode("utf-8", "strict")
    assert not any(ord(character) < 0x20 for character in text.replace("\n", ""))
    lines = [json.loads(line) for line in text.splitlines()]  # which also splits at U+0085 and U+2028
    expected = [shown[name] for name in sorted(shown)]
    assert [line["name"] for line in lines] == expected
    table = pyarrow.json.read_json(tmp_path / "job/images.jsonl")
    assert table["name"].to_pylist() == expected and table["status"].to_pylist() == [0] * 6 + [5]
    assert table["image"].to_pylist() == list(range(7))
