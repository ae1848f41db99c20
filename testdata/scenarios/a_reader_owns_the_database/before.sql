-- Nobody is declared its owner any more, and the reader could do there whatever it likes.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY, item text);
