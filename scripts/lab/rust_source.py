# SPDX-License-Identifier: GPL-2.0
"""Reads Rust source as far as it takes to hold `unsafe` to the rules of this project.

The compiler's own lints are run as well; this one also sees private functions, which
clippy's missing_safety_doc passes over, and code that the configuration at hand leaves out.
"""

import re
from dataclasses import dataclass

# Order matters: a raw string before an identifier, a lifetime before a character.
TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>//[^\n]*)
  | (?P<block>/\*)
  | (?P<raw>(?:br|cr|r)(?P<hashes>\#*)")
  | (?P<string>[bc]?"(?:\\.|[^"\\])*")
  | (?P<char>b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^'\\])')
  | (?P<lifetime>'\w+)
  | (?P<word>(?:r\#)?\w+)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A word, a sign, a literal or a comment, with the line that it starts on."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> list[Token]:
    """Splits Rust source; what stands in strings and comments stays in one piece."""
    found: list[Token] = []
    position, line = 0, 1
    while position < len(text):
        match = TOKEN.match(text, position)
        assert match is not None, "the last alternative matches anything"
        kind = str(match.lastgroup)
        end = match.end()
        if kind == "block":
            kind, end = "comment", _end_of_block_comment(text, position)
        elif match["raw"] is not None:
            closing = text.find('"' + match["hashes"], end)
            kind, end = "string", len(text) if closing < 0 else closing + 1 + len(match["hashes"])
        piece = text[position:end]
        if kind != "space":
            found.append(Token(kind, piece, line))
        line += piece.count("\n")
        position = end
    return found


def _end_of_block_comment(text: str, start: int) -> int:
    """Returns where a block comment ends; they nest in Rust."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def unsafe_lines(text: str) -> list[int]:
    """Returns the lines with an `unsafe` in code."""
    return [t.line for t in tokens(text) if t.kind == "word" and t.text == "unsafe"]


def undocumented_unsafe(text: str) -> list[tuple[int, str]]:
    """Returns each `unsafe` that does not say why it is sound, or what it asks for.

    A block, an `impl` and an attribute need a `SAFETY:` comment before them, in the same
    statement. A function and a trait need a `# Safety` section in their documentation, except in
    the `impl` of a trait, whose own documentation says it.
    """
    code = tokens(text)
    found: list[tuple[int, str]] = []
    for index, token in enumerate(code):
        if token.kind != "word" or token.text != "unsafe":
            continue
        following = [t.text for t in code[index + 1 :] if t.kind != "comment"][:4]
        if _declares(following):
            if not _in_trait_impl(code, index) and "# Safety" not in _before(code, index):
                found.append((token.line, "is declared without a '# Safety' section"))
        elif not _is_function_type(following) and "SAFETY:" not in _before(code, index):
            found.append((token.line, "has no SAFETY comment before it"))
    return found


def _without_abi(following: list[str]) -> list[str]:
    """Drops `extern "C"` from what follows an `unsafe`."""
    if following[:1] != ["extern"]:
        return following
    rest = following[1:]
    return rest[1:] if rest and rest[0].startswith('"') else rest


def _declares(following: list[str]) -> bool:
    """Says whether a function or a trait with a name follows."""
    rest = _without_abi(following)
    return rest[:1] == ["trait"] or (rest[:1] == ["fn"] and rest[1:2] != ["("])


def _is_function_type(following: list[str]) -> bool:
    return _without_abi(following)[:2] == ["fn", "("]


def _before(code: list[Token], index: int) -> str:
    """Returns the comments between the end of the statement before and the token at ``index``.

    Attributes belong to what they stand before.
    """
    comments: list[str] = []
    depth = 0
    for token in reversed(code[:index]):
        if token.kind == "comment":
            comments.append(token.text)
        elif token.text in {"]", ")"}:
            depth += 1
        elif token.text in {"[", "("}:
            depth -= 1
        elif token.text in {";", "{", "}"} and depth <= 0:
            break
    return "\n".join(comments)


def _in_trait_impl(code: list[Token], index: int) -> bool:
    """Says whether the innermost braces around the token at ``index`` are a trait's `impl`."""
    depth = 0
    for position in range(index - 1, -1, -1):
        if code[position].text == "}":
            depth += 1
        elif code[position].text == "{":
            depth -= 1
            if depth < 0:
                return _is_trait_impl(code, position)
    return False


def _is_trait_impl(code: list[Token], brace: int) -> bool:
    """Says whether the brace at ``brace`` opens an `impl Trait for Type`."""
    head: list[str] = []
    for token in reversed(code[:brace]):
        if token.text in {";", "{", "}"}:
            break
        if token.kind == "word":
            head.append(token.text)
    return "impl" in head and "for" in head
