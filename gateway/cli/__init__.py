"""Every command of ``deskgate``. Each imports its own modules when it runs, so that ``--help`` is quick."""

import errno
from typing import Any

import click

from gateway.cli import asking, exploring, serving, watching
from gateway.cli.common import end_with, let_go_of_output, open_streams


class _Commands(click.Group):
    """All commands. Each ends with one line if what it reads or writes fails, as a full disk does."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:  # "| head": click ends without a word
                raise
            let_go_of_output()
            end_with(str(error))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="deskgate")
def main() -> None:
    """Answer Tencent Cloud Desk's callbacks in time, whatever the CRM behind them does."""
    open_streams()


for command in (
    serving.gateway,
    serving.worker,
    asking.check,
    asking.call,
    exploring.try_,
    exploring.explain,
    exploring.replay,
    asking.forget,
    asking.hold,
    asking.health,
    watching.status,
    watching.logs,
    serving.crm,
    serving.demo,
    serving.up,
    asking.init,
    asking.schema,
):
    main.add_command(command)
