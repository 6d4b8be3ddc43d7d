"""One file of code out of a module of this package and those it needs, for a repository that brings its code."""

import ast
import builtins
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ..convert.card import name_program
from ..model_folder import LIBRARY

PACKAGE = Path(__file__).parents[1]
LINE_LENGTH = 115

NOTICE = """\
# SPDX-License-Identifier: Apache-2.0
# Copyright the diffusers-hunyuan-portrait authors. Licensed under the Apache License, Version 2.0:
# https://www.apache.org/licenses/LICENSE-2.0
#
# Made by `hunyuan-portrait bundle` of {program} out of these modules of it:
{files}
"""


class FlattenError(Exception):
    """A module is written in a way that does not go into one file with others: its code has to be changed."""


def flatten(module: str, stand_ins: Mapping[str, str] | None = None) -> str:
    """The text of a module that can be imported where this package cannot.

    The modules that it imports from this package are put before it, each once and word for word. An import inside
    a function is of what the package has beyond this file: it stays where it is, by its full name.

    Args:
        module: its name in this package, as "models.unet".
        stand_ins: modules of this package that are left out, as what is imported from them serves annotations
            alone; each to the name that stands in for those.

    Raises:
        FlattenError: the modules do not go into one file: a name means two things, they import each other, or a
            module itself is imported rather than what is in it.
    """
    file = _File(stand_ins or {})
    file.add(module)
    return file.write()


class _Import(NamedTuple):
    """A name from outside this package: `from module import name as bound`, or `import module as bound`."""

    module: str
    name: str  # empty where it is the module itself
    bound: str

    def write(self) -> str:
        name = self.name or self.module
        return name if self.bound == name.partition(".")[0] else f"{name} as {self.bound}"


class _Module:
    """A module of this package: its statements, and its lines, some of which are rewritten."""

    def __init__(self, name: str):
        path = _find(name)
        if path is None:
            raise FlattenError(f"There is no module {name} in {LIBRARY}.")
        self.name = name
        self.file = path.relative_to(PACKAGE).as_posix()
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        text = path.read_text(encoding="utf-8")
        self.lines = [f"{line}\n" for line in text.split("\n")]
        self.tree = ast.parse(text, path)
        self.docstring = ast.get_docstring(self.tree, clean=False) or ""

    def find_target(self, node: ast.ImportFrom) -> str:
        """The module of this package that a relative import is from."""
        parts = self.package.split(".")
        parts = parts[: len(parts) + 1 - node.level]
        return ".".join(part for part in [*parts, node.module] if part)

    def find_late_imports(self) -> Iterator[ast.Import | ast.ImportFrom]:
        """The imports inside functions and under conditions."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and node not in self.tree.body:
                yield node

    def has_for_types(self, node: ast.stmt) -> bool:
        """Whether a statement is there for type checkers alone."""
        return any(_tests_for_types(top) and node in ast.walk(top) for top in self.tree.body)

    def find_own_statements(self) -> Iterator[tuple[ast.stmt, slice]]:
        """What the module itself says, each statement with its lines and those of the comments before it."""
        end = 0
        for index, statement in enumerate(self.tree.body):
            start, end = end, statement.end_lineno or statement.lineno
            is_docstring = index == 0 and bool(self.docstring)
            if not (is_docstring or isinstance(statement, ast.Import | ast.ImportFrom) or _is_all(statement)):
                yield statement, slice(start, end)

    def rewrite(self, node: ast.Import | ast.ImportFrom, replacement: Iterable[str]) -> None:
        """Puts statements in the place of one that has its lines to itself, but for a comment behind it."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        line = self.lines[first]
        indent = line[: len(line) - len(line.lstrip())]
        behind = self.lines[last].encode()[node.end_col_offset :].decode()  # the parser counts bytes
        self.lines[first] = "\n".join(indent + statement for statement in replacement) + behind
        self.lines[first + 1 : last + 1] = [""] * (last - first)

    def write_title(self) -> str:
        title = f"# -- {self.file} ".ljust(LINE_LENGTH, "-")
        return "\n".join([title, *(f"# {line}".rstrip() for line in self.docstring.splitlines())])


class _File:
    """The file to be: modules of this package in the order in which they need each other."""

    def __init__(self, stand_ins: Mapping[str, str]):
        self.stand_ins = stand_ins
        self.modules: dict[str, _Module] = {}
        self.imports: set[_Import] = set()
        self.added_lines: dict[str, list[str]] = {}  # what a module's part begins with
        self.repeated: set[ast.stmt] = set()  # what an earlier module says in the same words
        self.meanings: dict[str, tuple[str, str]] = {}  # a name to what it is, and the module that says so
        self.open: list[str] = []

    def add(self, name: str) -> None:
        """Adds a module behind those that it imports."""
        if name in self.modules:
            return
        if name in self.open:
            raise FlattenError(f"{' and '.join(self.open)} import each other.")
        self.open.append(name)
        module = _Module(name)
        self.added_lines[name] = []
        for statement in module.tree.body:
            if isinstance(statement, ast.ImportFrom) and statement.level:
                self._add_target(module, statement)
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                for item in _read_import(statement):
                    self._define(item.bound, f"{item.module}:{item.name}", name)
                    self.imports.add(item)
        for statement, _ in module.find_own_statements():
            self._add_names(statement, name)
        self.open.remove(name)
        self.modules[name] = module

    def _add_target(self, module: _Module, node: ast.ImportFrom) -> None:
        """Adds the module that `node` imports from, and the names by which `module` calls what is in it."""
        target = module.find_target(node)
        lines = self.added_lines[module.name]
        if target in self.stand_ins:
            bound = [alias.asname or alias.name for alias in node.names]
            lines.append(" = ".join([*bound, self.stand_ins[target]]))
            for name in bound:
                self._define(name, self.stand_ins[target], module.name)
            return
        for alias in node.names:
            if _find(f"{target}.{alias.name}".lstrip(".")) is not None:
                raise FlattenError(f"{module.file} imports {alias.name}, a module, and not what is in it.")
        self.add(target)
        for alias in node.names:
            if alias.name not in self.meanings:
                raise FlattenError(f"{module.file} imports {alias.name}, which {target} does not say what it is.")
            if alias.asname is not None:
                lines.append(f"{alias.asname} = {alias.name}")
                self._define(alias.asname, alias.name, module.name)

    def _add_names(self, statement: ast.stmt, module: str) -> None:
        """Keeps account of the names that a statement of a module defines."""
        text, names = ast.unparse(statement), sorted(_find_names(statement))
        earlier = [self.meanings.get(name, ("", module)) for name in names]
        if names and all(meaning == text and owner != module for meaning, owner in earlier):
            self.repeated.add(statement)
            return
        for name in names:
            self._define(name, text, module)

    def _define(self, name: str, meaning: str, module: str) -> None:
        if hasattr(builtins, name):
            raise FlattenError(f"{module} defines {name}, which would take the built-in's place elsewhere.")
        earlier, owner = self.meanings.setdefault(name, (meaning, module))
        if earlier != meaning and owner != module:
            raise FlattenError(f"{name} is one thing in {owner} and another in {module}.")

    # -- Writing -------------------------------------------------------------------------------------------

    def write(self) -> str:
        *others, root = self.modules.values()
        sections = []
        for module in others:
            body = self._write_body(module)
            if body:
                sections += [module.write_title(), body]
        sections.append(self._write_body(root))
        words = set(re.findall(r"\w+", "\n".join(sections)))
        imports = _write_imports(item for item in self.imports if item.bound in words)
        names = ", ".join(sorted(module.file for module in self.modules.values()))
        files = textwrap.fill(f"{names}.", LINE_LENGTH, initial_indent="# ", subsequent_indent="# ")
        head = NOTICE.format(program=name_program(), files=files)
        return "\n\n\n".join([f'{head}"""{root.docstring}"""\n\n{imports}', *sections]) + "\n"

    def _write_body(self, module: _Module) -> str:
        for node in module.find_late_imports():
            module.rewrite(node, list(dict.fromkeys(self._write_late_import(module, node))) or ["pass"])
        own = [
            "".join(module.lines[part])
            for statement, part in module.find_own_statements()
            if statement not in self.repeated
        ]
        added = "\n".join(self.added_lines[module.name])
        return "\n\n".join(part for part in [added, "".join(own).strip("\n")] if part)

    def _write_late_import(self, module: _Module, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """Statements for an import inside a function or under a condition.

        They are neither `from … import` nor a bare `import …`: before diffusers runs a file it imports whatever a
        line of these forms names, anywhere in it, and warns of what is not there.
        """
        is_own, target = False, ""
        if isinstance(node, ast.ImportFrom) and node.level:
            is_own, target = True, module.find_target(node)
        for item in _read_import(node):
            inner = f"{target}.{item.name}".lstrip(".")
            if is_own and target in self.modules:
                if item.bound != item.name:
                    yield f"{item.bound} = {item.name}"
            elif is_own and target in self.stand_ins and module.has_for_types(node):
                yield f"{item.bound} = {self.stand_ins[target]}"
            elif is_own and _find(inner) is not None:
                yield f"import {LIBRARY}.{inner} as {item.bound}"
            elif item.name:
                full_name = f"{LIBRARY}.{target}".rstrip(".") if is_own else item.module
                short_name = f"_{full_name.rpartition('.')[2].lstrip('_')}"
                yield f"import {full_name} as {short_name}"
                yield f"{item.bound} = {short_name}.{item.name}"
            elif "." in item.module and item.bound == item.module.partition(".")[0]:
                raise FlattenError(f"{module.file} imports {item.module} late; it has to say `as` what.")
            else:
                yield f"import {item.module} as {item.bound}"


def _find(name: str) -> Path | None:
    """The file of a module of this package."""
    path = PACKAGE.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _is_all(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"


def _read_import(node: ast.Import | ast.ImportFrom) -> Iterator[_Import]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            if node.module == "__future__" or alias.name == "*":
                raise FlattenError(f"`{ast.unparse(node)}` would act on other modules, too.")
            yield _Import(node.module or "", alias.name, alias.asname or alias.name)
        else:
            yield _Import(alias.name, "", alias.asname or alias.name.partition(".")[0])


def _tests_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _find_names(statement: ast.AST) -> Iterator[str]:
    """The names that a statement defines for its module when it is run."""
    if _tests_for_types(statement):
        return
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
        yield statement.id
    elif isinstance(statement, ast.alias):
        yield statement.asname or statement.name.partition(".")[0]
    elif not isinstance(statement, ast.Lambda | ast.comprehension):
        for child in ast.iter_child_nodes(statement):
            yield from _find_names(child)


def _write_imports(imports: Iterable[_Import]) -> str:
    """Import statements in the order and form that is usual: the standard library first."""

    def is_foreign(item: _Import) -> bool:
        return item.module.partition(".")[0] not in sys.stdlib_module_names

    def place(item: _Import) -> tuple[str, str]:
        return item.module.lower(), item.bound

    def rank(name: str) -> tuple[int, str]:  # constants, classes, functions
        return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name

    parts = []
    for _, part in groupby(sorted(imports, key=is_foreign), key=is_foreign):
        items = list(part)
        lines = [f"import {item.write()}" for item in sorted(items, key=place) if not item.name]
        named = sorted((item for item in items if item.name), key=place)
        for module, group in groupby(named, key=lambda item: item.module):
            names = sorted((item.write() for item in group), key=rank)
            line = f"from {module} import {', '.join(names)}"
            if len(line) > LINE_LENGTH:
                line = f"from {module} import (\n    " + ",\n    ".join(names) + ",\n)"
            lines.append(line)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
