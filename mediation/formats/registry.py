"""Formats by name: a layout file names its family, the family's module interprets it."""

from importlib import import_module
from pathlib import Path

from mediation.formats.frame import FileFormat
from mediation.formats.layout import read_layout
from schemas.errors import FormatError

LAYOUTS = Path(__file__).parent / "layouts"

# family -> module with `load(layout) -> FileFormat`; imported when first used, so that a run pays for what it reads.
FAMILIES = {
    "ber": "mediation.formats.ber",
    "csv": "mediation.formats.csv_lines",
    "json": "mediation.formats.json_lines",
    "fixed": "mediation.formats.fixed_lines",
    "radius": "mediation.formats.radius_packets",
}

# Known, but not read yet: refused by name rather than misread.
REFUSED = {
    "tap3": "TAP 3 (GSMA TD.57)",
    "nrtrde": "NRTRDE (GSMA TD.35)",
    "ipfix": "IPFIX (RFC 7011)",
    "netflow": "NetFlow",
    "pcap": "packet capture (pcap)",
}


def load_format(name: str, folder: Path | None = None) -> FileFormat:
    """The format whose layout is `<name>.yaml` in `folder`, or among those that come with Tarifa.

    Raises FormatError: no such layout, a layout that is wrong (names file and line), or a format that is known
    but not read yet.
    """
    if name in REFUSED:
        raise FormatError(f"format '{name}': {REFUSED[name]} is not read yet; it comes with a later issue",
                          f"one of {', '.join(format_names(folder))}", "name another format in streams.yaml")
    for place in (folder, LAYOUTS):
        if place is not None and (place / f"{name}.yaml").is_file():
            return load_layout_file(place / f"{name}.yaml")
    raise FormatError(f"no layout '{name}.yaml'", f"one of {', '.join(format_names(folder))}",
                      "correct the name, or add the layout to the operator's folder of layouts")


def load_layout_file(path: Path) -> FileFormat:
    """The format that one layout file declares."""
    layout = read_layout(path)
    if layout.family not in FAMILIES:
        raise layout.error("family", f"unknown family '{layout.family}'", f"one of {', '.join(FAMILIES)}")
    loaded: FileFormat = import_module(FAMILIES[layout.family]).load(layout)
    return loaded


def format_names(folder: Path | None = None) -> list[str]:
    """Names of the layouts at hand."""
    places = [place for place in (folder, LAYOUTS) if place is not None and place.is_dir()]
    return sorted({path.stem for place in places for path in place.glob("*.yaml")})
