-- No entry declares an owner any more, and the reader would have all privileges in the database.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
