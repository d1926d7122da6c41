"""One module a figure, each with `draw(...) -> Figure`. Never loads torch.

`FIGURES` says of each module what its `draw` takes and what a reader sees in it.
"""

from dataclasses import dataclass

from equimodal.study.analysis import About


@dataclass(frozen=True, kw_only=True)
class AboutFigure(About):
    """A figure in words, and what it is drawn from: tables by name, or `examples`, see figure6.

    The caption says what is drawn, from which runs and data set.
    """

    expect: str  # what the paper says that it shows
    published: str | None = None  # the paper's name for it, if the paper has such a figure
    datasets: tuple[str, ...] = ("colored_mnist", "modelnet40", "nvgesture")

    @property
    def heading(self) -> str:
        """The title after the paper's name for the figure."""
        return f"{self.published}. {self.title}" if self.published else self.title


_STRIP = (
    "One dot is one model; within a row, higher dots have a higher learning rate. The diamond below the"
    " dots is their mean with its interval. The star above them is the published mean. The interval of"
    " learning rates is ours, as the paper's is not known."
)

FIGURES = {
    "figure2": AboutFigure(
        title="Greediness on ModelNet40 and NVGesture",
        published="Figure 2",
        inputs=("runs", "greediness"),
        experiments=("sweep",),
        datasets=("modelnet40", "nvgesture"),
        caption=f"""d_util, the difference of the conditional utilization rates, and d_speed, that of the
            conditional learning speeds, over the vanilla sweep. (a) is ModelNet40 and (b) NVGesture, each
            with distinct and with identical modalities. {_STRIP}""",
        expect="""The paper finds |E[d_util]| of about 0.1 on ModelNet40 and 0.4 on NVGesture with distinct
            modalities. With identical ones it finds about 0. d_speed goes the same way.""",
    ),
    "figure4": AboutFigure(
        title="L1 regularization and greediness on ModelNet40",
        published="Figure 4",
        inputs=("runs", "l1_study", "l1_trends"),
        experiments=("l1",),
        datasets=("modelnet40",),
        caption="""Vanilla models on ModelNet40 with the penalty λ‖θ‖₁. Sparsity, |d_util| and |d_speed| are
            drawn against λ, and |d_util| and |d_speed| against sparsity. Sparsity is the share of parameters
            below 0.001 in absolute value. One dot is one model; squares are means at one λ, with their
            intervals. ρ is Spearman's rank correlation over models. The axes of the original, its interval of
            λ and its threshold are not known; these are ours.""",
        expect="""The paper says that sparsity rises with λ, and the imbalance with sparsity. It says that
            d_speed follows the same trend.""",
    ),
    "figure5": AboutFigure(
        title="Greediness by training algorithm",
        published="Figure 5",
        inputs=("runs", "greediness"),
        experiments=("sweep", "sweep_balanced"),
        datasets=("modelnet40", "nvgesture"),
        caption=f"""d_util over the sweeps with vanilla, random and guided training, on distinct modalities of
            ModelNet40 and NVGesture. {_STRIP}""",
        expect="""The paper gives E[d_util] as 0.4 (vanilla), 0.1 (random) and 0.3 (guided) on NVGesture. On
            ModelNet40 it gives −0.1, −0.0 and −0.0. So re-balancing brings it nearer to 0.""",
    ),
    "figure6": AboutFigure(
        title="Examples of the data",
        published="Figure 6",
        inputs=("examples",),
        caption="""Colored-and-gray-MNIST: one training and one test image of each class. ModelNet40: views of
            one training object of each class. NVGesture: an early, a middle and a late frame of one training
            clip of each class. There are at most ten classes, and five of NVGesture. The digits' colors are
            drawn anew about Kim et al.'s means, or about others that the note below names. Stand-in data are
            drawn by code and say so. Images of the real NVGesture and ModelNet40 are not shown.""",
        expect="In the paper, a training digit has the color of its class, and a test digit any color.",
    ),
    "figure7": AboutFigure(
        title="Greediness on Colored-and-gray-MNIST",
        published="Figure 7",
        inputs=("runs", "greediness"),
        experiments=("sweep",),
        datasets=("colored_mnist",),
        caption=f"""d_util and d_speed over the vanilla sweep on Colored-and-gray-MNIST, with distinct and with
            identical modalities. Where it was measured, d_util is also shown on the same test digits in the
            colors of their classes. {_STRIP}""",
        expect="""The paper finds |E[d_util]| of about 0.3 over 80 models with distinct modalities. Its sign
            is not known, so both signs are marked. With identical modalities it finds about 0.""",
    ),
    "figure8": AboutFigure(
        title="Sparsity at every threshold, and imbalance of the sparser models",
        published="Figure 8",
        inputs=("runs", "l1_study"),
        experiments=("l1",),
        datasets=("modelnet40",),
        caption="""Vanilla models on ModelNet40 with the penalty λ‖θ‖₁. (a) The share of parameters below each
            threshold in absolute value, mean over the models of one λ. (b) The imbalance |d_util| against
            sparsity (threshold 0.001), for the sparser half of the models. Squares are means at one λ, with
            their intervals. The axes and the range of the original are not known; these are ours.""",
        expect="""The paper says that, within a range, the imbalance increases significantly. Which range, and
            with what, is lost. Here it is drawn against sparsity.""",
    ),
    "figure9": AboutFigure(
        title="Sensitivity to the tolerance α and the window Q",
        published="Figure 9",
        inputs=("sensitivity",),
        experiments=("sensitivity",),
        datasets=("modelnet40",),
        caption="""Guided training on ModelNet40: test accuracy and d_util. (a) changes the imbalance tolerance
            α, and (b) the size Q of the re-balancing window. Marks are means over seeds with their intervals;
            n counts the models. The dashed line is the paper's choice. All values of α that |d_speed| always
            exceeds give the same training.""",
        expect="The values of α and Q that the paper shows, and its results, are not known.",
    ),
    "evaluations": AboutFigure(
        title="Which way of evaluating gives the published accuracy?",
        inputs=("table1_evaluations",),
        experiments=("table1",),
        datasets=("colored_mnist",),
        caption="""Test accuracy on Colored-and-gray-MNIST of the prediction ŷ, and of the branch of which the
            paper prints a number. Each mark is a way of evaluating: a mean over seeds with its interval. The
            regular flow leaves all gates live. In a branch's mode its gate is held at the running mean, as in
            a re-balancing step. Isolated branches exchange nothing. As trained is the mean over the modes,
            each weighted by its share of the training steps. The open circle is the mode that the last
            training step left behind. Gray bands: published, mean ± 2 SD. Intervals are cut at the ends of
            the axis. Three further ways of switching a branch off are in the table only.""",
        expect="""The paper says nothing of modes in evaluation. Its official code, which is for ModelNet40,
            evaluates in the mode that the last training step left behind.""",
    ),
    "by_cap": AboutFigure(
        title="Which cap of training gives the published accuracy?",
        inputs=("by_cap",),
        experiments=("table1",),
        datasets=("colored_mnist",),
        caption="""Test accuracy on Colored-and-gray-MNIST at the best epoch up to a cap, as the preset
            evaluates. Lines are means over seeds with their intervals. Dotted: only the epochs that leave the
            regular mode behind. Horizontal bands: published, mean ± 2 SD, in the color of their line. Gray:
            the caps of docs/preregistration.md.""",
        expect="The paper does not say when training ended.",
    ),
    "fidelity": AboutFigure(
        title="From the paper's reading to the official code's",
        inputs=("fidelity_study",),
        experiments=("fidelity",),
        datasets=("colored_mnist",),
        caption="""The change of test accuracy on Colored-and-gray-MNIST when one switch is flipped. (a) starts
            from the preset of the paper's reading, and (b) from that of its official code. Marks are means of
            the differences at the same seed, with their intervals. docs/fidelity.md says what each switch
            does.""",
        expect="The paper has no such study.",
    ),
    "methods": AboutFigure(
        title="Balancing methods: accuracy and utilization",
        inputs=("methods",),
        experiments=("methods",),
        datasets=(),
        caption="""Test accuracy against |d_util|, one point a method. Points are means over seeds with their
            intervals. A panel shows one preset, with MMTMs or without fusion. Where test digits were also
            colored by label, a second row has their |d_util|, and the same accuracies.""",
        expect="""The paper compares other methods than these. A method that balances well lies to the upper
            left.""",
    ),
    "steps": AboutFigure(
        title="Algorithm 1 at work",
        inputs=("runs", "steps"),
        experiments=("table1", "sweep_balanced", "sensitivity", "fidelity"),
        caption="""One guided run, step by step. Left is the whole training, and right are the steps around the
            end of the warm-up. Top: which steps were regular, and which re-balanced a modality. Of more than
            1,000 steps, it shows shares in each of 100 equal parts. Middle: conditional learning speeds.
            Bottom: d_speed, with the tolerance ±α as a band. Dotted lines: ends of epochs.""",
        expect="""Algorithm 1 takes only regular steps in the first epoch. Later, a regular step may leave
            d_speed above α; then Q re-balancing steps on m0 follow. If it leaves d_speed below −α, Q steps on
            m1 follow. Then comes one regular step, and the test is made again.""",
    ),
    "prediction": AboutFigure(
        title="Does d_speed tell d_util?",
        inputs=("runs", "prediction", "prediction_by_epoch"),
        experiments=("sweep",),
        caption="""All models of the vanilla sweeps. (a) d_util against d_speed, both at the chosen epoch.
            Filled marks are distinct modalities, and open ones identical. ρ is Spearman's rank correlation
            over both. (b) The share of models with distinct modalities whose d_speed after an epoch has the
            final sign of d_util, with Wilson intervals. A model that has stopped keeps its last d_speed.""",
        expect="""The paper takes the conditional learning speed as a proxy of the conditional utilization
            rate. So the two differences should have one sign, and grow together.""",
    ),
    "learning_curves": AboutFigure(
        title="How the branches learn",
        inputs=("runs", "histories"),
        experiments=("table1",),
        datasets=("colored_mnist",),
        caption="""Test accuracy and conditional learning speeds on Colored-and-gray-MNIST, epoch by epoch. Each
            line is one seed, of the preset `paper` or of the first that was run.""",
        expect="The paper has no such figure.",
    ),
}
