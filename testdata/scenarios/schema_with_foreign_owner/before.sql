\connect shop
CREATE SCHEMA stock;
