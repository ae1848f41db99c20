-- By default, only the owner has privileges on large objects and foreign servers.
\connect shop
CREATE FOREIGN DATA WRAPPER files;
CREATE SERVER archive FOREIGN DATA WRAPPER files;
ALTER SERVER archive OWNER TO shop_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER files TO PUBLIC;
SET SESSION AUTHORIZATION shop_owner;
SELECT lo_create(4711);
GRANT SELECT, UPDATE ON LARGE OBJECT 4711 TO PUBLIC;
GRANT USAGE ON FOREIGN SERVER archive TO PUBLIC;
