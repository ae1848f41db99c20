-- What a reader owns it may change and drop.
\connect shop
CREATE TABLE mine (id int);
ALTER TABLE mine OWNER TO shop_reader;
CREATE SCHEMA playground AUTHORIZATION shop_reader;
