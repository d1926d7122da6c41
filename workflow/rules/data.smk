# Two rules for each data set: what it is made of and from differs.
OF_RAW = {"digits", "source", "classes", "stand_in", "list_version"}  # of its settings
for dataset, settings in PARAMS.datasets.items():
    product, folder = steps.preparation(dataset, PARAMS), layout.raw(settings.raw)
    raw_files = settings.raw_files(folder, mirror=PARAMS.mirror)
    by_itself = {folder / file for file in settings.fetched}
    # What only a user can give is an output while it is missing: the job says what to do. Once it
    # is there it is nobody's output, since Snakemake removes outputs.
    fetched = [f for f in raw_files if f in by_itself or not placed(f).exists()]
    of_raw = {k: v for k, v in settings.preparation.items() if k in OF_RAW}
    stand_in = f"equimodal.study.data.{settings.kind}_standin"
    # Decoding and drawing is shared by all cores there are, up to this; digits are done in seconds.
    most = workflow.resource_settings.overwrite_threads.get("prepare", 16)
    processes = 1 if settings.kind == "colored_mnist" else most

    if fetched:

        rule:
            name:
                f"fetch_{dataset}"
            output:
                [kept(f) if f.suffix else directory(f) for f in fetched],
            log:
                f"results/{SCALE}/logs/fetch/{dataset}.log",
            benchmark:
                f"results/{SCALE}/benchmarks/fetch/{dataset}.tsv"
            localrule: True
            params:
                root=root_of,
                settings=json.dumps(of_raw, sort_keys=True),
                code=code_hash(stand_in) if settings.is_stand_in else None,
                dataset=dataset,
            message:
                "Fetch {params.dataset}."
            shell:
                verb("fetch {params.dataset}", SCALE)

    rule:
        name:
            f"prepare_{dataset}"
        input:
            raw_files,
        output:
            # What took long stays when a job can not start, and comes back when it fails, as of cells.
            product.receipt,
            [kept(file) for file in product.files],
            [kept(file) for file in examples_of(dataset)],
        log:
            f"results/{SCALE}/logs/prepare/{dataset}.log",
        benchmark:
            f"results/{SCALE}/benchmarks/prepare/{dataset}.tsv"
        threads: processes
        resources:
            **resources_of("prepare", mem_mb=memory_of_preparation, runtime=four_hours),
        params:
            root=root_of,
            # Of one's own files also how they look.
            settings=json.dumps(settings.preparation, sort_keys=True)
            + settings.state_of_raw(placed(folder)),
            code=steps.preparation_code(settings.kind),
            dataset=dataset,
        message:
            "Prepare {params.dataset}."
        shell:
            prepared_by(dataset)

    rule:
        name:
            f"check_{dataset}"
        input:
            receipt=product.receipt,
            arrays=product.files,
            examples=vouched_for(examples_of(dataset)),
        output:
            layout.valid(SCALE, "prepare", dataset),
        log:
            f"results/{SCALE}/logs/check/{dataset}.log",
        benchmark:
            f"results/{SCALE}/benchmarks/check/{dataset}.tsv"
        localrule: True
        params:
            root=root_of,
            dataset=dataset,
        message:
            "Check {params.dataset}."
        shell:
            verb("verify {params.dataset}", SCALE)
            + " && cp {input.receipt:q} {output:q}"


rule fetch_kinetics:
    output:
        kept(KINETICS),
    log:
        f"results/{SCALE}/logs/fetch/kinetics.log",
    benchmark:
        f"results/{SCALE}/benchmarks/fetch/kinetics.tsv"
    localrule: True
    params:
        root=root_of,
    message:
        "Fetch the weights trained on Kinetics."
    shell:
        verb("fetch kinetics", SCALE)


rule prepared:
    input:
        [steps.preparation(dataset, PARAMS).receipt for dataset in USED],
        [steps.preparation(dataset, PARAMS).files for dataset in USED],
    message:
        "All data that runs use are prepared."
