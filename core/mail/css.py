"""Styles of mails: only declarations that load nothing are let through (threat model, M7).

An allow-list of properties and of the characters of their values. There is no colon, at sign,
backslash or angle bracket among them, so no address, no import, no escape and no end of the
element can be written with what is left.
"""

import re

_PROPERTY = re.compile(
    r"(?:background(?:-color)?|border(?:-(?:top|right|bottom|left))?(?:-(?:color|style|width))?"
    r"|border-(?:collapse|spacing|radius)|caption-side|clear|color|direction|display|float"
    r"|font(?:-(?:family|size|style|variant|weight))?|letter-spacing|line-height"
    r"|list-style(?:-(?:type|position))?|(?:margin|padding)(?:-(?:top|right|bottom|left))?"
    r"|(?:max-|min-)?(?:width|height)|opacity|overflow-wrap|table-layout"
    r"|text-(?:align|decoration|indent|transform)|vertical-align|white-space|word-break"
    r"|word-spacing|word-wrap)"
)
_PLAIN = re.compile(r"""[\w\s#%.,'"!/+*-]*""")
_COLOUR = re.compile(r"\b(?:rgb|rgba|hsl|hsla)\([\d\s.,%/]*\)", re.IGNORECASE)
_SELECTOR = re.compile(r"[\w\s.,#*>+-]+")
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_BRACE = re.compile(r"[{}]")


def clean_declarations(text: str) -> str:
    """Return the declarations of a ``style`` attribute that may stay, "" when none may."""
    kept = []
    for declaration in _COMMENT.sub(" ", text).split(";"):
        name, _colon, value = (each.strip() for each in declaration.partition(":"))
        if value and _PROPERTY.fullmatch(name.lower()) and _loads_nothing(value):
            kept.append(f"{name.lower()}: {value}")
    return "; ".join(kept)


def clean_sheet(text: str) -> str:
    """Return the rules of a ``style`` element that may stay: those outside every at-rule."""
    text = _COMMENT.sub(" ", text).replace("<!--", " ").replace("-->", " ")
    rules, depth, begin, inside = [], 0, 0, 0
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            inside = brace.end() if depth == 0 else inside
            depth += 1
        elif depth > 0:
            depth -= 1
            if depth == 0:
                rules.append(_rule(text[begin : inside - 1], text[inside : brace.start()]))
                begin = brace.end()
        else:
            begin = brace.end()
    return "\n".join(rule for rule in rules if rule)


def _rule(prelude: str, body: str) -> str:
    selector = prelude.rpartition(";")[2].strip()  # an @import or @charset may stand before it
    declarations = clean_declarations(body) if "{" not in body else ""
    if not declarations or not _SELECTOR.fullmatch(selector):
        return ""
    return f"{selector} {{ {declarations} }}"


def _loads_nothing(value: str) -> bool:
    balanced = value.count('"') % 2 == 0 and value.count("'") % 2 == 0
    return balanced and _PLAIN.fullmatch(_COLOUR.sub("", value)) is not None
