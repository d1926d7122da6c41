# The second paper: its linear networks, its networks on noisy MNIST, its figures.
from equimodal.linear import figures as linear
from equimodal.linear import products as linear_products
from equimodal.linear.settings import load_linear

try:
    LINEAR = load_linear(PARAMS, SETTINGS)
except UserError as error:
    raise WorkflowError(str(error))
LINEAR_NOTE = for_rest(LINEAR.note or "")
LAYERS = range(1, LINEAR.noisy_mnist.depth + 1)
MNIST_RECORDS = of_scale(linear_products.record("{scale}", "{layer}"), layer=LAYERS)
LINEAR_FIGURES = linear.figures_of(PARAMS)
LINEAR_PRODUCTS = of_scale(DRAWN, figure=LINEAR_FIGURES, suffix=["svg", "png", "pdf"])
VALID_LINEAR = [
    *of_scale(layout.valid("{scale}", "linear", "networks")),
    *of_scale(layout.valid("{scale}", "noisy_mnist", "L_f{layer}"), layer=LAYERS),
] * bool(LINEAR_FIGURES)


rule linear:
    output:
        layout.valid("{scale}", "linear", "networks"),
        kept(layout.table_receipt("{scale}", "linear")),
        [kept(table) for table in tables(linear.SIMULATED)],
    log:
        "results/{scale}/logs/linear.log",
    benchmark:
        "results/{scale}/benchmarks/linear.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=four_hours,
    params:
        **linear_products.asked_of_simulations(LINEAR),
        root=root_of,
    message:
        "Simulate the deep linear networks of the second paper."
    shell:
        verb("linear")


rule linear_mnist:
    input:
        MNIST_RECORDS,
    output:
        [
            layout.tables("{scale}") / f"linear_mnist.{suffix}"
            for suffix in ("csv", "md", "tex")
        ],
    log:
        "results/{scale}/logs/linear_mnist.log",
    benchmark:
        "results/{scale}/benchmarks/linear_mnist.tsv"
    localrule: True
    params:
        root=root_of,
        note=LINEAR_NOTE,
        code=code_hash(
            "equimodal.linear.mnist_table", "equimodal.study.analysis.documents"
        ),
    message:
        "Put the networks on noisy MNIST into a table."
    shell:
        verb("linear-mnist")


rule noisy_mnist:
    input:
        data=layout.valid(SCALE, "prepare", LINEAR.noisy_mnist.dataset),
        arrays=prepared(LINEAR.noisy_mnist.dataset),
    output:
        valid=layout.valid("{scale}", "noisy_mnist", "L_f{layer}"),
        receipt=kept(linear_products.record("{scale}", "{layer}").with_suffix(".json")),
        record=kept(linear_products.record("{scale}", "{layer}")),
    log:
        "results/{scale}/logs/noisy_mnist/L_f{layer}.log",
    benchmark:
        "results/{scale}/benchmarks/noisy_mnist/L_f{layer}.tsv"
    wildcard_constraints:
        layer=r"\d+",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=four_hours,
    params:
        **linear_products.settings_and_code_of_noisy_mnist(LINEAR, PARAMS),
        root=root_of,
    message:
        "Train on noisy MNIST, fused at layer {wildcards.layer}."
    shell:
        verb("noisy-mnist {wildcards.layer}")


rule draw_linear:
    input:
        drawn_from(linear.FIGURES),
    output:
        [shown_figure(name) for name in linear.FIGURES],
        drawn(linear.FIGURES, "png", "pdf"),
    log:
        "results/{scale}/logs/draw_linear.log",
    benchmark:
        "results/{scale}/benchmarks/draw_linear.tsv"
    localrule: True
    params:
        root=root_of,
        note=LINEAR_NOTE,
        code=code_hash(
            "equimodal.study.figures.style",
            *[f"equimodal.linear.figures.{figure}" for figure in linear.FIGURES],
        ),
    message:
        "Draw all figures of the second paper."
    shell:
        verb(f"draw {' '.join(linear.FIGURES)}")
