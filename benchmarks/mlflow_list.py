"""MLflow's list of runs, for `benchmarks.list`: an interpreter that has MLflow calls this.

Fills an SQLite store, then answers each line on standard input (a place in the list) with the
seconds that a page from there took.
"""

import random
import sys
import time
import uuid
from pathlib import Path

from mlflow.entities import ViewType
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.search_utils import SearchUtils
from sqlalchemy import insert

PAGE = 50
BATCH = 500
METRICS = 22
PARAMS = 12
ORDER = ["metrics.metric_4 DESC"]


def fill(store: SqlAlchemyStore, runs: int) -> str:
    """Write runs with metrics and parameters as a training has, and return their experiment."""
    chance = random.Random(0)
    experiment = store.create_experiment("list")
    for first in range(0, runs, BATCH):
        numbers = range(first, min(first + BATCH, runs))
        ids = [uuid.UUID(int=chance.getrandbits(128)).hex for _ in numbers]
        rows = {
            SqlRun: [
                {
                    "run_uuid": key,
                    "name": f"run {number}",
                    "experiment_id": int(experiment),
                    "source_type": "LOCAL",
                    "user_id": "",
                    "status": "FINISHED",
                    "start_time": number,
                    "end_time": number,
                    "lifecycle_stage": "active",
                }
                for number, key in zip(numbers, ids, strict=True)
            ],
            SqlLatestMetric: [
                {
                    "run_uuid": key,
                    "key": f"metric_{n}",
                    "value": chance.gauss(0, 100),
                    "timestamp": 1,
                    "step": 1,
                    "is_nan": False,
                }
                for key in ids
                for n in range(METRICS)
            ],
            SqlParam: [
                {"run_uuid": key, "key": f"param_{n}", "value": str(n)}
                for key in ids
                for n in range(PARAMS)
            ],
        }
        with store.ManagedSessionMaker() as session:
            for table, values in rows.items():
                session.execute(insert(table), values)
    return experiment


def page_s(store: SqlAlchemyStore, experiment: str, place: int) -> float:
    """Return the seconds that a page took."""
    token = SearchUtils.create_page_token(place) if place else None
    started_at = time.perf_counter()
    found = store.search_runs([experiment], "", ViewType.ACTIVE_ONLY, PAGE, ORDER, token)
    elapsed_s = time.perf_counter() - started_at
    assert len(found) == PAGE, len(found)
    return elapsed_s


def main() -> None:
    folder, runs = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    store = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder))
    experiment = fill(store, runs)
    print("ready", flush=True)
    for line in sys.stdin:
        print(page_s(store, experiment, int(line)), flush=True)


if __name__ == "__main__":
    main()
