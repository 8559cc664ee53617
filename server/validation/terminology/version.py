"""Versions of code systems that an operation's parameters choose for the value sets that are asked.

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

from collections.abc import Mapping

from server.outcome import Problem
from server.validation.conformance import Asked, Definitions, Known, Read

Chosen = Mapping[str, str]  # a code system's URL -> its version


class Versions(Definitions):
    """What is loaded, where a code system of no version is that of `default`, and of any that of `forced`."""

    def __init__(
        self, inner: Definitions, default: Chosen, checked: Chosen | None = None, forced: Chosen | None = None
    ) -> None:
        self.inner = inner
        self.default = default
        self.checked = checked or {}
        self.forced = forced or {}

    def find(self, type: str, name: str, read: Read) -> Known | None:
        """Problem unprocessable where another version than a `checked` one is named."""
        return self.inner.find(*(self._chosen(name) if type == "CodeSystem" else (type, name)), read)

    @property
    def whole(self) -> bool:
        return self.inner.whole

    def _chosen(self, name: str) -> Asked:
        url, _, version = name.partition("|")
        checked = self.checked.get(url)
        if checked and version not in ("", checked):
            raise Problem.of("unprocessable", f"The value set is of {name}, and not of the version {checked}")
        chosen = self.forced.get(url) or version or checked or self.default.get(url)
        return "CodeSystem", f"{url}|{chosen}" if chosen else url
