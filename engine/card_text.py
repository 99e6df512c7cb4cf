"""A model's card and its reference statistics in plain text, for a person at a terminal.

What a bundle says about itself was written by somebody else: control characters in it are shown, never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from engine.card import Card, DataEntry, Figure, Parity, Teacher
from engine.reference import ReferenceStatistics

_SHARES = (0.05, 0.5, 0.95)
_MAX_CLASSES = 10


def printable(text: str) -> str:
    r"""Give a text in one line that cannot move the cursor or colour the terminal.

    >>> print(printable("nano\x1b[2J"))
    nano\x1b[2J
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def card_lines(card: Card) -> Iterator[str]:
    """Say what a card says."""
    yield f"Card of {printable(card.name)}, made on {card.made_at.isoformat()}"
    yield from (f"  {printable(line)}" for line in card.summary.splitlines())
    yield f"  started from  {printable(card.started_from) or 'random weights'}"
    if card.teacher is not None:
        yield f"  labelled by   {_teacher(card.teacher)}"
    for title, entries in (("trained on", card.trained_on), ("judged on", card.judged_on)):
        if entries:
            yield f"  {title}"
            yield from _indent(_data(entries))
    if card.figures:
        yield "  figures (in brackets: 95 % confidence)"
        yield from _indent(_figures(card.figures))
    if card.parity is not None:
        yield f"  export        {_parity(card.parity)}"
    if card.known_weaknesses:
        yield "  known weaknesses"
        yield from _indent(f"- {printable(sentence)}" for sentence in card.known_weaknesses)
    if card.versions:
        yield f"  made with     {', '.join(printable(f'{k} {v}') for k, v in card.versions.items())}"
    if card.recipe:
        yield "  recipe"
        yield from _indent(printable(line) for line in card.recipe.splitlines())


def reference_lines(reference: ReferenceStatistics) -> Iterator[str]:
    """Say what reference statistics were taken from, and what is usual in them."""
    num_cameras = len([name for name in reference.cameras if name])
    where = f"{num_cameras} camera{'s' * (num_cameras != 1)}" if num_cameras else "photographs"
    yield f"Reference statistics of {len(reference)} frames, out of {reference.num_frames}, from {where}"
    rows = [["", *(f"{round(share * 100)} %" for share in _SHARES)]]
    for name, values in reference.quantiles(_SHARES).items():
        rows.append([name, *(f"{value:.4g}" for value in values)])
    yield from _indent(_table(rows), 2)
    mix = sorted(((share, label) for label, share in reference.class_mix().items() if share > 0), reverse=True)
    shares = [f"{printable(label)} {share:.1%}" for share, label in mix[:_MAX_CLASSES]]
    more = ["…"] if len(mix) > _MAX_CLASSES else []
    yield f"  classes of {reference.num_boxes} boxes: {', '.join([*shares, *more]) or 'none'}"


def _teacher(teacher: Teacher) -> str:
    known = (teacher.name, f"digest {teacher.digest}", teacher.licence, teacher.source)
    return ", ".join(printable(part) for part in known if part)


def _data(entries: Sequence[DataEntry]) -> Iterator[str]:
    rows = [
        [printable(entry.name), f"{entry.num_images} pictures", f"{entry.num_boxes} boxes",
         printable(entry.licence) or "licence not stated", printable(entry.source), printable(entry.digest[:12])]
        for entry in entries
    ]  # fmt: skip
    return _table(rows, left=(0, 3, 4, 5))


def _figures(figures: Sequence[Figure]) -> Iterator[str]:
    """One row a slice of some data, one column a metric."""
    metrics = list(dict.fromkeys(figure.metric for figure in figures))
    keys = list(dict.fromkeys((figure.data, figure.slice) for figure in figures))
    cells = {(figure.data, figure.slice, figure.metric): _value(figure) for figure in figures}
    sizes = {(figure.data, figure.slice): (figure.num_images, figure.num_boxes) for figure in figures}
    rows = [["data", "slice", "pictures", "boxes", *map(printable, metrics)]]
    for data, part in keys:
        numbers = [str(number) for number in sizes[data, part]]
        rows.append([printable(data), printable(part), *numbers, *(cells.get((data, part, m), "") for m in metrics)])
    return _table(rows, left=(0, 1))


def _value(figure: Figure) -> str:
    bounds = "" if figure.low is None or figure.high is None else f" [{figure.low:.3f}, {figure.high:.3f}]"
    return f"{figure.value:.3f}{bounds}"


def _parity(parity: Parity) -> str:
    return (
        f"against the trained model on {parity.num_images} pictures: boxes within {parity.max_box_px:.3g} px, "
        f"confidence within {parity.max_score:.2g}, mAP within {parity.map_difference:.2g} points"
    )


def _table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> Iterator[str]:
    """Align columns: those in `left` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _indent(lines: Iterable[str], by: int = 4) -> Iterator[str]:
    return (" " * by + line for line in lines)
