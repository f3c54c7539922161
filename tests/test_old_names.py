"""A workload of the first edition still loads, and a user's own packages stay theirs."""

from pathlib import Path

import pytest
from conftest import (
    IRIS,
    QUICK,
    QUICK_CONFIRMATION,
    TINY_SPACE,
    run_paretune,
    run_python,
    write_study,
)

OLD = """
import warnings
from pathlib import Path
from paretune.runners.workload.user_code import load_attribute
print(load_attribute("old.py:found", Path({folder!r})))
"""


def test_names_of_the_first_edition_are_found_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(
        "from runners import Data, Workload\nfrom runners.students import scaled\n"
        "import search\n"
        "found = [Workload.__module__, Data.__name__, scaled.__name__, search.pick.__name__]\n",
        "utf-8",
    )
    done = run_python("-c", OLD.format(folder=str(tmp_path)))
    assert "['paretune.runners.workload.protocol', 'Data', 'scaled', 'pick']" in done.stdout
    assert "`runners` is now called `paretune`" in done.stderr


@pytest.mark.parametrize("name", ["runners", "search", "spaces"])
def test_packages_of_the_users_own_are_theirs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("MINE = 'mine'\n", "utf-8")
    (tmp_path / "old.py").write_text(f"from {name} import MINE as found\n", "utf-8")
    done = run_python("-c", OLD.format(folder=str(tmp_path)))
    assert done.stdout.strip() == "mine" and "is now called" not in done.stderr


@pytest.mark.slow
def test_a_study_runs_next_to_files_with_the_names_of_our_rooms(tmp_path: Path) -> None:
    (tmp_path / "search.py").write_text("TOP = 1\n", "utf-8")
    (tmp_path / "spaces.py").write_text("TOP = 2\n", "utf-8")
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners" / "__init__.py").write_text("TOP = 3\n", "utf-8")
    text = IRIS.read_text("utf-8")
    (tmp_path / "mine.py").write_text(
        f"import runners\nimport search\nimport spaces\n\n"
        f"assert search.TOP + spaces.TOP + runners.TOP == 6\n{text}",
        "utf-8",
    )
    path = write_study(
        tmp_path,
        workload="mine.py:Iris",
        space={**TINY_SPACE, "student": ["reference"], "pruning_ratio": [0.0]},
        budget={"trials": 2},
        measurement=QUICK,
        confirmation=QUICK_CONFIRMATION,
        tracking=False,
    )
    done = run_paretune("search", path)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 trials are done; 0 failed" in done.stdout
