"""Licences are told with sizes, asked for once, and the answer is kept until they change."""

import dataclasses
import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from diffusers_hunyuan_portrait.convert.licences import LICENCES
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.hub.consent import ACCEPT_VARIABLE, Notice, ensure_accepted

NOTICE = Notice("someone/else@v2", "someone/else", LICENCES, 8_400_000_000, 16_600_000_000, Path("/converted"))


@pytest.fixture
def record(tmp_path) -> Path:
    return tmp_path / "assets" / "accepted.json"


@pytest.fixture(autouse=True)
def unanswered(monkeypatch):
    monkeypatch.delenv(ACCEPT_VARIABLE, raising=False)


class Person:
    """Somebody who is asked."""

    def __init__(self, answer: bool):
        self.answer, self.asked = answer, []

    def __call__(self, notice: Notice) -> bool:
        self.asked.append(notice)
        return self.answer


def test_the_notice_says_sizes_places_and_every_licence():
    said = str(NOTICE)
    assert "someone/else@v2 holds original checkpoints" in said
    assert "8.4 GB to fetch and 16.6 GB of disk in all" in said
    assert "/converted" in said
    for licence in LICENCES:
        assert licence.name in said
        assert licence.terms in said
        assert licence.link in said
    assert f"{constants.ENDPOINT}/someone/else" in said
    published = dataclasses.replace(NOTICE, repository=LICENCES[0].repository, fetch_bytes=0)
    assert "What else this repository asks" not in str(published)
    assert "nothing more to fetch" in str(published)


def test_a_yes_is_asked_for_once_and_kept_with_its_time(record):
    person = Person(True)
    ensure_accepted(NOTICE, person, record)
    assert person.asked == [NOTICE]
    kept = json.loads(record.read_text())["someone/else"]
    assert kept["accepted_at"].startswith("20")
    assert [licence["link"] for licence in kept["licences"]] == [licence.link for licence in LICENCES]
    ensure_accepted(dataclasses.replace(NOTICE, fetch_bytes=5), Person(False), record)
    ensure_accepted(NOTICE, False, record)


def test_another_repository_or_list_of_licences_asks_anew(record):
    ensure_accepted(NOTICE, True, record)
    changed = (dataclasses.replace(LICENCES[0], terms="Other terms."), *LICENCES[1:])
    for notice in (
        dataclasses.replace(NOTICE, repository="someone/third"),
        dataclasses.replace(NOTICE, licences=changed),
    ):
        person = Person(True)
        ensure_accepted(notice, person, record)
        assert person.asked == [notice]
    assert json.loads(record.read_text()).keys() == {"someone/else", "someone/third"}


@pytest.mark.parametrize("content", ["{", "[]", '{"someone/else": 3}'])
def test_a_damaged_record_asks_anew(record, content):
    record.parent.mkdir()
    record.write_text(content)
    person = Person(True)
    ensure_accepted(NOTICE, person, record)
    assert len(person.asked) == 1


def test_a_no_is_told_and_not_kept(record):
    with pytest.raises(UserError, match="were not accepted, so nothing was fetched"):
        ensure_accepted(NOTICE, Person(False), record)
    assert not record.exists()


@pytest.mark.parametrize("value", ["1", "Yes", " true ", "on"])
def test_the_variable_says_yes(record, monkeypatch, value):
    monkeypatch.setenv(ACCEPT_VARIABLE, value)
    ensure_accepted(NOTICE, Person(False), record)
    assert record.exists()


@pytest.mark.parametrize("value", ["", "0", "no", "false", "off", "later"])
def test_other_values_of_the_variable_do_not(record, monkeypatch, value):
    monkeypatch.setenv(ACCEPT_VARIABLE, value)
    with pytest.raises(UserError) as error:
        ensure_accepted(NOTICE, False, record)
    assert "--accept-licences" in str(error.value)
    assert f"{ACCEPT_VARIABLE}=1" in str(error.value)
    assert not record.exists()
