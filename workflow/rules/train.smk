# Stages that can be asked for by name: the runs of a data set, of an experiment, or of one on the other.
for part, runs in PARTS.items():

    rule:
        name:
            f"trained_{part}"
        input:
            collect("results/{scale}/models/{run}.pt", scale=SCALE, run=runs),
            collect("results/{scale}/valid/train/{run}", scale=SCALE, run=runs),
        message:
            f"All networks of {part} are trained."

    rule:
        name:
            f"evaluated_{part}"
        input:
            collect("results/{scale}/banks/{run}.npz", scale=SCALE, run=runs),
            collect("results/{scale}/valid/evaluate/{run}", scale=SCALE, run=runs),
        message:
            f"All networks of {part} are evaluated."


rule train:
    input:
        data=prepared_of_run,
        pretrained=weights_of_run,
    output:
        # What took long stays when a job can not start or fails; that it is valid is said anew each time.
        valid="results/{scale}/valid/train/{run}",
        receipt=update("results/{scale}/runs/{run}/receipt.json"),
        spec=update("results/{scale}/runs/{run}/spec.json"),
        outcome=update("results/{scale}/runs/{run}/outcome.json"),
        history=update("results/{scale}/runs/{run}/history.csv"),
        steps=update("results/{scale}/runs/{run}/steps.npz"),
        model=update("results/{scale}/models/{run}.pt"),
    log:
        "results/{scale}/logs/train/{run}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{run}.tsv"
    threads: 1
    params:
        # Not on the command line: they tell Snakemake which runs a change touches.
        settings=settings_of_run,
        code=training_code_of_run,
    message:
        "Train {wildcards.run}."
    shell:
        "equimodal train {wildcards.run} --scale {wildcards.scale} > {log} 2>&1"


rule evaluate:
    input:
        data=evaluated_on,
        valid="results/{scale}/valid/train/{run}",
        receipt="results/{scale}/runs/{run}/receipt.json",
        spec="results/{scale}/runs/{run}/spec.json",
        outcome="results/{scale}/runs/{run}/outcome.json",
        model="results/{scale}/models/{run}.pt",
    output:
        valid="results/{scale}/valid/evaluate/{run}",
        receipt=update("results/{scale}/banks/{run}.json"),
        bank=update("results/{scale}/banks/{run}.npz"),
    log:
        "results/{scale}/logs/evaluate/{run}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate/{run}.tsv"
    threads: 1
    params:
        code=evaluation_code_of_run,
    message:
        "Evaluate {wildcards.run}."
    shell:
        "equimodal evaluate {wildcards.run} --scale {wildcards.scale} > {log} 2>&1"


rule trained_noisy_mnist:
    input:
        MNIST_RECORDS,
    message:
        "All networks on noisy MNIST are trained."


rule noisy_mnist:
    input:
        data=DIGITS,
    output:
        "results/{scale}/valid/noisy_mnist/L_f{layer}",
        update("results/{scale}/noisy_mnist/L_f{layer}.json"),
        update("results/{scale}/noisy_mnist/L_f{layer}.csv"),
    log:
        "results/{scale}/logs/noisy_mnist/L_f{layer}.log",
    benchmark:
        "results/{scale}/benchmarks/noisy_mnist/L_f{layer}.tsv"
    threads: 1
    params:
        settings=settings_of_noisy_mnist(),
        code=code_hash("equimodal.linear.noisy_mnist"),
    message:
        "Train on noisy MNIST, fused at layer {wildcards.layer}."
    shell:
        "equimodal noisy-mnist {wildcards.layer} --scale {wildcards.scale} > {log} 2>&1"
