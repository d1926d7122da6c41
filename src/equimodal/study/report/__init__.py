"""The reading page: claims, tables, figures, what failed and what it cost. Never loads torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A table or a figure, as the report speaks of it."""

    name: str  # of its file, without folder and suffix
    title: str
    caption: str
    command: str  # that makes it
    sections: tuple[str, ...] = ()  # of a table: columns by which its rows are grouped
    best_alone: bool = False  # of a table: whether uni-modal rows are of the best modality alone
    expect: str = ""  # of a figure: what the paper says that it shows
