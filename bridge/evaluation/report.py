"""Tables of figures, for the terminal and for docs/results.md, whose sections each command writes anew."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

TITLE = "# Results\n\nEach section was written by the command that it names; definitions stand below each table.\n"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        title: what it shows.
        columns: headings.
        rows: one text a column each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return the table as markdown, its title left out."""
        rows = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the results.

    Attributes:
        name: identifies it in the file, such as `codec`.
        title: its heading.
        command: what to run to write it again.
        source: commit, machine and date, one line.
        tables: each under its own title.
        notes: how the figures are defined, one paragraph each.
    """

    name: str
    title: str
    command: str
    source: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the section between the marks by which it is found again."""
        parts = [f"## {self.title}", f"`{self.command}`. {self.source}"]
        for table in self.tables:
            parts += [f"**{table.title}**", table.markdown()]
        body = "\n\n".join([*parts, *self.notes])
        return f"<!-- section {self.name} -->\n{body}\n<!-- end {self.name} -->\n"


def print_section(section: Section, console: Console) -> None:
    """Print the tables of `section`."""
    for table in section.tables:
        shown = RichTable(title=table.title, title_justify="left", caption=section.source, caption_justify="left")
        for column in table.columns:
            shown.add_column(column)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)


def write_section(path: Path, section: Section) -> None:
    """Put `section` into the markdown file at `path`: in place of the one of its name, else at the end."""
    text = path.read_text(encoding="utf-8") if path.is_file() else TITLE
    name = re.escape(section.name)
    old = re.compile(rf"<!-- section {name} -->\n.*?<!-- end {name} -->\n", re.DOTALL)
    new = section.markdown()
    text = old.sub(lambda _: new, text, count=1) if old.search(text) else f"{text.rstrip()}\n\n{new}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def mean(values: Sequence[float]) -> float:
    """Return the mean of the numbers among `values`; NaN if there is none."""
    numbers = [value for value in values if value == value]
    return sum(numbers) / len(numbers) if numbers else float("nan")


def percent(share: float) -> str:
    """Return a share as a whole percentage, such as `87 %`; a dash for NaN."""
    return "–" if share != share else f"{100 * share:.0f} %"


def number(value: float, digits: int = 1, unit: str = "") -> str:
    """Return a number with its unit; a dash for NaN."""
    return "–" if value != value else f"{value:.{digits}f}{f' {unit}' if unit else ''}"


def verdict(met: bool) -> str:
    """Return whether what was wanted is met, in a word."""
    return "met" if met else "**short**"
