"""Templates of messages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from gateway.model.base import Payload, Resource

#: Characters of one text of a template.
MAX_TEXT = 5 * 1024 * 1024

TemplateFormat = Literal["html", "markdown"]
PreviewText = Annotated[str, Meta(max_length=1024, description="What mail programs show beside the subject")]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Description = Annotated[str, Meta(max_length=1024)]


class TemplateContent(Payload, frozen=True, kw_only=True):
    """Handlebars; `html` holds Markdown in a template of that format."""

    subject: Annotated[str, Meta(max_length=10240)] | None = None
    text: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    html: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    preview_text: PreviewText | None = None


class TemplateCreate(Payload, frozen=True, kw_only=True):
    """A new template; without `account` every account may use it."""

    account: Annotated[str, Meta(max_length=256)] | None = None
    name: Name
    description: Description | None = None
    format: TemplateFormat = "html"
    content: TemplateContent


class TemplateUpdate(Payload, frozen=True, kw_only=True):
    """A change of a template; members that are absent stay, `content` is replaced as a whole."""

    name: Name | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    format: TemplateFormat | UnsetType = UNSET
    content: TemplateContent | UnsetType = UNSET


class TemplateContentInfo(Resource, frozen=True, kw_only=True):
    """The texts of a template."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    preview_text: str | None = None


class TemplateSummary(Resource, frozen=True, kw_only=True):
    """A template in a list."""

    id: str
    name: str
    description: str | None = None
    format: TemplateFormat | UnsetType = UNSET
    created: datetime
    updated: datetime


class Template(TemplateSummary, frozen=True, kw_only=True):
    """A template in full."""

    account: str | None | UnsetType = UNSET
    content: TemplateContentInfo


class TemplateList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the templates of an account, or of those for all accounts."""

    account: str | None
    total: int
    page: int
    pages: int
    templates: tuple[TemplateSummary, ...]


class TemplateCreated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The new template's id."""

    created: bool = True
    account: str | None
    id: str


class TemplateUpdated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The template was changed."""

    updated: bool = True
    account: str | None
    id: str


class TemplateDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether there was such a template."""

    deleted: bool
    account: str | None
    id: str


class TemplatesFlushed(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """All templates of the account are gone."""

    flushed: bool = True
    account: str
