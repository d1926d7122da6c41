import numpy as np
import pandas as pd
import pytest

from equimodal.linear.experiment import curves, generalization, random, ratio, xor
from equimodal.linear.settings import load_linear
from equimodal.study.errors import UserError
from equimodal.study.params import load_params
from tests.conftest import ROOT


def test_no_table_is_empty(tables):
    assert [name for name, table in tables.items() if table.empty] == []


# One for each kind of what is drawn at random: weights, inputs, statistics, examples, starts of ReLU units.
@pytest.mark.parametrize("build", [ratio, curves, random, generalization, xor])
def test_tables_are_the_same_each_time(build, tables, settings):
    for name, table in build(settings).items():
        pd.testing.assert_frame_equal(tables[name], table)


def test_a_run_that_never_learns_b_stays_in_the_table(tables):
    table = tables["linear_ratio"].query("rho == 0.9 and r == 3 and units == 'linear'")
    assert table["censored"].tolist() == ["B"]
    assert table["ratio"].isna().all()
    assert (table["at_least"] > 10).all()


def test_every_draw_of_random_data_is_accounted_for(tables, settings):
    table = tables["linear_random"]
    assert len(table) == settings.random.draws
    assert set(table["status"]) <= {"trained", "outside", "unstable"}
    assert table.query("status == 'trained'")["t_a"].notna().any()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  curve_ratio: 2.0", "  curve_ratio: 0.8", "curve_ratio"),
        ("w_b: 4.0", "w_b: 20.0", "w_b is 20; expected above ratio and below its square, 3 to 9"),
        ("variance: 3.0, weight", "variance: 0.3, weight", "generalization.variance"),
        ("variances: [1.0, ", "variances: [0.5, ", "xor.variances"),
        ("examples: [70, ", "examples: [51, ", "examples has 51; expected at least 52, two more"),
    ],
)
def test_settings_that_the_theory_does_not_cover_are_refused(project, old, new, message):
    """Captions, plateaus and theory take A for the first, and A alone to have a solution."""
    project.edit("config/linear/base.yaml", old, new)
    with pytest.raises(UserError, match=message):
        project.load_linear()


def test_a_step_too_large_for_the_linear_modality_beside_the_xor_is_refused(settings):
    wide = settings.xor.model_copy(update={"variances": (60.0,)})
    with pytest.raises(UserError, match=r"step size 0.04 is out of range.*less than 0.03333"):
        xor(settings.model_copy(update={"xor": wide}))


def test_a_bias_is_not_called_permanent_that_ends_after_the_last_step(settings):
    short = settings.generalization.model_copy(update={"steps": 400})
    with pytest.raises(
        UserError, match=r"generalization.steps is 400: too few for 1 of 1 networks of late fusion"
    ):
        generalization(settings.model_copy(update={"generalization": short}))


def test_no_draw_that_can_be_trained_is_a_table_without_times(settings):
    none = settings.random.model_copy(update={"largest": 1.0 + 1e-9})
    table = random(settings.model_copy(update={"random": none}))["linear_random"]
    assert set(table["status"]) == {"outside"}
    assert table[["t_a", "t_b", "ratio"]].isna().to_numpy().all()


def test_plateaus_are_those_that_the_theory_beside_them_says(tables):
    """A plateau is one only where B waits long; at r = 1 either modality may be the first."""
    waits = tables["linear_ratio"].query("ratio > 3 and r > 1 and censored == 'neither'")
    assert set(waits["units"]) == {"linear", "relu"}
    np.testing.assert_allclose(waits["mid_loss"], waits["theory_loss"], rtol=0.02)
    np.testing.assert_allclose(waits["mis_attribution"], waits["theory_mis"], atol=0.01)


def test_deep_ratios_are_beside_the_theory_that_the_lines_show(tables):
    lines = tables["linear_deep_theory"].groupby(["varied", "L_f"])
    for (varied, fusion), cell in tables["linear_deep_ratio"].groupby(["varied", "L_f"]):
        line = lines.get_group((varied, fusion))
        at_points = np.interp(cell[varied], line[varied], line["ratio"])
        np.testing.assert_allclose(cell["theory"], at_points, rtol=0.01)


def test_half_way_between_the_times_late_fusion_uses_a_alone(tables):
    late = tables["linear_bridge"].query("depth == 2 and L_f == 2 and censored == 'neither'")
    assert len(late) > 1
    assert late["u_b_mid"].abs().max() < 1e-3
    np.testing.assert_allclose(late["u_a_mid"], late["u_a_theory"], atol=1e-3)
    np.testing.assert_allclose(late["u_b_end"], late["u_b_end_theory"], atol=1e-3)
    assert late["gain_b"].between(0, late["u_b_end_theory"] + 1e-9).all()
    times = late[["t_a", "t_b", "t_a_balanced", "t_b_balanced"]].to_numpy().T
    np.testing.assert_allclose(
        late["phase_factor"], np.abs(times[3] - times[2]) / np.abs(times[1] - times[0])
    )


def test_networks_that_never_learn_the_xor_have_no_units_along_it(tables):
    table = tables["linear_xor"]
    assert (table.query("fusion == 'late'")["on_axes"] >= 0.9).all()
    stuck = table[table["t_xor"].isna()]
    assert len(stuck) > 0
    assert stuck["on_axes"].isna().all()


def test_deep_runs_cover_every_fusion_layer_and_what_is_varied(tables):
    covered = tables["linear_deep_ratio"].groupby(["varied", "L_f"]).size()
    assert covered.to_dict() == {(v, f): 1 for v in ("r", "rho", "scale") for f in (1, 2, 3, 4)}


def test_curves_and_paths_end_at_the_target(tables):
    paths = tables["linear_phase"].query("kind == 'path'")
    for table, runs in ((tables["linear_curves"], ["fusion", "rho"]), (paths, ["fusion"])):
        np.testing.assert_allclose(table.groupby(runs).last()[["w_a", "w_b"]], 1, atol=0.01)


def directions(units):
    """Of the units, up to sign; those of hardly any weight left out."""
    w = units[["w_a", "w_b"]].to_numpy()
    length = np.linalg.norm(w, axis=1)
    large = length > 0.1 * length.max()
    return np.abs(w[large, 1] / w[large, 0])


def test_units_of_early_fusion_grow_along_the_signal_and_end_along_the_solution(tables):
    for _, units in tables["linear_units"].groupby("rho"):
        first, last = (units[units["when"] == when] for when in ("at t_A", "in the end"))
        np.testing.assert_allclose(directions(last), 1, rtol=0.02)
        signal = (first["s_b"] / first["s_a"]).iloc[0]
        assert np.abs(directions(first) - signal).max() < 0.1


def test_units_of_late_fusion_read_one_modality(tables):
    units = tables["linear_xor_units"].query("fusion == 'late'")
    of_b = units[["w_b1", "w_b2"]].abs()
    assert ((units["w_a"] == 0) != (of_b == 0).all(axis=1)).all()


def test_where_preference_is_superficial_the_other_modality_alone_would_explain_more(
    tables, settings
):
    """F10, uncorrelated: a modality explains (weight times SD)^2 of y; A's weight and B's SD are 1."""
    a, b = settings.superficial.ratio**2, settings.superficial.w_b**2
    of_a, of_b = tables["linear_superficial"][["loss_plateau", "other_plateau"]].iloc[0]
    assert (of_a, of_b) == pytest.approx((b / (a + b), a / (a + b)))
    assert of_b < of_a


@pytest.fixture(scope="module")
def few_and_many_examples():
    """T15 at paper settings: 5 seeds, N = 100."""
    params = ROOT / "params.yaml"
    made = generalization(load_linear(load_params(params, scale="paper"), params))
    return made["linear_generalization"]


def ends(table, *, fusion, examples):
    return table[(table["fusion"] == fusion) & (table["examples"] == examples)].groupby("seed")


def test_with_few_examples_late_fusion_is_best_before_it_learns_the_second_modality(
    few_and_many_examples,
):
    """T15, P = 70: in 5 of 5 seeds, and worse than early fusion in each."""
    late, early = (ends(few_and_many_examples, fusion=f, examples=70) for f in ("late", "early"))
    assert late["permanent"].last().tolist() == [True] * 5
    assert early["permanent"].last().tolist() == [False] * 5
    assert (early["best_step"].last() > early["onset"].last()).all()
    assert (late["error"].min() > early["error"].min()).all()


def test_with_many_examples_the_bias_passes(few_and_many_examples):
    """T15, P = 700: the plateau of E_g near its formula, the end near that of early fusion."""
    late, early = (ends(few_and_many_examples, fusion=f, examples=700) for f in ("late", "early"))
    middle = few_and_many_examples.query("fusion == 'late' and examples == 700 and step == 450")
    np.testing.assert_allclose(middle["error"], middle["theory"], rtol=0.1)
    np.testing.assert_allclose(late["error"].last(), early["error"].last(), rtol=0.1)
    assert late["permanent"].last().tolist() == [False] * 5


# Of the authors' code, five seeds: lowest E_g (mean, least, largest) and E_g in the end (mean).
REFERENCE = {
    (70, "early"): (0.371, 0.311, 0.513, 0.516),
    (70, "late"): (0.512, 0.420, 0.614, 0.836),
    (700, "early"): (0.0195, 0.0173, 0.0226, 0.0200),
    (700, "late"): (0.0196, 0.0173, 0.0228, 0.0200),
}


@pytest.mark.parametrize(("examples", "fusion"), REFERENCE)
def test_generalization_is_that_of_the_reference(few_and_many_examples, examples, fusion):
    """Other draws of examples, theirs milder than most: of least squares on A, E_g is 1.05, expected 1.24."""
    mean, least, largest, end = REFERENCE[examples, fusion]
    runs = ends(few_and_many_examples, fusion=fusion, examples=examples)["error"]
    assert runs.min().mean() == pytest.approx(mean, rel=0.25)
    assert runs.min().between(0.75 * least, 1.25 * largest).all()
    assert runs.last().mean() == pytest.approx(end, rel=0.4)
