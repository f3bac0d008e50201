"""The documents, as tests read them: tables, blocks, and the whole manual as one text."""

import re

from tests.desk import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("ops/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
_PAGES = (
    *("start", "how-it-works", "settings", "chains", "codes", "logs", "session-events", "forgetting"),
    *(
        "try",
        "explain",
        "console",
        "health",
        "metrics",
        "restart",
        "scaling",
        "tls",
        "python",
        "sql",
        "questions",
    ),
)
MANUAL = "\n".join([README, *((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in _PAGES)])
"""README and the pages that go on from it: what a user relies on."""


def table(text: str, first: str) -> list[list[str]]:
    """Return the rows of all tables whose first column has this heading, each cell as it is."""
    rows = []
    wanted = False
    for line in text.splitlines():
        if not line.startswith("|"):
            wanted = False
        elif line.startswith(f"| {first} |"):
            wanted = True
        elif wanted and not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
