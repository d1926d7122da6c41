# What takes long: networks and their logits, by cells of runs that a process trains and evaluates. Such files
# stay when a job can not start, and those of before come back when it fails (`update`); what the job had finished
# comes back at its next start (`equimodal.study.spares`). That a receipt was asked, and is right, is said anew each
# time (`valid`).
for part, runs in PARTS.items():

    rule:
        name:
            f"evaluated_{part}"
        input:
            # Asked for when the rule is: ten thousand runs have many files.
            lambda wildcards, runs=runs: of_runs([BANK, *VALID], runs),
        message:
            f"All networks of {part} are trained and evaluated."


rule runs:
    input:
        lambda wildcards: of_runs([BANK, *VALID]),
    message:
        f"Trained and evaluated, and nothing drawn from them, {how_many()}."


for cell, runs in CELLS.items():

    rule:
        name:
            f"cell_{cell}"
        input:
            # That all arrays are whole, checked once and not by every run.
            data=layout.valid(SCALE, "prepare", RUNS[runs[0]].dataset),
            of_other_runs=files_of_other_runs(runs),
            arrays=prepared(RUNS[runs[0]].dataset),
        output:
            of_runs(VALID, runs),
            [kept(file) for file in of_runs([*RECEIPTS, *LONG], runs)],
        log:
            f"results/{SCALE}/logs/cells/{cell}.log",
        # The paper's own table comes before its studies.
        priority: 1 if runs[0] in EXPERIMENTS.get("table1", {}) else 0
        threads: 1
        resources:
            **resources_of_cell(RUNS[runs[0]].dataset, runs),
        params:
            root=root_of,
            runs=runs,
            # Not on the command line: it tells Snakemake which cells a change touches. A hash, since Snakemake
            # notes it with each file.
            asked=asked_of_cell(runs),
        message:
            "Train and evaluate what is not yet of:\n    " + "\n    ".join(runs)
        shell:
            # What it says of each run as it ends goes to the terminal.
            verb(
                "cell {params.runs:q} --device {resources.device}",
                SCALE,
                log="2> {log:q}",
            )
