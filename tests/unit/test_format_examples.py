"""The layouts that TEXT.md shows are sound, and read what they say."""

import re
from pathlib import Path

import mediation.formats
from mediation.formats.registry import load_layout_file
from tests.unit.text_layouts import reasons, whole

EXAMPLES = re.findall(r"```yaml\n(.*?)```", (Path(mediation.formats.__file__).parent / "TEXT.md").read_text(), re.S)
SAMPLES = {
    "acme-calls": b"id;a;b;begin;seconds;state\n1;+4670;112;01.03.2026 12:00:00;5.2;OK\nT;1\n",
    "acme-usage": b'{"time":1772366400000,"session":{"id":"s","imsi":"00101"},"groups":[{"id":1,"bytes":9}]}\n',
    "acme-fixed": b"10 46701234567260301120000   065\n",
}


def test_examples_load_and_read_their_samples(tmp_path: Path) -> None:
    names = []
    for text in EXAMPLES:
        names.append(text.split()[1])
        path = tmp_path / f"{names[-1]}.yaml"
        path.write_text(text)
        assert reasons(whole(load_layout_file(path), SAMPLES[names[-1]])) == ["OK"]
    assert sorted(names) == sorted(SAMPLES)
