"""Templates of strangers: exact Handlebars, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.templating import TemplateError, Texts, check, render
from gateway.templating.handlebars import Handlebars

CONTEXT: dict[str, Any] = {
    "params": {"name": "<Ann>", "items": ["a", "b"], "none": [], "breaks": "Hi\r\nBcc: eve@example.com"}
}


def one(texts: Texts, format: Any = "html", context: Any = CONTEXT) -> Texts:
    (found,) = render(texts, format, [context])
    assert isinstance(found, Texts), found
    return found


def failure(texts: Texts, format: Any = "html", context: Any = CONTEXT) -> str:
    (found,) = render(texts, format, [context])
    assert isinstance(found, TemplateError), "it was rendered"
    return str(found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello {{params.name}}", "Hello &lt;Ann&gt;"),
        ("{{{params.name}}}", "<Ann>"),
        ("{{#each params.items}}{{@index}}{{this}}{{#unless @last}},{{/unless}}{{/each}}", "0a,1b"),
        ("{{#each params.none}}x{{else}}nothing{{/each}}", "nothing"),
        ("{{#if params.missing}}x{{else if params.name}}y{{/if}}", "y"),
        ("{{#with params}}{{lookup items 1}}{{/with}}", "b"),
        ('{{#*inline "part"}}[{{this}}]{{/inline}}{{#each params.items}}{{> part}}{{/each}}', "[a][b]"),
        ("{{params.missing}}{{nothing.at.all}}", ""),
        ("{{! said to nobody }}\\{{params.name}}", "{{params.name}}"),
    ],
)
def test_templates_are_handlebars(source: str, expected: str) -> None:
    assert one(Texts(html=source)).html == expected


def test_only_html_is_escaped() -> None:
    source = "{{params.name}}"
    found = one(Texts(subject=source, text=source, html=source, preview_text=source))
    assert (found.subject, found.text, found.preview_text, found.html) == ("<Ann>", "<Ann>", "<Ann>", "&lt;Ann&gt;")


def test_a_value_cannot_begin_another_header() -> None:
    assert one(Texts(subject="{{params.breaks}}")).subject == "Hi Bcc: eve@example.com"


def test_markdown_becomes_html_after_the_values_are_in_place() -> None:
    found = one(
        Texts(html="# Hello {{params.name}}\n\n|a|b|\n|-|-|\n{{#each params.items}}|{{this}}|x|\n{{/each}}"), "markdown"
    )
    assert found.html is not None
    assert "<h1>Hello &lt;Ann&gt;</h1>" in found.html
    assert "<td>b</td>" in found.html


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("fine\n{{#if a}}", "is not valid Handlebars, see line 2"),
        ("{{secretHelper 1 2}}", "uses a helper that does not exist"),
        ("{{> nowhere}}", "uses a partial that does not exist"),
        ('{{#*inline "x"}}{{> y}}{{/inline}}{{#*inline "y"}}{{> x}}{{/inline}}{{> x}}', "is nested too deeply"),
    ],
)
def test_what_cannot_be_rendered_is_told_without_quoting_it(source: str, problem: str) -> None:
    told = failure(Texts(html=source))
    assert told.startswith(f"html {problem}")
    assert "secret" not in told


HEAVY = {
    "long": "{{#if params.name}}" * 20_000 + "{{/if}}" * 20_000,
    "many": "{{#each params.big}}{{#each ../params.big}}{{#each ../../params.big}}x{{/each}}{{/each}}{{/each}}",
    "deep": "{{lookup " + "(" * 50_000,
}


@pytest.mark.parametrize("name", HEAVY)
def test_no_template_takes_long(name: str) -> None:
    begun = time.monotonic()
    failure(Texts(html=HEAVY[name]), context={"params": {"name": 1, "big": list(range(5000))}})
    assert time.monotonic() - begun < 15


def test_a_result_over_every_limit_is_refused() -> None:
    assert failure(Texts(text="{{params.big}}{{params.big}}"), context={"params": {"big": "x" * 3_000_000}}) == (
        "text becomes too long"
    )
    assert failure(Texts(html="{{params.big}}"), "markdown", {"params": {"big": "x" * 300_000}}) == (
        "html is too long for Markdown"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{constructor.constructor}}",
        "{{#with params}}{{constructor.name}}{{/with}}",
        "{{lookup (lookup this 'constructor') 'constructor'}}",
        "{{__proto__}}{{params.__proto__.toString}}{{params.items.__lookupGetter__}}",
        "{{params.name.constructor.constructor}}{{toString}}",
    ],
)
def test_a_template_sees_its_values_alone(source: str) -> None:
    """CVE-2019-19919 and its kin: ways from a value to the engine's own objects."""
    assert one(Texts(html=source)).html == ""


def test_what_the_engine_offers_reaches_nothing() -> None:
    """Whoever breaks out of Handlebars finds neither files, network, processes nor Python."""
    sandbox = Handlebars()
    names = ("std", "os", "require", "process", "fetch", "XMLHttpRequest", "python", "importScripts", "print", "Deno")
    asked = "[" + ",".join(f"typeof {name}" for name in names) + "].join()"
    assert set(sandbox._context.eval(asked).split(",")) == {"undefined"}


def test_one_failure_leaves_the_other_recipients_theirs() -> None:
    contexts: list[dict[str, Any]] = [{"params": {"n": 1}}, {"params": {"n": "x" * 6_000_000}}, {"params": {"n": 3}}]
    first, second, third = render(Texts(text="{{params.n}}"), "html", contexts)
    assert isinstance(second, TemplateError)
    assert [found.text for found in (first, third) if isinstance(found, Texts)] == ["1", "3"]


def test_texts_are_checked_before_they_are_stored() -> None:
    assert check(Texts(subject="{{#if}", html="<p>{{params.a}}</p>")) == {
        "subject": "is not valid Handlebars, see line 1"
    }
