"""One module a figure, each with `draw(...) -> Figure`. Never loads torch.

`FIGURES` says of each module what its `draw` takes and what a reader is to see in it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AboutFigure:
    """A figure in words, and what it is drawn from."""

    title: str
    published: str | None  # the paper's name for it; None if the paper has no such figure
    inputs: tuple[str, ...]  # tables by name; or `examples` and `labels`, see figure6
    shows: str  # what is drawn, from which runs and data set
    expect: str  # what the paper says that it shows

    @property
    def caption(self) -> str:
        """What is shown, then what the paper says to expect."""
        return f"{self.shows} {self.expect}"


_STRIP = (
    "One dot is one model; within a row it lies higher the higher its learning rate. The diamond"
    " below the dots is their mean with its interval, the star above them the published"
    " mean. The interval of learning rates is ours: the paper's is not to be had."
)

FIGURES = {
    "figure2": AboutFigure(
        title="Greediness on ModelNet40 and NVGesture",
        published="Figure 2",
        inputs=("runs", "greediness"),
        shows=(
            "Difference of the conditional utilization rates, d_util, and of the conditional"
            " learning speeds, d_speed, over the vanilla sweep on (a) ModelNet40 and (b) NVGesture,"
            f" with distinct and with identical modalities. {_STRIP}"
        ),
        expect=(
            "The paper finds |E[d_util]| of about 0.1 on ModelNet40 and 0.4 on NVGesture with"
            " distinct modalities, and about 0 with identical ones; d_speed goes the same way."
        ),
    ),
    "figure4": AboutFigure(
        title="L1 regularization and greediness on ModelNet40",
        published="Figure 4",
        inputs=("runs", "l1_study", "l1_trends"),
        shows=(
            "Models trained (vanilla) on ModelNet40 with the penalty λ‖θ‖₁: their sparsity (share of"
            " parameters smaller than 0.001 in absolute value), |d_util| and |d_speed| against λ, and"
            " |d_util| and |d_speed| against sparsity. One dot is one model; squares are means at one"
            " λ, with their intervals. ρ is Spearman's rank correlation over models. The axes of"
            " the original, its interval of λ and its threshold are not known; these are ours."
        ),
        expect=(
            "The paper says that sparsity rises with λ, that the imbalance rises with sparsity, and that"
            " d_speed follows the same trend."
        ),
    ),
    "figure5": AboutFigure(
        title="Greediness by training algorithm",
        published="Figure 5",
        inputs=("runs", "greediness"),
        shows=(
            "d_util over the sweeps with vanilla, random and guided training, distinct modalities,"
            f" on ModelNet40 and NVGesture. {_STRIP}"
        ),
        expect=(
            "The paper gives E[d_util] as 0.4 (vanilla), 0.1 (random) and 0.3 (guided) on NVGesture,"
            " and as −0.1, −0.0 and −0.0 on ModelNet40: re-balancing brings it nearer to 0."
        ),
    ),
    "figure6": AboutFigure(
        title="Examples of the data",
        published="Figure 6",
        inputs=("examples", "labels"),
        shows=(
            "Colored-and-gray-MNIST: one training and one test image of each class. ModelNet40: views"
            " of one training object of each class. NVGesture: an early, a middle and a late frame of"
            " one training clip of each class; at most ten classes, five of NVGesture. The digits'"
            " colors are drawn anew about Kim et al.'s means, or others that the note below names. Stand-in data"
            " are drawn by code and say so. Images of the real NVGesture and ModelNet40 are not"
            " shown."
        ),
        expect=(
            "In the paper, a training digit wears the color of its class and a test digit any color."
        ),
    ),
    "figure7": AboutFigure(
        title="Greediness on Colored-and-gray-MNIST",
        published="Figure 7",
        inputs=("runs", "greediness"),
        shows=(
            "d_util and d_speed over the vanilla sweep on Colored-and-gray-MNIST, with distinct and with"
            " identical modalities. Where it was measured, d_util also on the same test digits in the colors"
            f" of their classes, as in training. {_STRIP}"
        ),
        expect=(
            "The paper finds |E[d_util]| of about 0.3 over 80 models with distinct modalities (its"
            " sign is not to be had, so both are marked) and about 0 with identical ones."
        ),
    ),
    "figure8": AboutFigure(
        title="Sparsity at every threshold, and imbalance of the sparser models",
        published="Figure 8",
        inputs=("runs", "l1_study"),
        shows=(
            "Models trained (vanilla) on ModelNet40 with the penalty λ‖θ‖₁. (a) Share of parameters"
            " smaller than each threshold in absolute value, mean over the models of one λ."
            " (b) The imbalance |d_util| against sparsity (threshold 0.001) of the sparser half of the models;"
            " squares are means at one λ, with their intervals. The axes and the range of the"
            " original are not known; these are ours."
        ),
        expect=(
            "The paper says that, within a range, the imbalance increases significantly; which range, and"
            " with what, is lost. Here it is drawn against sparsity."
        ),
    ),
    "figure9": AboutFigure(
        title="Sensitivity to the tolerance α and the window Q",
        published="Figure 9",
        inputs=("sensitivity",),
        shows=(
            "Guided training on ModelNet40: test accuracy and d_util against (a) the imbalance"
            " tolerance α and (b) the size Q of the re-balancing window, the other held. Marks"
            " are means over seeds with their intervals; n counts the models. The dashed line is"
            " the paper's choice. Values of α that |d_speed| always exceeds give one and the same training."
        ),
        expect="The values of α and Q that the paper shows, and its results, are not to be had.",
    ),
    "evaluations": AboutFigure(
        title="Which way of evaluating gives the published accuracy?",
        published=None,
        inputs=("table1_evaluations",),
        shows=(
            "Colored-and-gray-MNIST: test accuracy of the prediction ŷ, and of the"
            " branch that the paper prints one for, under the regular flow, with one branch's gate at"
            " its running mean as in a re-balancing step, with no flow between the branches, and in the"
            " mean over the modes of training, each as often as training took it; means"
            " over seeds with their intervals. The open circle is the mode that the last training step left"
            " behind. Gray bands: published, mean ± 2 SD. Intervals are cut at the ends of the axis. Three further ways of switching a branch off"
            " are in the table only."
        ),
        expect=(
            "The paper says nothing of modes in evaluation; its official code, which is for ModelNet40,"
            " evaluates in the mode that the last training step left behind."
        ),
    ),
    "by_cap": AboutFigure(
        title="Which cap of training gives the published accuracy?",
        published=None,
        inputs=("by_cap",),
        shows=(
            "Colored-and-gray-MNIST: test accuracy at the best epoch up to a cap, mean over seeds with its"
            " interval, as the preset evaluates. Dotted: of the epochs alone whose last step was regular."
            " Horizontal bands: published, mean ± 2 SD, in the color of their line. Gray: the caps of docs/preregistration.md."
        ),
        expect="The paper does not say when training ended; a reading explains a row where line and band meet.",
    ),
    "fidelity": AboutFigure(
        title="From the paper's reading to the official code's",
        published=None,
        inputs=("fidelity_study",),
        shows=(
            "Colored-and-gray-MNIST: by how much one switch moves the test accuracy, flipped from the"
            " preset (a) of the paper's reading and (b) of its official code; means of the differences"
            " at the same seed, with their intervals. docs/fidelity.md says what each switch does."
        ),
        expect="The paper has no such study: it tells which differences decide on its numbers.",
    ),
    "steps": AboutFigure(
        title="Algorithm 1 at work",
        published=None,
        inputs=("runs", "steps"),
        shows=(
            "One guided run, step by step; left the whole training, right the steps around the end"
            " of the warm-up. Top: which steps were regular and which re-balanced a modality; of"
            " more than 1,000, shares in each of 100 equal parts. Middle: conditional"
            " learning speeds. Bottom: d_speed, with the tolerance ±α as a band. Dotted lines: ends"
            " of epochs."
        ),
        expect=(
            "Algorithm 1 takes regular steps only in the first epoch. Afterwards, where a regular"
            " step leaves d_speed above α, Q re-balancing steps on m0 follow; where it leaves it"
            " below −α, Q on m1; then one regular step, and the test is made again."
        ),
    ),
    "prediction": AboutFigure(
        title="Does d_speed tell d_util?",
        published=None,
        inputs=("runs", "prediction", "prediction_by_epoch"),
        shows=(
            "All models of the vanilla sweeps. (a) d_util against d_speed, both at the chosen"
            " epoch; filled marks are distinct, open ones identical modalities; ρ is Spearman's rank"
            " correlation over both. (b) Share of models with distinct modalities whose d_speed"
            " after an epoch has the sign that d_util has in the end, with Wilson intervals; a model"
            " that has stopped keeps its last d_speed."
        ),
        expect=(
            "The paper takes the conditional learning speed as a proxy of the conditional utilization"
            " rate: the two differences are to have one sign, and to grow together."
        ),
    ),
    "learning_curves": AboutFigure(
        title="How the branches learn",
        published=None,
        inputs=("runs", "histories"),
        shows=(
            "Test accuracy and conditional learning speeds on Colored-and-gray-MNIST, epoch by epoch,"
            " one line a seed; of the preset `paper`, or the first that was run."
        ),
        expect=(
            "Vanilla training lets the gray branch follow the color; guided training re-balances it."
        ),
    ),
}
