-- Large objects and foreign servers are nobody's but their owner's unless somebody says so.
\connect shop
CREATE FOREIGN DATA WRAPPER files;
CREATE SERVER archive FOREIGN DATA WRAPPER files;
ALTER SERVER archive OWNER TO shop_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER files TO PUBLIC;
SET SESSION AUTHORIZATION shop_owner;
SELECT lo_create(4711);
GRANT SELECT, UPDATE ON LARGE OBJECT 4711 TO PUBLIC;
GRANT USAGE ON FOREIGN SERVER archive TO PUBLIC;
