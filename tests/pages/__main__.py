"""Write the pages of docs that are made from the code."""

import sys

from tests.desk import ROOT
from tests.pages import events, schema
from tests.simulation import page as sizing

PAGES = {
    "docs/events.md": events.page,
    "docs/events.schema.json": events.file,
    "docs/deskgate.schema.json": schema.file,
    "docs/sizing.md": sizing.page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (ROOT / name).write_text(make(), encoding="utf-8")
        sys.stdout.write(f"written: {name}\n")
