"""From run folders to tables. Never loads a network, the data or torch.

`collect` reads run folders into tidy tables. Each table for readers is a module with a function
`build(<inputs>, settings) -> DataFrame`; `TABLES` names them. `documents` writes what they build.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from equimodal.study.params import Analysis


@dataclass(frozen=True, kw_only=True)
class About:
    """What a table or a figure is made of. A scale that asks for such runs has it (`steps.made_at`).

    Texts are joined, whatever their lines.
    """

    title: str
    caption: str
    inputs: tuple[str, ...]  # of its function, beside the settings: tables, numbers of the paper
    experiments: tuple[str, ...] = ()  # whose runs it is made of
    datasets: tuple[str, ...] = ()  # of these runs; any if none
    cap: int | None = None  # of their epochs; any if None

    def __post_init__(self) -> None:
        for field, value in list(vars(self).items()):
            if isinstance(value, str):
                object.__setattr__(self, field, " ".join(value.split()))


@dataclass(frozen=True, kw_only=True)
class AboutTable(About):
    """A table for readers. The caption may name the settings of `analysis:` in braces."""

    sections: tuple[str, ...] = ()  # in Markdown, one table for each combination of these columns
    best_alone: bool = False  # whether its uni-modal rows are of the best modality alone

    def of(self, settings: "Analysis") -> Self:
        """The same, with the settings in its caption."""
        return replace(self, caption=self.caption.format(**settings.model_dump()))


_TABLE1 = (
    "Test accuracy in %: mean ± sample SD over runs that differ in their seed only. In brackets: the"
    " {confidence:.0%} t interval of the mean."
)
_AGAINST = (
    "Published: Table 1 of the paper, mean ± SD of three runs. Difference: ours less published, in"
    " percentage points, with Welch's {confidence:.0%} interval."
)
_BOOTSTRAP = (
    "In brackets: the {confidence:.0%} bootstrap interval of {resamples} resamples. Fewer than"
    " {fewest_resampled} models have"
)
_STUDENT = f"{_BOOTSTRAP} Student's interval."
_NONE = f"{_BOOTSTRAP} no interval."
_RATES = "The paper's intervals of learning rates are not known: these are ours."
_RANK = f"Spearman's rank correlation, with p of a permutation test. {_NONE}"
_BY_LABEL = (
    "by_label, of Colored-and-gray-MNIST: on the same test digits, each in the color of its class."
)
_OF_THE_PAPER = ("colored_mnist", "modelnet40", "nvgesture")

TABLES = {
    "table1": AboutTable(
        title="Table 1, published against ours",
        inputs=("runs", "evaluations", "published"),
        experiments=("table1",),
        best_alone=True,
        sections=("dataset", "start"),
        caption=f"""{_TABLE1} Evaluated: as the fidelity preset reports it. Uni-modal: of the networks with
            one modality, those with the higher mean test accuracy, as the paper presents the best one.
            {_AGAINST} Equivalent: the whole interval is within ±{{margin}} points. Different: it is wholly
            outside. Inconclusive: neither. A single run has no SD, no interval and no verdict.""",
    ),
    "table1_evaluations": AboutTable(
        title="Table 1 for every output under every way of evaluating",
        inputs=("runs", "evaluations", "histories", "published"),
        experiments=("table1",),
        best_alone=True,
        sections=("dataset", "start"),
        caption=f"""{_TABLE1} Outputs: the branches m0 and m1, and fused, the network's prediction. Evaluated:
            the flow between the branches on the test set. Left behind: the mode that the last training step
            left set. As trained: the mean over the modes, each weighted by its share of the steps of the
            chosen epoch. {_AGAINST} The published number is the same in every way of evaluating. Verdicts are
            as in Table 1.""",
    ),
    "by_cap": AboutTable(
        title="Table 1 if training had ended earlier",
        inputs=("runs", "histories", "published"),
        experiments=("table1",),
        datasets=_OF_THE_PAPER,
        best_alone=True,
        sections=("dataset", "start"),
        caption=f"""{_TABLE1} Each run is taken at its best epoch up to a cap, as recorded in training.
            Evaluated: as the preset reports it, or only the epochs whose last step left one mode behind.
            Outputs: those of which a number was published. {_AGAINST} Verdicts are as in Table 1.""",
    ),
    "readings": AboutTable(
        title="How much of Table 1 one reading explains",
        inputs=("by_cap", "table1_evaluations"),
        experiments=("table1",),
        datasets=_OF_THE_PAPER,
        sections=("dataset", "start"),
        caption="""A reading takes one preset, one way of evaluating and one cap for all cells of a column.
            The table counts the verdicts of Table 1 (margin ±{margin} points, {confidence:.0%} intervals). A
            reading explains a cell that is not different. No cap: the last epoch that was trained, by the
            stop rule or the scale's own cap.""",
    ),
    "preregistration": AboutTable(
        title="What was expected before the networks were trained",
        inputs=("runs", "histories", "preregistered"),
        experiments=("table1",),
        datasets=("colored_mnist",),
        cap=32,
        caption="""Expectations of docs/preregistration.md for preset official on Colored-and-gray-MNIST.
            Accuracy: on the test set in %, at the best epoch up to each cap, in the mode that the last step
            left behind. d_util: at the best epoch. Least and most: over the caps, of the mean over the
            finished runs of the named seeds.""",
    ),
    "calibration": AboutTable(
        title="Are Kim et al.'s colors clipped or redrawn?",
        inputs=("runs", "published_calibration"),
        experiments=("calibration",),
        caption="""Kim et al.'s own network on colored digits alone, by the variance of the colors. Test
            accuracy in % at the best epoch, one network a cell. Published: the baselines of their repository,
            after 100 epochs. The rule of docs/preregistration.md takes the way with the smaller mean absolute
            difference (percentage points) at seed 0.""",
    ),
    "table1_utilization": AboutTable(
        title="Utilization of Table 1's networks",
        inputs=("runs", "histories"),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption="""Means over seeds, in brackets the {confidence:.0%} t interval. d_util is u(m1|m0) -
            u(m0|m1) on the test set. d_util_by_label, of Colored-and-gray-MNIST, is the same on these digits
            in the colors of their classes. d_speed is s(m1|m0) - s(m0|m1), in log10 units, at the chosen
            epoch, and d_speed_first after the first one. The paper's text measures on the test set, whose
            colors are drawn at random.""",
    ),
    "comparisons": AboutTable(
        title="Each method less vanilla, paired by seed",
        inputs=("runs",),
        experiments=("table1",),
        sections=("dataset", "start"),
        caption="""Mean difference in test accuracy in percentage points, with its {confidence:.0%} t
            interval. It is over seeds at which both methods start from the same weights and see the same
            batches. Both are evaluated with the regular flow. p: paired t-test. p_holm: p after Holm's
            correction for the columns of Table 1. detectable: the smallest difference that so many seeds find
            with power {power:g}, at the spread found. Differences without spread give no interval and no
            test. The paper's Table 1 compares means and tests nothing.""",
    ),
    "unimodal": AboutTable(
        title="Networks with one modality",
        inputs=("runs", "published_unimodal"),
        experiments=("table1",),
        caption=f"{_TABLE1} Published: Section 6.1, which gives whole percent.",
    ),
    "greediness": AboutTable(
        title="Greediness of each policy",
        inputs=("runs", "published_greediness"),
        experiments=("sweep", "sweep_balanced"),
        caption=f"""Means over the models of the sweeps. d_util is u(m1|m0) - u(m0|m1), and d_speed is
            s(m1|m0) - s(m0|m1), in log10 units. {_BY_LABEL} {_STUDENT} Models that share a rate are taken as
            independent. abs_d_util: the greediness |E[d_util]|. size: the mean of |d_util|, in which
            models that lean to opposite sides do not cancel. size_difference: the mean of |d_util| less that of
            the vanilla model of the same rate and seed. symmetry_p: p of d_util being symmetric about 0 for two identical modalities
            (Wilcoxon's signed-rank test). d_util_perfect: the mean over the
            n_perfect models that got every training example right in some epoch. Published: E[d_util] of
            Section 6.4, and its absolute value of Section 6.2. The sign for Colored-and-gray-MNIST is not
            printed. For identical modalities the text says about 0. {_RATES}""",
    ),
    "distributions": AboutTable(
        title="Signs and sizes of d_util",
        inputs=("runs",),
        experiments=("sweep",),
        caption=f"""Vanilla models of the sweeps. sign_balance: the share of models with a positive d_util
            less the share with a negative one. It is 0 if d_util is symmetric about 0. greedy: the share of
            models with |d_util| above {{greedy_above}}, a bound of ours. In brackets: Wilson's
            {{confidence:.0%}} interval. largest: the largest |d_util|. {_BY_LABEL} Section 6.2 says that
            d_util is symmetric for identical modalities, and high in many models for distinct ones. {_RATES}""",
    ),
    "rebalancing": AboutTable(
        title="Which branch was re-balanced, and what became of it",
        inputs=("runs", "histories"),
        experiments=("sweep", "sweep_balanced"),
        caption=f"""Balanced models of the sweeps, with their steps up to the chosen epoch. rebalanced: the share
            of steps that re-balance. one_sided: the mean size of the share of steps in rebalance m1 less that
            in rebalance m0. spearman: of this difference and d_util. {_RANK} u_side: the share of its accuracy
            that the branch that was re-balanced more loses without the other modality. u_other: the same of the
            other branch. Their differences are to the vanilla model of the same rate and seed. vanilla_lean:
            d_util of that model, its sign turned if m0 was re-balanced more. In brackets: {{confidence:.0%}}
            bootstrap intervals. The paper has no such numbers. {_RATES}""",
    ),
    "prediction": AboutTable(
        title="Does the conditional learning speed tell the utilization?",
        inputs=("runs",),
        experiments=("sweep",),
        caption=f"""d_speed at the chosen epoch against d_util, over the vanilla models of the sweeps. The
            models are those of the distinct pair, or of the distinct and the identical pair. {_BY_LABEL}
            {_RANK} sign_agreement: the share of models in which both have the same sign, with Wilson's
            interval. A difference of 0 has no sign. Section 6.2 claims that the one predicts the other; the
            paper prints no correlation. {_RATES}""",
    ),
    "prediction_by_epoch": AboutTable(
        title="How early does the sign of d_speed tell the sign of d_util?",
        inputs=("runs", "histories"),
        experiments=("sweep",),
        caption=f"""Vanilla models of the sweeps with the distinct pair. The share in which d_speed after the
            epoch has the sign of d_util at the chosen epoch. In brackets: Wilson's {{confidence:.0%}}
            interval. A model that has stopped keeps its last d_speed. The paper has no such number. {_RATES}""",
    ),
    "l1_study": AboutTable(
        title="The L1 study",
        inputs=("runs",),
        experiments=("l1",),
        datasets=("modelnet40",),
        caption="""Vanilla training on ModelNet40, by the factor of the L1 penalty. below_<t>: the share of
            all parameters with an absolute value below t. Then the mean test accuracy in %, and means of
            d_util, of d_speed (log10 units) and of their sizes. In brackets: the {confidence:.0%} t interval.
            Figures 4 and 8 show the same; their values, range of factors and threshold are not printed.""",
    ),
    "l1_trends": AboutTable(
        title="Trends of the L1 study",
        inputs=("runs",),
        experiments=("l1",),
        datasets=("modelnet40",),
        caption=f"""Over all runs of a preset. {_RANK} Sparsity: the share of parameters with an absolute
            value below 0.001. abs: the size, without the sign. Section 6.3 claims that the imbalance of
            d_util rises with sparsity, and that of d_speed with it.""",
    ),
    "sensitivity": AboutTable(
        title="Sensitivity of guided training",
        inputs=("runs",),
        experiments=("sensitivity",),
        datasets=("modelnet40",),
        caption="""Guided training on ModelNet40, by its tolerance (log10 units) and its window (steps). One
            of them changes, and the other has its usual value. Mean test accuracy in % ± sample SD over
            seeds, and mean d_util. In brackets: their {confidence:.0%} t intervals. Figure 9 shows the same;
            its values are not printed.""",
    ),
    "fidelity_study": AboutTable(
        title="From the paper's reading to the official code's, one switch at a time",
        inputs=("runs", "evaluations"),
        experiments=("fidelity",),
        datasets=("colored_mnist",),
        caption="""Colored-and-gray-MNIST, evaluated as the preset reports it. Test accuracy in %: mean ±
            sample SD over seeds, in brackets its {confidence:.0%} t interval. Switch: what differs from the
            base (docs/fidelity.md). Difference: less the base at the same seed, in percentage points, with
            its t interval. p: paired t-test. p_holm: p after Holm's correction for the switches of a method
            and base. The paper has no such study.""",
    ),
    "three_views": AboutTable(
        title="Three views of ModelNet40",
        inputs=("runs",),
        experiments=("three_views",),
        datasets=("modelnet40",),
        caption="""Networks with three branches. Test accuracy in %: mean ± sample SD over seeds, in brackets
            its {confidence:.0%} t interval; then the means of the branches. Difference: less vanilla at the
            same seed, in percentage points, with its t interval. Section 6.4 has two such accuracies, which
            we could not find.""",
    ),
    "methods": AboutTable(
        title="Balancing methods of others",
        inputs=("runs", "histories"),
        experiments=("methods",),
        sections=("dataset", "start"),
        caption="""Test accuracy in %: mean ± sample SD over seeds at the epoch of the best validation
            accuracy, with its {confidence:.0%} t interval. last: at the last epoch. test_selected: at the
            epoch of the best test accuracy. Differences are in percentage points and paired by seed, with t
            intervals. They are to uniform training of the same preset, and to the ensemble of uni-modal
            networks. p_holm: corrected for the methods of a preset. detectable: the smallest difference that
            so many seeds find with power {power:g}. d_util, d_util_by_label and d_speed are as in the other
            tables. accuracy_alone: of each modality, the other isolated. shapley: its share of the accuracy.
            calibration_error: the expected one, of 15 bins. docs/methods.md has the rules.""",
    ),
    "tuning": AboutTable(
        title="What the balancing methods were tuned on",
        inputs=("runs",),
        experiments=("tuning", "methods"),
        sections=("dataset", "start"),
        caption="""The settings that each method had to choose from; a fair comparison gives all the same
            number. Validation and test accuracy in %, of n runs. best: the highest validation accuracy of the
            method, of settings whose runs all finished; none before all were tried. compared: the one that the
            comparison takes. The test accuracy chooses nothing.""",
    ),
    "selection": AboutTable(
        title="The choice of the epoch",
        inputs=("runs", "histories", "published"),
        experiments=("table1",),
        best_alone=True,
        sections=("dataset", "start"),
        caption=f"""Mean test accuracy in % of the runs of Table 1, by the epoch that is chosen. The epoch is
            the one of the best validation accuracy, the last one, or the one of the best test accuracy, as
            recorded in training. Table 1 is of logits kept in 16 bits, so near ties may differ. Optimism:
            what the choice on the test set adds, in percentage points, with its {{confidence:.0%}} t
            interval. It is 0 where the validation set is the test set. Until perfect: training ends with the
            first epoch in which every training example was right. So the paper's text reads; its code waits
            for the fifth. ± is the sample SD, with the t interval of the mean. {_AGAINST} It is of until
            perfect, and verdicts are as in Table 1.""",
    ),
    "stop_rule": AboutTable(
        title="When networks fit the training set",
        inputs=("runs", "histories"),
        experiments=("stop_rule",),
        caption="""Training ends after the fifth epoch in which every training example was answered right, or
            at the cap of the scale. Train_accuracy: the best of an epoch in %, counted while the epoch
            trains. Nothing here is of the test set (docs/preregistration.md).""",
    ),
    "switching_off": AboutTable(
        title="How a modality is switched off",
        inputs=("runs", "evaluations"),
        experiments=("sweep",),
        caption=f"""Mean d_util of the vanilla models of the sweeps with the distinct pair, by what a branch
            gets in place of the other modality's features. Isolated: their mean over the training set, as in
            the paper. Zeroed: zeros. Permuted: those of another example. Class mean: their mean over the
            class. spearman: the rank correlation over models with d_util under isolated. {_NONE} The paper
            has the first way only. {_RATES}""",
    ),
}

# Here, since the workflow asks for them and need not load pandas:
GIVEN = (  # inputs that come with the code: printed by others, or written down before
    *("published", "published_unimodal", "published_greediness", "published_calibration"),
    "preregistered",
)
JUDGED = (  # what `claims` reads
    *("table1", "table1_evaluations", "unimodal", "greediness", "distributions"),
    *("prediction", "l1_trends", "sensitivity", "three_views"),
)
SUMMARIZED = ("runs", "histories", "table1", "greediness", "prediction")  # what `summarize` reads


def maker(name: str) -> str:
    """Return the verb that makes a table, with its arguments."""
    if name in TABLES:
        return f"table {name}"
    return "claims" if name == "claims" else "collect"
