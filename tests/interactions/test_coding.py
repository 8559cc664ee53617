"""Content coding: https://www.rfc-editor.org/rfc/rfc9110#section-8.4"""

from __future__ import annotations

import gzip
from collections.abc import Callable

import brotli
import pytest

from server.interactions.coding import chosen, compressed, decoded
from server.outcome import Problem


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (b"", None),
        (b"gzip", b"gzip"),
        (b"gzip", b"x-gzip"),
        (b"br", b"br, gzip;q=0.5"),
        (b"gzip", b"br;q=0.4, gzip;q=0.5"),
        (b"", b"gzip;q=0"),
        (b"br", b"*"),
        (b"", b"zstd, identity"),
    ],
)
def test_coding_that_is_chosen(expected: bytes, value: bytes | None) -> None:
    assert expected == chosen(value)


@pytest.mark.parametrize("size", [0, 1, 32_752, 40_000, 1_000_000])
@pytest.mark.parametrize("coding", [b"br", b"gzip"])
async def test_what_is_compressed_is_decoded(coding: bytes, size: int) -> None:
    content = b"ab" * (size // 2)
    assert content == await decoded(compressed(content, coding), coding, len(content))


@pytest.mark.parametrize(("coding", "compress"), [(b"br", brotli.compress), (b"gzip", gzip.compress)])
async def test_content_beyond_the_limit_is_never_made(coding: bytes, compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Problem) as refused:
        await decoded(compress(b"x" * 50_000_000), coding, 49_999_999)
    assert 413 == refused.value.status
