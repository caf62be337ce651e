"""`make install`, `make deb`: outside projects that know the installed copy alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

import fne
from fne._libpath import tensorflow_library

HEADERS = ["fne.h", "fne.hpp"]
CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(outside C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(fne 2.0 REQUIRED)
add_executable(embed embed.c)
target_link_libraries(embed PRIVATE fne::fne)
add_executable(neighbours neighbours.cpp)
target_link_libraries(neighbours PRIVATE fne::fne)
"""


def run(*command, cwd=None, **environment):
    """Runs a command that knows nothing of the checkout and of Python's environment."""
    clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd or "/"), "LC_ALL": "C", **environment}
    command = [str(part) for part in command]
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=clean)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def make(target, **variables):
    given = [f"{name}={value}" for name, value in variables.items()]
    result = subprocess.run(["make", "-s", target, *given], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed") / "prefix"
    make("install", PREFIX=folder)
    return folder


@pytest.fixture
def project(tmp_path):
    """Sources of an outside project: the examples, copied."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "bindings/c/embed.c", folder)
    shutil.copy(ROOT / "bindings/cpp/neighbours.cpp", folder)
    return folder


def check(folder, lite0, photographs, library_folder, **environment):
    """The two programs in a folder use the installed library, and give what Python gives."""
    environment["FNE_TENSORFLOW"] = tensorflow_library()
    images = photographs[:4]
    loaded = run("ldd", folder / "embed", **environment) + run("ldd", folder / "neighbours", **environment)
    assert re.findall(r"libfne\.so\.2 => (\S+)", loaded) == [str(library_folder / "libfne.so.2")] * 2
    run(folder / "embed", lite0, "input", "224x224", folder / "out.npy", *images, **environment)
    codes = np.load(folder / "out.npy")
    with fne.Extractor(lite0, size=(224, 224)) as extractor:
        rows = extractor.extract(images).features
    statistics = fne.Statistics(rows.shape[1]).update(rows)
    np.testing.assert_array_equal(codes, fne.ternarize(rows, statistics.mean(), statistics.std()))
    lines = run(folder / "neighbours", lite0, "224x224", *images, **environment).splitlines()
    wide = codes.astype(np.float64)
    cosines = wide @ wide.T / np.linalg.norm(wide, axis=1) / np.linalg.norm(wide, axis=1)[:, None]
    np.fill_diagonal(cosines, -2)
    expected = [f"{images[i]}\t{images[j]}\t{cosines[i, j]:.6f}" for i, j in enumerate(cosines.argmax(1))]
    assert lines == expected


def test_what_is_installed(prefix):
    library = prefix / "lib"
    assert (library / "libfne.so").readlink().name == "libfne.so.2"
    assert (library / "libfne.so.2").readlink().name == "libfne.so.2.0.0"
    assert (library / "libfne.so.2.0.0").read_bytes() == (ROOT / "build/lib/libfne.so.2.0.0").read_bytes()
    assert sorted(path.name for path in (prefix / "include").iterdir()) == HEADERS
    for file in prefix.rglob("*"):
        if file.suffix in (".cmake", ".pc"):
            assert str(ROOT) not in file.read_text() and "@" not in file.read_text(), (
                "a place of this machine, or an empty slot"
            )
    assert f"VERSION := {fne.__version__}\n" in (ROOT / "Makefile").read_text()


def test_pkg_config(project, prefix, lite0, photographs):
    where = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    assert run("pkg-config", "--modversion", "fne", **where).strip() == "2.0.0"
    for compiler, source, program in [("gcc", "embed.c", "embed"), ("g++", "neighbours.cpp", "neighbours")]:
        flags = "$(pkg-config --cflags --libs fne) -Wl,-rpath,$(pkg-config --variable=libdir fne)"
        line = f"{compiler} {source} -o {program} {flags}"
        run("sh", "-c", line, cwd=project, **where)
    check(project, lite0, photographs, prefix / "lib")


def test_plain_lines(project, prefix, lite0, photographs):
    flags = [f"-I{prefix}/include", f"-L{prefix}/lib", "-lfne"]
    run("gcc", "-std=c99", "embed.c", "-o", "embed", *flags, cwd=project)
    run("g++", "-std=c++17", "neighbours.cpp", "-o", "neighbours", *flags, cwd=project)
    check(project, lite0, photographs, prefix / "lib", LD_LIBRARY_PATH=str(prefix / "lib"))


def test_cmake_also_where_the_folder_was_moved(project, prefix, lite0, photographs, tmp_path):
    (project / "CMakeLists.txt").write_text(CMAKE)
    moved = tmp_path / "elsewhere"
    shutil.copytree(prefix, moved, symlinks=True)
    run("cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={moved}", cwd=project)
    run("cmake", "--build", "build", cwd=project)
    check(project / "build", lite0, photographs, moved / "lib")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", True),
        ("2", True),
        ("2.0", True),
        ("2.0.0 EXACT", True),
        ("1.0...<3", True),
        ("1...2.0.0", True),
        ("2.0...2.9", True),
        ("3.0", False),
        ("2.9", False),
        ("1.1", False),
        ("2.0.1 EXACT", False),
        ("1.0...<2", False),
        ("2.1...3", False),
        ("2.0 COMPONENTS gpu", False),
        ("2.0 OPTIONAL_COMPONENTS gpu", True),
    ],
)
def test_what_cmake_finds(tmp_path, prefix, asked, found):
    text = (
        f"cmake_minimum_required(VERSION 3.19)\nproject(p NONE)\nfind_package(fne {asked})\nfind_package(fne {asked})\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(text + 'message("found ${fne_FOUND} ${fne_VERSION}")\n')
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = ["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert ("found 1 2.0.0" in result.stderr + result.stdout) == found, result.stderr


def test_destdir_and_other_folders_and_uninstall(tmp_path):
    stage = tmp_path / "stage"
    places = {"PREFIX": "/opt/fne", "LIBDIR": "/opt/fne/lib64", "DESTDIR": stage}
    make("install", **places)
    assert (stage / "opt/fne/lib64/libfne.so.2").exists()
    pc = (stage / "opt/fne/lib64/pkgconfig/fne.pc").read_text()
    assert "prefix=/opt/fne\nlibdir=${prefix}/lib64\nincludedir=${prefix}/include\n" in pc and str(stage) not in pc
    cmake = (stage / "opt/fne/lib64/cmake/fne/fne-config.cmake").read_text()
    assert "${_fne_here}/../../../include" in cmake
    other = stage / "opt/fne/lib64/pkgconfig/other.pc"
    other.write_text("another package's")
    make("uninstall", **places)
    left = [path for path in stage.rglob("*") if not path.is_dir()]
    assert left == [other]


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("here", "'here' must be an absolute path"),
        ("/a b", "letters"),
        ("/a&b", "letters"),
        ("/a|b", "letters"),
        ("/a'b", "letters"),
    ],
)
def test_prefixes_that_are_refused(tmp_path, prefix, message):
    environment = {
        "PREFIX": prefix,
        "LIBDIR": "/l",
        "INCLUDEDIR": "/i",
        "DESTDIR": str(tmp_path),
        "VERSION": "2.0.0",
        "ABI": "2",
    }
    environment["PATH"] = os.environ["PATH"]
    result = subprocess.run([ROOT / "scripts/install", "install"], capture_output=True, text=True, env=environment)
    assert result.returncode == 1 and message in result.stderr and not any(tmp_path.iterdir())


def test_installed_by_another_user(tmp_path):
    """As `sudo make install` under a strict umask: without Swift, and what is installed can be read by all."""
    place = tmp_path / "prefix"
    command = f"umask 077; make -s install PREFIX={place} SWIFT=/nonexistent"
    result = subprocess.run(
        command, shell=True, cwd=ROOT, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert result.returncode == 0, result.stderr
    for path in place.rglob("*"):
        wanted = 0o755 if path.is_dir() or path.suffix == ".0" else 0o644
        assert path.is_symlink() or path.stat().st_mode & 0o777 == wanted, path


def test_every_part_of_the_cpp_header(tmp_path, prefix, graph, photographs):
    """Tests/cpp/binding.cpp in C++17 and C++20, and the arrays that it writes against NumPy."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"none")
    images = photographs[:5]
    for standard in ("c++17", "c++20"):
        out = tmp_path / standard
        out.mkdir()
        program = out / "binding"
        run(
            "g++",
            f"-std={standard}",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wshadow",
            "-Werror",
            ROOT / "Tests/cpp/binding.cpp",
            f"-I{prefix}/include",
            f"-L{prefix}/lib",
            "-lfne",
            f"-Wl,-rpath,{prefix}/lib",
            "-o",
            program,
        )
        result = run(program, graph, 48, 64, out, broken, *images, FNE_TENSORFLOW=tensorflow_library())
        assert result == "every check holds\n"
        with fne.Extractor(graph, size=(48, 64)) as extractor:
            rows = extractor.extract(images).features
        np.testing.assert_array_equal(np.fromfile(out / "features.bin", np.float32).reshape(rows.shape), rows)
        wide = rows.astype(np.float64)
        np.testing.assert_allclose(np.fromfile(out / "mean.bin"), wide.mean(0), rtol=1e-12)
        z = np.divide(wide - wide.mean(0), wide.std(0), out=np.zeros_like(wide), where=wide.std(0) > 0)
        codes = np.fromfile(out / "codes.bin", np.int8).reshape(rows.shape)
        near = np.minimum(abs(z - 0.15), abs(z + 0.25)) < 1e-6
        assert (codes == (z > 0.15).astype(np.int8) - (z < -0.25))[~near].all() and near.mean() < 0.01
        packed = np.fromfile(out / "packed.bin", np.uint64).reshape(len(rows), 2, -1)
        bits = np.unpackbits(packed.view(np.uint8), axis=2, bitorder="little")[:, :, : rows.shape[1]].astype(np.int8)
        np.testing.assert_array_equal(bits[:, 0] * (1 - 2 * bits[:, 1]), codes)
        saved = fne.PackedCodes.load(out / "saved.npy")
        np.testing.assert_array_equal(saved.unpack(), np.load(out / "job/codes.npy"))
        assert saved.layers == fne.Job(out / "job").layers
        empty = fne.PackedCodes.load(out / "empty")
        assert (len(empty), empty.feature_count, empty.layers) == (0, 5, None)


def clang():
    swift = shutil.which(os.environ.get("SWIFT", "swift"))
    return os.path.join(os.path.dirname(os.path.realpath(swift)), "clang++")


@pytest.mark.parametrize("standard", ["c++17", "c++20", "c++23"])
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_cpp_header_compiles_without_a_warning(tmp_path, prefix, compiler, standard):
    program = tmp_path / "alone.cpp"
    program.write_text("#include <fne.hpp>\n#include <fne.hpp>\nint main() {}\n")
    flags = [
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wshadow",
        "-Wconversion",
        "-Wsign-conversion",
        "-Werror",
        "-fsyntax-only",
    ]
    for source in (program, ROOT / "bindings/cpp/neighbours.cpp"):
        run(clang() if compiler == "clang++" else compiler, f"-std={standard}", *flags, f"-I{prefix}/include", source)


def test_the_cpp_header_is_of_this_release():
    text = (ROOT / "bindings/cpp/fne.hpp").read_text()
    names = re.findall(r"^inline namespace (\w+) \{", text, re.MULTILINE)
    version = fne.__version__.replace(".", "_")
    assert names == [f"v{version}_cxx20", f"v{version}_cxx17"]


def test_objects_of_two_standards_in_one_program(tmp_path, prefix):
    """An error that C++17 code throws is caught by C++20 code."""
    (tmp_path / "a.cpp").write_text('#include <fne.hpp>\nvoid fail() { fne::model("none.pb"); }\n')
    body = "try { fail(); } catch (const fne::error &e) { return e.status(); }"
    main = f"#include <fne.hpp>\nvoid fail();\nint main() {{\n    {body}\n}}\n"
    (tmp_path / "b.cpp").write_text(main)
    for name, standard in (("a", 17), ("b", 20)):
        run("g++", f"-std=c++{standard}", "-O0", "-c", f"{name}.cpp", f"-I{prefix}/include", cwd=tmp_path)
    run("g++", "a.o", "b.o", f"-L{prefix}/lib", "-lfne", f"-Wl,-rpath,{prefix}/lib", "-o", "both", cwd=tmp_path)
    assert subprocess.run([tmp_path / "both"]).returncode == 4  # FNE_FILE_ERROR


def test_debian_packages(tmp_path, lite0, photographs, project):
    """Unpacked side by side: a program by pkg-config, the command by Debian's layout, the dependencies."""
    make("deb")
    packages = {path.name.split("_")[0]: path for path in (ROOT / "build/deb").glob("*.deb")}
    assert set(packages) == {"libfne2", "libfne-dev", "python3-fne"}
    first = {name: path.read_bytes() for name, path in packages.items()}
    make("deb")
    assert {name: path.read_bytes() for name, path in packages.items()} == first, "two builds differ"
    root = tmp_path / "root"
    for path in packages.values():
        run("dpkg-deb", "-x", path, root)
        lines = run("dpkg-deb", "-c", path).splitlines()
        assert lines and all(line.split()[1] == "root/root" for line in lines)
        assert all(line[1:10] in ("rwxr-xr-x", "rw-r--r--", "rwxrwxrwx") for line in lines)
    for path in root.rglob("*"):
        assert path.is_dir() or str(ROOT).encode() not in path.read_bytes(), path
    control = tmp_path / "control"
    run("dpkg-deb", "-e", packages["libfne2"], control)
    assert (control / "triggers").read_text() == "activate-noawait ldconfig\n"
    assert (control / "shlibs").read_text() == "libfne 2 libfne2 (>= 2.0.0)\n"
    assert "Multi-Arch: same" in (control / "control").read_text()
    run("md5sum", "--check", "--quiet", control / "md5sums", cwd=root)
    assert run("dpkg-deb", "-f", packages["python3-fne"], "Depends").strip() == (
        "python3 (>= 3.10), python3-numpy (>= 1:1.24), libfne2 (= 2.0.0)"
    )
    depends = run("dpkg-deb", "-f", packages["libfne2"], "Depends")
    for name in ("libc6 (>=", "libjpeg62-turbo (>=", "libpng16-16 (>=", "libstdc++6 (>="):
        assert name in depends
    assert run("dpkg-deb", "-f", packages["libfne-dev"], "Depends").strip() == "libfne2 (= 2.0.0)"
    (library,) = root.glob("usr/lib/*/libfne.so.2")
    where = {"PKG_CONFIG_PATH": str(library.parent / "pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    line = "-o {0} {1} $(pkg-config --cflags --libs fne)"
    run("sh", "-c", "gcc " + line.format("embed", "embed.c"), cwd=project, **where)
    run("sh", "-c", "g++ -std=c++17 " + line.format("neighbours", "neighbours.cpp"), cwd=project, **where)
    check(project, lite0, photographs, library.parent, LD_LIBRARY_PATH=str(library.parent))
    # The command, on this Python, whose NumPy is not Debian's.
    environment = {
        "LD_LIBRARY_PATH": str(library.parent),
        "PYTHONPATH": f"{root}/usr/lib/python3/dist-packages:{os.path.dirname(os.path.dirname(np.__file__))}",
    }
    program = "import fne._ffi, runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    out = run(sys.executable, "-S", "-c", program, root / "usr/bin/fne", "layers", lite0, cwd=tmp_path, **environment)
    assert "49 default layers, 21008 features" in out
    assert (root / "usr/share/man/man1/fne.1.gz").exists()
