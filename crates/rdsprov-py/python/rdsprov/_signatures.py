"""Functions that share options: each option stands in one signature."""

import functools
import inspect
from inspect import Parameter

from ._rdsprov import shown


def options_of(function):
    """Returns the keyword-only parameters of a function, by name."""
    parameters = inspect.signature(function).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }


def arguments_of(function):
    """Returns the parameters of a function before its options."""
    parameters = inspect.signature(function).parameters.values()
    return [one for one in parameters if one.kind is Parameter.POSITIONAL_OR_KEYWORD]


def with_options_of(*functions, without=(), **own):
    """Gives a function with ``**options`` the options of other functions, and its own ones with their defaults."""

    def decorate(function):
        options = {
            name: Parameter(name, Parameter.KEYWORD_ONLY, default=default)
            for name, default in own.items()
        }
        for other in functions:
            for name, option in options_of(other).items():
                if name not in without:
                    options.setdefault(name, option)
        signature = inspect.Signature([*arguments_of(function), *options.values()])

        @functools.wraps(function)
        def checked(*arguments, **keywords):
            try:
                signature.bind(*arguments, **keywords)
            except TypeError as error:
                raise TypeError(shown(f"{function.__name__}(): {error}")) from None
            return function(*arguments, **keywords)

        checked.__signature__ = signature
        return checked

    return decorate


def session_method(function):
    """Returns a method of ``Session`` that calls a function with the options of the session."""

    def method(self, *arguments, **options):
        return function(*arguments, **{**self._options_for(function), **options})

    name = function.__name__
    method.__name__ = name
    method.__qualname__ = f"Session.{name}"
    method.__doc__ = f"Calls ``{name}`` with the options of the session."
    method.__signature__ = inspect.Signature(
        [
            Parameter("self", Parameter.POSITIONAL_OR_KEYWORD),
            *arguments_of(function),
            Parameter("options", Parameter.VAR_KEYWORD),
        ]
    )
    return method
