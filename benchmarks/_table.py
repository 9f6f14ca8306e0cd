"""Figures of several rounds and sides, and the Markdown table that they become. Effects: terminal."""

from __future__ import annotations

import statistics
from collections import defaultdict


class Table:
    """Rows by title; each side's figures are of several rounds, and the table shows their medians."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._notes: list[tuple[str, str]] = []

    def add(self, title: str, side: str, figure: float) -> None:
        """One figure of one round."""
        self._rows[title][side].append(figure)

    def note(self, title: str, text: str) -> None:
        """A row of ours alone, measured once, as it is to be read."""
        self._notes.append((title, text))

    def lend(self, title: str, side: str, to: str) -> None:
        """Let another row show the same figures of `side`, to be compared with."""
        if self._rows.get(title, {}).get(side):
            self._rows[to][side] = self._rows[title][side]

    def print(self) -> None:
        """Medians, and the ratio where both were measured."""
        print("| | perdure | workerd | ratio |\n|---|---:|---:|---:|")
        for title, sides in self._rows.items():
            ours, theirs = _median_or_none(sides.get("perdure")), _median_or_none(sides.get("workerd"))
            ratio = f"{ours / theirs:.2f}" if ours is not None and theirs else ""
            print(f"| {title} | {_number(ours)} | {_number(theirs)} | {ratio} |")
        for title, text in self._notes:
            print(f"| {title} | {text} |  |  |")


def _median_or_none(figures: list[float] | None) -> float | None:
    return statistics.median(figures) if figures else None


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2f}"
