"""Writes the tables of methods.md and the whole of cli.md from the code: ``python docs/generate.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
BEGIN, END = "<!-- begin: generated -->", "<!-- end: generated -->"


def main() -> None:
    """Refresh both pages in place."""
    for page, text in generated().items():
        (DOCS / page).write_text(between_marks((DOCS / page).read_text(encoding="utf-8"), text), encoding="utf-8")


def generated() -> dict[str, str]:
    """Page -> what stands between its marks."""
    return {"methods.md": methods(), "cli.md": commands()}


def between_marks(page: str, text: str) -> str:
    """The page with ``text`` between the marks."""
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    return f"{before}{BEGIN}\n{text}{END}{after}"


# -- methods.md ------------------------------------------------------------------------------------------------


def methods() -> str:
    """What each normalisation is, what it needs, and where it is from."""
    from corpuscle.normalize import normalizer_class
    from corpuscle.normalize._registry import BUILT_IN

    what = [["id", "formula", "needs", "zeros stay zero", "parameters"]]
    why = [["id", "source", "known effect on correlations"]]
    for name in BUILT_IN:
        made = normalizer_class(name)
        params = ", ".join(f"`{key}={_default(one)}`" for key, one in inspect.signature(made).parameters.items())
        zeros = "yes" if made.keeps_zeros else "no"
        what.append([f"`{name}`", f"`{made.formula}`", made.needs, zeros, params or "none"])
        source, effect = source_and_effect(made)
        why.append([f"`{name}`", source, effect])
    return f"\n{_table(what)}\n## Where they are from, and what they do to correlations\n\n{_table(why)}\n"


def source_and_effect(made: Any) -> tuple[str, str]:
    """From the notes of its docstring."""
    notes = (inspect.getdoc(made) or "").partition("Notes\n-----\n")[2].partition("\n\n")[0]
    notes = " ".join(notes.split())
    notes = re.sub(r":\w+:`([^`]*)`", r"`\1`", notes).replace("``", "`").replace("**", "")
    notes, _, effect = notes.partition("Effect on correlations: ")
    source = notes.partition("Source: ")[2].strip().rstrip(".")
    first = re.match(r".*?\.(?= [A-Z]|$)", effect)
    return source or "none needed", first[0] if first else effect


def _default(parameter: inspect.Parameter) -> str:
    value = parameter.default
    if isinstance(value, tuple) and len(value) > 4:
        return f"({value[0]}, {value[1]}, ..., {value[-1]})"
    return f"{value:g}" if isinstance(value, float) else repr(value)


# -- cli.md ----------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with what ``--help`` says of it."""
    import typer

    from corpuscle.cli import app

    root = typer.main.get_command(app)
    return "\n" + "\n".join(_commands(root, root.make_context("corpuscle", [], resilient_parsing=True)))


def _commands(command: Any, context: Any) -> Iterator[str]:
    yield _command(command, context)
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(child, child.make_context(name, [], parent=context, resilient_parsing=True))


def _command(command: Any, context: Any) -> str:
    path = context.command_path
    options = [one for one in command.get_params(context) if "--help" not in one.opts and not one.hidden]
    words = [_argument(one) for one in options if one.param_type_name == "argument"]
    usage = " ".join([path, "[OPTIONS]", *(["COMMAND"] if hasattr(command, "commands") else words)])
    text = inspect.cleandoc(command.help or "").split("\f")[0]
    text, example = _example(text, command.epilog)
    lines = [f"## {path}", "", text, "", "```text", usage, "```", ""]
    if example:
        lines += ["Example:", "", "```sh", *example, "```", ""]
    if options:
        lines.append(_table([["option", "what it does", "default"], *map(_option, options)]))
    return "\n".join(lines)


def _example(text: str, epilog: str | None) -> tuple[str, list[str]]:
    """The help without its example, and the example's commands."""
    text, _, example = text.partition("Example: ")
    example = " ".join((example or (epilog or "").removeprefix("Example: ")).split())
    return " ".join(text.split()), [line.strip() for line in re.split(r"\s+or\s+", example) if line.strip()]


def _option(parameter: Any) -> list[str]:
    value = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        name = f"`{_argument(parameter)}`"
    else:
        name = ", ".join(f"`{opt}`" for opt in [*parameter.opts, *parameter.secondary_opts])
        name += "" if isinstance(parameter.default, bool) else f" `{value}`"
    if parameter.required:
        default = "required"
    elif parameter.default is True:
        default = "on"
    else:
        default = "" if parameter.default in (None, "") or parameter.default is False else f"`{parameter.default}`"
    return [name, (getattr(parameter, "help", None) or "").strip(), default]


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).strip("[].").upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _table(rows: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    head, *body = rows
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, body)]) + "\n"


if __name__ == "__main__":
    main()
