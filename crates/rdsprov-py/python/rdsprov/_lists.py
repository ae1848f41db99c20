"""Options that are lists."""


def lists(**keywords):
    """Converts iterables to lists, and rejects a string, which would be a list of its letters."""
    for name, value in keywords.items():
        if isinstance(value, str):
            raise TypeError(f"{name} must be a list of strings: write {name}=[{value!r}]")
    return {name: list(value) for name, value in keywords.items()}


#: The options that are lists.
_LISTS = ("allow", "adopt", "only", "fail_on", "confirm")


def with_lists(options):
    """Converts the options that are lists."""
    return {**options, **lists(**{name: options[name] for name in _LISTS if name in options})}
