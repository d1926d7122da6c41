from equimodal.study import layout
from equimodal.study.expansion import expand_runs
from equimodal.study.locks import sole
from tests.conftest import run_verb, write_result

GRAY = "colored_mnist/gray/vanilla/paper/lr0.01/seed0"
TINY = "config/scales/tiny.yaml"
MODELNET = "modelnet40/distinct/guided/paper/lr0.1/seed0"
OTHER = GRAY.replace("seed0", "seed7")


def lay_out(*names):
    """The files of runs, empty."""
    for name in names:
        places = [layout.run("tiny", name) / file for file in ("spec.json", "history.csv")]
        for place in [*places, layout.model("tiny", name), layout.bank("tiny", name)]:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()


def prune(*arguments):
    return run_verb("prune", *arguments).stdout.splitlines()


def everything():
    return sorted(p for p in layout.RESULTS.rglob("*") if p.is_file())


def test_a_run_that_nothing_asks_for_is_removed_whole_and_no_other(project):
    assert GRAY in expand_runs(project.load())
    lay_out(GRAY)
    before = everything()
    lay_out(OTHER)
    assert prune() == [f"Removed {OTHER}"]
    assert everything() == before
    assert not layout.run("tiny", OTHER).exists()
    assert prune() == ["No run is left that the settings do not ask for."]


def test_a_run_of_other_settings_is_removed(project):
    specs = expand_runs(project.load())
    for name in (GRAY, MODELNET):
        write_result(specs[name], {"regular": [5] * len(specs[name].modalities)})
    project.edit(TINY, "    max_epochs: 1", "    max_epochs: 2")
    assert prune("--dry-run") == [f"Would remove {GRAY}"]


def test_a_dry_run_says_which_and_removes_nothing(project):
    lay_out(GRAY, OTHER)
    before = everything()
    assert prune("--dry-run") == [f"Would remove {OTHER}"]
    assert everything() == before


def test_files_that_are_no_run_s_stay(project):
    lay_out(OTHER)
    folder = layout.run("tiny", OTHER)
    strangers = [folder / "notes.txt", layout.scratch("tiny") / f"{OTHER}.pt"]
    strangers += [layout.tables("tiny") / "runs.csv", layout.run("paper", OTHER) / "spec.json"]
    for stranger in strangers:
        stranger.parent.mkdir(parents=True, exist_ok=True)
        stranger.touch()
    prune()
    assert everything() == sorted(strangers)


def test_nothing_made_is_nothing_to_remove(project):
    assert prune("--dry-run") == ["No run is left that the settings do not ask for."]


def test_runs_that_are_left_out_keep_their_results(project):
    lay_out(GRAY)
    project.edit("params.yaml", "leave_out: []", 'leave_out: ["colored_mnist/*"]')
    assert prune("--dry-run") == ["No run is left that the settings do not ask for."]


def test_a_damaged_spec_is_no_reason_to_remove_a_run(project):
    spec = expand_runs(project.load())[GRAY]
    folder, model = layout.run("tiny", GRAY), layout.model("tiny", GRAY)
    write_result(spec, {"regular": [5]})
    own = layout.run("tiny", "kept_of_mine") / "spec.json"
    own.parent.mkdir()
    own.write_text("{}")
    (folder / "spec.json").write_text(spec.model_dump_json().replace('"seed":0', '"seed":1'))
    assert prune() == ["No run is left that the settings do not ask for."]
    assert model.is_file()
    assert own.is_file()


def test_weights_that_a_run_starts_from_stay(project):
    weights = layout.model("tiny", OTHER)
    project.edit(TINY, "nvgesture: results/{scale}/models/", "nvgesture: results/tiny/models/")
    project.edit(TINY, "nvgesture/color/vanilla/paper/lr0.01/seed0.pt", f"{OTHER}.pt")
    lay_out(OTHER)
    assert prune() == [f"Removed {OTHER}"]
    assert weights.is_file()


def test_a_run_that_is_in_training_is_kept(project):
    lay_out(OTHER)
    before = everything()
    with sole("the training", layout.training_lock("tiny", OTHER)):
        (line,) = prune()
    assert line.startswith(f"Kept {OTHER}: ")
    assert set(before) <= set(everything())
