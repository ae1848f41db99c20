"""Options that several calls have in common."""

from ._changing import apply, delegate, retire, rotate, teardown
from ._lists import with_lists
from ._rdsprov import Plan, shown
from ._reading import access, check, export, observe, plan, preflight
from ._signatures import options_of, session_method


class Session:
    """Options that several calls have in common.

    A session has a method for each function that contacts a server.
    The method adds those options of the session that its function has.
    An option of the call takes precedence.
    The options are those of ``plan`` and ``apply``.
    A session holds no connection, and threads can share it.

    For example::

        session = rdsprov.Session(environment="prod", admin_secret="goldenpath/prod/rds/master")
        plan = session.plan(rdsprov.Definitions.from_path("terraform.tfvars"))
        outcome = session.apply(plan, approval=plan.digest)
    """

    #: The options that a session can hold.
    _known = {**options_of(plan), **options_of(apply)}

    def __init__(self, **options):
        for name in options:
            if name not in self._known:
                raise TypeError(shown(f"Session() got an unexpected keyword argument {name!r}"))
        self._options = with_lists(options)

    def __repr__(self):
        # A secret source can be an object with a long representation.
        return f"<Session options={sorted(self._options)}>"

    def _options_for(self, function):
        """Returns the options of the session that a function has in the same form."""
        own = options_of(function)
        return {
            name: value
            for name, value in self._options.items()
            if own.get(name) == self._known[name]
        }

    def replace(self, **options):
        """Returns a session with other values for these options."""
        return Session(**{**self._options, **options})

    def read_plan(self, path, definitions, **options):
        """Calls ``Plan.from_file`` with the options of the session."""
        return Plan.from_file(path, definitions, **{**self._options_for(plan), **options})

    plan = session_method(plan)
    check = session_method(check)
    preflight = session_method(preflight)
    observe = session_method(observe)
    access = session_method(access)
    export = session_method(export)
    apply = session_method(apply)
    rotate = session_method(rotate)
    retire = session_method(retire)
    teardown = session_method(teardown)
    delegate = session_method(delegate)
