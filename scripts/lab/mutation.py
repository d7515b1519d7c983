# SPDX-License-Identifier: GPL-2.0
"""Makes mutants by mechanical rules: ``python -m lab.mutation TREE [--redraw] [--write]``.

Each function of each source file is offered to each rule: delete a statement, negate a condition,
swap two calls, drop a wake-up, return early. Where there are no functions there are other rules:
delete a line, change a constant, misspell a name, delete a row of a table. Of all candidates some
are drawn, from a seed that ``tests/mutants/sample.toml`` records with the commit that they were
drawn from: at least one of each file, of as many functions and by as many rules as possible. What
is drawn from a file depends on nothing but that file, its name, and the seed.

A mutant that does not build is listed in ``sample.toml`` as rejected, with the reason. For these,
and for those that no longer apply after a change to the source, ``--redraw`` draws others, and one
for each file that has none.

It runs in the environment of the Python tools, which has parsers of Rust, C, and shell.
"""

import argparse
import ast
import functools
import itertools
import random
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import tree_sitter_bash
import tree_sitter_c
import tree_sitter_rust
from tree_sitter import Language, Node, Parser

from lab import mutant
from lab.mutant import Edit, Mutant

SAMPLE = mutant.FOLDER / "sample.toml"

DELETE = "delete-statement"
NEGATE = "negate-condition"
SWAP = "swap-calls"
FIELDS = "swap-fields"
WAKE = "drop-wake-up"
RETURN = "return-early"
CONSTANT = "change-constant"
LINE = "delete-line"
NAME = "misspell-name"
ROW = "delete-row"

# What wakes somebody up, tells somebody, or lets go what somebody waits for.
_WAKES = re.compile(r"wake|notify|urge|signal|kill|raise|flush")

# What only checks that a program is right, or tells how far it is.
_ASIDE = re.compile(r"(debug_|const_|build_|static_)?assert(_\w+)?|build_error|pr_\w+|say")

# Where a module of tests begins.
_TESTS = re.compile(r"cfg\((all\()?(test|CONFIG_KUNIT|kunit)|kunit_tests|^#\[test\]|cfg\(loom\)")

_CONTEXT_LINES = 8


@dataclass(frozen=True)
class Candidate:
    """What a rule would do to a text: replace what is between two places, in characters."""

    function: str
    rule: str
    start: int
    end: int
    text: str


Rules = Callable[[str], Iterator[Candidate]]


# Rust


def rust(text: str) -> Iterator[Candidate]:
    """Yields what the rules would do to a file in Rust."""
    tree = _Tree(text, tree_sitter_rust.language())
    for name, function in _rust_functions(tree, tree.root, ()):
        body = function.child_by_field_name("body")
        if body is None:
            continue
        returns = function.child_by_field_name("return_type")
        for value in _rust_values(tree.text(returns) if returns else ""):
            # Not in front of an inner attribute.
            yield _at_start(tree, name, body, f"return{value and ' '}{value};")
        for node in _walk(body, {"function_item", "mod_item", "impl_item"}):
            yield from _rust_conditions(tree, name, node)
            if node.type == "block":
                unit = returns is None and node == body
                yield from _rust_statements(tree, name, node, tail=unit)
            if node.type == "field_initializer_list":
                yield from _rust_fields(tree, name, node)
    yield from _constants(tree, {"const_item", "static_item"}, {"integer_literal"})


def rust_names(text: str) -> Iterator[Candidate]:
    """Yields that each text of a file in Rust lacks its last letter."""
    tree = _Tree(text, tree_sitter_rust.language())
    for item in _rust_items(tree, tree.root):
        for node in _walk(item, set()):
            if node.type == "string_literal" and tree.text(node)[1:-2]:
                yield tree.replace("", NAME, node, tree.text(node)[:-2] + '"')


def _rust_functions(tree: "_Tree", node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, Node]]:
    """Yields the functions below a node that are no tests, with their names."""
    for child in _rust_items(tree, node):
        name = child.child_by_field_name("name") or child.child_by_field_name("type")
        inner = (*path, re.sub(r"<.*", "", tree.text(name), flags=re.DOTALL)) if name else path
        if child.type == "function_item":
            yield "::".join(inner), child
        body = child.child_by_field_name("body")
        if body and child.type in {"mod_item", "impl_item", "trait_item", "function_item"}:
            yield from _rust_functions(tree, body, inner)


def _rust_items(tree: "_Tree", node: Node) -> Iterator[Node]:
    """Yields what is directly below a node, but for comments, attributes, and tests."""
    attributes = ""
    for child in node.named_children:
        if child.type == "attribute_item":
            attributes += tree.text(child)
        elif "comment" not in child.type:
            if not _TESTS.search(attributes):
                yield child
            attributes = ""


def _rust_values(returns: str) -> list[str]:
    """Returns what a function of this type may return early."""
    returns = " ".join(returns.split())
    if not returns:
        return [""]
    if returns == "bool":
        return ["true", "false"]
    if re.fullmatch(r"[iu](8|16|32|64|size)|c_u?(int|long)|ffi::c_\w+", returns):
        return ["0"]
    if re.fullmatch(r"(\w+::)*Result(<\(\)(, .*)?>)?", returns):
        return ["Ok(())"]
    if re.fullmatch(r"(\w+::)*Result<[iu](8|16|32|64|size)(, .*)?>", returns):
        return ["Ok(0)"]
    if re.fullmatch(r"(\w+::)*Result<bool(, .*)?>", returns):
        return ["Ok(false)"]
    known = {"String": "String::new()", "ExitCode": "ExitCode::SUCCESS"}
    if returns in known:
        return [known[returns]]
    if returns.startswith("Option<"):
        return ["None"]
    if returns.startswith("Vec<"):
        return ["Vec::new()"]
    return ['""'] if re.fullmatch(r"&('\w+ )?str", returns) else []


def _rust_conditions(tree: "_Tree", name: str, node: Node) -> Iterator[Candidate]:
    condition = None
    if node.type in {"if_expression", "while_expression", "match_pattern"}:
        condition = node.child_by_field_name("condition")
    elif node.type == "binary_expression":
        operator = node.child_by_field_name("operator")
        within = node.parent.type if node.parent else ""
        if operator and tree.text(operator) in _COMPARISONS and within not in _CONDITIONS:
            condition = node
    if condition is None or condition.type in {"let_condition", "let_chain"}:
        return
    text = tree.text(condition)
    opposite = text[1:] if condition.type == "unary_expression" and text[0] == "!" else None
    yield tree.replace(name, NEGATE, condition, opposite or f"!({text})")


# What says yes or no, and where that is the condition of something, which is another candidate.
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">=", "&&", "||"}
_CONDITIONS = {"if_expression", "while_expression", "match_pattern", "let_chain"}


def _rust_fields(tree: "_Tree", name: str, fields: Node) -> Iterator[Candidate]:
    values = [
        value
        for field in fields.named_children
        if field.type == "field_initializer" and (value := field.child_by_field_name("value"))
    ]
    for one, two in pairwise(values):
        # Others are hardly ever of one type.
        if one.type == two.type:
            for swapped in tree.swap(name, one, two):
                yield replace(swapped, rule=FIELDS)


def _rust_statements(tree: "_Tree", name: str, block: Node, *, tail: bool) -> Iterator[Candidate]:
    statements = [child for child in block.named_children if "comment" not in child.type]
    simple = [
        _rust_simple(tree, child, tail=tail and child == statements[-1]) for child in statements
    ]
    for node, callee in zip(statements, simple, strict=True):
        if callee is not None:
            yield tree.delete(name, WAKE if _WAKES.search(callee) else DELETE, node)
    for (one, two), (first, second) in zip(pairwise(statements), pairwise(simple), strict=True):
        if first and second and one.type == two.type == "expression_statement":
            yield from tree.swap(name, one, two)


def _rust_simple(tree: "_Tree", node: Node, *, tail: bool) -> str | None:
    """Returns what a statement calls, if it can be deleted; empty if it calls nothing."""
    if node.type == "expression_statement":
        [expression, *_] = node.named_children
        follower = node.next_sibling
        # A block may be the value of the one around it.
        valued = follower is not None and follower.type == "}"
        if expression.type == "unsafe_block" and valued and not tail:
            return None
    elif tail and node.type in {"call_expression", "macro_invocation", "if_expression"}:
        expression = node
    else:
        return None
    if expression.type == "if_expression":
        return None if expression.child_by_field_name("alternative") else ""
    if expression.type in {"assignment_expression", "compound_assignment_expr"}:
        return ""
    while expression.type in {"try_expression", "await_expression", "unsafe_block", "block"}:
        children = [child for child in expression.named_children if "comment" not in child.type]
        if len(children) != 1:
            return "" if expression.type == "unsafe_block" else None
        [expression] = children
        if expression.type == "expression_statement":
            [expression, *_] = expression.named_children
    if expression.type == "macro_invocation":
        macro = expression.child_by_field_name("macro")
        callee = tree.text(macro) if macro else ""
        return None if _ASIDE.fullmatch(callee.rpartition("::")[2]) else callee
    if expression.type == "call_expression":
        function = expression.child_by_field_name("function")
        # Of a chain of calls the last one counts.
        return re.split(r"[.:]", tree.text(function).strip())[-1] if function else None
    return None


# C


def c(text: str) -> Iterator[Candidate]:
    """Yields what the rules would do to a file in C."""
    tree = _Tree(text, tree_sitter_c.language())
    for function in _walk(tree.root, set()):
        body = function.child_by_field_name("body")
        declarator = function.child_by_field_name("declarator")
        returns = function.child_by_field_name("type")
        if function.type != "function_definition" or not (body and declarator and returns):
            continue
        match = re.search(r"\w+(?=\s*\()", tree.text(declarator))
        name = match[0] if match else ""
        pointer = tree.text(declarator).startswith("*")
        value = " NULL" if pointer else "" if tree.text(returns) == "void" else " 0"
        if pointer or re.fullmatch(
            r"void|bool|\w*int|\w*long|s?size_t|__poll_t", tree.text(returns)
        ):
            yield _at_start(tree, name, body, f"return{value};")
        for node in _walk(body, set()):
            condition = node.child_by_field_name("condition")
            if node.type in {"if_statement", "while_statement"} and condition:
                yield tree.replace(name, NEGATE, condition, f"(!{tree.text(condition)})")
            if node.type == "compound_statement":
                yield from _c_statements(tree, name, node)
    yield from _constants(tree, {"preproc_def", "enumerator"}, {"number_literal"}, r"\d+\w*")


def _c_statements(tree: "_Tree", name: str, block: Node) -> Iterator[Candidate]:
    statements = [child for child in block.named_children if child.type != "comment"]

    def callee(node: Node) -> str | None:
        if node.type == "if_statement":
            return None if node.child_by_field_name("alternative") else ""
        if node.type != "expression_statement" or not node.named_children:
            return None
        expression = node.named_children[0]
        function = expression.child_by_field_name("function")
        return tree.text(function) if function else ""

    for node in statements:
        called = callee(node)
        if called is not None:
            yield tree.delete(name, WAKE if _WAKES.search(called) else DELETE, node)
    for one, two in pairwise(statements):
        if callee(one) and callee(two):
            yield from tree.swap(name, one, two)


# Shell


def shell(text: str) -> Iterator[Candidate]:
    """Yields what the rules would do to a shell script; what is in no function is its "main"."""
    tree = _Tree(text, tree_sitter_bash.language())
    blocks = [("main", tree.root)]
    for node in _walk(tree.root, set()):
        function = node.child_by_field_name("name") if node.type == "function_definition" else None
        body = node.child_by_field_name("body")
        if function and body:
            blocks.append((tree.text(function), body))
            yield _at_start(tree, tree.text(function), body, "return 0")
    for name, block in blocks:
        for node in _walk(block, {"function_definition"}):
            if node.type == "if_statement":
                condition = node.child_by_field_name("condition")
                if condition:
                    said = tree.text(condition)
                    opposite = said[1:].lstrip() if said.startswith("!") else f"! {said}"
                    yield tree.replace(name, NEGATE, condition, opposite)
            if node.type in {"program", "compound_statement", "do_group", "if_statement",
                             "else_clause", "case_item", "subshell"}:  # fmt: skip
                yield from _shell_statements(tree, name, node)


def _shell_statements(tree: "_Tree", name: str, block: Node) -> Iterator[Candidate]:
    simple = {"command", "redirected_statement", "pipeline", "list"}
    condition = block.child_by_field_name("condition")
    statements = [
        child for child in block.named_children if child.type != "comment" and child != condition
    ]
    for node in statements:
        if node.type in simple and not tree.text(node).startswith(("set ", ". ")):
            rule = WAKE if _WAKES.match(tree.text(node)) else DELETE
            yield tree.replace(name, rule, node, ":")
    for one, two in pairwise(statements):
        settings = tree.text(one).startswith("set ")
        if one.type in simple and two.type in simple and not settings:
            yield from tree.swap(name, one, two)


# Python


def python(text: str) -> Iterator[Candidate]:
    """Yields what the rules would do to a file in Python."""
    places = _Places(text)
    module = ast.parse(text)
    for name, function in _python_functions(module, ()):
        body = function.body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:] or function.body
        first, _ = places.of(body[0])
        for value in _python_values(function.returns):
            indent = " " * body[0].col_offset
            early = f"return{value and ' '}{value}\n{indent}"
            yield Candidate(name, RETURN, first, first, early)
        for node in _python_walk(function):
            for test in _python_conditions(node):
                start, end = places.of(test)
                said = text[start:end]
                opposite = f"not ({said})"
                if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                    opposite = said.removeprefix("not ")
                yield Candidate(name, NEGATE, start, end, opposite)
            for field in ("body", "orelse", "finalbody"):
                statements = getattr(node, field, None)
                if isinstance(statements, list):
                    yield from _python_statements(name, places, statements)
    classes = [node.body for node in module.body if isinstance(node, ast.ClassDef)]
    for statement in [*module.body, *itertools.chain.from_iterable(classes)]:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            for constant in ast.walk(statement.value):
                if isinstance(constant, ast.Constant) and type(constant.value) in {int, float}:
                    start, end = places.of(constant)
                    yield Candidate("", CONSTANT, start, end, f"({text[start:end]} + 1)")


def _python_functions(
    node: ast.AST, path: tuple[str, ...]
) -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = (*path, child.name)
            if isinstance(child, ast.FunctionDef):
                yield ".".join(inner), child
            yield from _python_functions(child, inner)


def _python_values(returns: ast.expr | None) -> list[str]:
    said = ast.unparse(returns) if returns else ""
    known = {"None": [""], "bool": ["True", "False"], "int": ["0"], "float": ["0.0"],
             "str": ['""'], "Exit": ["Exit.PASSED"]}  # fmt: skip
    if said in known:
        return known[said]
    if said.endswith("| None"):
        return ["None"]
    return ["[]"] if said.startswith("list[") else ["{}"] if said.startswith("dict[") else []


def _python_walk(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yields the nodes of a function, but not those of functions in it."""
    waiting: list[ast.AST] = [function]
    while waiting:
        node = waiting.pop(0)
        yield node
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.FunctionDef | ast.ClassDef)
        ]


def _python_conditions(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return [node.test] if not isinstance(node.test, ast.Constant) else []
    return node.ifs if isinstance(node, ast.comprehension) else []


def _python_statements(
    name: str, places: "_Places", statements: Sequence[ast.stmt]
) -> Iterator[Candidate]:
    for node in statements:
        callee = _python_callee(node)
        if callee is None:
            continue
        start, end = places.of(node)
        yield Candidate(name, WAKE if _WAKES.search(callee) else DELETE, start, end, "pass")
    for one, two in pairwise(statements):
        if _python_callee(one) and _python_callee(two):
            yield from places.swap(name, one, two)


def _python_callee(node: ast.stmt) -> str | None:
    """Returns what a statement calls, if it can be deleted; empty if it calls nothing."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.YieldFrom | ast.Yield):
        function = node.value.func if isinstance(node.value, ast.Call) else None
        callee = ast.unparse(function).rpartition(".")[2] if function else ""
        return None if _ASIDE.fullmatch(callee) else callee
    if isinstance(node, ast.AugAssign | ast.Delete):
        return ""
    if isinstance(node, ast.If) and not node.orelse:
        return ""
    assigns = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
    return "" if assigns else None


# What has no functions


def transcript(text: str) -> Iterator[Candidate]:
    """Yields that each line of what a terminal shows is deleted."""
    for start, line in _lines(text):
        if line.strip():
            yield Candidate("", LINE, start, start + len(line) + 1, "")


def lines(text: str) -> Iterator[Candidate]:
    """Yields what the rules would do to a list, a configuration, or a makefile."""
    section = ""
    comment = re.compile(r"\s*(#|//|/?\*|--|\.\\\"|$)")
    for start, line in _lines(text):
        if comment.match(line) or not re.search(r"\w", line):
            continue
        if match := re.match(r"(ifeq|ifneq|ifdef|ifndef)\b", line):
            opposite = {"ifeq": "ifneq", "ifneq": "ifeq", "ifdef": "ifndef", "ifndef": "ifdef"}
            yield Candidate(section, NEGATE, start, start + match.end(), opposite[match[1]])
            continue
        if match := re.match(r"(\[.*\]|[\w./$()-]+(?=\s*:(?!=))|[a-z]+ \w+$)", line):
            section = match[1]
        if re.match(r"(else|endif|endmenu|fi|esac|[\]})]+)\b", line.strip()):
            continue
        yield Candidate(section, LINE, start, start + len(line) + 1, "")
        if match := re.search(r"(?<==)y$", line):
            yield Candidate(section, CONSTANT, start + match.start(), start + match.end(), "n")


def assignments(text: str) -> Iterator[Candidate]:
    """Yields that assignments in a file of macros are deleted."""
    for start, line in _lines(text):
        if re.fullmatch(r"\s+[\w>.-]+ = .*;", line):
            yield Candidate("", DELETE, start, start + len(line) + 1, "")


def document(text: str) -> Iterator[Candidate]:
    """Yields what the rules would do to a document: to the names, rows, and examples in it."""
    section, before, block = "", "", False
    for start, line in _lines(text):
        if re.fullmatch(r"([=\-~^])\1{2,}", line) and before.strip():
            section = before.strip()
        elif line.startswith("#"):
            section = line.lstrip("# ")
        if line.strip() and not line.startswith(" "):
            block = before.rstrip().endswith("::") and not line.startswith("..")
        if line.rstrip().endswith("::"):
            block = True
        stripped = line.strip()
        if block and line.startswith(("   ", "\t")) and re.search(r"^(?!:).*\w", stripped):
            yield Candidate(section, LINE, start, start + len(line) + 1, "")
        elif re.match(r"\| *`|(``\S+``|\w[\w-]*)  +\S.*\S", line):
            yield Candidate(section, ROW, start, start + len(line) + 1, "")
        for match in re.finditer(r"(?<![`\w])(``?)([\w./*-]{4,}(?:\(\))?)\1(?![`_\w])", line):
            name, at = match[2], start + match.start(2)
            end = at + len(name.removesuffix("()").rstrip("/.*"))
            yield Candidate(section, NAME, end - 1, end, "")
        before = line


# What is common


class _Places:
    """The places of a Python file's nodes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [start for start, _ in _lines(text)]

    def of(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Returns where a node begins and ends, in characters."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._at(node.lineno, node.col_offset),
            self._at(node.end_lineno, node.end_col_offset),
        )

    def swap(self, name: str, one: ast.stmt, two: ast.stmt) -> Iterator[Candidate]:
        """Yields that two statements are swapped."""
        (start, middle), (again, end) = self.of(one), self.of(two)
        first, second = self._text[start:middle], self._text[again:end]
        if first != second:
            yield Candidate(name, SWAP, start, end, second + self._text[middle:again] + first)

    def _at(self, line: int, column: int) -> int:
        start = self._lines[line - 1]
        # Columns are counted in bytes.
        encoded = self._text[start:].split("\n", 1)[0].encode()
        return start + len(encoded[:column].decode())


class _Tree:
    """A file as tree-sitter sees it."""

    def __init__(self, text: str, language: object) -> None:
        self._bytes = text.encode()
        self.root = Parser(Language(language)).parse(self._bytes).root_node

    def text(self, node: Node) -> str:
        """Returns a node's text."""
        return self._bytes[node.start_byte : node.end_byte].decode()

    def replace(self, name: str, rule: str, node: Node, text: str) -> Candidate:
        """Has a text in place of a node."""
        return Candidate(name, rule, self._at(node.start_byte), self._at(node.end_byte), text)

    def delete(self, name: str, rule: str, node: Node) -> Candidate:
        """Has nothing in place of a node, nor of its lines if nothing else is on them."""
        start, end = self._at(node.start_byte), self._at(node.end_byte)
        text = self._bytes.decode()
        if text[end : end + 1] == ";":
            end += 1
        line_start = text.rfind("\n", 0, start) + 1
        line_end = text.find("\n", end)
        if not text[line_start:start].strip() and not text[end:line_end].strip():
            return Candidate(name, rule, line_start, line_end + 1, "")
        return Candidate(name, rule, start, end, "")

    def swap(self, name: str, one: Node, two: Node) -> Iterator[Candidate]:
        """Yields that two nodes are swapped, and what is between them is not."""
        first, second = self.text(one), self.text(two)
        if first != second:
            between = self._bytes[one.end_byte : two.start_byte].decode()
            text = second + between + first
            yield Candidate(name, SWAP, self._at(one.start_byte), self._at(two.end_byte), text)

    def _at(self, byte: int) -> int:
        return len(self._bytes[:byte].decode())


def _at_start(tree: _Tree, name: str, body: Node, statement: str) -> Candidate:
    """Has a statement come first in a block."""
    place = tree.replace(name, RETURN, body, "")
    said = tree.text(body)
    brace = said.index("{") + 1 if "{" in said else 0
    inside = re.match(r"[^\n]*\n([ \t]*)", said[brace:])
    indent = inside[1] if inside else ""
    text = f"\n{indent}{statement}" if inside else f" {statement}"
    return replace(place, start=place.start + brace, end=place.start + brace, text=text)


def _constants(
    tree: _Tree, items: set[str], literals: set[str], pattern: str = r"[\d_]+(_?[iu]\w+)?"
) -> Iterator[Candidate]:
    """Yields that constants outside of functions are another number."""
    for item in _walk(tree.root, {"function_item", "function_definition", "mod_item"}):
        name = item.child_by_field_name("name")
        # What is called so is asserted, and not used.
        if item.type not in items or (name and tree.text(name) == "_"):
            continue
        for node in _walk(item, set()):
            text = tree.text(node)
            if node.type == "preproc_arg" or node.type in literals:
                value = text.split("/*")[0].strip()
                if re.fullmatch(pattern, value):
                    yield tree.replace("", CONSTANT, node, text.replace(value, f"({value} + 1)", 1))


def _walk(node: Node, without: set[str]) -> Iterator[Node]:
    """Yields a node and all below it, but not what is inside of certain types."""
    yield node
    for child in node.named_children:
        if child.type not in without:
            yield from _walk(child, without)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


# Which files there are, and what is drawn


@dataclass(frozen=True)
class Part:
    """The files of a part, the first pattern that matches decides, and how many are drawn."""

    name: str
    patterns: tuple[str, ...]
    draws: int
    without: tuple[str, ...] = ()


ALL = (
    Part("channel", ("src/channel/*",), 28),
    Part("staging", ("src/staging/*", "include/trace/events/*"), 36),
    Part("endpoint", ("src/*.rs", "include/uapi/linux/*"), 24, ("src/ring/*",)),
    Part("tools", ("tools/*/src/*.rs", "samples/*"), 54, ("*/Cargo.toml", "*/.gitignore")),
    Part(
        "lab",
        ("scripts/*", "tests/user/src/harness.rs", "tests/user/src/klog.rs",
         "tests/user/src/main.rs", "tests/user/src/module.rs", "tests/lab/conftest.py",
         "tests/lab/fake_qemu.py", "tests/lab/red/*", "tests/packages/*", "tests/in-tree/*",
         "tests/samples/run", "tests/samples/lib.sh", ".ci/run",
         # What judges a sequence of system calls.
         "tests/fuzz/src/oracle.rs", "tests/fuzz/src/oracle/*", "tests/fuzz/src/program.rs",
         "tests/fuzz/src/search.rs"),
        127,
        ("*.gdb", "*/requirements*.txt", "*/oracle/tests.rs"),
    ),
    Part(
        "documents",
        ("README.md", "CHANGELOG.md", "Makefile", "Kbuild", "Kconfig", "src/Kbuild", "dkms.conf",
         "Documentation/*.rst", "Documentation/man/*", "Documentation/ABI/*",
         "Documentation/guide/*", "Documentation/conf.py", "packaging/*", "debian/*",
         ".github/workflows/*"),
        76,
        # What `make bench`, `make mistakes` and `make test-matrix` write.
        ("Documentation/performance/*", "Documentation/mistakes/*", "Documentation/matrix/*"),
    ),
)  # fmt: skip


# Files without a mutant, and why.
WITHOUT = {
    "scripts/lab/__init__.py": "there is nothing in it but its description",
    "src/staging/mod.rs": "it lists modules: without one of them nothing compiles",
    "tools/ringdev/src/lib.rs": "likewise",
}

# What else there is where these find nothing.
ELSE: dict[str, Rules] = {".rs": rust_names, ".h": assignments}


def rules_of(file: Path, text: str) -> Rules:
    """Returns the rules for a file."""
    suffixes: dict[str, Rules] = {".rs": rust, ".c": c, ".h": c, ".py": python, ".md": document,
                                  ".rst": document, ".sh": shell}  # fmt: skip
    first = text.partition("\n")[0]
    if file.suffix in suffixes:
        return suffixes[file.suffix]
    if file.match("Documentation/guide/*.txt"):
        return transcript
    return shell if re.match(r"#!.*\b(ba|da|)sh\b", first) else lines


def candidates(file: Path, text: str) -> list[Candidate]:
    """Returns all that the rules would do to a file, in order."""
    found = {(one.start, one.end, one.text): one for one in rules_of(file, text)(text)}
    if not found and file.suffix in ELSE:
        found = {(one.start, one.end, one.text): one for one in ELSE[file.suffix](text)}
    return [found[key] for key in sorted(found)]


def part_of(file: str) -> Part | None:
    """Returns the part that a file belongs to."""
    for part in ALL:
        matches = functools.partial(fnmatchcase, file)
        if any(map(matches, part.patterns)) and not any(map(matches, part.without)):
            return part
    return None


def order(found: Sequence[Candidate], seed: str) -> Iterator[Candidate]:
    """Yields candidates in a random order, of other functions and by other rules first."""
    draw = random.Random(seed)
    left = list(found)
    draw.shuffle(left)
    functions: dict[str, int] = {}
    rules: dict[str, int] = {}
    while left:
        best = min(left, key=lambda one: (functions.get(one.function, 0), rules.get(one.rule, 0)))
        left.remove(best)
        functions[best.function] = functions.get(best.function, 0) + 1
        rules[best.rule] = rules.get(best.rule, 0) + 1
        yield best


def shares(sizes: Sequence[int], draws: int) -> list[int]:
    """Shares out draws among files by their sizes, and at least one to each that has a size."""
    counts = [min(size, 1) for size in sizes]
    while sum(counts) < draws:
        able = [at for at, size in enumerate(sizes) if counts[at] < size]
        if not able:
            break
        counts[max(able, key=lambda at: (sizes[at] / (counts[at] + 1), -at))] += 1
    return counts


def as_edit(file: Path, text: str, one: Candidate) -> Edit | None:
    """Returns the edit: whole lines, as many as stand there only once."""
    start = text.rfind("\n", 0, one.start) + 1
    end = text.find("\n", one.end - 1 if text[one.end - 1 : one.end] == "\n" else one.end)
    end = len(text) if end < 0 else end + 1
    for _ in range(2 * _CONTEXT_LINES):
        original = text[start:end]
        whole = start == 0 and end == len(text)
        # What is deleted has something beside it, where there is anything.
        bare = not one.text and original == text[one.start : one.end]
        if text.count(original) == 1 and (whole or not bare):
            mutated = text[start : one.start] + one.text + text[one.end : end]
            return None if mutant.unfit(original + mutated) else Edit(file, original, mutated)
        # One more line in front, then one more behind.
        if start and (original.count("\n") % 2 or end == len(text)):
            start = text.rfind("\n", 0, max(start - 1, 0)) + 1
        else:
            end = text.find("\n", end) + 1 or len(text)
    return None


def tracked(tree: Path) -> list[str]:
    """Returns the files of a tree that git knows."""
    listing = subprocess.run(
        ["git", "ls-files"], cwd=tree, capture_output=True, text=True, check=True
    )
    return listing.stdout.splitlines()


def draw(tree: Path, files: Sequence[str], seed: str, rejected: set[str]) -> Iterator[Mutant]:
    """Draws a sample of each part; what is rejected is drawn past."""
    for part in ALL:
        mine = [file for file in files if part_of(file) is part]
        found = {file: candidates(Path(file), (tree / file).read_text()) for file in mine}
        sizes = [len({one.function for one in found[file]}) for file in mine]
        names: set[str] = set()
        for file, count in zip(mine, shares(sizes, part.draws), strict=True):
            if not count:
                print(f"nothing to draw from: {file}", file=sys.stderr)
            yield from itertools.islice(
                _of_file(part, tree, file, seed, names=names, rejected=rejected), count
            )


def _of_file(
    part: Part, tree: Path, file: str, seed: str, *, names: set[str], rejected: set[str]
) -> Iterator[Mutant]:
    """Yields all mutants of a file, in the order of the draw, with names that nothing has."""
    text = (tree / file).read_text()
    for one in order(candidates(Path(file), text), f"{seed}:{file}"):
        if not (edit := as_edit(Path(file), text, one)):
            continue
        name = _name(part, file, one, names)
        names.add(name)
        if f"{part.name}/{name}" not in rejected:
            yield Mutant(part.name, name, one.rule, (edit,), one.function)


def redraw(
    tree: Path, files: Sequence[str], have: Sequence[Mutant], seed: str, rejected: set[str]
) -> Iterator[tuple[Mutant | None, Mutant]]:
    """Yields what is drawn anew, and in place of which mutant.

    That is a drawn mutant which is of no use any more: it does not apply, as what it changed has
    changed, or it is rejected. The next one of the same file takes its place, in the order in which
    that file is drawn from now. A file without a mutant gets its first.
    """
    taken = {one.edits for one in have}
    names = {one.name for one in have} | {name.partition("/")[2] for name in rejected}

    def another(file: str) -> Iterator[Mutant]:
        if part := part_of(file):
            mine = _of_file(part, tree, file, seed, names=names, rejected=set())
            for new in itertools.islice((one for one in mine if one.edits not in taken), 1):
                taken.add(new.edits)
                names.add(new.name)
                yield new

    for old in have:
        useless = old.full_name in rejected or not mutant.applies(old.edits, tree)
        if useless and old.rule != mutant.BY_HAND:
            for new in another(str(old.edits[0].file)):
                yield old, new
    mutated = {str(edit.file) for one in have for edit in one.edits}
    for file in files:
        if file not in mutated and file not in WITHOUT:
            for new in another(file):
                yield None, new


def _name(part: Part, file: str, one: Candidate, taken: set[str]) -> str:
    """Returns a name that says which file, function and rule."""
    path = Path(file)
    where = [path.parent.name, path.stem] if part.name in {"tools", "documents"} else [path.stem]
    words = [*where, one.function.replace("::", ".").rpartition(".")[2], one.rule]
    name = re.sub(r"[^\w-]+", "_", "-".join(word for word in words if word)).strip("_-")
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    return unique


def main() -> None:
    """Draws the sample, and writes it, or shows what it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--redraw", action="store_true")
    options = parser.parse_args()
    sample = tomllib.loads(SAMPLE.read_text())
    seed = str(sample["seed"])
    rejected = set(sample.get("rejected", {}))
    pairs: Iterable[tuple[Mutant | None, Mutant]]
    if options.redraw:
        files = tracked(options.tree)
        pairs = list(redraw(options.tree, files, mutant.read_all(), seed, rejected))
    else:
        pairs = ((None, one) for one in draw(options.tree, tracked(options.tree), seed, rejected))
    for old, new in pairs:
        print(f"{old.full_name} -> {new.full_name}" if old else new.full_name)
        if options.write:
            if old:
                _file(old).unlink()
            _file(new).parent.mkdir(exist_ok=True)
            if not _file(new).exists():
                _file(new).write_text(mutant.render(new))


def _file(one: Mutant) -> Path:
    return mutant.FOLDER / one.part / f"{one.name}.toml"


if __name__ == "__main__":
    main()
