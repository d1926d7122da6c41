# What takes long: networks and their logits. Such files stay when a job can not start or fails (`update`);
# that a receipt was asked, and is right, is said anew each time (`valid`).
for part, runs in PARTS.items():

    rule:
        name:
            f"trained_{part}"
        input:
            of_scale(layout.model("{scale}", "{run}"), run=runs),
            of_scale(layout.valid("{scale}", "train", "{run}"), run=runs),
        message:
            f"All networks of {part} are trained."

    rule:
        name:
            f"evaluated_{part}"
        input:
            of_scale(layout.bank("{scale}", "{run}"), run=runs),
            of_scale(layout.valid("{scale}", "evaluate", "{run}"), run=runs),
        message:
            f"All networks of {part} are evaluated."


rule trained:
    input:
        of_scale(layout.model("{scale}", "{run}"), run=RUNS),
        of_scale(layout.valid("{scale}", "train", "{run}"), run=RUNS),
    message:
        f"Trained, and not evaluated, {how_many()}."


rule runs:
    input:
        BANKS,
        VALID_RUNS,
    message:
        f"Trained and evaluated, and nothing drawn from them, {how_many()}."


rule train:
    input:
        # That all arrays are whole, checked once and not by every run.
        data=checked_data,
        pretrained=pretrained,
    output:
        valid=layout.valid("{scale}", "train", "{run}"),
        receipt=update(layout.training_receipt("{scale}", "{run}")),
        run=[update(layout.run("{scale}", "{run}") / f) for f in layout.RUN_FILES],
        model=update(layout.model("{scale}", "{run}")),
    log:
        "results/{scale}/logs/train/{run}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{run}.tsv"
    threads: 1
    params:
        # Not on the command line: they tell Snakemake which runs a change touches.
        root=root_of,
        settings=lambda wildcards: spec_of(wildcards).model_dump_json(),
        code=lambda wildcards: steps.training_code(spec_of(wildcards)),
    message:
        "Train {wildcards.run}."
    shell:
        verb("train {wildcards.run}")


rule evaluate:
    input:
        data=checked_data,
        valid=rules.train.output.valid,
        receipt=rules.train.output.receipt,
    output:
        valid=layout.valid("{scale}", "evaluate", "{run}"),
        receipt=update(layout.bank_receipt("{scale}", "{run}")),
        bank=update(layout.bank("{scale}", "{run}")),
    log:
        "results/{scale}/logs/evaluate/{run}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate/{run}.tsv"
    threads: 1
    params:
        root=root_of,
        code=lambda wildcards: steps.evaluation_code(spec_of(wildcards)),
    message:
        "Evaluate {wildcards.run}."
    shell:
        verb("evaluate {wildcards.run}")
