"""Tokenarium: the page, or a command: ``python app.py --help``, ``python app.py run --help``."""

import os
import sys
import threading
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a file, in a checkout: the folder it lies in is the package
    _FOLDER = Path(__file__).resolve().parent
    # Off the path, else its ``kernels`` hides the package of that name that transformers looks for.
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != _FOLDER]
    _LOADER = SourceFileLoader("tokenarium", str(_FOLDER / "__init__.py"))
    _SPEC = ModuleSpec("tokenarium", _LOADER, origin=_LOADER.path, is_package=True)
    _SPEC.submodule_search_locations = [str(_FOLDER)]
    _SPEC.has_location = True
    sys.modules["tokenarium"] = module_from_spec(_SPEC)
    _LOADER.exec_module(sys.modules["tokenarium"])

# Before anything imports them: nothing leaves this machine unasked.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Who asks is read from a forwarded header by --behind-proxy alone.
os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
# Waiting threads sleep: on a busy machine that about halved the time of a trace.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tokenarium.backend import Lab, Settings, json_log
from tokenarium.backend.environment import StartUpError, refuse_taken_port
from tokenarium.backend.errors import told_in_words
from tokenarium.backend.garbage import lasting

if TYPE_CHECKING:
    from gradio import Blocks


def prepare() -> tuple["Blocks", dict[str, Any], Lab]:
    """Return the page, how to launch it, and its lab, or exit saying in words why not."""
    try:
        with told_in_words():
            settings = Settings(_cli_parse_args=True)
        if settings.log == "json":
            json_log.begin()
        refuse_taken_port(settings)
        lab = Lab(settings)
        if settings.hosted:  # no visitor's request compiles anything
            lab.prepare_statistics()
        else:
            threading.Thread(target=lab.prepare_statistics, daemon=True).start()
    except (StartUpError, ValueError) as error:
        sys.exit(f"Tokenarium cannot start: {error}")
    from tokenarium.ui.page import build, launch_options

    # The Lab queues runs itself and says their place; here only the room for them is made.
    together = settings.queue_size + 1
    page = build(lab).queue(
        max_size=8 * together, default_concurrency_limit=together, api_open=False
    )
    address = {"server_name": settings.host, "server_port": settings.port}
    return page, {**address, "max_threads": 40 + together, **launch_options(settings)}, lab


def main() -> None:
    """Serve the page until it is stopped, or carry out the command that is named first."""
    from tokenarium.backend import cli

    status = 0
    if sys.argv[1:2] and sys.argv[1] in cli.COMMANDS:
        status = cli.main(sys.argv[1:])
    elif sys.argv[1:2] == ["lessons"]:
        from tokenarium.ui.lessons.command import main as write_lessons

        status = write_lessons(sys.argv[2:])
    else:
        with lasting():
            demo, options, lab = prepare()
            demo.launch(**options, prevent_thread_lock=True)
        lab.prepare()  # once the page is served, which never waits for it
        demo.block_thread()
        lab.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # everything is closed; DuckDB's binding would remark on its own leaks


if __name__ == "__main__":
    main()
