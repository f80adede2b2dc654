"""What the Python API says of a recipe's command; ``Spark`` has these methods beside its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations import models
    from sparkctl.operations.context import World
    from sparkctl.operations.exchange import export as exporting
    from sparkctl.operations.exchange.export import ExportedFiles
    from sparkctl.operations.explained import explain as explaining
    from sparkctl.operations.explained import upgrade as upgrading
    from sparkctl.operations.explained.upgrade import UpgradedService
    from sparkctl.operations.models import Downloaded
    from sparkctl.recipes.explained.explanation import Explained
else:
    explaining = LazyModule("sparkctl.operations.explained.explain")
    exporting = LazyModule("sparkctl.operations.exchange.export")
    models = LazyModule("sparkctl.operations.models")
    upgrading = LazyModule("sparkctl.operations.explained.upgrade")


class RecipeMethods:
    """The methods of a Spark that are about recipes alone: they need no engine."""

    _world: World

    def explain(
        self, name: str, subject: str | None = None, overrides: Sequence[str] = (), *, strict: bool = False
    ) -> Explained:
        """Return of each word of a recipe's command where it comes from, what it does and costs, and what hurts.

        Args:
            name: a recipe, or a service of a stack.
            subject: a flag, a variable or a key of the recipe; None: every word.
            overrides: what is laid over it, as for ``plan``.
            strict: a flag that the recipe's vLLM does not have is an error.

        Raises:
            InputError: a name that is none or a stack's, a file that cannot be used, or a subject that nothing has.
        """
        return explaining.explain(self._world, name, subject, overrides, strict=strict)

    def upgrade(
        self, name: str, to: str, *, vllm: str | None = None, overrides: Sequence[str] = ()
    ) -> list[UpgradedService]:
        """Return what another release changes for a recipe, or for each service of a stack. Nothing is pulled.

        Args:
            name: a recipe, a stack, or a service of one.
            to: a version of vLLM, or an image.
            vllm: the version in that image, where its tag does not say it.
            overrides: what is laid over both sides, as for ``plan``.

        Raises:
            InputError: a name that is none, a file that cannot be used, or an image whose vLLM is not known.
        """
        return upgrading.upgrade(self._world, name, to, vllm=vllm, overrides=overrides)

    def download(self, *names: str, overrides: Sequence[str] = ()) -> Downloaded:
        """Download the models of recipes or stacks, those of their drafts too, that are not on this host.

        They go into the recipe's folder, else into the Hugging Face cache. What is cut off resumes. A simulated Spark
        downloads nothing, and what it would need is ``unneeded``.

        Args:
            names: recipes and stacks.
            overrides: what is laid over them, as for ``plan``.

        Raises:
            InputError: a name or a file that cannot be used, a hub, a network or a disk that refuses, what came is not
                the whole model, or a job makes the recipe's model.
        """
        return models.bring(self._world, names, overrides)

    def export(
        self,
        name: str,
        tool: str,
        overrides: Sequence[str] = (),
        *,
        strict: bool = False,
        folder: Path | None = None,
        replace: bool = False,
    ) -> ExportedFiles:
        """Return a recipe, a stack or a service of one as the files of another tool.

        Args:
            name: a recipe, a stack, or a service of one.
            tool: compose, systemd, quadlet, kubernetes, litellm, llama-swap, sparkrun or docker-run.
            overrides: what is laid over it, as for ``plan``.
            strict: a flag that the recipe's vLLM does not have is an error.
            folder: write the files there, all or none, with verified copies of mods; None: nothing is written.
            replace: write over files of the same names.

        Raises:
            InputError: a name or a tool that is none, what the tool cannot take, what may be a secret in a recipe, or
                a file that is there already.
            ModError: with ``folder``, a mod's file is not what it has to be.
        """
        target = exporting.target_of(tool)
        where = None if folder is None else exporting.absolute(str(folder))
        made = exporting.export(self._world, name, target, overrides, strict=strict, folder=where)
        if where is not None:
            exporting.write(self._world, made, where, over=replace)
        return made
