"""PDF of a letter: pages of paper as the post takes them, the address where an envelope's window shows it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache, lru_cache
from threading import Lock

from reportlab import rl_config
from reportlab.lib.pagesizes import LETTER
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.pdfgen.pathobject import PDFPathObject

from server.coordination.communication.letter import Letter
from server.printing.typeface import Font, Run, composed, font, runs, wrapped

WIDTH, HEIGHT = LETTER  # points
MARGIN = 72
SIZE, TITLE = 11, 14
LEADING = 15
WINDOW = HEIGHT - 150  # of the address's first line
UNSEEN = 3  # the text rendering mode: neither filled nor stroked
NON_ZERO = 1  # the winding rule: overlapping parts of an outline stay filled

rl_config.useA85 = 0  # streams are written as bytes: as letters they take longer to write and to read
_lock = Lock()  # reportlab keeps what a document uses of a font in the font


def pdf(letter: Letter) -> bytes:
    """The same bytes for an equal letter. Every character of it is in the fonts (`typeface.missing`)."""
    with _lock:
        out = io.BytesIO()
        page = _Page(Canvas(out, pagesize=LETTER, invariant=1, lang=letter.language))
        page.canvas.setTitle(letter.title)
        page.canvas.setAuthor(next(iter(letter.sender), ""))
        page.lines(letter.sender)
        page.at = min(page.at, WINDOW)
        page.lines(letter.address)
        page.at -= LEADING * 2
        page.lines([letter.date])
        page.at -= LEADING
        page.lines([letter.title], TITLE)
        for paragraph in letter.paragraphs:
            page.at -= LEADING / 2
            page.lines([paragraph])
        page.canvas.save()
    return out.getvalue()


class _Page:
    """Where the next line stands; a new page where there is no room."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.at: float = HEIGHT - MARGIN

    def lines(self, texts: Iterable[str], size: float = SIZE) -> None:
        for text in texts:
            for line in wrapped(composed(text), lambda part: _width(part, size), WIDTH - 2 * MARGIN):
                if self.at < MARGIN:
                    self.canvas.showPage()
                    self.at = HEIGHT - MARGIN
                self._line(line, size)
                self.at -= LEADING * size / SIZE

    def _line(self, text: str, size: float) -> None:
        x: float = MARGIN
        for run in runs(text):
            if run.shaped:
                self._outlines(run, x, size)
            else:
                self.canvas.setFont(_registered(run.font), size)
                self.canvas.drawString(x, self.at, run.text)
            x += _run_width(run, size)

    def _outlines(self, run: Run, x: float, size: float) -> None:
        """Glyphs as HarfBuzz places them; for who has the page read aloud or copies from it, the text unseen."""
        self.canvas.saveState()  # a rendering mode outlives its text
        unseen = self.canvas.beginText(x, self.at)
        unseen.setFont(_registered(run.font), size)
        unseen.setTextRenderMode(UNSEEN)
        unseen.textOut(run.text)
        self.canvas.drawText(unseen)
        self.canvas.restoreState()
        typeface = font(run.font)
        path = self.canvas.beginPath()
        pen = _Pen(path, typeface, size)
        for glyph in typeface.glyphs(run.text):
            pen.origin = (x + glyph.x * size, self.at + glyph.y * size)
            typeface.draw(glyph.number, pen)
            x += glyph.advance * size
        self.canvas.drawPath(path, stroke=0, fill=1, fillMode=NON_ZERO)


class _Pen:
    """Draws a glyph's outline on a page's path: a pen of fontTools' protocol."""

    def __init__(self, path: PDFPathObject, typeface: Font, size: float) -> None:
        self.path = path
        self.scale = size / typeface.units
        self.origin: tuple[float, float] = (0, 0)
        self.last: tuple[float, float] = (0, 0)

    def _placed(self, point: tuple[float, float]) -> tuple[float, float]:
        return self.origin[0] + point[0] * self.scale, self.origin[1] + point[1] * self.scale

    def moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802 - the protocol's names
        self.last = self._placed(point)
        self.path.moveTo(*self.last)

    def lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self.last = self._placed(point)
        self.path.lineTo(*self.last)

    def curveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        first, second, self.last = map(self._placed, points)
        self.path.curveTo(*first, *second, *self.last)

    def qCurveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        """A quadratic curve as the cubic one that is the same."""
        control, end = map(self._placed, points)
        start, self.last = self.last, end
        first, second = (
            tuple(near + 2 / 3 * (far - near) for near, far in zip(point, control, strict=True))
            for point in (start, end)
        )
        self.path.curveTo(*first, *second, *end)

    def closePath(self) -> None:  # noqa: N802
        self.path.close()


@lru_cache(maxsize=4096)  # one plan's letters say nearly the same words
def _width(text: str, size: float) -> float:
    return sum(_run_width(run, size) for run in runs(text))


def _run_width(run: Run, size: float) -> float:
    if run.shaped:
        return sum(glyph.advance for glyph in font(run.font).glyphs(run.text)) * size
    return float(pdfmetrics.stringWidth(run.text, _registered(run.font), size))


@cache
def _registered(name: str) -> str:
    """A font that is embedded in the file, as far as the file uses it."""
    pdfmetrics.registerFont(TTFont(name, io.BytesIO(font(name).data)))
    return name
