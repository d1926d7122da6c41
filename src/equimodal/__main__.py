"""The command line: `python -m equimodal`, and `equimodal`."""

import sys


def main() -> None:
    """Run a verb of the study, or say what has to be installed for it."""
    try:
        from equimodal.study.cli import main as study

        study()
    except ModuleNotFoundError as error:
        if str(error.name).startswith("equimodal"):
            raise
        sys.exit(
            f"equimodal: the command line needs {error.name}, which a library's installation leaves out; run"
            " `make setup` in a checkout, or `pip install '.[study]'` there"
        )


if __name__ == "__main__":
    main()
