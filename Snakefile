# Reproduce every table and figure: `snakemake --cores all`. The rules, in the order of the data.
from snakemake.utils import min_version

min_version("9.0")


container: "equimodal.sif"  # of Containerfile, for `--software-deployment-method apptainer` only


include: "workflow/rules/common.smk"
include: "workflow/rules/linear.smk"


report: "workflow/report/workflow.rst"


onstart:
    look_ahead()  # before the first job


onsuccess:
    for spares in layout.spares(SCALE).values():
        shutil.rmtree(placed(spares), ignore_errors=True)


rule all:
    default_target: True
    input:
        # Some products come with git or DVC. Without these lines a fresh clone would be content with them,
        # whatever they are of.
        lambda wildcards: of_runs([BANK, *VALID]),
        VALID_LINEAR,
        PRODUCTS,
        LINEAR_PRODUCTS,
        f"results/{SCALE}/report.html",
    message:
        f"Every table, every figure and the report, from {how_many()}."


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"
