-- Created by hand; since PostgreSQL 16, the creator also has the ADMIN option.
SET SESSION AUTHORIZATION platform_admin;
CREATE ROLE shop_owner LOGIN PASSWORD 'years ago';
COMMENT ON ROLE shop_owner IS 'ask Ada before you touch this';
GRANT shop_owner TO platform_admin;
CREATE DATABASE shop OWNER shop_owner;
COMMENT ON DATABASE shop IS 'the shop, since 2019';
