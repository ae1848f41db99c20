-- The script of an extension that is not trusted could execute objects of the owner.
\connect shop
CREATE SCHEMA extensions AUTHORIZATION shop_owner;
