# What takes long: networks and their logits, by cells of runs that a process trains and evaluates. Such files
# stay when a job can not start or fails (`update`); that a receipt was asked, and is right, is said anew each
# time (`valid`).
for part, runs in PARTS.items():

    rule:
        name:
            f"evaluated_{part}"
        input:
            of_runs(VALID, runs),
        message:
            f"All networks of {part} are trained and evaluated."


rule runs:
    input:
        of_runs(VALID),
    message:
        f"Trained and evaluated, and nothing drawn from them, {how_many()}."


for cell, runs in CELLS.items():

    rule:
        name:
            f"cell_{cell}"
        input:
            # That all arrays are whole, checked once and not by every run.
            data=layout.valid(SCALE, "prepare", RUNS[runs[0]].dataset),
            pretrained=RUNS[runs[0]].pretrained or [],
        output:
            of_runs(VALID, runs),
            [update(file) for file in of_runs([*RECEIPTS, *LONG], runs)],
        log:
            f"results/{SCALE}/logs/cells/{cell}.log",
        threads: 1
        params:
            # Not on the command line: they tell Snakemake which runs a change touches.
            root=root_of,
            settings=[RUNS[run].model_dump_json() for run in runs],
            code=sorted(
                {
                    code_of(RUNS[run])
                    for run in runs
                    for code_of in (steps.training_code, steps.evaluation_code)
                }
            ),
            runs=runs,
        message:
            "Train and evaluate what is not yet of:\n    " + "\n    ".join(runs)
        shell:
            # What it says of each run as it ends goes to the terminal.
            verb("cell {params.runs:q}", SCALE, log="2> {log:q}")
