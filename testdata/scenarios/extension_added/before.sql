-- The table belongs to the owner, not to the extension.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE words (word text);
