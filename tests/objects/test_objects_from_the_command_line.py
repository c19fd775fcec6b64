"""The command line does with object storage what it does with a folder."""

from servers.from_command_line import check


def test_a_bucket(s3, monkeypatch, capsys, tmp_path):
    """Steps, records, failures and runs are listed, verified and cleared."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    check(s3.url("from-the-command-line"), monkeypatch, capsys, tmp_path)
