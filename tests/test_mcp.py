"""``paretune mcp``, driven by the SDK's own client over the pipes of a real process."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import onnx
import pytest
from conftest import QUICK_CONFIRMATION, TINY_SPACE, run_paretune, run_python, write_study
from mcp import Client, StdioServerParameters
from onnx_models import perceptron

Call = Callable[..., Awaitable[Any]]


class Refused(Exception):  # noqa: N818
    """A tool answered with an error."""


def converse(folder: Path, talk: Callable[[Client, Call], Awaitable[None]]) -> None:
    """Start the server in a folder, as a client does, and talk to it."""
    wanted = ("PYTHONPATH", "PARETUNE_LEASES")
    kept = {name: os.environ[name] for name in wanted if name in os.environ}
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "paretune", "mcp"], env=kept, cwd=folder
    )

    async def run() -> None:
        async with Client(server) as client:

            async def call(tool: str, progress: Any = None, **arguments: Any) -> Any:
                given = {name: _plain(value) for name, value in arguments.items()}
                answer = await client.call_tool(tool, given, progress_callback=progress)
                if answer.is_error:
                    raise Refused(answer.content[0].text)
                found = answer.structured_content
                assert found is not None
                return found["result"] if set(found) == {"result"} else found

            await talk(client, call)

    anyio.run(run)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


@pytest.fixture
def model(tmp_path: Path, rng: Any) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(perceptron(rng), path)
    return path


def test_tools_teach_measure_and_refuse_in_the_words_of_the_command_line(
    tmp_path: Path, model: Path
) -> None:
    study = write_study(tmp_path)
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, text: str | None) -> None:
        told.append((done, total, text))

    async def talk(client: Client, call: Call) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == [
            "measure",
            "compare",
            "search",
            "status",
            "frontier",
            "pick",
            "verify",
        ]
        for tool in tools.values():
            assert tool.description and len(tool.description) > 200, tool.name
            assert tool.output_schema, tool.name
            for name, value in tool.input_schema["properties"].items():
                assert value.get("description"), f"{tool.name}.{name}"

        sizes = [1, 8]
        found = await call(
            "measure", progress, model=model, batch_sizes=sizes, careful=False, raw_samples=False
        )
        assert [each["run"]["batch_size"] for each in found] == sizes
        p50 = found[0]["statistics"]["latency_p50_ms"]
        assert p50["low"] <= p50["value"] <= p50["high"]
        assert found[0]["launches"] and "latency_ms" not in found[0]["launches"][0]
        assert told == [(0, 2, "measuring batch 1"), (1, 2, "measuring batch 8")]

        for tool, arguments, says in (
            ("measure", {"model": tmp_path / "none.onnx"}, "there is no file"),
            ("measure", {"model": model, "batch_sizes": [0]}, "greater than or equal to 1"),
            ("status", {"study": tmp_path / "none.yaml"}, "none.yaml"),
            ("status", {"study": study}, "has not been started; run `paretune search"),
            ("frontier", {"study": study}, "has not been started"),
            ("pick", {"study": study, "max_latency_ms": 1}, "has not been started"),
            ("search", {}, "give either `study`"),
            ("search", {"onnx": model}, "needs `data`"),
            ("verify", {"bundle": tmp_path}, "manifest.json"),
        ):
            with pytest.raises(Refused, match=says) as refused:
                await call(tool, **arguments)
            assert "Traceback" not in str(refused.value)

    converse(tmp_path, talk)


@pytest.mark.slow
def test_a_running_search_is_seen_and_a_second_one_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('no data here')\n", "utf-8")
    study = write_study(tmp_path, workload="broken.py:Nothing")

    async def talk(client: Client, call: Call) -> None:
        started = await call("search", study=study, trials=3)
        assert started["study"] == str(study) and Path(started["log"]).exists()
        with pytest.raises(Refused, match=rf"searched by process {started['process']}; wait"):
            await call("search", study=study)
        status: dict[str, Any] = {"is_running": True}
        with anyio.fail_after(60), pytest.raises(Refused) as refused:
            while status["is_running"]:
                status = await call("status", study=study)
                assert status["state"] == "starting" and status["budget_trials"] == 3
                await anyio.sleep(0.2)
        assert "ended before its first trial, with exit code" in str(refused.value)
        assert "no data here" in str(refused.value)  # the end of the log has the reason

    converse(tmp_path, talk)


@pytest.mark.slow
def test_search_until_a_verified_bundle(tmp_path: Path) -> None:
    study = write_study(tmp_path, space=TINY_SPACE, confirmation=QUICK_CONFIRMATION)
    bundle = tmp_path / "picked"
    states: list[str] = []

    async def search(client: Client, call: Call) -> None:
        await call("search", study=study, trials=4, max_accuracy_drop=0.1)

    async def follow(client: Client, call: Call) -> None:
        """Another server: the search did not end with the one that started it."""
        with anyio.fail_after(200):
            while True:
                try:
                    status = await call("status", study=study)
                except Refused as refused:
                    assert "has not been started" in str(refused)
                else:
                    states.append(status["state"])
                    if not status["is_running"]:
                        break
                    with pytest.raises(Refused, match="is being searched by process"):
                        await call("search", study=study)
                await anyio.sleep(2)  # each question costs processor time, which a search waits for
        assert status["state"] == "finished" and status["trials"] == status["budget_trials"] == 4
        assert status["published"] >= 1 and status["best"]["times_faster"] >= 1

        points = await call("frontier", study=study)
        assert {each["kind"] for each in points} <= {"published", "baseline"}
        assert all(each["latency_p95_ms_low"] <= each["latency_p95_ms"] for each in points)

        with pytest.raises(Refused, match=r"no measured .*\n  latency_p95_ms: limit 1e-06"):
            await call("pick", study=study, max_latency_ms=1e-6)
        picked = await call("pick", study=study, max_latency_ms=1000, measure=False, out=bundle)
        assert Path(picked["model"]).parent == Path(picked["manifest"]).parent == bundle
        assert picked["trial"] in [each["trial"] for each in points]

        checked = await call("verify", bundle=bundle)
        # The machine may be busy or have another pace by now; the file and its answers are right.
        assert checked["verdict"] in ("as promised", "slower", "faster", "cannot tell")
        assert checked["measured"]["latency_p50_ms"]["value"] > 0

    converse(tmp_path, search)
    converse(tmp_path, follow)
    assert "running" in states


def test_without_the_extra_the_command_says_what_to_install() -> None:
    hidden = "import sys; sys.modules['mcp'] = None; "
    done = run_python(
        "-c", hidden + "from paretune.search.cli.main import main; main(['mcp'])", timeout=60
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "pip install 'paretune[mcp]'" in done.stderr


def test_help_names_the_tools_and_the_registration() -> None:
    out = run_paretune("mcp", "--help").stdout
    assert "pick and verify" in out and '"args": ["mcp"]' in out
