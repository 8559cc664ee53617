"""FHIRPath: expressions over a resource, compiled once.

http://hl7.org/fhirpath/, https://hl7.org/fhir/R4/fhirpath.html

fhirpathpy evaluates; its parser mends what it cannot read, so an expression is first read strictly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn, cast


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Callable[[dict[str, Any]], list[Any]]:
    """A function of a resource, which may raise what its evaluation raises. ValueError where it is no FHIRPath.

    Who needs no FHIRPath does not pay for the import of its parser.
    """
    from fhirpathpy import compile
    from fhirpathpy.models import models

    _check(expression)
    return cast(Callable[[dict[str, Any]], list[Any]], compile(expression, model=models["r4"]))


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
