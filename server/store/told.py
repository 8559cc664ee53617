"""Told: a filter in words, for whoever asks how a search was answered."""

from __future__ import annotations

from collections.abc import Callable

from server.search.filter import (
    And,
    Chain,
    Contains,
    Equal,
    Filter,
    Has,
    Hierarchy,
    Near,
    Not,
    Or,
    Present,
    Range,
    Words,
)


def in_words(filter: Filter, inner: Callable[[Filter], str]) -> str:
    """`inner` says how what a step leads to is found."""
    match filter:
        case And(filters) | Or(filters):
            return f" {type(filter).__name__.lower()} ".join(in_words(each, inner) for each in filters).join("()")
        case Not(negated):
            return f"not {in_words(negated, inner)}"
        case Chain(index, target, beyond) | Has(target, index, beyond):
            return f"{type(filter).__name__} {index} with {target}: {inner(beyond)}"
        case Equal(index, keys):
            return f"Equal {index}, {len(keys)} keys"
        case Range(index) | Contains(index) | Near(index) | Present(index):
            return f"{type(filter).__name__} {index}"
        case Hierarchy(index, parent, roots, upward):
            return f"Hierarchy {index}, {'above' if upward else 'below'} {', '.join(roots)} by {parent}"
        case Words(scope, words):
            return f"Words of the {scope}, {len(words)} words"
    return type(filter).__name__
