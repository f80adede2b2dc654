"""The commands of the testbed; each may be run again at any time and does only what is missing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import boot_image, engine, hosts, images, job_images, job_models, registry, tiny_model, tools, vllm_image
from .state import State, TestbedError, only_one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EVERY_IMAGE = (
    images.BASE,
    images.STANDIN,
    images.STANDIN_SERVE,
    vllm_image.IMAGE,
    job_images.LLMCOMPRESSOR,
    job_images.MODELOPT,
    job_images.LM_EVAL,
    boot_image.IMAGE,
)


def up(state: State, _: argparse.Namespace) -> None:
    """Start the engine if it does not answer; print its address."""
    if not engine.answers(state.docker_host):
        with only_one(state):
            engine.up(state)
    print(state.docker_host)


def down(state: State, _: argparse.Namespace) -> None:
    """Stop the engine, and with the first the registries, that the testbed started; images and caches stay."""
    with only_one(state):
        if not state.new:
            registry.stop_all(state)
        engine.down(state)


def base(state: State, _: argparse.Namespace) -> None:
    """Build the image that the others start from."""
    with only_one(state):
        engine.up(state)
        print(images.base(state))


def standin(state: State, _: argparse.Namespace) -> None:
    """Build the images with the project's stand-in server."""
    with only_one(state):
        engine.up(state)
        print(*images.standin(state), sep="\n")


def boot(state: State, _: argparse.Namespace) -> None:
    """Build the image of a whole host with systemd and Docker, which a test boots in a container."""
    with only_one(state):
        engine.up(state)
        print(boot_image.build(state))


def vllm(state: State, _: argparse.Namespace) -> None:
    """Build the image with the real vLLM on the CPU."""
    with only_one(state):
        engine.up(state)
        print(vllm_image.build(state))


def jobs(state: State, options: argparse.Namespace) -> None:
    """Build the images of jobs (llm-compressor, modelopt and lm-eval on the CPU) and write the tiny models."""
    with only_one(state):
        engine.up(state)
        print(*job_images.build(state), sep="\n")
        print(*job_models.build(state, job_models.LARGE if options.large else job_models.TINY), sep="\n")


def model(state: State, options: argparse.Namespace) -> None:
    """Write the tiny random Llama to a folder, the same bytes every time; print the folder."""
    folder = options.folder or state.model
    tiny_model.write(folder)
    print(folder)


def fetch_tools(state: State, _: argparse.Namespace) -> None:
    """Fetch docker compose and podman's Quadlet generator, which judge what is exported to them."""
    with only_one(state):
        print(*tools.fetch(state).values(), sep="\n")


def several_hosts(state: State, options: argparse.Namespace) -> None:
    """Start "Sparks" in namespaces of their own, each with a dockerd and an sshd; print their ssh configuration."""
    with only_one(state):
        if options.stop:
            hosts.down(state)
            return
        hosts.up(state, options.count, [vllm_image.IMAGE] if options.vllm else [])
        print(hosts.folder(state) / "ssh_config")


def start_registry(state: State, options: argparse.Namespace) -> None:
    """Start a registry on a port of 127.0.0.1 with a storage of its own; print its address."""
    if options.stop:
        registry.stop(state, options.port)
    else:
        print(registry.start(state, options.port))


def env(state: State, _: argparse.Namespace) -> None:
    """Print, for `eval`, the variables of what is there, and as comments the images."""
    for each in (state, State.from_environment(new=True)):
        if engine.answers(each.docker_host):
            print(f"export {each.variable}={each.docker_host}")
            for tag in EVERY_IMAGE:
                print(f"# {tag}: {images.image_id(each, tag) or 'not built'}")
        else:
            print(f"# no engine answers at {each.docker_host}: run `testbed up{' --new' if each.new else ''}`")
    if hosts.pid(state, hosts.NAMES[0]) is not None:
        print(f"export {hosts.VARIABLE}={hosts.folder(state)}")
    for variable, path in tools.there(state).items():
        print(f"export {variable}={path}")
    if state.model.exists():
        print(f"export SPARKCTL_TEST_MODEL={state.model}")
    if state.tiny.exists():
        print(f"export SPARKCTL_TEST_TINY={state.tiny}")


OF_AN_ENGINE = ("up", "down", "base", "standin", "vllm")
COMMANDS: dict[str, Callable[[State, argparse.Namespace], None]] = {
    "up": up,
    "down": down,
    "base": base,
    "standin": standin,
    "boot": boot,
    "vllm": vllm,
    "jobs": jobs,
    "model": model,
    "tools": fetch_tools,
    "hosts": several_hosts,
    "registry": start_registry,
    "env": env,
}


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="testbed", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    each = {
        name: commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        for name, function in COMMANDS.items()
    }
    for name in OF_AN_ENGINE:
        each[name].add_argument("--new", action="store_true", help="the new engine, beside the first")
    each["jobs"].add_argument("--large", action="store_true", help="write the models of a gigabyte instead")
    each["model"].add_argument("folder", type=Path, metavar="DIR", nargs="?", help="default: in the testbed's folder")
    each["hosts"].add_argument("count", type=int, metavar="COUNT", nargs="?", default=2, help="default: two")
    each["hosts"].add_argument("--vllm", action="store_true", help="give them the real vLLM, too, where it was built")
    each["hosts"].add_argument("--stop", action="store_true", help="end them; the images of their engines stay")
    each["registry"].add_argument("port", type=int, metavar="PORT")
    each["registry"].add_argument("--stop", action="store_true", help="stop it instead and forget what it holds")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error is one message and exit code 1."""
    options = parser().parse_args(arguments)
    try:
        COMMANDS[options.command](State.from_environment(new=getattr(options, "new", False)), options)
    except TestbedError as error:
        print(f"testbed: error: {error}", file=sys.stderr)
        return 1
    return 0
