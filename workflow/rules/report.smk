rule collect:
    input:
        collect(
            "results/{{scale}}/runs/{run}/{file}",
            run=RUNS,
            file=["spec.json", "outcome.json", "history.csv", "logits.npz"],
        ),
    output:
        runs=report(
            "results/{scale}/tables/runs.csv",
            category="Tables",
            caption="../report/runs.rst",
            labels={"table": "all runs"},
        ),
        evaluations="results/{scale}/tables/evaluations.csv",
        histories="results/{scale}/tables/histories.csv",
    log:
        "results/{scale}/logs/collect.log",
    benchmark:
        "results/{scale}/benchmarks/collect.tsv"
    params:
        note=PARAMS.note,
        experiments=experiments(),
        code=code_hash("equimodal.analysis.collect"),
    message:
        "Collect all runs into tables."
    shell:
        "equimodal collect --scale {wildcards.scale} > {log} 2>&1"


rule table:
    input:
        runs="results/{scale}/tables/runs.csv",
        evaluations="results/{scale}/tables/evaluations.csv",
        published=PUBLISHED,
    output:
        table=report(
            "results/{scale}/tables/table1.csv",
            category="Tables",
            caption="../report/table1.rst",
            labels={"table": "Table 1, published against ours"},
        ),
        evaluations=report(
            "results/{scale}/tables/table1_evaluations.csv",
            category="Tables",
            caption="../report/table1_evaluations.rst",
            labels={"table": "Table 1 under every way of evaluating"},
        ),
        paired="results/{scale}/tables/table1_paired.csv",
        markdown="results/{scale}/tables/table1.md",
    log:
        "results/{scale}/logs/table.log",
    benchmark:
        "results/{scale}/benchmarks/table.tsv"
    params:
        note=PARAMS.note,
        code=code_hash("equimodal.analysis.table1", "equimodal.analysis.collect"),
    message:
        "Build Table 1."
    shell:
        "equimodal table --scale {wildcards.scale} > {log} 2>&1"


rule draw:
    input:
        figure_inputs,
    output:
        svg=report(
            "results/{scale}/figures/{figure}.svg",
            category="Figures",
            caption="../report/figure.rst",
            labels={"figure": "{figure}"},
        ),
        png="results/{scale}/figures/{figure}.png",
        pdf="results/{scale}/figures/{figure}.pdf",
    log:
        "results/{scale}/logs/draw/{figure}.log",
    benchmark:
        "results/{scale}/benchmarks/draw/{figure}.tsv"
    params:
        note=PARAMS.note,
        code=figure_code,
    message:
        "Draw {wildcards.figure}."
    shell:
        "equimodal draw {wildcards.figure} --scale {wildcards.scale} > {log} 2>&1"


rule report:
    input:
        banks=BANKS,
        products=PRODUCTS,
        captions=CAPTIONS,
    output:
        "results/{scale}/report.html",
    log:
        "results/{scale}/logs/report.log",
    benchmark:
        "results/{scale}/benchmarks/report.tsv"
    message:
        "Write the report."
    shell:
        "snakemake products --snakefile {workflow.main_snakefile} --config scale={wildcards.scale}"
        " --nolock --report {output} > {log} 2>&1"
