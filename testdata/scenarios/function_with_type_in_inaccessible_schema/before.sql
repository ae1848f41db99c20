-- A statement on the function must name the type, and the function's owner has no USAGE on the schema of the type.
CREATE ROLE librarian;
\connect shop
CREATE SCHEMA library AUTHORIZATION librarian;
CREATE TYPE library.shelf AS ENUM ('upper', 'lower');
CREATE FUNCTION tidy(library.shelf, library.shelf[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION tidy OWNER TO shop_owner;
GRANT EXECUTE ON FUNCTION tidy TO shop_reader;
GRANT librarian TO platform_admin;
