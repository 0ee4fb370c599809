"""The command line: ``python -m scripts COMMAND``."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
from fire import decorators

decorators.FIRE_METADATA = "_fire_metadata"  # without the underscore, help lists it as something to call

COMMANDS = {
    # command: (module, function, what it does); a module is loaded when its command is called
    "convert": ("scripts.cine.convert", "convert", "DICOM or NIfTI cine -> study (NIfTI and manifest)"),
    "infer": ("scripts.infer", "infer", "cine -> frames, labels, velocities and a picture"),
    "measured": ("scripts.measured", "measured", "measured 3Dir MVM (magnitude and three phases) -> velocity maps"),
    "assess": ("scripts.assess", "assess", "velocity maps -> curves, peaks, strain, tables and a report"),
    "label prepare": ("scripts.label.prepare", "prepare", "studies -> slices for review in MONAI Label"),
    "label serve": ("scripts.label.serve", "serve", "serve them: MONAI Label with the bundle"),
    "label collect": ("scripts.label.collect", "collect", "reviewed slices -> labels of whole studies"),
    "deploy run": ("scripts.deploy.run", "run", "MONAI Deploy application: DICOM in, DICOM out"),
    "deploy package": ("scripts.deploy.package", "package", "write the application package and its image context"),
    "picture": ("scripts.picture", "picture", "draw what the bundle wrote"),
    "phantom": ("scripts.phantom.studies", "write_phantom_studies", "write simulated studies"),
    "benchmark": ("scripts.benchmark.benchmark", "benchmark", "measure the weights beside peers: tables and figures"),
    "ablate": ("scripts.benchmark.ablation", "ablate", "short trainings, each without one part of the network"),
    "card": ("scripts.benchmark.card", "card", "put a benchmark's figures into the model card"),
    "export": ("scripts.export", "export", "model.pt -> model.ts and model.onnx, compared"),
    "package": ("scripts.package", "package", "zip the bundle"),
}

TEXTS = (str, str | Path, str | None)
"""Annotations of parameters that stay as they were typed."""

NUMBERS = {int: (int,), float | None: (int, float)}
"""Annotations of parameters that are numbers: what they may be."""

USAGE = "Usage: python -m scripts COMMAND ...\n\n{}\n\n{}"


def main(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: what follows ``python -m scripts``.

    Returns:
        The exit code: 0, 1 if the input cannot be used (one line on stderr says why), 2 if the command line is wrong,
        130 if it was interrupted.
    """
    words_of_name = 2 if " ".join(arguments[:2]) in COMMANDS else 1
    name = " ".join(arguments[:words_of_name]) or "--help"
    if name not in COMMANDS:
        listing = "\n".join(f"  {command:15s}{words}" for command, (_, _, words) in COMMANDS.items())
        usage = USAGE.format(listing, "python -m scripts COMMAND --help explains one.")
        if name in ("-h", "--help", "help"):
            print(usage)
            return 0
        print(f"error: no command {name!r}\n{usage}", file=sys.stderr)
        return 2
    module, function, _ = COMMANDS[name]
    # Read by torch when it loads: large pages, which spare the system much bookkeeping.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        result = call(getattr(importlib.import_module(module), function), name, arguments[words_of_name:])
    except (ValueError, OSError) as error:
        if not is_about_input(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    if isinstance(result, str):
        print(result)
    return 0


def call(function: Callable[..., Any], name: str, arguments: list[str]) -> Any:
    """Calls a function with arguments from the command line.

    Fire alone would run the function first and complain about an unknown flag afterwards, and it would turn a folder
    called 101 into a number and take any word for one. So it only parses here; text stays text, a number must be one.

    Args:
        function: function to call; its docstring is the help text.
        name: its command.
        arguments: positional arguments and flags.

    Returns:
        What the function returns.

    Raises:
        SystemExit: after help (code 0) or arguments that do not fit (code 2).
    """
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    @functools.wraps(function)
    def note(*args: Any, **kwargs: Any) -> None:
        calls.append((args, kwargs))

    signature = inspect.signature(function, eval_str=True)
    parameters = signature.parameters.values()
    texts = {parameter.name: str for parameter in parameters if parameter.annotation in TEXTS}
    os.environ.setdefault("PAGER", "cat")  # help is a page, not a program
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        note = decorators.SetParseFn(str)(note)  # the names of SetParseFns do not reach *arguments
    fire.Fire(decorators.SetParseFns(**texts)(note), command=arguments, name=name)
    ((args, kwargs),) = calls
    given = signature.bind(*args, **kwargs).arguments
    for parameter in parameters:
        value, kinds = given.get(parameter.name), NUMBERS.get(parameter.annotation, ())
        if value is not None and kinds and type(value) not in kinds:
            expected = "a number" if float in kinds else "a whole number"
            print(f"ERROR: --{parameter.name}: found {value!r}, expected {expected}", file=sys.stderr)
            raise SystemExit(2)
    return function(*args, **kwargs)


def is_about_input(error: ValueError | OSError) -> bool:
    """Tells an error in words, about what the user gave, from one of the program, which needs its traceback."""
    return isinstance(error, OSError) or type(error).__module__.startswith("scripts.")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is half done is cleaned up
    sys.exit(main(sys.argv[1:]))
