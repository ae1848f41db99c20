-- The privileges of an orphan are listed down to columns and functions, also in an orphaned database.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id int, item text);
REVOKE SELECT ON orders FROM shop_reader;
GRANT SELECT (item) ON orders TO shop_reader;
CREATE FUNCTION total() RETURNS int LANGUAGE sql AS 'SELECT 1';
GRANT EXECUTE ON FUNCTION total TO shop_reader;
\connect wiki
SET SESSION AUTHORIZATION wiki_owner;
CREATE TABLE pages (id int);
