\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE orders.lines (id serial);
CREATE TABLE stock.items (id serial);
