# Two rules for each data set: what it is made of and from differs.
for dataset in PARAMS.datasets:

    if FETCHED[dataset]:

        rule:
            name:
                f"fetch_{dataset}"
            output:
                FETCHED[dataset],
            log:
                f"results/{SCALE}/logs/fetch/{dataset}.log",
            benchmark:
                f"results/{SCALE}/benchmarks/fetch/{dataset}.tsv"
            localrule: True
            params:
                root=root_of,
                settings=settings_of_raw(dataset),
                code=stand_in_code(dataset),
                dataset=dataset,
            message:
                "Fetch {params.dataset}."
            shell:
                verb("fetch {params.dataset}", SCALE)

    rule:
        name:
            f"prepare_{dataset}"
        input:
            RAW_FILES[dataset],
        output:
            # What took long stays when a job can not start, and comes back when it fails, as of cells.
            steps.preparation(dataset, PARAMS).receipt,
            [kept(file) for file in steps.preparation(dataset, PARAMS).files],
            [kept(file) for file in examples_of(dataset)],
        log:
            f"results/{SCALE}/logs/prepare/{dataset}.log",
        benchmark:
            f"results/{SCALE}/benchmarks/prepare/{dataset}.tsv"
        threads: PROCESSES[dataset]
        resources:
            **resources_of("prepare", mem_mb=memory_of_preparation, runtime=four_hours),
        params:
            root=root_of,
            settings=asked_of_preparation(dataset),
            code=steps.preparation_code(PARAMS.datasets[dataset].kind),
            dataset=dataset,
        message:
            "Prepare {params.dataset}."
        shell:
            prepared_by(dataset)

    rule:
        name:
            f"check_{dataset}"
        input:
            receipt=steps.preparation(dataset, PARAMS).receipt,
            arrays=steps.preparation(dataset, PARAMS).files,
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
