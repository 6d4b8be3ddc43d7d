"""Modules go into one file with what they need, and into none where that would change what they mean."""

import ast

import pytest
from diffusers.utils import dynamic_modules_utils

from diffusers_hunyuan_portrait.hub import flatten as flattening
from diffusers_hunyuan_portrait.hub.converted import CLASSES, OPTIONAL_CLASSES
from diffusers_hunyuan_portrait.hub.flatten import FlattenError, flatten

MODULES = ["pipeline", *(f"models.{name}" for name in (*CLASSES, *OPTIONAL_CLASSES))]
STAND_INS = {"models": "ModelMixin"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes the package consist of these modules, by their paths."""
    monkeypatch.setattr(flattening, "PACKAGE", tmp_path)

    def write(modules: dict[str, str]) -> None:
        for name, text in modules.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return write


def run(text: str) -> dict:
    """What a file defines."""
    names = {"__name__": "alone"}
    exec(compile(text, "alone.py", "exec"), names)
    return names


# -- What the package makes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_our_modules_need_nothing_of_the_package_to_be_imported(module):
    tree = ast.parse(flatten(module, STAND_INS))
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            assert statement.level == 0
            assert "hunyuan_portrait" not in statement.module
        elif isinstance(statement, ast.Import):
            assert not any("hunyuan_portrait" in alias.name for alias in statement.names)


@pytest.mark.parametrize("module", MODULES)
def test_every_class_and_function_of_a_module_is_there_once(module):
    def defined(text: str) -> list[str]:
        return [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]

    source = flattening.PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    names = defined(flatten(module, STAND_INS))
    assert len(names) == len(set(names))
    assert names[-len(defined(source.read_text())) :] == defined(source.read_text())


def test_the_pipeline_has_no_second_copy_of_the_networks():
    tree = ast.parse(flatten("pipeline", STAND_INS))
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert "HunyuanPortraitPipeline" in classes
    assert not classes & {"IMAdapter", "IDEncoder", "MotionExtractor", "PoseGuider", "HunyuanPortraitUNet"}


@pytest.mark.parametrize("module", MODULES)
def test_diffusers_sees_no_requirement_but_what_is_imported_at_the_top(module, tmp_path):
    """It looks for imports in the text, strings and functions included, and warns of those that fail."""
    file = tmp_path / "flat.py"
    file.write_text(flatten(module, STAND_INS), encoding="utf-8")
    assert dynamic_modules_utils.get_relative_imports(file) == []
    seen, tops = (
        [],
        [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)],
    )
    named = [getattr(node, "module", None) or node.names[0].name for node in tops]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dynamic_modules_utils.importlib, "import_module", seen.append)
        dynamic_modules_utils.check_imports(file)
    assert "torch" in seen
    assert set(seen) <= {name.partition(".")[0] for name in named}


# -- How modules go together -------------------------------------------------------------------------------------


def test_modules_are_put_before_those_that_import_them_each_once(package):
    package(
        {
            "lowest": "'''The lowest.'''\nimport math\n\n# Why.\nVALUE = math.floor(2.5)  # why not\n",
            "left": "from .lowest import VALUE\n\n\ndef left():\n    return VALUE\n",
            "right": "import math\nfrom .lowest import VALUE as TWO\n\n\ndef right():\n    return TWO + math.pi\n",
            "top": "'''The top.'''\nfrom .left import left\nfrom .right import right\n\nSUM = left() + right()\n",
        }
    )
    text = flatten("top")
    assert run(text)["SUM"] == pytest.approx(4 + 3.14159265)
    assert ast.get_docstring(ast.parse(text)) == "The top."
    assert text.count("import math") == text.count("VALUE = math.floor(2.5)") == 1
    assert "# The lowest.\n\n\n# Why.\nVALUE = math.floor(2.5)  # why not\n" in text
    places = [text.index(word) for word in ("lowest.py -", "def left", "def right", "SUM")]
    assert places == sorted(places)


def test_names_of_a_packages_room_are_followed_to_where_they_are_defined(package):
    package(
        {
            "base": "ONE = 1\n",
            "room/__init__": "from .inner import value\n\n__all__ = ['value']\n",
            "room/inner": "from ..base import ONE\n\n\ndef value():\n    return ONE\n",
            "top": "from .room import value\n\nRESULT = value()\n",
        }
    )
    text = flatten("top")
    assert run(text)["RESULT"] == 1
    assert "__all__" not in text


def test_what_two_modules_say_in_the_same_words_is_said_once(package):
    logger = "import logging\n\nlogger = logging.getLogger(__name__)\n"
    package({"base": f"{logger}ONE = 1\n", "top": f"{logger}from .base import ONE\n\nRESULT = ONE\n"})
    text = flatten("top")
    assert text.count("logger = ") == 1
    assert run(text)["logger"].name == "alone"


def test_imports_that_nothing_uses_are_left_out(package):
    package({"top": "import json\nimport math\nfrom os import path, sep\n\nPI = math.pi\nWHERE = path\n"})
    text = flatten("top")
    assert "import math\nfrom os import path\n" in text
    assert not {"json", "sep"} & run(text).keys()


def test_an_import_inside_a_function_is_of_the_whole_package(package):
    package(
        {
            "room": "def paint():\n    return 'red'\n",
            "base": "ONE = 1\n",
            "top": "from .base import ONE\n\n\n"
            "def late():\n"
            "    from . import room  # heavy: für später\n"
            "    from .room import paint as brush\n"
            "    from .base import ONE as uno\n"
            "    from os.path import join\n"
            "    import json\n"
            "    return room, brush, uno, join, json\n\n\n"
            "def nothing_new():\n"
            "    from .base import ONE\n"
            "    return ONE\n",
        }
    )
    text = flatten("top")
    names = run(text)
    assert names["nothing_new"]() == 1
    for line in (
        "import diffusers_hunyuan_portrait.room as room  # heavy: für später",
        "import diffusers_hunyuan_portrait.room as _room",
        "brush = _room.paint",
        "uno = ONE",
        "import os.path as _path",
        "join = _path.join",
        "import json as json",
    ):
        assert f"\n    {line}\n" in text


def test_names_for_annotations_have_a_stand_in(package):
    package(
        {
            "networks": "class Network:\n    pass\n",
            "base": "from typing import TYPE_CHECKING\n\n"
            "if TYPE_CHECKING:\n    from .networks import Network\n\n\n"
            "def see(network: 'Network'):\n    return network\n",
            "top": "from .base import see\nfrom .networks import Network\n\n\ndef look(network: Network):\n"
            "    return see(network)\n",
        }
    )
    text = flatten("top", {"networks": "object"})
    assert run(text)["look"].__annotations__ == {"network": object}
    assert "class Network" not in text


# -- What does not go together -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        (
            {"base": "SIZE = 1\n", "top": "from .base import SIZE as ONE\n\nSIZE = 2\n"},
            "SIZE is one thing in base",
        ),
        (
            {"base": "import math\n\nONE = math.e\n", "top": "from .base import ONE\n\nmath = ONE\n"},
            "math is one thing in base and another in top",
        ),
        ({"base": "import top\n", "top": "from . import base\n"}, "top.py imports base, a module"),
        (
            {"base": "from .top import TWO\n\nONE = 1\n", "top": "from .base import ONE\n\nTWO = 2\n"},
            "top and base import each other",
        ),
        ({"base": "def sum():\n    return 1\n", "top": "from .base import sum as add\n"}, "the built-in's place"),
        ({"top": "from __future__ import annotations\n"}, "would act on other modules"),
        ({"top": "from math import *\n"}, "would act on other modules"),
        ({"top": "from .nowhere import ONE\n"}, "There is no module nowhere"),
        ({"top": "def late():\n    import os.path\n    return os\n"}, "it has to say `as` what"),
    ],
)
def test_what_would_mean_another_thing_in_one_file_is_refused(modules, reason, package):
    package(modules)
    with pytest.raises(FlattenError, match=reason):
        flatten("top")
