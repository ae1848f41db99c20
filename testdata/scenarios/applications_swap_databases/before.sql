\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders (id serial PRIMARY KEY);
\connect desk
SET SESSION AUTHORIZATION desk_owner;
CREATE TABLE tickets (id serial PRIMARY KEY);
