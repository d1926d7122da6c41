import pandas as pd

from equimodal.study.report.costs import costs, read_benchmark

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(folder, name, seconds, memory, cpu):
    path = folder / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t90\t{cpu}\n")
    return path


def test_costs_are_summed_for_each_experiment_and_once_for_all(tmp_path):
    for run, seconds in (("a", 10), ("b", 20), ("shared", 40)):
        benchmark(tmp_path, f"train/{run}", seconds, 100 + seconds, seconds / 2)
        benchmark(tmp_path, f"evaluate/{run}", 1, 50, 1)
    benchmark(tmp_path, "noisy_mnist/L_f1", 5, 60, 4)
    benchmark(tmp_path, "fetch/digits", 3, 10, 1)
    benchmark(tmp_path, "collect", 2, 20, 1)
    benchmark(tmp_path, "draw/figure7", 4, 30, 1)
    found = costs(tmp_path, {"x": ["a", "shared"], "y": ["b", "shared", "not yet"]})
    found = found.set_index("what")
    assert found["runs"].tolist()[:3] == [2, 3, 4]
    assert found["measured"].tolist() == [2, 2, 3, 1, 1, 2]
    assert found["wall_seconds"].tolist() == [52, 62, 73, 5, 3, 6]
    assert found["cpu_seconds"].tolist() == [27, 32, 38, 4, 1, 2]
    assert found["peak_memory_mb"].tolist() == [140, 140, 140, 60, 10, 30]


def test_a_job_too_short_to_be_measured_counts_as_nothing(tmp_path):
    read = read_benchmark(benchmark(tmp_path, "train/a", 0.1, "-", "NA"))
    assert read["wall_seconds"] == 0.1
    assert pd.isna(read["peak_memory_mb"])
    found = costs(tmp_path / "none", {"x": ["a"]})
    assert found["measured"].tolist() == [0, 0, 0, 0, 0]
    assert found["wall_seconds"].isna().all()
