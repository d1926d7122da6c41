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
            params:
                settings=settings_of_raw(dataset),
                code=stand_in_code(dataset),
                dataset=dataset,
            message:
                "Fetch {params.dataset}."
            shell:
                "equimodal fetch {params.dataset} --scale {SCALE} > {log} 2>&1"

    rule:
        name:
            f"prepare_{dataset}"
        input:
            RAW_FILES[dataset],
        output:
            prepared_files(dataset),
        log:
            f"results/{SCALE}/logs/prepare/{dataset}.log",
        benchmark:
            f"results/{SCALE}/benchmarks/prepare/{dataset}.tsv"
        threads: PROCESSES[dataset]
        params:
            settings=settings_of_dataset(dataset),
            code=preparation_code(PARAMS.datasets[dataset].kind),
            dataset=dataset,
        message:
            "Prepare {params.dataset}."
        shell:
            "equimodal prepare {params.dataset} --scale {SCALE} --processes {threads} > {log} 2>&1"


rule fetch_kinetics:
    output:
        KINETICS,
    log:
        f"results/{SCALE}/logs/fetch/kinetics.log",
    benchmark:
        f"results/{SCALE}/benchmarks/fetch/kinetics.tsv"
    message:
        "Fetch the weights trained on Kinetics."
    shell:
        "equimodal fetch kinetics --scale {SCALE} > {log} 2>&1"
