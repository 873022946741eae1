"""Problems as code hosts take them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from reconciler import __version__, findings
from reconciler.model import Place, Problem, Ref

BAD = Problem(Place("apps/web.yaml", 6, 11), "spec.memory", "must be a size", ref=Ref("shop", "web"))
ODD = Problem(Place("a,b: c%.yaml", 3), "", "100%, or\r\nmore: x", "INCORRECT_YAML")


def test_a_workflow_command_for_each() -> None:
    assert findings.github([BAD, ODD], "deploy") == [
        "::error file=deploy/apps/web.yaml,line=6,col=11,title=BAD_PARAMETER::spec.memory: must be a size",
        "::error file=deploy/a%2Cb%3A c%25.yaml,line=3,col=1,title=INCORRECT_YAML::100%25, or%0D%0Amore: x",
    ]
    assert findings.github([BAD], "")[0].startswith("::error file=apps/web.yaml,")
    assert findings.github([], "deploy") == []


def test_what_the_runner_reads_is_what_was_meant() -> None:
    """The runner's own reading: a command in one line, its properties parted by commas, then the message."""
    for problem in (BAD, ODD):
        (line,) = findings.github([problem], "")
        match = re.fullmatch(r"::error (?P<properties>[^:]*)::(?P<message>[^\r\n]*)", line)
        assert match
        read = dict(part.split("=", 1) for part in match["properties"].split(","))
        assert {key: unquote(value) for key, value in read.items()} == {
            "file": problem.place.file, "line": str(problem.place.line), "col": str(problem.place.col),
            "title": problem.code,
        }  # fmt: skip
        assert unquote(match["message"]).endswith(problem.message)


def test_sarif_has_what_the_standard_requires() -> None:
    """Sections 3.13, 3.14, 3.18 to 3.20, 3.27 to 3.30 of SARIF 2.1.0; line and column count from 1."""
    log: dict[str, Any] = findings.sarif([BAD, ODD, BAD], "deploy")
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("lb", __version__)
    assert [rule["id"] for rule in driver["rules"]] == ["BAD_PARAMETER", "INCORRECT_YAML"]
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    assert len(run["results"]) == 3
    for result, problem in zip(run["results"], (BAD, ODD, BAD), strict=True):
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == problem.code
        assert result["level"] == "error" and result["message"]["text"].endswith(problem.message)
        (location,) = result["locations"]
        where = location["physicalLocation"]
        assert where["artifactLocation"] == {
            "uri": "deploy/" + ("apps/web.yaml" if problem is BAD else "a%2Cb%3A%20c%25.yaml"),
            "uriBaseId": "%SRCROOT%",
        }
        assert where["region"] == {"startLine": problem.place.line, "startColumn": problem.place.col}


def test_sarif_without_problems_is_a_run_without_results() -> None:
    """Which closes what an earlier run had opened."""
    (run,) = findings.sarif([], "")["runs"]
    assert run["results"] == [] and run["tool"]["driver"]["rules"] == []


def test_a_file_from_elsewhere_has_its_own_address() -> None:
    for file, uri in (("/tmp/a b.yaml", "file:///tmp/a%20b.yaml"), ("<stdin>", "%3Cstdin%3E")):
        (run,) = findings.sarif([Problem(Place(file), "", "bad")], "deploy")["runs"]
        artifact = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
        assert artifact == {"uri": uri}
