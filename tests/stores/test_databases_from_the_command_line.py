"""The command line does with a database what it does with a folder."""

import pytest

from servers.from_command_line import check


@pytest.mark.parametrize("server", ["postgres", "redis_server"])
def test_a_database(server, request, monkeypatch, capsys, tmp_path):
    """Steps, records, failures and runs are listed, verified and cleared; no password is shown."""
    database = request.getfixturevalue(server)
    check(database.url(database.new_place()), monkeypatch, capsys, tmp_path)
