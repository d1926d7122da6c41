# What is made of the runs: tables, figures, claims, the report. All of it takes seconds.
rule collect:
    input:
        lambda wildcards: of_runs([*RECEIPTS, BANK]),
        vouched_for(of_runs(LONG)),
    output:
        shown_table(tables(["runs"]), "all runs"),
        tables([name for name in layout.COLLECTED if name != "runs"]),
        layout.specs("{scale}"),
    log:
        "results/{scale}/logs/collect.log",
    benchmark:
        "results/{scale}/benchmarks/collect.tsv"
    localrule: True
    params:
        root=root_of,
        note=NOTE,
        experiments=json.dumps({e: list(runs) for e, runs in EXPERIMENTS.items()}),
        code=code_hash("equimodal.study.analysis.collect"),
    message:
        "Collect all runs into tables."
    shell:
        verb("collect")


if TABLES:

    rule tables:
        input:
            tables(layout.COLLECTED),
            vouched_for(layout.specs("{scale}")),
        output:
            [
                shown_table(table, TABLES[name].title)
                for name, table in zip(TABLES, tables(TABLES))
            ],
            collect(DOCUMENTS, table=TABLES, suffix=["md", "tex"], allow_missing=True),
        log:
            "results/{scale}/logs/tables.log",
        benchmark:
            "results/{scale}/benchmarks/tables.tsv"
        localrule: True
        params:
            root=root_of,
            note=NOTE,
            settings=PARAMS.analysis.model_dump_json(),
            published=contents("analysis", "*.csv"),
            code=code_hash(
                "equimodal.study.analysis.documents",
                *[f"equimodal.study.analysis.{table}" for table in TABLES],
            ),
        message:
            "Build all tables."
        shell:
            verb("table")


if FIGURES:

    rule draw:
        input:
            drawn_from(FIGURES),
            vouched_for(layout.specs("{scale}")),
        output:
            [shown_figure(name) for name in FIGURES],
            drawn(FIGURES, "png", "pdf"),
        log:
            "results/{scale}/logs/draw.log",
        benchmark:
            "results/{scale}/benchmarks/draw.tsv"
        localrule: True
        params:
            root=root_of,
            note=NOTE,
            code=code_hash(
                "equimodal.study.figures.style",
                *[f"equimodal.study.figures.{figure}" for figure in FIGURES],
            ),
        message:
            "Draw all figures."
        shell:
            verb(f"draw {' '.join(FIGURES)}")


rule claims:
    input:
        tables([*layout.COLLECTED, *JUDGED]),
        vouched_for(layout.specs("{scale}")),
    output:
        csv=shown_table(layout.table("{scale}", "claims"), "The paper's claims"),
        md=layout.tables("{scale}") / "claims.md",
    log:
        "results/{scale}/logs/claims.log",
    benchmark:
        "results/{scale}/benchmarks/claims.tsv"
    localrule: True
    params:
        root=root_of,
        note=NOTE,
        settings=PARAMS.analysis.model_dump_json(),
        ledger=contents("analysis", "claims.yaml"),
        paper=PAPER.model_dump_json(exclude={"mirror"}),
        code=code_hash(
            "equimodal.study.analysis.claims", "equimodal.study.analysis.protocol"
        ),
    message:
        "Check the paper's claims."
    shell:
        verb("claims")


rule summarize:
    input:
        tables(sorted({*layout.COLLECTED, *SUMMARIZED})),
        vouched_for(layout.specs("{scale}")),
    output:
        layout.metrics("{scale}"),
        [layout.curves("{scale}", dataset) for dataset in CURVES],
    log:
        "results/{scale}/logs/summarize.log",
    benchmark:
        "results/{scale}/benchmarks/summarize.tsv"
    localrule: True
    params:
        root=root_of,
        code=code_hash("equimodal.study.analysis.summary"),
    message:
        "Summarize for DVC."
    shell:
        verb("summarize")


rule report:
    input:
        banks=lambda wildcards: of_runs([BANK]),
        products=[*PRODUCTS, *LINEAR_PRODUCTS],
        specs=vouched_for(of_scale(layout.specs("{scale}"))),
    output:
        layout.report("{scale}"),
    log:
        "results/{scale}/logs/report.log",
    benchmark:
        "results/{scale}/benchmarks/report.tsv"
    localrule: True
    params:
        root=root_of,
        settings=PARAMS.model_dump_json(exclude={"mirror"}),
        code=code_hash("equimodal.study.report.page", "equimodal.study.report.sources"),
        looks=contents("report", "*.[hc]*"),
    message:
        "Write the report."
    shell:
        # Status 1: it is written, and says what is missing. `equimodal show` passes that on.
        verb("report") + " || [ $? -eq 1 ]"
