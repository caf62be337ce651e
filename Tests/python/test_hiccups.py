"""Failures of the machine while images are read: they are tried again, and never taken for bad images."""

from __future__ import annotations

import os
import shutil

import failing_reads
import job_kills
import pytest

import fne

SIZE = (48, 64)


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return failing_reads.build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photographs):
    """A folder with a subfolder, 24 photographs and an image that is damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "sub").mkdir()
    for path in photographs:
        shutil.copy(path, folder / "sub")
    (folder / "sub" / "broken.jpg").write_bytes(photographs[0].read_bytes()[:2000])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pictures, graph):
    return fne.embed_dataset(pictures, graph, tmp_path_factory.mktemp("whole") / "job", size=SIZE)


def test_what_passes_is_tried_again(shim, pictures, graph):
    program = """
        paths = sorted(Path(sys.argv[1], "sub").iterdir())[:6]
        numbers = "EIO EMFILE ENFILE ESTALE ETIMEDOUT ENOMEM EAGAIN EINTR ENOTCONN EHOSTDOWN EREMOTEIO EBUSY".split()
        with fne.Extractor(Path(sys.argv[2]), size=(48, 64), on_error="skip") as extractor:
            expected = extractor.extract(paths).features
            assert np.isfinite(expected).all()
            for call in ("open", "fstat", "read"):
                for number in numbers:
                    fail(paths[3].name, call, getattr(errno, number), times=2)
                    extraction = extractor.extract(paths)
                    assert extraction.ok.all(), (call, number, extraction.reasons)
                    np.testing.assert_array_equal(extraction.features, expected)
                    assert calls() >= 3, (call, number)
        image = fne.read_image(paths[0])
        for name, function in [(paths[0].name, lambda: fne.read_image(paths[0])), ("network.pb", fne.Model)]:
            fail(name, "read", errno.ESTALE, times=2)
            result = function() if name != "network.pb" else function(Path(sys.argv[2]))
            assert calls() >= 3
    """
    failing_reads.run(shim, program, pictures, graph)


def test_what_lasts_ends_the_call(shim, pictures, graph):
    """Also where bad images are skipped, and where Python reads the images."""
    program = """
        paths = sorted(Path(sys.argv[1], "sub").iterdir())[:10]
        for on_error in ("skip", "raise"):
            with fne.Extractor(Path(sys.argv[2]), size=(48, 64), on_error=on_error, batch_size=2) as extractor:
                fail(paths[5].name, "read", errno.EIO)
                done = []
                message = raised(
                    fne.FileSystemError, extractor.extract, paths, progress=lambda now, total: done.append(now)
                )
                assert "image 5 of 10: " + str(paths[5]) + ": Input/output error" in message, message
                assert "the file may be good" in message
                assert calls() == 7 and done == [2, 4], (calls(), done)
                mixed = [fne.read_image(path) if path != paths[5] else path for path in paths]
                assert "Input/output error" in raised(fne.FileSystemError, extractor.extract, mixed)
                fail("")
                assert extractor.extract(paths[3:7]).ok.all()
        assert fne.FileSystemError.status == 23 and issubclass(fne.FileSystemError, fne.FileError)
    """
    failing_reads.run(shim, program, pictures, graph)


def test_what_is_wrong_with_the_image_is_not_tried_again(shim, pictures, graph):
    program = """
        paths = sorted(Path(sys.argv[1], "sub").iterdir())[:6]
        with fne.Extractor(Path(sys.argv[2]), size=(48, 64), on_error="skip") as extractor:
            for number in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG):
                fail(paths[3].name, "open", number)
                extraction = extractor.extract(paths)
                assert extraction.ok.tolist() == [True, True, True, False, True, True] and calls() == 1
                assert os.strerror(number) in extraction.reasons[3] and extraction.statuses[3] == 4
    """
    failing_reads.run(shim, program, pictures, graph)


def test_pillow_takes_no_hiccup_for_a_bad_image(tmp_path, shim, photographs):
    from PIL import Image

    Image.open(photographs[0]).save(tmp_path / "photograph.bmp")
    program = """
        from fne import _pillow
        from fne._images import ImageOptions, image_options_struct
        limits = image_options_struct(ImageOptions())
        path, refusal = sys.argv[1], fne.errors.UnsupportedImageError("another format")
        expected = _pillow.read(path, refusal, limits)
        for call in ("open", "read"):
            fail("photograph.bmp", call, errno.EIO)
            assert "photograph.bmp: Input/output error" in raised(
                fne.FileSystemError, _pillow.read, path, refusal, limits
            )
        fail("photograph.bmp", "open", errno.EACCES)
        assert raised(fne.errors.UnsupportedImageError, _pillow.read, path, refusal, limits) == "another format"
        fail("")
        assert (_pillow.read(path, refusal, limits) == expected).all()
    """
    failing_reads.run(shim, program, tmp_path / "photograph.bmp")


@pytest.mark.parametrize(("call", "number"), [("open", "ENFILE"), ("read", "EIO"), ("fstat", "ESTALE")])
def test_a_job_stops_and_goes_on(tmp_path, shim, pictures, graph, whole, call, number):
    program = """
        source, graph, output, call, number = sys.argv[1:]
        fail("5-1.jpg", call, getattr(errno, number))
        message = raised(fne.FileSystemError, fne.embed_dataset, source, Path(graph), output, size=(48, 64))
        assert "sub/5-1.jpg" in message and os.strerror(getattr(errno, number)) in message
        job = fne.Job(output)
        assert job.state == "running" and 0 < job.images_done < len(job)
    """
    failing_reads.run(shim, program, pictures, graph, tmp_path / "job", call, number)
    job = fne.embed_dataset(pictures, graph, tmp_path / "job", size=SIZE)
    assert [job.names[image] for image in job.failures] == ["sub/broken.jpg"]
    assert job_kills.digests(job.folder) == job_kills.digests(whole.folder)


@pytest.mark.parametrize("kind", ["folder", "list", "paths"])
def test_the_folder_of_the_images_is_gone(tmp_path, pictures, graph, whole, kind):
    """As with a share that is unmounted while a job runs. Another folder in its place is no better."""
    folder, away = tmp_path / "disk" / "pictures", tmp_path / "away"
    shutil.copytree(pictures, folder)
    root = None
    if kind == "list":
        source = tmp_path / "list.txt"
        source.write_text("".join(f"disk/pictures/{name}\n" for name in whole.names))
    else:
        source = folder if kind == "folder" else [folder / name for name in whole.names]
    output = tmp_path / "job"

    def unmount(phase, done, total):
        if done == 8:
            folder.rename(away)
            folder.mkdir(parents=True)
            (folder / "sub").mkdir()

    with pytest.raises(fne.FileSystemError, match=r"pictures/sub' is another one than when the run began"):
        fne.embed_dataset(source, graph, output, size=SIZE, progress=unmount, root=root, loader_threads=1, streams=1)
    assert 8 <= fne.Job(output).images_done < 25
    shutil.rmtree(folder)
    with pytest.raises(fne.FileError):
        fne.embed_dataset(source, graph, output, size=SIZE, root=root)
    assert 8 <= fne.Job(output).images_done < 25
    away.rename(folder)
    job = fne.embed_dataset(source, graph, output, size=SIZE, root=root)
    assert [os.path.basename(job.names[image]) for image in job.failures] == ["broken.jpg"]
    assert job.features().tobytes() == whole.features().tobytes()
