"""The package's modules: which may import which, and what stands in one place only.

LAYERS is the picture of the package. A module imports modules of the lines below its own. It imports none of its own
line and none of the lines above, so there are no circles. An import counts wherever it stands: at the top of a module,
in a function, or for types alone.
"""

from __future__ import annotations

import ast
import re

import pytest
from conftest import ROOT

import fne
from fne import _ffi, _thresholds, errors

PACKAGE = ROOT / "bindings/python/fne"

# From the top to the bottom; names are relative to fne, which is "fne" itself.
LAYERS = """
__main__
_command
_command.completion _command.doctor _command.duplicates _command.embed _command.evaluate _command.export
_command.layers _command.mislabels _command.report _command.search _command.serve _command.verify
_command.page _command.serving
_command.gallery _command.map
_command.cleaning _command.figures
_command.searching
_command.comparison _command.map_script _command.projection _command.reading _command.serve_page _command.sheet
_command.arguments _command.markup _command.output _command.pictures
fne
_evaluation.evaluate _evaluation.retrieval _evaluation.thresholds
_evaluation.measuring
_evaluation.embedding _evaluation.kept_scores
_evaluation.result
_evaluation.plots
_evaluation.representations
_evaluation.classifiers
_evaluation _evaluation.dataset _evaluation.differences _evaluation.protocol _evaluation.ridge _evaluation.solving
_export _mislabels spark_ml
_duplicates compact fne.fne fne_torch ray sklearn spark
_cluster.worker
_cluster.column _cluster.parts
_torch_features
zoo
zoo._keras zoo._samples
_job _prepared
_extractor _places
_options _preprocessing_choice
_preprocessing_files
_hugging_face
_codes _decoder _images _kinds _model
_kept_layers _model_source
zoo._efficientnet zoo._pytorch
_timm
_config_entries _preprocessing
_freeze zoo._layered zoo._torch_file
_keras_file _saved_model
_keras_graph
_keras_calls
_backend _embedding _feeds _frozen_function _layer_names _library _outcome _pillow _selection _statistics
_torch_export _torch_features
_intake _layer
_ffi _saved _torch_identity
_cluster
_arguments _cache _centring _expansion _graph_writer _interrupts _libpath _onnx_writer _progress _thresholds
_torch_layout
_cache_limit
_folders _forest _protobuf errors
_text
"""


def full(name):
    return name if name.split(".")[0] == "fne" else f"fne.{name}"


HEIGHTS = {full(name): -line for line, text in enumerate(LAYERS.split("\n")) for name in text.split()}


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree):
    """The modules of the package that a module imports, by the names that it gives them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "fne":
                    yield alias.name, alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package"
            for alias in node.names if node.module.split(".")[0] == "fne" else ():
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in TREES else node.module, alias.asname or alias.name


ARROWS = {name: {target for target, _ in imported(tree)} for name, tree in TREES.items()}


def test_every_module_is_in_the_table():
    assert set(HEIGHTS) == set(TREES)


@pytest.mark.parametrize("name", TREES)
def test_arrows_point_down(name):
    assert [target for target in sorted(ARROWS[name]) if HEIGHTS[target] >= HEIGHTS[name]] == []


def test_there_are_no_circles():
    """It follows from the table; but a circle is named as one, and the reader of imports is tried on one."""

    def circle(arrows):
        left = dict(arrows)
        while free := [name for name, targets in left.items() if not targets & set(left)]:
            for name in free:
                del left[name]
        return sorted(left)

    assert circle(ARROWS) == []
    closing = ast.parse("def f():\n    from fne._job import Job\nif TYPE_CHECKING:\n    from fne import zoo")
    targets = {target for target, _ in imported(closing)}
    assert targets == {"fne._job", "fne.zoo"}
    found = circle({**ARROWS, "fne._progress": targets})
    assert {"fne._job", "fne._progress"} <= set(found) and "fne._ffi" not in found


@pytest.mark.parametrize("name", TREES)
def test_private_names_stay_in_their_module(name):
    """No `from fne.a import _b` and no `a._b`, but for modules."""
    modules = {alias for target, alias in imported(TREES[name]) if target.split(".")[-1] == alias}
    taken = [
        alias for target, alias in imported(TREES[name]) if alias.startswith("_") and target.split(".")[-1] != alias
    ]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            taken += [f"{node.value.id}.{node.attr}"] if re.match("_[^_]", node.attr) else []
    assert taken == []


# ---- what stands in one place


def calls(name):
    return [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("name", sorted(set(TREES) - {"fne.errors", "fne._ffi"}))
def test_errors_are_raised_by_class(name):
    """Numbers of errors stand in fne.errors alone. What the library gives is passed on as it is."""
    numbered = []
    for node in calls(name):
        function = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if function == "from_status" or function.endswith("Error"):
            numbered += [node.lineno for argument in node.args if isinstance(getattr(argument, "value", ""), int)]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Compare) and getattr(node.left, "attr", "") == "status":
            numbered.append(node.lineno)
    assert numbered == []


def test_every_error_derives_from_ours():
    """What the package raises is a class of fne.errors or one that derives from it. Python's own base is kept there."""
    own = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, fne.FNEError)}
    classes = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in range(3):  # a class may derive from one that is found later
        own |= {node.name for node in classes if own & {getattr(base, "id", "") for base in node.bases}}
    given = {"from_status", "reworded"}  # functions that return one of them
    inside = {("fne._command.arguments", "ArgumentTypeError"), ("fne._torch_identity", "_OwnCodeError")}
    inside |= {("fne._command.serving", "_Refused")}  # these are caught there
    others = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Raise) or node.exc is None:
                continue
            function = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            raised = getattr(function, "attr", getattr(function, "id", ""))
            if raised in own | given or (name, raised) in inside or not re.search("[A-Z]", raised):
                continue
            others.append(f"{name}, line {node.lineno}: {raised}")
    assert others == []
    assert {"InvalidTypeError", "UnknownLayerError", "WeightsError"} <= own and "ValueError" not in own


def test_numbers_of_errors():
    """Each number of fne.h has a class, and each class the number that its name says."""
    header = (ROOT / "include/fne.h").read_text().split("defgroup status")[1].split("defgroup")[0]
    numbers = {
        int(number): name for name, number in re.findall(r"^#define FNE_(\w+) (\d+) +/\*\*<", header, re.MULTILINE)
    }
    assert len(numbers) > 20
    assert type(errors.from_status(5, "x")) is errors.UnsupportedImageError and numbers[5] == "UNSUPPORTED_IMAGE"
    assert type(errors.from_status(10, "x")) is fne.UnknownTensorError and numbers[10] == "UNKNOWN_TENSOR"
    for number, name in numbers.items():
        if name in ("OK", "INTERNAL_ERROR"):
            continue
        failure = errors.from_status(number, "the message")
        assert type(failure) is not fne.FNEError, name
        assert (failure.status, str(failure)) == (number, "the message")
        if name != "BUFFER_TOO_SMALL":  # to Python it is an invalid argument
            assert type(failure)("x").status == number, name
    assert errors.from_status(20, "x").status == 20 and type(errors.from_status(20, "x")) is fne.FNEError


def test_thresholds_stand_once():
    """Their numbers are in fne._thresholds alone, and are the library's own defaults."""
    written = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value in (0.25, 0.15):
                written.setdefault(name, set()).add(node.value)
    assert written == {"fne._thresholds": {0.25, 0.15}}
    defaults = _ffi.defaults(_ffi.TernarizeOptions, _ffi.lib.fne_ternarize_options_init)
    assert (defaults.lower, defaults.upper) == (_thresholds.LOWER, _thresholds.UPPER)
    assert f"by default those of the paper, {_thresholds.LOWER} and {_thresholds.UPPER}" in fne.ternarize.__doc__
    assert _thresholds.LOWER in _thresholds.LOWERS and _thresholds.UPPER in _thresholds.UPPERS


def test_what_is_printed_is_made_printable():
    """One module prints what the command says, and escapes it. A progress line holds numbers alone."""
    printing = set()
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            named = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            printing |= {name} if named in ("print", "print_exc", "stdout", "stderr") else set()
    assert printing == {"fne._command.output", "fne._command.doctor", "fne._progress", "fne.fne"}
    doctor = [node for node in ast.walk(TREES["fne._command.doctor"]) if getattr(node, "attr", "") == "stdout"]
    assert len(doctor) == 1, "it is flushed"
    sentences = [node.args[0] for node in calls("fne.fne") if getattr(node.func, "id", "") == "print"]
    assert len(sentences) == 3, "those of the example, which show numbers"


def test_the_grammar_of_selectors_is_not_in_python():
    """The library knows it: no module of the package matches globs, or looks at the beginning or end of a selector."""
    for name, tree in TREES.items():
        modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert "fnmatch" not in modules, name
        looked_at = [getattr(argument, "value", "") for node in calls(name) for argument in node.args]
        assert not {"last:", "import/", ":0"} & set(filter(lambda value: isinstance(value, str), looked_at)), name
