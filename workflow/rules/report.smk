rule collect:
    input:
        collect(
            "results/{{scale}}/runs/{run}/{file}",
            run=RUNS,
            file=["receipt.json", "outcome.json", "history.csv"],
        ),
        collect(
            "results/{{scale}}/banks/{run}.{suffix}", run=RUNS, suffix=["npz", "json"]
        ),
    output:
        runs=report(
            "results/{scale}/tables/runs.csv",
            category="Tables",
            caption="../report/table.rst",
            labels={"table": "all runs"},
        ),
        evaluations="results/{scale}/tables/evaluations.csv",
        histories="results/{scale}/tables/histories.csv.gz",
        steps="results/{scale}/tables/steps.csv.gz",
        specs="results/{scale}/tables/specs.jsonl",
    log:
        "results/{scale}/logs/collect.log",
    benchmark:
        "results/{scale}/benchmarks/collect.tsv"
    params:
        note=NOTE,
        experiments=experiments(),
        code=code_hash("equimodal.analysis.collect"),
    message:
        "Collect all runs into tables."
    shell:
        "equimodal collect --scale {wildcards.scale} > {log} 2>&1"


rule tables:
    input:
        table_files(COLLECTED),
        published=PUBLISHED,
    output:
        [
            report(
                f"results/{{scale}}/tables/{table}.csv",
                category="Tables",
                caption="../report/table.rst",
                labels={"table": TABLES[table].title},
            )
            for table in TABLES
        ],
        collect(
            "results/{{scale}}/tables/{table}.{suffix}",
            table=TABLES,
            suffix=["md", "tex"],
        ),
    log:
        "results/{scale}/logs/tables.log",
    benchmark:
        "results/{scale}/benchmarks/tables.tsv"
    params:
        note=NOTE,
        settings=PARAMS.analysis.model_dump_json(),
        code=code_hash(
            "equimodal.analysis.render",
            *[f"equimodal.analysis.{table}" for table in TABLES],
        ),
    message:
        "Build all tables."
    shell:
        "equimodal table --scale {wildcards.scale} > {log} 2>&1"


rule linear:
    output:
        "results/{scale}/valid/linear/networks",
        update("results/{scale}/tables/linear.json"),
        [update(f"results/{{scale}}/tables/{table}.csv") for table in LINEAR_TABLES],
    log:
        "results/{scale}/logs/linear.log",
    benchmark:
        "results/{scale}/benchmarks/linear.tsv"
    threads: 1
    params:
        **asked_of_simulations(PARAMS),
    message:
        "Simulate the deep linear networks of the second paper."
    shell:
        "equimodal linear --scale {wildcards.scale} > {log} 2>&1"


rule linear_mnist:
    input:
        MNIST_RECORDS,
    output:
        collect(
            "results/{{scale}}/tables/linear_mnist.{suffix}",
            suffix=["csv", "md", "tex"],
        ),
    log:
        "results/{scale}/logs/linear_mnist.log",
    benchmark:
        "results/{scale}/benchmarks/linear_mnist.tsv"
    params:
        note=LINEAR_NOTE,
        code=code_hash("equimodal.linear.mnist_table", "equimodal.analysis.render"),
    message:
        "Put the networks on noisy MNIST into a table."
    shell:
        "equimodal linear-mnist --scale {wildcards.scale} > {log} 2>&1"


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
        note=figure_note,
        caption=figure_caption,
        code=figure_code,
    message:
        "Draw {wildcards.figure}."
    shell:
        "equimodal draw {wildcards.figure} --scale {wildcards.scale} > {log} 2>&1"


rule claims:
    input:
        table_files(JUDGED),
        ledger="src/equimodal/analysis/claims.yaml",
        paper="config/scales/paper.yaml",
    output:
        csv=report(
            "results/{scale}/tables/claims.csv",
            category="Tables",
            caption="../report/table.rst",
            labels={"table": "The paper's claims"},
        ),
        md="results/{scale}/tables/claims.md",
    log:
        "results/{scale}/logs/claims.log",
    benchmark:
        "results/{scale}/benchmarks/claims.tsv"
    params:
        note=NOTE,
        settings=PARAMS.analysis.model_dump_json(),
        code=code_hash("equimodal.analysis.claims"),
    message:
        "Check the paper's claims."
    shell:
        "equimodal claims --scale {wildcards.scale} > {log} 2>&1"


rule summarize:
    input:
        table_files(SUMMARIZED),
    output:
        "results/{scale}/metrics.json",
        collect("results/{{scale}}/curves/{dataset}.csv", dataset=sorted(ON_TABLE1)),
    log:
        "results/{scale}/logs/summarize.log",
    benchmark:
        "results/{scale}/benchmarks/summarize.tsv"
    params:
        code=code_hash("equimodal.analysis.summary"),
    message:
        "Summarize for DVC."
    shell:
        "equimodal summarize --scale {wildcards.scale} > {log} 2>&1"


rule report:
    input:
        banks=BANKS,
        products=PRODUCTS,
    output:
        "results/{scale}/report.html",
    log:
        "results/{scale}/logs/report.log",
    benchmark:
        "results/{scale}/benchmarks/report.tsv"
    params:
        settings=PARAMS.model_dump_json(exclude={"mirror"}),
        code=code_hash("equimodal.report.page", "equimodal.report.sources"),
        looks=report_looks(),
    message:
        "Write the report."
    shell:
        # Status 1: it is written, and says what is missing. `equimodal show` passes that on.
        "equimodal report --scale {wildcards.scale} > {log} 2>&1 || [ $? -eq 1 ]"


rule provenance:
    input:
        banks=BANKS,
        products=PRODUCTS,
        captions=CAPTIONS,
    output:
        "results/{scale}/provenance.html",
    log:
        "results/{scale}/logs/provenance.log",
    benchmark:
        "results/{scale}/benchmarks/provenance.tsv"
    message:
        "Write down which rule made what, from what."
    shell:
        "snakemake products --snakefile {workflow.main_snakefile:q} --config scale={wildcards.scale}"
        " --nolock --report {output} > {log} 2>&1"
