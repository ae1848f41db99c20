-- To name the function one has to name the type, and its owner has no way into the schema of the type.
CREATE ROLE librarian;
\connect shop
CREATE SCHEMA library AUTHORIZATION librarian;
CREATE TYPE library.shelf AS ENUM ('upper', 'lower');
CREATE FUNCTION tidy(library.shelf, library.shelf[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION tidy OWNER TO shop_owner;
GRANT EXECUTE ON FUNCTION tidy TO shop_reader;
GRANT librarian TO platform_admin;
