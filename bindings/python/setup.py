"""The wheel's tag, and the library: where its sources stand beside the package (the sdist), it is built with Swift."""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "libfne"
LIBRARY = "lib/libfne.so.2"


class BuildLibrary(build_py):
    def run(self):
        super().run()
        target = Path(self.build_lib) / "fne" / LIBRARY
        if self.editable_mode or (HERE / "fne" / LIBRARY).exists() or not SOURCES.exists():
            return
        if shutil.which(os.environ.get("SWIFT", "swift")) is None:
            raise SystemExit("fne is built with Swift 6.3 or later, which is not on the PATH: swift.org/install")
        subprocess.run(["make", "-C", SOURCES, "build"], check=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCES / "build/lib/libfne.so.2", target)


class PlatformWheel(bdist_wheel):
    """Any Python 3, this platform: the library speaks C."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


setup(
    distclass=WithLibrary,
    cmdclass={"build_py": BuildLibrary, "bdist_wheel": PlatformWheel},
    data_files=[("share/man/man1", ["fne.1"])],
)
