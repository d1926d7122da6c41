import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from equimodal.__main__ import app
from equimodal.analysis.changes import as_markdown, compare
from equimodal.errors import UserError
from equimodal.table_files import write_table

METRICS = {"table1": {"colored_mnist": {"vanilla": 45.26, "guided": 91.01}}}
RUNS = pd.DataFrame(
    {
        "run": ["a", "b"],
        "accuracy": [0.5, 0.75],
        "reason": [None, "diverged"],
        "trained_on": ["here"] * 2,
    }
)


@pytest.fixture
def folders(tmp_path):
    """Two folders with the same results."""

    def make(name):
        folder = tmp_path / name
        for part in ("tables", "curves"):
            (folder / part).mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(METRICS))
        RUNS.to_csv(folder / "tables/runs.csv", index=False)
        pd.DataFrame({"epoch": [1], "vanilla": [40.0]}).to_csv(folder / "curves/digits.csv")
        return folder

    return make("old"), make("new")


def write_runs(folder, **columns):
    RUNS.assign(**columns).to_csv(folder / "tables/runs.csv", index=False)


def status(folders):
    return CliRunner().invoke(app, ["compare", *map(str, folders)]).exit_code


def test_the_same_results_have_not_moved(folders):
    found = compare(*folders)
    assert not found.moved
    assert as_markdown(found) == "No number of the results has moved.\n"
    assert status(folders) == 0


@pytest.mark.parametrize(
    ("table", "other", "moved"),
    [
        ("linear_phase", -7.01069e-03, False),
        ("linear_phase", -7.0108e-03, True),
        ("linear_phase", 0.0, True),
        ("greediness", -7.01069e-03, True),
        ("greediness", -7.01068e-03 + 1e-18, False),
    ],
)
def test_one_in_the_sixth_digit_is_the_processor_s_where_six_are_written(
    folders, table, other, moved
):
    for folder, value in zip(folders, (-7.01068e-03, other), strict=True):
        pd.DataFrame({"flow": [value]}).to_csv(folder / f"tables/{table}.csv", index=False)
    assert compare(*folders).moved == moved


def test_a_compressed_table_is_compared_as_well(folders):
    for folder, ratio in zip(folders, (0.1, 0.2), strict=True):
        write_table(pd.DataFrame({"ratio": [ratio]}), folder / "tables/steps.csv.gz")
    assert list(compare(*folders).files["file"]) == ["tables/steps.csv.gz"]
    (folders[0] / "tables/.steps.csv.gz.part1").write_bytes(b"half written")
    assert list(compare(*folders).files["file"]) == ["tables/steps.csv.gz"]
    (folders[1] / "tables/steps.csv.gz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"new/tables/steps\.csv\.gz cannot be read"):
        compare(*folders)


def test_a_moved_number_is_named_with_both_values(folders):
    now = {"table1": {"colored_mnist": {"vanilla": 45.26, "guided": 90.51}}}
    (folders[1] / "metrics.json").write_text(json.dumps(now))
    found = compare(*folders)
    (row,) = found.key_numbers.itertuples(index=False)
    assert (row.number, row.old, row.new) == ("table1.colored_mnist.guided", 91.01, 90.51)
    assert row.change == pytest.approx(-0.5)
    assert "table1.colored_mnist.guided" in as_markdown(found)
    assert status(folders) == 1


def test_a_number_that_is_new_or_gone_has_moved(folders):
    (folders[1] / "metrics.json").write_text(json.dumps({"greediness": 0.1}))
    moved = set(compare(*folders).key_numbers["number"])
    assert moved == {"greediness", "table1.colored_mnist.vanilla", "table1.colored_mnist.guided"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accuracy": [0.5, 0.76]}, "1 of 6 cells: accuracy"),
        ({"reason": ["diverged", None]}, "2 of 6 cells: reason"),
        ({"d_util": [0.1, 0.2]}, "other columns: d_util"),
    ],
)
def test_a_table_that_differs_is_named_with_its_columns(folders, change, said):
    write_runs(folders[1], **change)
    assert compare(*folders).files.values.tolist() == [["tables/runs.csv", said]]
    assert status(folders) == 1


def test_the_last_digits_are_not_a_difference(folders):
    write_runs(folders[1], accuracy=[0.5 + 1e-9, 0.75])
    assert not compare(*folders).moved


def test_a_file_that_is_new_or_gone_is_named(folders):
    (folders[0] / "curves/digits.csv").rename(folders[0] / "curves/letters.csv")
    assert compare(*folders).files.values.tolist() == [
        ["curves/digits.csv", "is new"],
        ["curves/letters.csv", "is gone"],
    ]


def test_on_another_processor_numbers_may_move_and_the_reader_is_told(folders):
    write_runs(folders[1], accuracy=[0.5, 0.76], trained_on="there")
    found = compare(*folders)
    assert found.moved
    assert as_markdown(found).startswith("Trained on there; before, on here.")
    assert status(folders) == 0


def test_another_processor_alone_is_no_difference(folders):
    write_runs(folders[1], trained_on="there")
    assert not compare(*folders).moved


@pytest.mark.parametrize("text", ["", "[]", '{"table1": null}', '{"table1": "many"}'])
def test_damaged_key_numbers_are_named(folders, text):
    (folders[1] / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=r"new/metrics\.json cannot be read"):
        compare(*folders)


def test_without_key_numbers_in_either_folder_the_tables_are_compared(folders):
    for folder in folders:
        (folder / "metrics.json").unlink()
    assert not compare(*folders).moved
    write_runs(folders[1], accuracy=[0.5, 0.76])
    assert list(compare(*folders).files["file"]) == ["tables/runs.csv"]


def test_a_folder_without_results_is_named(folders, tmp_path):
    with pytest.raises(UserError, match=r"nowhere/metrics\.json cannot be read"):
        compare(folders[0], tmp_path / "nowhere")
