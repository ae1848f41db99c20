\ir ../../before/objects_of_the_owner.sql
