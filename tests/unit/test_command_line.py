"""The command line: its tables agree with what modules register, and what only asks a node imports nothing slow."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipelines.apps import lazily
from pipelines.apps.cli import COMMANDS, app
from pipelines.apps.tariff_group import TARIFF
from pipelines.serve.home_socket import short

SLOW = ("numba", "llvmlite", "polars", "duckdb", "pyarrow", "numpy")
ACCOUNT = {"account_id": 7, "state": "active", "plans": ["basic"], "payment": "prepaid", "currency": "EUR",
           "balance": "5.00", "held": "0.00", "credit_limit": "0.00", "available": "5.00", "shares_with": None,
           "shared_by": 0, "buckets": []}
FIGURES = {"rows": 0, "commands": 0, "slices": 0, "latency": [0] * 19, "waiting": 0, "open_sessions": 0,
           "held_sessions": 0, "position": 0, "tick_ms": 0.0, "durable_ms": 0.0, "uncommitted_rows": 0, "commit_s": 0.0}


@pytest.mark.parametrize("table", [COMMANDS, TARIFF], ids=["tarifa", "tariff"])
def test_a_table_says_of_each_command_what_its_module_says(table: Mapping[str, lazily.Lazy]) -> None:
    for name, each in table.items():
        registered = lazily.load(each.module).commands
        said = (registered[name].help or "").split("\n\n")[0]
        assert " ".join(said.split()) == each.help
        assert {n for n, other in table.items() if other.module == each.module} == set(registered)


def test_every_module_of_commands_is_in_a_table() -> None:
    folder = Path(lazily.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "\ndef register(" in path.read_text()}
    assert modules == {each.module for table in (COMMANDS, TARIFF) for each in table.values()}


def test_help_and_a_word_that_is_almost_a_command() -> None:
    told = CliRunner().invoke(app, ["--help"])
    assert told.exit_code == 0
    assert all(f"\n  {name} " in told.output for name in COMMANDS)
    told = CliRunner().invoke(app, ["acount"])
    assert told.exit_code == 2 and "account" in told.output
    assert isinstance(typer.main.get_command(app).name, str | None)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home that somebody serves who answers everything."""
    (tmp_path / "operator").mkdir()
    place = tmp_path / "home"
    (place / "serve").mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short(place / "serve" / "node.sock") as name:
        listener.bind(name)
    listener.listen()
    answers: dict[str, dict[str, Any]] = {
        "account": {"account": ACCOUNT}, "figures": FIGURES,
        "defaults": {"account_id": 8, "service_id": 9, "currency": "EUR", "time_zone": "Europe/Vienna"},
        "command": {"status": "done", "reason": "ok", "position": 3, "why": ""},
        "activate": {"changed": True, "tariffs": "a" * 64, "folder": "b" * 64, "reference": "c" * 64, "version": "v",
                     "later": [], "seconds": 0.1, "switch_ms": 0.1}}

    def serve() -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            with connected, connected.makefile("rb") as lines:
                for line in lines:
                    connected.sendall(json.dumps(answers[json.loads(line)["op"]]).encode() + b"\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield place
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.mark.parametrize(("words", "says"), [
    ("--help", "account"), ("account --help", "top-up"), ("tariff --help", "activate"),
    ("account create --plan basic --msisdn 999700000001 --imsi 001010000000001", "account 8: service_add is carried"),
    ("account service 7 --msisdn 999700000002", "service_add is carried out"),
    ("account show 999700000001", "5.00"), ("account plan 7 gold --at 2026-10-21", "plan_change is carried out"),
    ("account sim-swap 999700000001 001010000000002", "sim_swap is"),
    ("account number 999700000001 999700000003", "number_change is"),
    ("account port-in 999700000001 999700000003", "port_in is"), ("account port-out 999700000001", "port_out is"),
    ("account suspend 7", "state is"), ("account resume 7", "state is"), ("account terminate 999700000001", "state is"),
    ("account join 7 999700000009", "share_join is"), ("account leave 7", "share_leave is"),
    ("account top-up 7 10.00", "top_up is carried out"), ("account adjust 7 -1.00", "adjust is carried out"),
    ("top --every 0.1 --rounds 1", "open sessions"), ("tariff activate", "stay in force")])
def test_what_only_asks_a_node_imports_nothing_slow(home: Path, words: str, says: str) -> None:
    arguments = words.split()
    if "--help" not in arguments:
        arguments += ["--home", str(home), "--input", str(home.parent)]
    program = ("import sys\nfrom pipelines.apps.cli import main\ntry:\n    main(sys.argv[1:])\n"
               f"except SystemExit as e:\n    assert not e.code, e.code\n"
               f"found = [n for n in {SLOW} if n in sys.modules]\n"
               "assert not found, found\n")
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout, done.stdout
