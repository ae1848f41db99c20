-- Declared roles have no privileges on objects that the definitions do not cover.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE SCHEMA private;
CREATE TABLE private.salaries (who text, amount int);
GRANT USAGE ON SCHEMA private TO shop_reader;
GRANT SELECT ON private.salaries TO shop_reader;
