-- The table is the owner's, and not the extension's.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE words (word text);
