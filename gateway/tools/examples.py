"""What a configuration begins with: examples, one for each kind of CRM, and a schema for editors."""

from importlib import resources
from pathlib import Path


def find_examples() -> dict[str, Path]:
    """Return the configuration of each example: from the installed package, or from a checkout."""
    packaged = Path(str(resources.files("gateway") / "examples"))
    places = (packaged, Path(__file__).parents[2] / "examples")
    folder = next((place for place in places if place.is_dir()), packaged)
    return {path.parent.name: path for path in sorted(folder.glob("*/deskgate.toml"))}


def find_schema() -> Path:
    """Return the JSON Schema of the configuration: of the installed package, or of a checkout."""
    name = "deskgate.schema.json"
    packaged = Path(str(resources.files("gateway") / "samples" / name))
    return packaged if packaged.exists() else Path(__file__).parents[2] / "docs" / name


def summary_of(example: Path) -> str:
    """Return the first sentence of an example's comment."""
    first = example.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return first.partition(". ")[0].rstrip(".")
