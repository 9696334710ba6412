"""`python -m inapp`: the same as the `inapp` command."""

from inapp.cli import app

app(prog_name="inapp")
