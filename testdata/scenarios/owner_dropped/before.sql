\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
CREATE SCHEMA archive;
CREATE FUNCTION total() RETURNS int LANGUAGE sql AS 'SELECT 1';
SET SESSION AUTHORIZATION rdsadmin;
REASSIGN OWNED BY shop_owner TO platform_admin;
DROP OWNED BY shop_owner;
DROP ROLE shop_owner;
