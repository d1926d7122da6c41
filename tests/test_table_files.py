import gzip

import pandas as pd
import pytest

from equimodal.study import layout
from equimodal.study.analysis import TABLES
from equimodal.study.table_files import read_table, write_table
from tests.built import whole_study

TABLE = pd.DataFrame({"run": ["a", "b"], "step": [1, 2], "ratio": [0.1, 1 / 3]})


@pytest.mark.parametrize("name", ["steps.csv", "steps.csv.gz"])
def test_a_table_comes_back_as_it_was(tmp_path, name):
    write_table(TABLE, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name, "make it"), TABLE)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_the_study_can_be_read(name, tmp_path):
    built = whole_study()[name]
    assert len(built) or name == "preregistration"  # of presets that the made-up study has not
    write_table(built, tmp_path / "table.csv", "%.6g")
    assert list(read_table(tmp_path / "table.csv", "make it")) == list(built)


def test_a_compressed_table_holds_the_same_text(tmp_path):
    write_table(TABLE, tmp_path / "plain.csv")
    write_table(TABLE, tmp_path / "packed.csv.gz")
    packed = gzip.decompress((tmp_path / "packed.csv.gz").read_bytes())
    assert packed == (tmp_path / "plain.csv").read_bytes()


def test_the_bytes_of_a_compressed_table_hold_no_time(tmp_path, monkeypatch):
    path = tmp_path / "steps.csv.gz"
    written = []
    for now in (1e9, 2e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        write_table(TABLE, path)
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_fractions_can_be_cut(tmp_path):
    write_table(TABLE, tmp_path / "short.csv", "%.3g")
    assert (tmp_path / "short.csv").read_text() == "run,step,ratio\na,1,0.1\nb,2,0.333\n"


def test_only_the_tables_of_epochs_and_steps_are_compressed():
    names = [layout.table("paper", name).name for name in layout.COLLECTED]
    assert names == ["runs.csv", "evaluations.csv", "histories.csv.gz", "steps.csv.gz"]
