"""The base of every section of a recipe: strict, frozen, every field described.

A field that names something outside the recipe (a data file, a base model) has the type `Resource`: the
fingerprint then covers what it holds, not where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class ResourceMarker:
    """Marks a string or `ComposedResource` that `danlu.core.resource` resolves to a file or folder."""


@dataclass(frozen=True)
class NotFingerprinted:
    """Marks a field that changes how a stage runs but not what it yields (a cap, a port, a comment)."""


Resource = Annotated[str, ResourceMarker()]
OptionalResource = Annotated[str | None, ResourceMarker()]


class Config(BaseModel):
    """Base of all configuration.

    Raises `TypeError` when a subclass is defined with a field that has no description: the reference page
    and the editor's help are generated from it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=False, allow_inf_nan=False
    )

    def secret_mark(self) -> str | None:
        """Public digits of a secret that the section only names, so that another secret is another fingerprint."""
        return None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if not field.description:
                raise TypeError(f"{cls.__name__}.{name} has no description")


Section = TypeVar("Section", bound=BaseModel)


def view(kind: type[Section], value: BaseModel) -> Section:
    """`value` as `kind` sees it: the fields that `kind` declares, and below them likewise.

    A stage whose configuration names a base class of a recipe's section is given, and fingerprinted by, that part
    of the section alone; the rest of it may change without the stage running again.
    """
    return kind.model_validate(
        {name: as_seen(field.annotation, getattr(value, name)) for name, field in kind.model_fields.items()}
    )


def as_seen(annotation: Any, value: Any) -> Any:
    """`value` as a field with this annotation sees it: see `view`."""
    narrower = isinstance(annotation, type) and issubclass(annotation, BaseModel) and type(value) is not annotation
    return view(annotation, value) if narrower else value


class ComposedResource(Config):
    """A resource that takes more than one string to name, such as a database and a query.

    `resolver` is the "module:function" that turns it into a local file, called as `f(resource, site)`. A field of
    this type is marked with `ResourceMarker`: the fingerprint covers what came, not how it was asked for.
    """

    resolver: ClassVar[str]


def walk(config: BaseModel, path: str = "") -> Iterator[tuple[str, Any, tuple[object, ...]]]:
    """Yield `(dotted path, value, markers)` for every leaf field below `config`."""
    for name, field in type(config).model_fields.items():
        here = f"{path}.{name}" if path else name
        value = getattr(config, name)
        markers = tuple(field.metadata)
        if isinstance(value, BaseModel):
            if any(isinstance(marker, NotFingerprinted | ResourceMarker) for marker in markers):
                yield here, value, markers
            else:
                yield from walk(value, here)
        elif isinstance(value, list | tuple) and value and all(isinstance(item, BaseModel) for item in value):
            for index, item in enumerate(value):
                yield from walk(item, f"{here}[{index}]")
        else:
            yield here, value, markers


def resources(config: BaseModel) -> dict[str, str | BaseModel]:
    """The resources below `config` by dotted path; fields left empty are not listed."""
    return {
        path: value
        for path, value, markers in walk(config)
        if isinstance(value, str | BaseModel) and any(isinstance(marker, ResourceMarker) for marker in markers)
    }
