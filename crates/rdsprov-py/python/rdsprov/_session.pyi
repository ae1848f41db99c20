from . import (
    Plan as Plan,
    Session as Session,
    access as access,
    apply as apply,
    check as check,
    delegate as delegate,
    export as export,
    observe as observe,
    plan as plan,
    preflight as preflight,
    retire as retire,
    rotate as rotate,
)
