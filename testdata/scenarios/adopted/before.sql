-- Made by hand, years ago; on 16 and later its maker shares the power.
SET SESSION AUTHORIZATION platform_admin;
CREATE ROLE shop_owner LOGIN PASSWORD 'years ago';
COMMENT ON ROLE shop_owner IS 'ask Ada before you touch this';
GRANT shop_owner TO platform_admin;
CREATE DATABASE shop OWNER shop_owner;
COMMENT ON DATABASE shop IS 'the shop, since 2019';
