"""FHIRPath: expressions over a resource, compiled once.

http://hl7.org/fhirpath/, https://hl7.org/fhir/R4/fhirpath.html

fhirpathpy evaluates; its parser mends what it cannot read, so an expression is first read strictly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NoReturn, cast

from server.fhir import pattern

MATCHED = 4096  # characters of a text that a pattern is held against
Rule = Callable[[Any, str, dict[str, Any]], bool]


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Callable[[dict[str, Any]], list[Any]]:
    """A function of a resource, which may raise what its evaluation raises. ValueError where it is no FHIRPath.

    Who needs no FHIRPath does not pay for the import of its parser.
    """
    from fhirpathpy import compile
    from fhirpathpy.models import models

    _check(expression)
    return cast(Callable[[dict[str, Any]], list[Any]], compile(expression, model=models["r4"]))


@lru_cache(maxsize=4096)
def rule(expression: str) -> Rule:
    """An invariant as a function of (value, its type, the resource that holds it).

    ValueError where it is no FHIRPath, and where a pattern in it could run away. It may raise whatever its evaluation
    raises: what the evaluator does not know cannot be judged. A rule is kept where the result is true, or any one thing
    that is not a boolean, as FHIRPath reads singletons; an empty result breaks it, as it does for HL7's validator:
    https://hl7.org/fhir/R4/conformance-rules.html#constraints, http://hl7.org/fhirpath/#singleton-evaluation-of-collections
    """
    from fhirpathpy import compile
    from fhirpathpy.engine.nodes import ResourceNode
    from fhirpathpy.models import models

    text = _spoken(expression)
    _check(text)
    is_matching = _check_patterns(text)
    node = cast(Callable[[Any, str], Any], ResourceNode.create_node)
    evaluate = cast(
        Callable[[Any, dict[str, Any]], list[Any]], compile(text, models["r4"], {"userInvocationTable": _OWN})
    )

    def holds(value: Any, type_name: str, resource: dict[str, Any]) -> bool:
        if is_matching and _longest(value) > MATCHED:
            raise ValueError("a text is too long to be held against a pattern")
        token = _container.set(resource)
        try:
            found = evaluate(node(value, type_name), {"resource": resource, "rootResource": resource})
        finally:
            _container.reset(token)
        return bool(found) and found != [False]

    return holds


def _check_patterns(expression: str) -> bool:
    """Whether the expression holds texts against patterns, each of which is written out and bounded."""
    patterns = [found[1] for found in _PATTERN(expression)]
    if len(patterns) != len(_MATCHES(expression)):
        raise ValueError("a pattern is not written out")
    for one in patterns:
        pattern.bounded(_ESCAPED(r"\1", one))
    return bool(patterns)


def _longest(value: Any) -> int:
    """The length of the longest text in a value."""
    if type(value) is str:
        return len(value)
    parts = value.values() if type(value) is dict else value if type(value) is list else ()
    return max(map(_longest, parts), default=0)


_PATTERN = re.compile(r"[mM]atches\(\s*'((?:[^'\\]|\\.)*)'").finditer
_MATCHES = re.compile(r"[mM]atches\w*\s*\(").findall
_ESCAPED = re.compile(r"\\(['`/\\])").sub


def _spoken(expression: str) -> str:
    """Rules write `a or b` where either element will do, and System's name of a type where FHIR's is meant."""
    if _ELEMENTS(expression):
        expression = " or ".join(f"{name}.exists()" for name in expression.split(" or "))
    return _SYSTEM_TYPE(lambda found: f"is {found[1][0].lower()}{found[1][1:]}", expression)


_ELEMENTS = re.compile(r"\w+(?: or \w+)+").fullmatch
_SYSTEM_TYPE = re.compile(r"\bis (DateTime|Date|Time|Boolean|String|Integer|Decimal)\b").sub
_container: ContextVar[dict[str, Any]] = ContextVar("container")


def _resolved(references: list[Any]) -> list[Any]:
    """resolve(), as far as one resource goes: what it contains, and else the type that a reference names."""
    from fhirpathpy.engine.nodes import ResourceNode

    node = cast(Callable[[Any, str], Any], ResourceNode.create_node)
    found = []
    contained = {f"#{one.get('id')}": one for one in _container.get().get("contained", ())}
    for reference in references:
        text = reference.get("reference", "") if type(reference) is dict else str(reference)
        parts = text.split("/")
        if text in contained:
            found.append(node(contained[text], "Resource"))
        elif len(parts) > 1 and not text.startswith("#"):
            type_name = parts[-4] if parts[-2] == "_history" and len(parts) > 3 else parts[-2]
            found.append(node({"resourceType": type_name}, type_name))
    return found


_OWN = {
    "resolve": {"fn": _resolved, "arity": {0: []}},
    "htmlChecks": {"fn": lambda _: [True], "arity": {0: []}},  # txt-1 and txt-2 are checked of every narrative
}


def _check(expression: str) -> None:
    from antlr4 import CommonTokenStream, InputStream, Token  # type: ignore[import-untyped]
    from antlr4.error.ErrorListener import ErrorListener  # type: ignore[import-untyped]
    from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
    from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

    class Strict(ErrorListener):  # type: ignore[misc]
        def syntaxError(self, _1: Any, _2: Any, line: int, column: int, message: str, _3: Any) -> NoReturn:  # noqa: N802
            raise ValueError(f"{message} (line {line}, column {column})")

    lexer = FHIRPathLexer(InputStream(expression))
    parser = FHIRPathParser(CommonTokenStream(lexer))
    for reader in (lexer, parser):
        reader.removeErrorListeners()
        reader.addErrorListener(Strict())
    parser.expression()
    rest = parser.getTokenStream().LT(1)
    if rest.type != Token.EOF:
        raise ValueError(f"{rest.text!r} is too much (line {rest.line}, column {rest.column})")
