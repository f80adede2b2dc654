"""Arguments and options that several commands share."""

from __future__ import annotations

import click

names = click.argument("names", nargs=-1, required=True, metavar="NAME...")
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a recipe's value: limits.context=8192."
)
strict = click.option("--strict", is_flag=True, help="Make a flag that this vLLM does not have an error.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
