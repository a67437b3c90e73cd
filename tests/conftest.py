"""Shapes in annotations are checked in every call the tests make; this import hook switches it on."""

from jaxtyping import install_import_hook

install_import_hook("refinesr", "beartype.beartype")
