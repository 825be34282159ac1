from __future__ import annotations

from connect.config_diff import changes


def shown(old: dict[str, str] | None, new: dict[str, str]) -> list[str]:
    return [str(edit) for edit in changes(old, new)]


def test_equal_configurations_differ_in_nothing() -> None:
    assert changes({"a": "1"}, {"a": "1"}) == []


def test_added_removed_and_changed_settings_are_told_apart() -> None:
    assert shown({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == ["- a = 1", "~ b = 2 -> 3", "+ c = 4"]


def test_a_new_connector_is_all_additions() -> None:
    assert shown(None, {"a": "1"}) == ["+ a = 1"]


def test_a_typed_in_password_is_hidden_and_a_provider_entry_is_shown() -> None:
    old, new = {"database.password": "hunter2"}, {"database.password": "${env:P}"}
    assert shown(old, new) == ["~ database.password = ******** -> ${env:P}"]
