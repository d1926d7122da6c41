"""Made-up tables of a whole study, as `collect` writes them: every experiment, every column."""

from functools import cache

import numpy as np
import pandas as pd

M0_M1 = {
    "colored_mnist": ("color", "gray"),
    "modelnet40": ("front", "rear"),
    "nvgesture": ("color", "depth"),
}
RATES = {"colored_mnist": 0.01, "modelnet40": 0.1, "nvgesture": 0.01}
THREE = ("front", "left", "right")
THRESHOLDS = ("0.01", "0.001", "0.0001", "1e-05", "1e-06")
WAYS = ("isolated", "zeroed", "permuted", "class_mean")
EPOCHS, STEPS = 4, 10  # steps of an epoch
POLICIES = ("vanilla", "rubi", "random", "guided")


def runs_of_study(rng):
    """Yield the settings of every run, with the experiments that ask for it."""

    def run(experiments, dataset, inputs, policy, seed, rate=None, **changes):
        start = changes.get("start", "scratch")
        settings = {
            "experiments": experiments,
            "dataset": dataset,
            "inputs": inputs,
            "policy": policy,
            "fidelity": "paper",
            "start": start,
            "learning_rate": rate or RATES[dataset],
            "l1": 0.0,
            "tolerance": 0.1 if policy in ("guided",) else np.nan,
            "window": 5 if policy in ("guided", "random") else np.nan,
            "seed": seed,
        } | changes
        marks = [f"lr{settings['learning_rate']:g}"]
        marks += [start] if start != "scratch" else []
        marks += [f"l1_{settings['l1']:g}"] if settings["l1"] else []
        for key in ("tolerance", "window"):
            marks += [f"{key}_{changes[key]:g}"] if key in changes else []
        name = f"{dataset}/{inputs}/{policy}/{settings['fidelity']}/{'-'.join(marks)}/seed{seed}"
        return {"run": name} | settings

    for dataset, modalities in M0_M1.items():
        for start in ("scratch", "pretrained") if dataset == "nvgesture" else ("scratch",):
            for seed in range(3):
                for inputs in modalities:
                    yield run("table1", dataset, inputs, "vanilla", seed, start=start)
                for policy in POLICIES:
                    yield run("table1", dataset, "distinct", policy, seed, start=start)
        for i, rate in enumerate(10 ** rng.uniform(-3, -1, 6)):
            for pair in ("distinct", "identical"):
                for policy in ("vanilla", "random", "guided"):
                    if policy == "vanilla" or dataset != "colored_mnist":
                        name = "sweep" if policy == "vanilla" else "sweep_balanced"
                        rate_given = float(f"{rate:.4g}")
                        yield run(name, dataset, pair, policy, 1000 + i, rate_given)
    for l1 in np.logspace(-7, -4, 5):
        for seed in range(2):
            yield run("l1", "modelnet40", "distinct", "vanilla", seed, l1=float(f"{l1:.3g}"))
    for tolerance in (0.003, 0.03, 0.3):
        for seed in range(2):
            yield run("sensitivity", "modelnet40", "distinct", "guided", seed, tolerance=tolerance)
    for window in (1, 20):
        for seed in range(2):
            yield run("sensitivity", "modelnet40", "distinct", "guided", seed, window=window)
    for policy in ("vanilla", "guided"):
        for seed in range(2):
            yield run("three_views", "modelnet40", "three", policy, seed)
    for preset in ("clip_020", "redraw_020", "clip_050", "redraw_050"):
        yield run("calibration", "colored_mnist", "color", "vanilla", 0, fidelity=preset)
    for preset in ("official", "official_but_gate_scale", "official_but_schedule"):
        for seed in range(2):
            yield run("fidelity", "colored_mnist", "distinct", "guided", seed, fidelity=preset)
    for preset in ("official", "official_but_widths"):
        yield run("stop_rule", "colored_mnist", "distinct", "vanilla", 7, fidelity=preset)
    for policy in ("uniform", "ensemble", "agm"):
        for seed in range(3):
            yield run("methods tuning", "colored_mnist", "distinct", policy, seed)


def study():
    """Return the tables `runs`, `evaluations`, `histories` and `steps`, all numbers made up."""
    return {name: table.copy() for name, table in _study().items()}


@cache
def _study(seed=0):
    rng = np.random.default_rng(seed)
    runs, evaluations, histories, steps = [], [], [], []
    for settings in runs_of_study(rng):
        name = settings["run"]
        inputs = settings["inputs"]
        given = {"distinct": M0_M1[settings["dataset"]], "three": THREE}.get(inputs, (inputs,))
        if inputs == "identical":
            m = M0_M1[settings["dataset"]][1]
            given = (m, f"{m}_copy")
        outputs = [f"m{i}" for i in range(len(given))]
        lean = {"distinct": 0.3, "identical": 0.0}.get(inputs, 0.1)
        lean *= {"vanilla": 1, "rubi": 1, "random": 0.3, "guided": 0.5}.get(settings["policy"], 0.7)
        d_util = lean + rng.normal(0, 0.05)
        best = int(rng.integers(2, EPOCHS + 1))
        row = settings | {
            "method": settings["policy"] if len(given) > 1 else "unimodal",
            "reported": "regular",
            "status": "finished",
            "reason": None,
            "steps": EPOCHS * STEPS,
            "epochs": EPOCHS,
            "reached_perfect": bool(rng.random() < 0.5),
            "trained_on": "a processor, torch 2",
            "best_epoch": best,
            **dict(zip(outputs, given, strict=True)),
            **{
                f"below_{t}": float(np.clip(0.1 + 2000 * settings["l1"], 0, 1)) * float(t) ** 0.2
                for t in THRESHOLDS
            },
        }
        accuracy = {o: float(np.clip(rng.normal(0.7, 0.05), 0, 1)) for o in outputs}
        accuracy["fused"] = float(np.clip(np.mean(list(accuracy.values())) + 0.03, 0, 1))
        ways = ["regular"]
        if len(given) > 1:
            ways += [*(f"rebalance_{o}" for o in outputs), *WAYS]
        for way in ways:
            for output, value in accuracy.items():
                drop = 0.0
                if way in WAYS:
                    sign = {"m0": 1, "m1": -1}.get(output, 0)
                    drop = max(0.0, 0.3 + sign * d_util / 2 + rng.normal(0, 0.01)) * value
                evaluations.append((name, way, output, value - drop))
        if len(given) > 1:
            speed = {o: rng.normal(-2, 0.1) for o in outputs}
            speed["m0"] += d_util / 2
        epochs = []
        for epoch in range(1, EPOCHS + 1):
            history = {"run": name, "epoch": epoch, "steps": epoch * STEPS}
            history["learning_rate"] = settings["learning_rate"]
            for split in ("train", "validation", "test"):
                history[f"{split}_loss"] = 2.0 / epoch
                for o, value in accuracy.items():
                    column = f"{split}_accuracy" + ("" if o == "fused" else f"_{o}")
                    history[column] = value - 0.05 * abs(best - epoch) + rng.normal(0, 0.005)
            if len(given) > 1:
                history |= {f"speed_{o}": s + rng.normal(0, 0.02) for o, s in speed.items()}
                history["regular_steps"] = STEPS - 4 if epoch > 1 else STEPS
                history |= {f"rebalance_{o}_steps": 4 * (epoch > 1) * (o == "m1") for o in outputs}
                history["next_mode"] = (
                    "rebalance_m1" if settings["policy"] == "guided" else "regular"
                )
            epochs.append(history)
        histories += epochs
        row["validation_accuracy"] = epochs[best - 1]["validation_accuracy"]
        row |= {"accuracy": accuracy["fused"]}
        row |= {f"accuracy_{o}": accuracy[o] for o in outputs}
        if len(given) == 2:
            table = {(w, o): a for n, w, o, a in evaluations if n == name}
            u = {o: 1 - table["isolated", o] / table["regular", o] for o in outputs}
            row |= {"u_m1_given_m0": u["m0"], "u_m0_given_m1": u["m1"]}
            row["d_util"] = u["m0"] - u["m1"]
            of_digits = settings["dataset"] == "colored_mnist"
            row["d_util_by_label"] = row["d_util"] / 2 if of_digits else np.nan
            at_best = epochs[best - 1]
            row |= {"s_m1_given_m0": at_best["speed_m0"], "s_m0_given_m1": at_best["speed_m1"]}
            row["d_speed"] = at_best["speed_m0"] - at_best["speed_m1"]
        runs.append(row)
        if settings["policy"] in ("guided", "random") and settings["seed"] == 0:
            steps += _steps(name, outputs, rng)
    return {
        "runs": pd.DataFrame(runs),
        "evaluations": pd.DataFrame(
            evaluations, columns=["run", "evaluation", "output", "accuracy"]
        ),
        "histories": pd.DataFrame(histories),
        "steps": pd.DataFrame(steps),
    }


def _steps(name, outputs, rng):
    for step in range(1, EPOCHS * STEPS + 1):
        rebalanced = step > STEPS and (step // 5) % 2
        yield {
            "run": name,
            "step": step,
            "epoch": 1 + (step - 1) // STEPS,
            "mode": "rebalance_m1" if rebalanced else "regular",
            **{f"speed_{o}": rng.normal(-2, 0.1) for o in outputs},
        }
