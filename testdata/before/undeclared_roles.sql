-- Roles that nobody declared: one with CONNECT and a privilege on a table, a member of the owner, a group with CONNECT
-- and its member, and a role with a privilege that it cannot use.
CREATE ROLE bi LOGIN;
CREATE ROLE dba LOGIN;
CREATE ROLE analysts;
CREATE ROLE ann LOGIN;
CREATE ROLE former LOGIN;
CREATE ROLE unrelated LOGIN;
GRANT shop_owner TO dba;
GRANT analysts TO ann;
\connect shop
CREATE TABLE orders (id int);
ALTER TABLE orders OWNER TO shop_owner;
GRANT CONNECT ON DATABASE shop TO bi, analysts;
GRANT SELECT ON orders TO bi, former;
GRANT SELECT ON orders TO shop_reader;
