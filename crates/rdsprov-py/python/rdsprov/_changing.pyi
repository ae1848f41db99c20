from . import (
    apply as apply,
    delegate as delegate,
    plan as plan,
    retire as retire,
    rotate as rotate,
    teardown as teardown,
)
