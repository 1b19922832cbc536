# SPDX-License-Identifier: GPL-2.0
"""Where Rust source says `unsafe`, and the comment that says why it may.

It reads tokens, not text: `unsafe` in a comment or a string does not count. The judgement is that of
scripts/check-unsafe, the list of scripts/safety-doc.
"""
import re
from typing import NamedTuple

LAYERS = ["src/netkit", "src/net", "src/bpf", "src/klp", "src", "selftests", "bench", "cli", "netkit-aya", "tools"]
NO_UNSAFE = "src/netkit"

# Comments and literals, which may hold the word.
OPAQUE = re.compile(
    r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.[^\']*|[^\'\\])\'', re.S
)
FUNCTION = re.compile(r"^(\s*)(?:pub(?:\([\w: ]+\))?\s+)?(?:(?:const|async|unsafe|extern)\s+)*fn\s+(\w+)")
CONSTANT = re.compile(r"^(\s*)(?:pub(?:\([\w: ]+\))?\s+)?(?:const|static)\s+(?:mut\s+)?(\w+)\s*:")
OWNER = re.compile(r"^(\s*)(?:pub(?:\([\w: ]+\))?\s+)?(?:unsafe\s+)?(impl\b|trait\b|macro_rules!)(.*)")


class Item(NamedTuple):
    """One use of `unsafe`."""

    line: int  # from 0
    kind: str  # block, fn, impl, trait, extern
    place: str  # the function or type that it is in, or is
    comment: str  # its comment, in one line; empty if there is none
    documented: bool  # has the comment that its kind must have
    from_trait: bool  # a function whose trait has the `# Safety` section


def layer(relative):
    """The layer of a file, by its path in the checkout."""
    return next(name for name in LAYERS if relative.startswith(name + "/"))


def blank(source):
    """The source with its comments and literals blanked out, line for line."""
    return OPAQUE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), source)


def items(source):
    """All uses of `unsafe`."""
    lines, code = source.splitlines(), blank(source).splitlines()
    for index, line in enumerate(code):
        for match in re.finditer(r"\bunsafe\b", line):
            kind = kind_of(code, index, match.start())
            if kind is None:
                continue
            from_trait = kind == "fn" and in_trait_impl(code, index)
            wanted = "# Safety" if kind in ("fn", "trait") else "SAFETY:"
            above = comment_above(lines, code, index)
            here = lines[index][: match.start()]
            source_of = above if wanted in above else here
            text = sentence(source_of, wanted if wanted in above else "SAFETY:")
            documented = wanted in above or "SAFETY:" in here
            yield Item(index, kind, place(code, index), text, documented or from_trait, from_trait)


def kind_of(code, index, start):
    """What kind of item the word begins; None where it allows nothing."""
    following = code[index + 1] if index + 1 < len(code) else ""
    rest = (code[index][start:] + " " + following).strip()
    if re.match(r"unsafe\s*\(", rest):
        return None  # #[unsafe(no_mangle)]
    if re.match(r"unsafe\s+(extern\s+)?fn\s*\(", rest):
        return None  # the type of a function pointer
    kind = re.match(r"unsafe\s+(extern\s+)?(fn|impl|trait|extern|\{)?", rest)
    what = kind[2] if kind and kind[2] else ("extern" if kind and kind[1] else "block")
    return "block" if what == "{" else what


def comment_above(lines, code, index):
    """The comments and attributes right above line `index`; if there are none, those above the statement it continues."""
    while True:
        above = []
        for line in reversed(lines[:index]):
            if not line.strip().startswith(("//", "#[")):
                break
            above.insert(0, line)
        if above or index == 0 or not continues(code[index - 1], code[index]):
            return "\n".join(above)
        index -= 1


def continues(line, following):
    """Do these two lines belong to one statement? Then its comment may stand further up."""
    ends = ("=", "(", ",", "&&", "||", "=>", "+", "|", "&", "return", "unsafe")
    return bool(line.strip()) and (line.rstrip().endswith(ends) or following.strip().startswith("."))


def in_trait_impl(code, index):
    """Is line `index` an item of `impl Trait for Type`? Then the trait has the `# Safety` section."""
    depth = indent(code[index])
    for line in reversed(code[:index]):
        if line.strip() and indent(line) < depth and re.match(r"\s*(unsafe\s+)?(impl|trait|mod)\b", line):
            return bool(re.match(r"\s*(unsafe\s+)?impl\b.*\bfor\b", line))
    return False


def indent(line):
    return len(line) - len(line.lstrip())


def sentence(comment, keyword):
    """What a comment says behind its keyword, in one line, up to the next paragraph or keyword."""
    said, speaking = [], False
    for line in comment.splitlines():
        text = re.sub(r"^\s*(///?!?|#\[.*)\s?", "", line).strip() if not line.strip().startswith("#[") else ""
        if keyword in text:
            text, speaking = text.split(keyword, 1)[1].strip(), True
            if not text:
                continue
        elif speaking and said and (not text or re.match(r"(INVARIANT:|# )", text)):
            break
        if speaking and text:
            said.append(text)
    return " ".join(said)


def place(code, index):
    """The function or constant around line `index`, or that it is, with the type that it belongs to."""
    names, depth = [], indent(code[index]) + 1
    for line in reversed(code[: index + 1]):
        if not line.strip() or indent(line) >= depth:
            continue
        owner = OWNER.match(line)
        named = FUNCTION.match(line) or CONSTANT.match(line)
        if owner:
            names.insert(0, owner_name(owner[2], owner[3]))
        elif named and not (names and named[2] == "_"):
            names.insert(0, named[2])
        if owner or named:
            depth = indent(line)
        if depth == 0:
            break
    return "::".join(name for name in names if name) or "the file"


def owner_name(word, rest):
    """`Type`, or `Trait for Type`, of an impl; the name of a trait or macro."""
    rest = strip_generics(rest.strip()) if word == "impl" else rest.strip()
    head = re.split(r"\s*(?:\{|\bwhere\b)", rest, maxsplit=1)[0]
    if word != "impl":
        return re.split(r"[<:\s]", head, maxsplit=1)[0]
    return head.strip()


def strip_generics(text):
    """Without the parameters that an impl begins with."""
    if not text.startswith("<"):
        return text
    depth = 0
    for at, char in enumerate(text):
        if text[at - 1 : at + 1] != "->":
            depth += {"<": 1, ">": -1}.get(char, 0)
        if depth == 0:
            return text[at + 1 :].strip()
    return text
