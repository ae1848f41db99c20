from typing import Any

from . import (
    access as access,
    check as check,
    diff as diff,
    export as export,
    observe as observe,
    plan as plan,
    preflight as preflight,
    validate as validate,
)

def checked_options_of_plan(**options: Any) -> dict[str, Any]: ...
