\ir ../../before/tables_of_the_owner.sql
