"""The machine that a benchmark ran on, and the versions of what it ran."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Packages whose versions are told, each by one of the names under which it is installed.
PACKAGES = {
    "TensorFlow": ("tensorflow-cpu", "tensorflow_cpu", "tensorflow"),
    "ONNX Runtime": ("onnxruntime", "onnxruntime-gpu"),
    "OpenVINO": ("openvino",),
    "PyTorch": ("torch",),
    "torchvision": ("torchvision",),
    "faiss": ("faiss-cpu",),
    "NumPy": ("numpy",),
    "OpenCV": ("opencv-python-headless", "opencv-python"),
    "scikit-learn": ("scikit-learn",),
}
#: Instruction sets that decide on speed, as /proc/cpuinfo names them.
INSTRUCTION_SETS = (
    *("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_vpopcntdq", "avx_vnni"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "sve", "i8mm", "bf16"),
)
ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
#: Prints whether TensorFlow uses oneDNN in this environment.
ONEDNN = "from tensorflow.python.util import _pywrap_util_port as port; print(port.IsMklEnabled())"


def description(peers: Path) -> dict[str, Any]:
    """The machine, and the versions in this Python and in that of the peers.

    Args:
        peers: the Python in which what libfne is compared with is installed, or may be
    """
    import fne

    return {
        **hardware(Path("/proc/cpuinfo").read_text(), Path("/proc/meminfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": [round(load, 1) for load in os.getloadavg()],
        "system": platform.platform(),
        "c_library": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "libfne": fne.__version__,
        "libfne_build": fne.build_info(),
        "versions": versions(),
        "peers": _versions_of(peers.absolute()) if peers.exists() else None,
        "onednn_by_default": onednn({name: text for name, text in os.environ.items() if name != ONEDNN_VARIABLE}),
        ONEDNN_VARIABLE: os.environ.get(ONEDNN_VARIABLE),
    }


def hardware(processors: str, memory: str) -> dict[str, Any]:
    """The processor, its instruction sets and the memory in GB.

    Args:
        processors: the text of /proc/cpuinfo
        memory: that of /proc/meminfo
    """
    lines = dict(line.partition(":")[::2] for line in reversed(processors.splitlines()) if ":" in line)
    facts = {name.strip(): text.strip() for name, text in lines.items()}
    flags = facts.get("flags", facts.get("Features", "")).split()
    total = next((line.split()[1] for line in memory.splitlines() if line.startswith("MemTotal:")), "0")
    return {
        "processor": facts.get("model name", platform.machine()),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "memory_gb": round(int(total) * 1024 / 1e9, 1),
    }


def versions() -> dict[str, str]:
    """The versions of the packages that this Python has."""
    found: dict[str, str] = {}
    for title, names in PACKAGES.items():
        for name in names:
            try:
                found.setdefault(title, importlib.metadata.version(name))
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _versions_of(python: Path) -> dict[str, str] | None:
    program = "import json, machine; print(json.dumps(machine.versions()))"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parent)
    found: dict[str, str] | None = json.loads(done.stdout) if done.returncode == 0 else None
    return found


def onednn(environment: Mapping[str, str]) -> bool | None:
    """Whether this Python's TensorFlow uses oneDNN in an environment. None where TensorFlow does not say it."""
    done = subprocess.run([sys.executable, "-c", ONEDNN], capture_output=True, text=True, env=environment)
    return {"True\n": True, "False\n": False}.get(done.stdout)


def text(machine: Mapping[str, Any]) -> str:
    """The machine in some lines, as docs/speed.md names it."""
    others = {**(machine["peers"] or {}), **machine["versions"]}
    onednn = {True: "on", False: "off", None: "unknown"}[machine["onednn_by_default"]]
    given = machine[ONEDNN_VARIABLE]
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']:.0f} GB of memory, "
        f"load {machine['load_at_start'][0]:.1f}\n"
        f"  instruction sets: {', '.join(machine['instruction_sets'])}\n"
        f"  {machine['system']}, Python {machine['python']}, libfne {machine['libfne']}\n"
        f"  {', '.join(f'{name} {version}' for name, version in others.items())}\n"
        f"  TensorFlow's oneDNN is {onednn} by default"
        + (f"; {ONEDNN_VARIABLE}={given} is set" if given is not None else "")
    )
