"""Tables of the analysis, built of the made-up study when they are asked for."""

from functools import cache
from io import StringIO

import pandas as pd

from equimodal.study.analysis import GIVEN, TABLES
from equimodal.study.analysis.stored import read_published
from tests.made_up import study
from tests.study.analysis.conftest import build


class Built(dict):
    """What `collect` writes, by name; any other table is built of it once, as the verb `table` does."""

    def __missing__(self, name):
        if name in GIVEN:
            self[name] = read_published(name)
        else:
            given = {i: self[i] for i in TABLES[name].inputs}
            self[name] = build(name, **given)
        return self[name]

    def copy(self):
        """The same tables, to be changed."""
        return Built({name: table.copy() for name, table in self.items()})


@cache
def whole_study():
    """The study as it is read from files: not to be changed."""
    return through_files(study())


def through_files(tables):
    """Tables as they come back from their files."""
    return Built({n: pd.read_csv(StringIO(t.to_csv(index=False))) for n, t in tables.items()})
