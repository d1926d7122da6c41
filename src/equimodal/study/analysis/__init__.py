"""From run folders to tables. Never loads a network, the data or torch.

`collect` reads run folders into tidy tables. Each table for readers is a module with a function
`build(<inputs>, settings) -> DataFrame`; `TABLES` names them. `render` writes what they build.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AboutTable:
    """What a table for readers is made of, and what is said about it.

    The caption may name the settings of `analysis:` in braces. `inputs` are the arguments of the
    module's `build` beside the settings: tables of `collect`, or the paper's numbers (`published`,
    `published_greediness`).
    """

    title: str
    inputs: tuple[str, ...]
    experiments: tuple[str, ...]  # whose runs it is made of
    caption: str
    sections: tuple[str, ...] = ()  # in Markdown, one table for each combination of these columns


_TABLE1 = (
    "Test accuracy in %, mean ± sample SD over runs that differ in seed only, with the {confidence:.0%} t"
    " interval of the mean in brackets."
)
_AGAINST = (
    " Published: Table 1 of the paper, mean ± SD of three runs. Difference: ours less published, percentage"
    " points, with Welch's {confidence:.0%} interval"
)
_BOOTSTRAP = (  # the ten: FEWEST of statistics, which takes a second to load
    "in brackets the {confidence:.0%} bootstrap interval ({resamples} resamples; fewer than 10 models have "
)
_STUDENT, _NONE = _BOOTSTRAP + "Student's)", _BOOTSTRAP + "none)"
_RATES = " The paper's intervals of learning rates are not known: these are ours."
_RANK = "Spearman's rank correlation, " + _NONE + ", and p of a permutation test"

TABLES = {
    "table1": AboutTable(
        title="Table 1, published against ours",
        inputs=("runs", "evaluations", "published"),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption=_TABLE1
        + " Evaluated as the fidelity preset reports it. Uni-modal: of the networks with one"
        " modality those with the higher mean test accuracy (the paper presents the best performance)."
        + _AGAINST
        + "; equivalent: the whole interval is within ±{margin} points; different: it is wholly outside;"
        " inconclusive: neither. A single run has no SD, and neither interval nor verdict.",
    ),
    "table1_evaluations": AboutTable(
        title="Table 1 for every output under every way of evaluating",
        inputs=("runs", "evaluations", "histories", "published"),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption=_TABLE1
        + " Outputs: the branches m0 and m1, and fused, the network's prediction. Evaluated: the flow between"
        " the branches when the test set was answered; left behind is that of the last training step; as trained"
        " is the mean over the modes of training, each as often as the steps of the chosen epoch took it: what"
        " to expect if the modes went on in the test as in training."
        + _AGAINST
        + ", against the same published number whatever the way of evaluating, and its verdict as in Table 1.",
    ),
    "by_cap": AboutTable(
        title="Table 1 if training had ended earlier",
        inputs=("runs", "histories", "published"),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption=_TABLE1
        + " Each run at its best epoch up to a cap, as recorded in training. Evaluated: as the preset reports it, or the epochs"
        " alone of which the last step left one mode behind. Outputs: those of which a number was published."
        + _AGAINST
        + ", and its verdict as in Table 1.",
    ),
    "readings": AboutTable(
        title="How much of Table 1 one reading explains",
        inputs=("by_cap", "table1_evaluations"),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption="A reading takes one preset, one way of evaluating and one cap for all cells of a column. Counts of the"
        " verdicts of Table 1 (margin ±{margin} points, {confidence:.0%} intervals). No cap: training went on to its own stop"
        " rule. A cell that is not different is one that the reading explains.",
    ),
    "preregistration": AboutTable(
        title="What was expected before the networks were trained",
        inputs=("runs", "histories", "preregistered"),
        experiments=("table1",),
        caption="Expectations of docs/preregistration.md, preset official on Colored-and-gray-MNIST: test accuracy in % at the best"
        " epoch up to each cap, in the mode that the last step left behind; d_util at the best epoch. Least and most: of the"
        " mean over the n runs of the seeds named that have finished, over the caps.",
    ),
    "calibration": AboutTable(
        title="Are Kim et al.'s colors clipped or redrawn?",
        inputs=("runs", "published_calibration"),
        experiments=("calibration",),
        caption="Kim et al.'s own network on colored digits alone, by the variance of the colors: test accuracy in % at the best"
        " epoch, one network a cell. Published: the baselines of their repository, after 100 epochs. The rule of"
        " docs/preregistration.md takes the way with the smaller mean absolute difference (percentage points), seed 0.",
    ),
    "table1_utilization": AboutTable(
        title="Utilization of Table 1's networks on both colorings of the test digits",
        inputs=("runs",),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption="Means over seeds of d_util = u(m1|m0) - u(m0|m1) on the test set, d_util_by_label on the same digits in the"
        " colors of their classes, and d_speed = s(m1|m0) - s(m0|m1) (log10 units), in brackets the {confidence:.0%} t interval."
        " The paper's text measures on the test set, whose colors are drawn at random.",
    ),
    "comparisons": AboutTable(
        title="Each method less vanilla, paired by seed",
        inputs=("runs",),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption="Mean difference in test accuracy, percentage points, over seeds at which both start from the"
        " same weights and see the same batches, regular flow, with its {confidence:.0%} t interval; p: paired"
        " t-test; p_holm: the same after Holm's correction for the columns of Table 1; detectable: the smallest"
        " difference that so many seeds find with power {power:g}, at the spread found;"
        " differences without spread give neither interval nor test. Beside Table 1 of the"
        " paper, which compares means and tests nothing.",
    ),
    "unimodal": AboutTable(
        title="Networks with one modality",
        inputs=("runs", "published_unimodal"),
        experiments=("table1",),
        caption=_TABLE1 + " Published: Section 6.1, which gives whole percent.",
    ),
    "greediness": AboutTable(
        title="Greediness of each policy",
        inputs=("runs", "published_greediness"),
        experiments=("sweep", "sweep_balanced"),
        caption="Means over the models of the sweeps of d_util = u(m1|m0) - u(m0|m1) and d_speed = s(m1|m0) -"
        " s(m0|m1) (log10 units); d_util_by_label: on the same test digits in the colors of their classes; "
        + _STUDENT
        + ", models that share a rate taken as independent; abs_d_util: the greediness |E[d_util]|; symmetry_p: p of"
        " d_util being symmetric about 0 for two identical modalities (Wilcoxon's signed-rank test); d_util_perfect: the"
        " mean over the n_perfect models that got every training example right in some epoch. Published:"
        " E[d_util] of Section 6.4 and its absolute value of Section 6.2, where the sign for"
        " Colored-and-gray-MNIST is not printed; for identical modalities the text says about 0."
        + _RATES,
    ),
    "distributions": AboutTable(
        title="Signs and sizes of d_util",
        inputs=("runs",),
        experiments=("sweep",),
        caption="Vanilla models of the sweeps. sign_balance: share of models with a positive d_util less that"
        " with a negative one, zeros left out: 0 if d_util is symmetric about 0; greedy: share of models with"
        " |d_util| above 0.1 (ours); in brackets Wilson's {confidence:.0%} interval; largest: the largest |d_util|."
        " by_label: on the same test digits in the colors of their classes. Beside Section 6.2, which says that"
        " d_util is symmetric about 0 for identical modalities and high in many models for distinct ones."
        + _RATES,
    ),
    "prediction": AboutTable(
        title="Does the conditional learning speed tell the utilization?",
        inputs=("runs",),
        experiments=("sweep",),
        caption="d_speed at the chosen epoch against d_util over the vanilla models of the sweeps, of the distinct"
        " pair or of both the distinct and the identical pair; by_label: on the same test digits in the colors of"
        " their classes: "
        + _RANK
        + "; sign_agreement: share of models in which both have the same sign, a difference of 0 having none, with Wilson's interval. Beside the claim of Section 6.2"
        " that the one predicts the other; the paper prints no correlation." + _RATES,
    ),
    "prediction_by_epoch": AboutTable(
        title="How early does the sign of d_speed tell the sign of d_util?",
        inputs=("runs", "histories"),
        experiments=("sweep",),
        caption="Share of the vanilla models of the sweeps (distinct pair) in which d_speed after the epoch has the"
        " sign that d_util has at the chosen epoch, in brackets Wilson's {confidence:.0%} interval; a"
        " model that has stopped keeps its last d_speed. The paper has no such number." + _RATES,
    ),
    "l1_study": AboutTable(
        title="The L1 study",
        inputs=("runs",),
        experiments=("l1",),
        caption="ModelNet40, vanilla, by the factor of the L1 penalty: below_<t>, the share of all parameters with"
        " an absolute value below t; mean test accuracy in %; means of d_util, of d_speed (log10 units) and of their sizes, in brackets the {confidence:.0%} t"
        " interval. Beside Figures 4 and 8, whose values, range of factors and threshold are not printed.",
    ),
    "l1_trends": AboutTable(
        title="Trends of the L1 study",
        inputs=("runs",),
        experiments=("l1",),
        caption="Over all runs of a preset: "
        + _RANK
        + ". Sparsity: share of parameters with an absolute value below"
        " 0.001; abs: the size, without the sign. Beside the claims of Section 6.3 that the imbalance of d_util, and"
        " with it that of d_speed, rises with sparsity.",
    ),
    "sensitivity": AboutTable(
        title="Sensitivity of guided training",
        inputs=("runs",),
        experiments=("sensitivity",),
        caption="Guided training on ModelNet40 by its tolerance (log10 units) and its window (steps), the other at its"
        " usual value: mean test accuracy in % ± sample SD over seeds, in brackets its {confidence:.0%} t interval;"
        " mean d_util with its t interval. Beside Figure 9, whose values are not printed.",
    ),
    "fidelity_study": AboutTable(
        title="From the paper's reading to the official code's, one switch at a time",
        inputs=("runs", "evaluations"),
        experiments=("fidelity",),
        caption="Colored-and-gray-MNIST: test accuracy in %, mean ± sample SD over seeds, in brackets its"
        " {confidence:.0%} t interval, evaluated as the preset reports it. Switch: what differs from the base"
        " (docs/fidelity.md); difference: less the base at the same seed, percentage points, with its t interval;"
        " p: paired t-test; p_holm: the same after Holm's correction for the switches of a method and base. The"
        " paper has no such study.",
    ),
    "three_views": AboutTable(
        title="Three views of ModelNet40",
        inputs=("runs",),
        experiments=("three_views",),
        caption="Test accuracy in % of networks with three branches, mean ± sample SD over seeds, in brackets its"
        " {confidence:.0%} t interval, and means of the branches; difference: less vanilla at the same seed,"
        " percentage points, with its t interval. Beside Section 6.4, whose two accuracies we could not find.",
    ),
    "selection": AboutTable(
        title="The choice of the epoch",
        inputs=("runs", "histories", "published"),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption="Mean test accuracy in % of the runs of Table 1 at the epoch with the best validation accuracy, at"
        " the last, and at the one with the best test accuracy, as recorded in training (Table 1 is of logits kept in"
        " 16 bits: near ties may fall otherwise). Optimism: what choosing"
        " on the test set adds to the first, percentage points, with its {confidence:.0%} t interval; 0 by"
        " construction where the validation set is the test set. Until perfect: the first again, if training had"
        " stopped with the first epoch in which every training example was answered right, as the paper's text"
        " reads, not with the fifth, as its code does (of all epochs where there was none); ± sample SD, with the"
        " t interval of the mean."
        + _AGAINST
        + " (of until perfect), and the verdict as in Table 1.",
    ),
    "switching_off": AboutTable(
        title="How a modality is switched off",
        inputs=("runs", "evaluations"),
        experiments=("sweep",),
        caption="Mean d_util of the vanilla models of the sweeps (distinct pair) if a branch gets, in place of the"
        " other modality's features, their mean over the training set (isolated, as in the paper), zeros, those of"
        " another example (permuted) or their mean over the class; spearman: rank correlation over models with"
        " d_util under isolated, " + _NONE + ". The paper has the first way only." + _RATES,
    ),
}

# Here, since the workflow asks for them and need not load pandas:
GIVEN = (  # inputs that come with the code: printed by others, or written down before
    *("published", "published_unimodal", "published_greediness", "published_calibration"),
    "preregistered",
)
COLLECTED = ("runs", "evaluations", "histories", "steps")  # what `collect` writes
JUDGED = (  # what `claims` reads
    *("table1", "table1_evaluations", "unimodal", "greediness", "distributions"),
    *("prediction", "l1_trends", "sensitivity", "three_views"),
)
SUMMARIZED = ("runs", "histories", "table1", "greediness", "prediction")  # what `summarize` reads
