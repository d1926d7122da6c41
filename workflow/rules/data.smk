rule fetch:
    output:
        RAW_FILES,
    log:
        "results/{scale}/logs/fetch.log".format(scale=SCALE),
    benchmark:
        "results/{scale}/benchmarks/fetch.tsv".format(scale=SCALE)
    message:
        "Fetch the digits of Colored-and-gray-MNIST."
    shell:
        "equimodal fetch colored_mnist --scale {SCALE} > {log} 2>&1"


rule prepare:
    input:
        raw=RAW_FILES,
        given=GIVEN_FILES,
    output:
        prepared_files(),
    log:
        "results/{scale}/logs/prepare/{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/prepare/{dataset}.tsv"
    params:
        settings=settings_of_dataset,
        code=code_hash("equimodal.data.colored_mnist"),
    message:
        "Prepare {wildcards.dataset}."
    shell:
        "equimodal prepare {wildcards.dataset} --scale {wildcards.scale} > {log} 2>&1"
