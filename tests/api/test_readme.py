"""What the README shows works as pasted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(script: Path) -> list[str]:
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_library_example_of_the_readme_works_as_pasted(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = tmp_path / "pasted.py"
    script.write_text(code)
    lines = run(script)
    assert [line.rpartition(": ")[2] for line in lines] == ["0", "1", "2", "3", "4"]
    assert lines[0].startswith("hello/count[0] on w1, epoch ")


def test_the_hello_example_says_the_same() -> None:
    assert len(run(ROOT / "examples" / "hello.py")) == 5


def test_the_talk_example_of_the_guide_works() -> None:
    assert run(ROOT / "examples" / "talk.py") == [
        "second: first has the tags {'disk': 'ssd', 'role': 'edge'}",
        "first: second sends greeting: hello",
        "second: answers {'first': b'0.7'}, silent (), away ()",
    ]


def test_the_life_example_restarts_only_what_has_changed() -> None:
    text = "\n".join(run(ROOT / "examples" / "life.py"))  # what threads print at one moment may share a line
    assert re.findall(r"life is [^}]*\}", text) == [
        "life is running in version 1: {'running': 2}",
        "life is running in version 2: {'running': 4}",
        "life is running in version 3: {'running': 4}",
        "life is cancelled in version 3: {'cancelled': 4}",
        "life is running in version 4: {'running': 2}",
    ]
    starts = re.findall(r"life/\w+\[\d\](?= starts)", text)
    assert Counter(starts) == {"life/fast[0]": 3, "life/fast[1]": 2, "life/fast[2]": 2, "life/slow[0]": 2}


def test_the_once_example_moves_the_instance_and_refuses_the_late_write() -> None:
    first, stopped, second, refused, *counts = run(ROOT / "examples" / "once.py")
    place = re.compile(r"once/write\[0\] runs on (w[12]), token (\d+)")
    (old, old_token), (new, new_token) = (found.groups() for found in map(place.fullmatch, (first, second)) if found)
    assert old != new
    assert int(old_token) < int(new_token)
    assert stopped == f"{old} has stopped without a goodbye"
    assert refused.endswith(f"token {old_token} is refused, {new_token} has written already")
    told = [re.fullmatch(r"(\d+) lines by (w[12]) with token (\d+)", line) for line in counts]
    assert [found.groups()[1:] for found in told if found] == [(old, old_token), (new, new_token)]
    assert sum(int(found[1]) for found in told if found) == 50
