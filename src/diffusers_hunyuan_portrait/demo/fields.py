"""The settings as fields of the page: of each option its name, default and limits, and back to words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr


@dataclass(frozen=True)
class Option:
    """An option of a run, as the command line has it.

    Args:
        name: as an argument has it, such as "motion_scale".
        kind: what its words are of.
        default: what holds where it is not given; `None` where that is found out in the run.
        help: a sentence.
        least, most: what it may be.
        choices: the words that it may be, where these are few.
        unset: what holds where there is no default, in words.
    """

    name: str
    kind: Literal["flag", "whole", "number", "text"]
    default: Any
    help: str
    least: float | None = None
    most: float | None = None
    choices: Sequence[str] = ()
    unset: str = ""

    @property
    def label(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ").capitalize()

    def field(self) -> gr.components.Component:
        """What it is set by on the page."""
        shared: dict[str, Any] = {"label": self.label, "info": self.help, "elem_id": f"option-{self.name}"}
        if self.kind == "flag":
            return as_given(gr.Checkbox(bool(self.default), **shared))
        if self.choices:
            return as_given(gr.Dropdown(list(self.choices), value=self.default or None, **shared))
        if self.kind == "text" or self.default is None:  # a number's field cannot be empty
            shared |= {"placeholder": self.unset, "max_lines": 1, "max_length": 100}
            return as_given(gr.Textbox(self.default or "", **shared))
        shared |= {"minimum": self.least, "maximum": self.most}
        return as_given(gr.Number(self.default, step=1 if self.kind == "whole" else 0.05, **shared))

    def words(self, value: Any) -> str | None:
        """What the command line would be given for a field's value; `None` for the default."""
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "" or value == self.default:
            return None
        if self.kind == "flag":
            return "yes" if value else None
        if self.kind == "whole" and isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value)


def as_given(field: Any, value_of: Callable[[Any], Any] = lambda payload: payload) -> Any:
    """The field, taking what it is given unchecked: of what is wrong this program says what the command line does.

    It is set on the one field: for a class of ours Gradio would write a file beside its source.
    """
    field.preprocess = lambda payload: None if payload is None else value_of(payload)
    return field


def words_of(options: Sequence[Option], values: Sequence[Any]) -> dict[str, str]:
    """Of each option that is not at its default, its words."""
    given = {option.name: option.words(value) for option, value in zip(options, values, strict=True)}
    return {name: words for name, words in given.items() if words is not None}


def settings_of(options: Sequence[Option], words: Mapping[str, str]) -> dict[str, Any]:
    """All settings with their values, as JSON has them: those of `words`, and the defaults of the others."""
    return {
        option.name: _value(option, words[option.name]) if option.name in words else option.default
        for option in options
    }


def _value(option: Option, words: str) -> Any:
    if option.kind == "flag":
        return words == "yes"
    if option.kind == "text":
        return words
    number = float(words)
    return int(number) if option.kind == "whole" else number
