"""The tuned figures of RL-Baselines3-Zoo, collected once into a data file of ours.

`python -m apps.foreign.zoo_collect FOLDER VERSION` reads the files of an unpacked rl_zoo3 package
and rewrites `tuned.json`, from which the High score presets come. Values are figures;
no text of the zoo is copied.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.presets.presets import ZOO_FILE
from apps.foreign.zoo import read_zoo_yaml
from apps.foreign.zoo_keys import ZooEntry

# The zoo's name of a file -> our name of the algorithm.
ALGORITHM_FILES = {"ppo_lstm": "recurrent_ppo", **{name: name for name in ALGORITHMS}}


def _wanted() -> dict[str, str]:
    """Return the zoo's name of each environment that we have a card of, with ours.

    The zoo tuned version 4 of the MuJoCo environments; ours are version 5.
    """
    names = {id_: id_ for id_ in ENVIRONMENTS}
    names |= {
        id_.replace("-v5", "-v4"): id_
        for id_, card in ENVIRONMENTS.items()
        if card.family == "mujoco"
    }
    return {**names, "atari": "atari"}


def collect_presets(files: Mapping[str, str], version: str) -> dict[str, Any]:
    """Return the content of `tuned.json`.

    Args:
        files: Text of each YAML file by its name without suffix.
        version: Version of the rl_zoo3 package.
    """
    wanted = _wanted()
    presets: dict[str, dict[str, Any]] = {}
    for name, text in sorted(files.items()):
        algorithm = ALGORITHM_FILES.get(name)
        if algorithm is None:
            continue
        for environment, entry in read_zoo_yaml(text, algorithm, only=wanted).items():
            if not _has_only_our_wrappers(wanted[environment], entry):
                continue
            presets.setdefault(algorithm, {})[wanted[environment]] = {
                "from": f"{name}.yml, {environment}",
                "n_envs": entry.spec.get("n_envs", 1),
                "total_timesteps": entry.spec.get("total_timesteps"),
                "hyperparameters": entry.spec["hyperparameters"],
                "normalize": entry.spec.get("normalize"),
                "notes": entry.notes,
            }
    return {"source": f"RL-Baselines3-Zoo {version}", "licence": "MIT", "presets": presets}


def _has_only_our_wrappers(environment: str, entry: ZooEntry) -> bool:
    """Note which wrappers of the family were not there; figures of other wrappers mean nothing."""
    card = ENVIRONMENTS.get(environment)
    family = FAMILIES[card.family if card else environment]
    wrappers = entry.spec.get("wrappers", [])
    missing = [path for path in family.wrappers if path not in wrappers]
    entry.notes += [f"tuned without {path.rpartition(':')[2]}" for path in missing]
    return (
        all(path in family.wrappers for path in wrappers)
        and entry.spec.get("frame_stack", 0) == family.frame_stack
    )


def main() -> None:
    """Rewrite the presets from an unpacked package."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.foreign.zoo_collect", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="rl_zoo3/hyperparams of the package")
    parser.add_argument("version", help="version of the package")
    options = parser.parse_args()
    files = {path.stem: path.read_text() for path in options.folder.glob("*.yml")}
    data = collect_presets(files, options.version)

    style = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    ZOO_FILE.write_bytes(orjson.dumps(data, option=style))


if __name__ == "__main__":
    main()
