"""`fne completion`: what a shell needs to complete the command's words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from fne._command.arguments import new_command
from fne._command.output import give, say

_SHELLS = ("bash", "zsh")


def add_command(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Adds `fne completion`.

    Args:
        parser: that of the whole command
    """
    command = new_command(
        commands,
        "completion",
        lambda given: run(given, parser),
        "Prints a script with which a shell completes sub-commands, options and their values.",
        "examples:\n"
        "  fne completion bash\n"
        "  fne completion zsh\n\n"
        "The line `source <(fne completion bash)` in ~/.bashrc switches it on. For zsh, the same line with zsh "
        "stands in\n~/.zshrc, after the call of compinit.",
    )
    command.add_argument("shell", choices=_SHELLS)


def run(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Runs `fne completion`."""
    lines = list(script(parser))
    if given.shell == "zsh":  # it runs what is written for bash
        lines = ["autoload -U +X bashcompinit && bashcompinit", *lines]
    give({"script": "\n".join(lines) + "\n"})
    for line in lines:
        say(line)


def script(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The script for bash, in lines. What is no option, nor one of some words, is completed as a file."""
    commands = _commands(parser)
    yield "_fne() {"
    yield '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" words=""'
    yield "    COMPREPLY=()"
    yield '    if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'        words="{" ".join([*commands, "--help", "--version"])}"'
    yield "    else"
    yield '        case "${COMP_WORDS[1]} $previous" in'
    for name, command in commands.items():
        for action in command._actions:
            words = _words(action)
            for option in action.option_strings if words else ():
                yield f'            "{name} {option}") words="{words}" ;;'
            if words and not action.option_strings:
                yield f'            "{name} {name}") words="{words}" ;;'
    yield "        esac"
    yield '        case "$current" in -*) case "${COMP_WORDS[1]}" in'
    for name, command in commands.items():
        options = [option for action in command._actions for option in action.option_strings]
        yield f'            {name}) words="{" ".join(options)}" ;;'
    yield "        esac ;; esac"
    yield "    fi"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$current"))'
    yield "}"
    yield "complete -o default -F _fne fne"


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The sub-commands by their names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _words(action: argparse.Action) -> str:
    """The values of an option. One with a space would have to be quoted, and is left to the user."""
    return " ".join(str(word) for word in action.choices or () if " " not in str(word))
