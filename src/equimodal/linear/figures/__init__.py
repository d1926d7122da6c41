"""The second paper's figures: one module each, with `draw(...) -> Figure`. Never loads torch."""

from equimodal.study.figures import AboutFigure
from equimodal.study.params import Params

PAPER = "Zhang et al. (2024)"
_DOTS = "Points are simulations, and bars their SD over seeds. Arrows are runs that never learned B. Lines are theory."

# F1 to F17 are our names for the paper's figures, whose numbers were not at hand.
FIGURES = {
    "linear_curves": AboutFigure(
        title="Learning in early and late fusion",
        published=f"{PAPER}, F1, F2, F4 and F10",
        inputs=("linear_curves", "linear_superficial"),
        caption="""Loss and total weights of two-layer linear networks with correlated modalities, over their
            starts or ends. Dotted: what theory says of the phase in which A alone is learned. Last panel: B
            explains more of the target, though A correlates more with it. Dash-dotted: the loss of B alone.""",
        expect="""Early fusion learns both modalities at once. Late fusion first learns A and then B, and A
            takes over what belongs to B by correlation. Last panel: the modality that explains less comes
            first.""",
    ),
    "linear_units": AboutFigure(
        title="The hidden units of early fusion",
        published=f"{PAPER}, F1, its scatter",
        inputs=("linear_units",),
        caption="""First-layer weights on A and B of every unit of the two-layer networks above, at the time of
            A and in the end. Gray: one and two SDs of the inputs, not to scale. Arrows: the direction s of
            growth from small weights, and that of the solution, (1, 1).""",
        expect="The units lie on one line through 0. It is near s at first and turns to the solution.",
    ),
    "linear_phase": AboutFigure(
        title="Phase portraits",
        published=f"{PAPER}, F3",
        inputs=("linear_phase",),
        caption="The direction of learning by total weights, a path from small ones, and the fixed points.",
        expect="Late fusion passes the saddle M_A. Early fusion has no saddle but the origin.",
    ),
    "linear_ratio": AboutFigure(
        title="How long late fusion stays unimodal",
        published=f"{PAPER}, F5 and F6",
        inputs=("linear_ratio", "linear_ratio_theory"),
        caption=f"""Two-layer late fusion; dots are linear networks, and crosses ReLU. (a) The time ratio. (b)
            What A is credited with too much, half-way between the times. {_DOTS} Dotted: theory of linear
            networks at the step size of the simulation. Finite steps matter about half as much to ReLU.""",
        expect="""The ratio rises with the size of the correlation and with the ratio of variances, and ReLU
            networks have the same. Finite steps account for points below the line. At equal SDs theory is 1
            and either modality may be the first, so points lie on both sides.""",
    ),
    "linear_map": AboutFigure(
        title="Theory over the statistics of the data",
        published=f"{PAPER}, F7 and F9",
        inputs=("linear_ratio_map",),
        caption="""Late fusion: (a) the time ratio and (b) the mis-attribution, by correlation and ratio of SDs.
            (c) Where the modality that is learned first explains less.""",
        expect="Theory only, in the paper as here.",
    ),
    "linear_random": AboutFigure(
        title="Random data of many inputs",
        published=f"{PAPER}, F8",
        inputs=("linear_random",),
        caption="""Two-layer late fusion; one dot is one draw of the data. Arrows up: runs that never learned B.
            Arrows down: runs that never learned A.""",
        expect="""Most dots lie near the diagonal; the formula is of leading order in the initial scale. Draws
            outside have a predicted ratio that is too large to be trained.""",
    ),
    "linear_generalization": AboutFigure(
        title="Few examples make the bias permanent",
        published=f"{PAPER}, F11",
        inputs=("linear_generalization",),
        caption="""Training loss, generalization error E_g and weights of two-layer networks. They learn from
            noisy examples, fewer or more than the inputs; one line is one seed.""",
        expect="""With fewer examples than inputs, late fusion generalizes best while it is unimodal. So early
            stopping returns a unimodal network. Early fusion does not behave so.""",
    ),
    "linear_depth": AboutFigure(
        title="The deeper the fusion, the longer the unimodal phase",
        published=f"{PAPER}, F12 to F15",
        inputs=("linear_deep_curves", "linear_deep_ratio", "linear_deep_theory"),
        caption=f"Deep linear networks by fusion layer L_f. {_DOTS}",
        expect="""The ratio rises with L_f, and with u_0 unless fusion is late. Random weights are not aligned
            as the theory assumes, so intermediate fusion lies below it.""",
    ),
    "linear_bridge": AboutFigure(
        title="Conditional learning speed and utilization where the answer is known",
        inputs=("linear_bridge",),
        caption="""Linear networks of both depths. (a) The time ratio of two-layer late fusion against what two
            readings of the branches' speeds predict. (b) Utilization of A and B half-way between the times;
            crosses: theory for the unimodal phase. (c) The length of the unimodal phase under guided training
            over that under vanilla training, at each correlation. Where guided training learns B first, it is
            the phase of B.""",
        expect="""No paper has this. In one, speed is a proxy of greediness; in the other, greediness is
            derived.""",
    ),
    "linear_xor": AboutFigure(
        title="A modality that is easy beside one that is not",
        published=f"{PAPER}, F16",
        inputs=("linear_xor", "linear_xor_curves", "linear_xor_units"),
        caption="""Top: the loss of two-layer ReLU networks on y = x_A + XOR(x_B), with x_A of variance v.
            Dotted: x_A alone. Below: first-layer weights on the two inputs of B of every unit of one network
            in the end, colored by the weight on A. Dotted: the directions of the XOR.""",
        expect="""Late fusion always learns the XOR, later for larger v, with units along its directions.
            Early fusion can get stuck with units that read A alone, all on one point at 0. Where it learns
            the XOR, units read A as well.""",
    ),
    "linear_mnist": AboutFigure(
        title="Noisy MNIST: the deeper the fusion, the later the second modality",
        published=f"{PAPER}, F17",
        inputs=("linear_mnist",),
        caption="""Fully connected ReLU networks see one digit as two modalities under noise. A is clean in more
            examples than B. There is one network for each fusion layer L_f, shown by epochs trained. Loss: of
            an epoch's first batch. Test accuracy: with both modalities under noise as in training, and with
            the clean digit in A or in B alone, the other being zero.""",
        expect="""Accuracy of B alone is lower the deeper the fusion, most of all early in training. Accuracy
            of A alone is about the same at every depth.""",
    ),
}

# What `equimodal linear` makes: here, since the workflow need not load what computes them.
DRAWN = {table for about in FIGURES.values() for table in about.inputs} - {"linear_mnist"}
SUMMED_UP = ("linear_agreement", "linear_agreement_by_depth", "linear_bridge_means")
SIMULATED = sorted({*DRAWN, *SUMMED_UP})


def figures_of(params: Params) -> dict[str, AboutFigure]:
    """All of them where a scale asks for networks on digits, as the second paper has some of its own; else none."""
    asked = {grid.dataset for grids in params.experiments.values() for grid in grids}
    return FIGURES if any(params.datasets[d].kind == "colored_mnist" for d in asked) else {}
