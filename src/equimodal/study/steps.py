"""What each step depends on of the settings and of the code: for the rules, the receipts and `verify`.

A step's receipt lies beside what it made (`equimodal.study.receipts`).
"""

import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from equimodal.study import layout, receipts, spares
from equimodal.study.analysis import JUDGED, SUMMARIZED, TABLES, About, maker
from equimodal.study.code import code_hash
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.figures import FIGURES
from equimodal.study.files import write_aside
from equimodal.study.layout import COLLECTED
from equimodal.study.methods import METHODS
from equimodal.study.params import Params
from equimodal.study.spec import RunSpec
from equimodal.study.turns import Walk, to_its_end, without_steps

OTHER_ARRAYS = ("labels", "ids", "lengths")  # what is read of a split beside the sources

Kind = TypeVar("Kind", bound=About)

code_hash = cache(code_hash)


class NotPreparedError(UserError):
    """A data set was never prepared here."""


def preparation_code(kind: str) -> str:
    """Hash of the code that prepares a kind of data set."""
    return code_hash(f"equimodal.study.data.{kind}")


def training_code(spec: RunSpec) -> str:
    """Hash of the code that trains a run: of networks and methods, only its own kind's."""
    more = ["equimodal.study.runs.weights"] if spec.pretrained is not None else []
    more += [f"equimodal.training.methods.{spec.policy}"] if spec.policy in METHODS else []
    return code_hash("equimodal.study.runs.run", f"equimodal.models.{spec.network.kind}", *more)


def evaluation_code(spec: RunSpec) -> str:
    """Hash of the code that evaluates a run."""
    return code_hash("equimodal.study.runs.logit_bank", f"equimodal.models.{spec.network.kind}")


def training_arrays(spec: RunSpec, params: Params) -> list[str]:
    """Names of the prepared arrays that a run is trained on."""
    dataset = params.datasets[spec.dataset]
    sources = [m.source for m in spec.modalities.values()]
    wanted = {*OTHER_ARRAYS, *sources, *(f"{source}.scale" for source in sources)}
    return [
        f"{split}.{array}.npy"
        for split in dataset.splits
        for array in dataset.arrays(split)
        if array in wanted
    ]


def require_prepared(dataset: str, params: Params, *, deep: bool = False) -> dict[str, str]:
    """Return the prepared files of a data set, name -> SHA-256; UserError if they are missing, damaged, or of other settings."""
    product, settings = preparation(dataset, params), params.datasets[dataset].preparation
    if not product.is_there:
        raise NotPreparedError(f"{product.receipt} is missing; {product.remedy}")
    return product.require(settings=settings, deep=deep).files


def require_trained(
    spec: RunSpec, params: Params, among: Collection[str] | None = None
) -> receipts.Receipt:
    """Return the receipt of a run's training, of whatever code; UserError if it is missing, damaged or of other settings.

    `among` names the files that matter; None if all do, the weights too.
    """
    settings = spec.model_dump(mode="json")
    return training(spec, params).require(settings=settings, among=among)


def require_whole(spec: RunSpec, params: Params) -> receipts.Receipt:
    """Return the receipt of a run's training if its folder and its bank are whole and of one another; else UserError.

    The weights themselves need not be there, nor what it reads of other runs: their hashes tell.
    """
    trained = require_trained(spec, params, layout.RUN_FILES)
    if spec.reads:
        read = files_of_other_runs(spec, params, there=False)
        training(spec, params).require(inputs=read, among=())
    evaluation(spec, params).require(inputs=model_of(spec, params, trained))
    return trained


def files_of_other_runs(spec: RunSpec, params: Params, *, there: bool = True) -> dict[str, str]:
    """Return the files that a training reads beside the data, file -> SHA-256; without those of others if not `there`.

    UserError if one is missing, or is of a run of this scale that is not whole or has other settings.
    """
    makers = {}
    if spec.reads:
        for run in expand_runs(params).values():
            for file in (
                layout.model(params.scale, run.name),
                layout.history(params.scale, run.name),
            ):
                makers[file.as_posix()] = run
    found = {}
    for path in spec.reads:
        if path in makers:
            receipt = layout.training_receipt(params.scale, makers[path].name)
            if not there and not receipt.exists():
                continue  # it may have been removed, as its files are not read again
            name = receipts.relative(Path(path), receipt.parent)
            made = require_trained(makers[path], params, [name] if there else ())
            found[path] = made.files[name]
        elif there:
            found[path] = _hash(Path(path))
    return found


def model_of(spec: RunSpec, params: Params, trained: receipts.Receipt) -> dict[str, str]:
    """Return the weights of a run as an input of its bank."""
    digests = [d for name, d in trained.files.items() if name.endswith(layout.MODEL_SUFFIX)]
    if len(digests) != 1:
        of = training(spec, params)
        raise UserError(f"{of.receipt} is damaged: it tells of no weights; {of.remedy}")
    return {layout.model(params.scale, spec.name).as_posix(): digests[0]}


@dataclass(frozen=True)
class Product:
    """What one step of a scale makes, and how to tell whether it is as it should be."""

    step: str  # of the workflow
    name: str
    scale: str
    verb: str  # with its arguments, which makes it anew
    receipt: Path
    files: tuple[Path, ...]
    asked: Callable[[], dict[str, Any]]  # settings, code and inputs of now

    @property
    def remedy(self) -> str:
        """The command that makes it anew, as messages say it."""
        return f"run `equimodal {self.verb} --scale {self.scale}`"

    @property
    def is_there(self) -> bool:
        """Whether it was ever made."""
        return any(path.exists() for path in (self.receipt, *self.files))

    def require(self, **asked: Any) -> receipts.Receipt:
        """Return its receipt, if it is as asked; raises as `receipts.require`."""
        return receipts.require(self.receipt, self.remedy, **asked)

    def objections(self, *, deep: bool = False) -> Iterator[receipts.Objection]:
        """Say why it is not what the settings, the code and its inputs ask for.

        Of prepared data that are not here, as some may not be passed on, nothing can be said.
        """
        asked: dict[str, Any] = {}
        try:
            asked = self.asked()
        except NotPreparedError:
            pass
        except UserError as error:  # an input is wrong itself
            yield receipts.Objection("input", self.receipt, str(error), tells_remedy=True)
        step = None if self.step == "prepare" else f"{self.step} {self.name}"
        yield from receipts.objections(
            self.receipt, step=step, files=self.files, deep=deep, **asked
        )


def make(product: Product, work: Callable[[], str | None]) -> bool:
    """Make a product as `making` does, by work that is not cut into steps."""
    return to_its_end(making(product, without_steps(work)))


def making(product: Product, work: Walk[str | None], *, again: bool = False) -> Walk[bool]:
    """Make a product, unless it is there: of these settings, this code and these inputs. Say whether it was made.

    The work makes its files, and returns what it ran on where that decides the last digits. UserError, and nothing
    removed, if an input is missing, damaged or of other settings.
    """
    asked = product.asked()
    spares.bring_back(product.receipt, product.files, product.scale, lambda: asked)
    to_do = again or any(receipts.objections(product.receipt, files=product.files, **asked))
    if to_do:
        made_on = yield from work
        receipts.write(
            product.receipt,
            step=f"{product.step} {product.name}",
            files=product.files,
            made_on=made_on,
            commit=commit(),
            **{"settings": None} | asked,
        )
    with write_aside(layout.valid(product.scale, product.step, product.name)) as aside:
        aside.write_text(f"{receipts.sha256(product.receipt)}\n", encoding="utf-8")
    spares.lay_aside(product.receipt, product.scale)
    return to_do


def products(params: Params) -> Iterator[Product]:
    """Yield all that a scale asks for: what takes long, and what is made of it."""
    specs = expand_runs(params)
    for dataset in sorted({spec.dataset for spec in specs.values()}):
        yield preparation(dataset, params)
    for spec in specs.values():
        yield training(spec, params)
        yield evaluation(spec, params)
    yield collected(params)
    for name in made_at(TABLES, params):
        yield table(name, params)
    yield claims(params)
    yield summary(params)
    for name, about in made_at(FIGURES, params).items():
        yield figure(name, about.inputs, params)


def made_at(registry: Mapping[str, Kind], params: Params) -> dict[str, Kind]:
    """Return the tables or figures of which a scale asks for runs, or has examples that may be shown."""
    runs = {e: expand_runs(params, e).values() for e in params.experiments}
    used = {spec.dataset for specs in runs.values() for spec in specs}
    examples = any(params.datasets[dataset].has_examples for dataset in used)

    def is_asked(about: About) -> bool:
        shown = any(
            spec.dataset in (about.datasets or used)
            and about.cap in (None, spec.training.max_epochs)
            for experiment in about.experiments
            for spec in runs.get(experiment, ())
        )
        return shown or ("examples" in about.inputs and examples)

    return {name: about for name, about in registry.items() if is_asked(about)}


def sign(product: Product, asides: Mapping[Path, Path] = MappingProxyType({})) -> None:
    """Write the receipt of what was made in seconds, and is made again whenever Snakemake asks for it.

    `asides` says where its files lie until they get their names.
    """
    receipts.write(
        product.receipt,
        step=f"{product.step} {product.name}",
        files=product.files,
        asides=asides,
        code="",
        **product.asked(),
    )


def collected(params: Params) -> Product:
    """The tables of all runs, and their specs."""
    files = [*(layout.table(params.scale, name) for name in COLLECTED), layout.specs(params.scale)]
    receipt = layout.table_receipt(params.scale, "runs")
    return of_tables("collect", "runs", receipt, files, (), maker("runs"), params.scale)


def table(name: str, params: Params) -> Product:
    """A table for readers, as CSV, Markdown and LaTeX."""
    path = layout.table(params.scale, name)
    files = [path.with_suffix(suffix) for suffix in (".csv", ".md", ".tex")]
    receipt = layout.table_receipt(params.scale, name)
    inputs, verb = TABLES[name].inputs, maker(name)
    return of_tables("table", name, receipt, files, inputs, verb, params.scale)


def claims(params: Params) -> Product:
    """The ledger of claims with its verdicts."""
    path = layout.table(params.scale, "claims")
    files, receipt = [path, path.with_suffix(".md")], layout.table_receipt(params.scale, "claims")
    name, verb = "of the paper", maker("claims")
    return of_tables("claims", name, receipt, files, JUDGED, verb, params.scale)


def figure(name: str, inputs: Iterable[str], params: Params) -> Product:
    """A figure as SVG, PNG and PDF."""
    stem = layout.figures(params.scale) / name
    files = [stem.with_suffix(suffix) for suffix in (".svg", ".png", ".pdf")]
    receipt, verb = stem.with_suffix(".json"), f"draw {name}"
    return of_tables("draw", name, receipt, files, inputs, verb, params.scale)


def summary(params: Params) -> Product:
    """Key numbers and learning curves."""
    table1 = expand_runs(params, "table1") if "table1" in params.experiments else {}
    datasets = {spec.dataset for spec in table1.values()}
    curves = [layout.curves(params.scale, dataset) for dataset in sorted(datasets)]
    files, receipt = [layout.metrics(params.scale), *curves], layout.summary(params.scale)
    verb = "summarize"
    return of_tables(verb, "runs", receipt, files, SUMMARIZED, verb, params.scale)


def of_tables(
    step: str,
    name: str,
    receipt: Path,
    files: Iterable[Path],
    inputs: Iterable[str],
    verb: str,
    scale: str,
) -> Product:
    """What is made of tables in seconds. That its code or its settings changed is for Snakemake to see."""
    tables = [layout.table(scale, table) for table in inputs]
    return Product(
        step=step,
        name=name,
        scale=scale,
        verb=verb,
        receipt=receipt,
        files=tuple(files),
        # A table that git does not hold was there when the product was made.
        asked=lambda: {
            "settings": {"scale": scale},
            "inputs": {t.as_posix(): _hash(t) for t in tables if t.exists()},
        },
    )


def preparation(dataset: str, params: Params) -> Product:
    """The arrays of a data set. Its module writes their receipt."""
    folder, settings = layout.prepared(params.scale, dataset), params.datasets[dataset]
    arrays = [f"{s}.{a}.npy" for s in settings.splits for a in settings.arrays(s)]
    return Product(
        step="prepare",
        name=dataset,
        scale=params.scale,
        verb=f"prepare {dataset}",
        receipt=folder / receipts.NAME,
        files=tuple(folder / name for name in arrays),
        asked=lambda: {
            "settings": settings.preparation,
            "code": preparation_code(settings.kind),
            "inputs": settings.inputs_of_preparation(layout.raw(settings.raw)),
        },
    )


def training(spec: RunSpec, params: Params) -> Product:
    """The network of a run, and its folder."""
    folder = layout.run(params.scale, spec.name)

    def asked() -> dict[str, Any]:
        """Raises as `require_prepared` and `files_of_other_runs`."""
        arrays = _prepared(training_arrays(spec, params), spec, params)
        return {
            "settings": spec.model_dump(mode="json"),
            "code": training_code(spec),
            "inputs": arrays | files_of_other_runs(spec, params),
        }

    return Product(
        step="train",
        name=spec.name,
        scale=params.scale,
        verb=f"train {spec.name}",
        receipt=layout.training_receipt(params.scale, spec.name),
        files=(*(folder / f for f in layout.RUN_FILES), layout.model(params.scale, spec.name)),
        asked=asked,
    )


def evaluation(spec: RunSpec, params: Params) -> Product:
    """The logit bank of a run."""

    def asked() -> dict[str, Any]:
        """Raises as `require_prepared` and `require_trained`."""
        by_label = params.datasets[spec.dataset].by_label  # biased as in training
        biased = [by_label[m.source] for m in spec.modalities.values() if m.source in by_label]
        names = [*training_arrays(spec, params), *(f"test.{array}.npy" for array in biased)]
        weights = model_of(spec, params, require_trained(spec, params))
        arrays = _prepared(names, spec, params)
        return {"code": evaluation_code(spec), "inputs": arrays | weights}

    return Product(
        step="evaluate",
        name=spec.name,
        scale=params.scale,
        verb=f"evaluate {spec.name}",
        receipt=layout.bank_receipt(params.scale, spec.name),
        files=(layout.bank(params.scale, spec.name),),
        asked=asked,
    )


@cache
def commit() -> str | None:
    """Return the commit of the code that runs; None if it is in none, or was changed since."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        return None if git("status", "--porcelain", "--", str(here)) else git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def _prepared(names: list[str], spec: RunSpec, params: Params) -> dict[str, str]:
    """Files of the data set of a run, name -> SHA-256; UserError too if an earlier version made it without them."""
    prepared, of = require_prepared(spec.dataset, params), preparation(spec.dataset, params)
    if lacking := [name for name in names if name not in prepared]:
        raise UserError(
            f"{of.receipt.parent} lacks {lacking}, as another version made it; {of.remedy}"
        )
    return {name: prepared[name] for name in names}


def _hash(path: Path) -> str:
    try:
        return receipts.sha256(path)
    except OSError as error:
        raise UserError(f"{path} can not be read: {error.strerror or error}") from None
