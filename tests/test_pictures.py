"""`.ci/pictures`, which shows a pull request's figures before and after."""

import os
import subprocess

from tests.conftest import ROOT


def test_figures_that_differ_are_shown_before_and_after(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ("git", *identity, *arguments)
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)

    def commit(**pictures):
        for name, content in pictures.items():
            path = tmp_path / f"results/decisive/figures/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content) if content else path.unlink()
        git("add", "--all")
        git("commit", "--quiet", "--message", "figures")
        return git("rev-parse", "HEAD").stdout.strip()

    git("init", "--quiet")
    base = commit(same="1", changed="1", removed="1")
    head = commit(same="1", changed="2", removed="", new="1")

    def pictures(before, after):
        addresses = os.environ | {"BEFORE": "site/base", "AFTER": "site/head"}
        command = (ROOT / ".ci/pictures", before, after)
        done = subprocess.run(
            command, cwd=tmp_path, env=addresses, check=True, capture_output=True, text=True
        )
        return done.stdout.splitlines()

    folder = "results/decisive/figures"
    before, after = (lambda name, s=side: f"![](site/{s}/{folder}/{name}.png)" for side in ("base", "head"))  # fmt: skip
    assert pictures(base, head)[2:] == [
        f"| {folder}/changed.png | {before('changed')} | {after('changed')} |",
        f"| {folder}/new.png | none | {after('new')} |",
        f"| {folder}/removed.png | {before('removed')} | none |",
    ]
    assert pictures(head, head) == ["No figure in git differs."]
