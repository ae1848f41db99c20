-- The reader can change and drop a table that it owns.
\connect shop
CREATE TABLE mine (id int);
ALTER TABLE mine OWNER TO shop_reader;
CREATE SCHEMA playground AUTHORIZATION shop_reader;
