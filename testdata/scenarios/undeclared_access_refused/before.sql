\ir ../../before/undeclared_roles.sql
