"""Compile every kernel once for this machine, so that no job waits for it: `python -m pipelines.warm`.

Compiled kernels are kept in the user's cache folder, under a hash of their sources; without this, each is compiled
when it is first called.
Two processes share the work, since there are two cores at least.
"""

import importlib
import subprocess
import sys
import time

from schemas.jit import compile_all

GROUPS = (
    ("rating.charging", "rating.commands", "rating.snapshot", "rating.online", "pipelines.sample.generate",
     "pipelines.ledger.content_hash"),
    ("mediation.formats.ber", "mediation.formats.csv_lines", "mediation.formats.json_lines",
     "mediation.formats.fixed_lines", "mediation.formats.radius_packets", "mediation.mediate", "pipelines.run",
     "pipelines.diameter.server", "pipelines.serve.service"),
)


def main() -> None:
    """Without arguments: compile all groups side by side. With modules: import them, saying so."""
    modules = sys.argv[1:]
    if modules:
        for module in modules:
            started = time.perf_counter()
            importlib.import_module(module)
            compile_all()
            sys.stdout.write(f"  {module} {time.perf_counter() - started:.1f} s\n")
            sys.stdout.flush()
        return
    sys.stdout.write("Compiling kernels for this machine, once:\n")
    sys.stdout.flush()
    workers = [subprocess.Popen([sys.executable, "-m", "pipelines.warm", *group]) for group in GROUPS]
    codes = [worker.wait() for worker in workers]
    if any(codes):
        sys.exit("a kernel did not compile; the lines above say which")


if __name__ == "__main__":
    main()
