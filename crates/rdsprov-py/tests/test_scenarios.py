"""A plan has the digest that the command's has, in every story of `testdata/scenarios`."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rdsprov
from conftest import TESTDATA, Bench, Server, versions

#: Each story mostly waits for its own server.
WORKERS = 4


def stories() -> list[Path]:
    chosen = os.environ.get("RDSPROV_SCENARIO", "")
    return sorted(path for path in (TESTDATA / "scenarios").iterdir() if chosen in path.name)


def play(folder: Path, major: int, directory: Path) -> str:
    """What the two say differently; nothing, where all is well."""
    server = Server(major)
    try:
        bench = Bench(server, directory)
        site = folder / "rdsprov.toml"
        config = site if site.exists() else None
        arguments = ["--env", "dev", *(["--config", str(site)] if config else [])]

        def read(name: str) -> rdsprov.Definitions:
            definitions = rdsprov.Definitions.from_path(
                folder / name, environment="dev", config=config
            )
            for app in definitions:
                bench.app(app.name, app.username)
            return definitions

        if (folder / "earlier.tfvars").exists():
            earlier = rdsprov.plan(read("earlier.tfvars"), build_id="7", **bench.options)
            assert rdsprov.apply(earlier).converged
        if (folder / "before.sql").exists():
            server.script((folder / "before.sql").read_text())
        definitions = read("definitions.tfvars")
        own = folder / "arguments"
        words = own.read_text().split() if own.exists() else []
        allow = [word.split("=")[1] for word in words if word.startswith("--allow=")]
        allow += [after for word, after in zip(words, words[1:]) if word == "--allow"]
        adopt = [after for word, after in zip(words, words[1:]) if word == "--adopt"]
        assert len(words) == 2 * (len(allow) + len(adopt)), f"arguments not understood: {words}"
        command = ["plan", *arguments, *words, "-d", str(folder / "definitions.tfvars")]
        theirs = bench.command(*command, "--format", "json")
        ours = rdsprov.plan(
            definitions,
            allow=[rdsprov.Hazard(hazard) for hazard in allow],
            adopt=adopt,
            **bench.options,
        )
        if json.loads(theirs.stdout) != ours.to_dict():
            return f"{folder.name}: {theirs.stdout}\n{theirs.stderr}\n{ours.to_json()}"
        assert theirs.returncode == (3 if ours.refusals else 0)
        # Without a server, from what was seen: the same, but for what the secrets had to say.
        if not ours.refusals:
            pure = rdsprov.diff(
                definitions,
                ours.observed,
                allow=[rdsprov.Hazard(hazard) for hazard in allow],
                adopt=adopt,
            )
            assert pure.digest == ours.digest, folder.name
        return ""
    finally:
        server.stop()


def test_every_story_has_the_plan_of_the_command(tmp_path: Path) -> None:
    chosen = [(folder, major) for folder in stories() for major in versions()]
    assert chosen

    def tell(story: tuple[Path, int]) -> str:
        folder, major = story
        directory = tmp_path / f"{folder.name}-{major}"
        directory.mkdir()
        try:
            return play(folder, major, directory)
        except Exception as error:
            return f"{folder.name} on {major}: {error!r}"

    with ThreadPoolExecutor(WORKERS) as pool:
        wrong = [said for said in pool.map(tell, chosen) if said]
    assert not wrong, "\n".join(wrong)
