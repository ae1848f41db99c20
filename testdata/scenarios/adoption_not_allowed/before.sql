SET SESSION AUTHORIZATION platform_admin;
CREATE ROLE shop_owner LOGIN PASSWORD 'years ago';
GRANT shop_owner TO platform_admin;
CREATE DATABASE shop OWNER shop_owner;
