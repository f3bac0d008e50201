"""Every command of ``deskgate``. Each imports its own modules when it runs, so that ``--help`` is quick."""

import click

from gateway.cli import asking, exploring, serving, watching
from gateway.cli.common import open_streams


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
