"""The packager's own context, without docker: `python -m scripts.deploy.context FOLDER`, in the SDK's environment."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from holoscan_cli.packager.arguments import PackagingArguments
from holoscan_cli.packager.container_builder import PythonAppBuilder
from holoscan_cli.packager.package_command import create_package_parser
from holoscan_cli.packager.packager import _create_app_manifest, _create_package_manifest

#: What the packager 4.2.0 would download: which base image and which SDK an image is made of.
ARTIFACTS = {
    "4.2.0": {
        "holoscan": {
            "debian-version": "4.2.0.1-1",
            "wheel-version": "4.2.0",
            "base-images": {"dgpu": "nvcr.io/nvidia/cuda:13.0.0-runtime-ubuntu24.04"},
            "build-images": {"dgpu": {}, "igpu": {}, "cpu": {}},
        },
        "health-probes": {},
    }
}
#: As on the command line that the how-to gives.
OPTIONS = ("--platform", "x86_64", "--tag", "hdl_mvm", "--sdk", "monai-deploy")


class _Builder(PythonAppBuilder):
    """The packager's builder, up to where it calls docker."""

    def _build_internal(self, dockerfile: str, platform_parameters: object) -> None:
        """Builds no image."""


def write_context(folder: Path) -> Path:
    """Write `context` into a package folder: Dockerfile, manifests, and all that the image copies.

    Args:
        folder: What `deploy package` wrote so far.

    Returns:
        The context.
    """
    parser = argparse.ArgumentParser()
    create_package_parser(parser.add_subparsers(dest="command"), "package", parents=[])
    context = folder / "context"
    context.mkdir()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as artifacts:
        json.dump(ARTIFACTS, artifacts)
        artifacts.flush()
        given = [str(folder / "app"), "--config", str(folder / "app.yaml"), "--models", str(folder / "models")]
        given += ["--docs", str(folder / "docs"), "--source", artifacts.name, *OPTIONS]
        arguments = PackagingArguments(parser.parse_args(["package", *given]), str(context))
    _create_app_manifest(arguments.application_manifest, str(context))
    _create_package_manifest(arguments.package_manifest, str(context))
    builder = _Builder(arguments.build_parameters, str(context))
    for platform in arguments.platforms:
        builder.build(platform)
    return context


if __name__ == "__main__":
    write_context(Path(sys.argv[1]))
