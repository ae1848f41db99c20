ALTER ROLE rdsprov_admin NOCREATEDB CONNECTION LIMIT 3;
REVOKE CONNECT ON DATABASE shop FROM rdsprov_admin;
-- Since PostgreSQL 16, the delegate has ADMIN OPTION on the managed roles.
SET ROLE platform_admin;
REVOKE shop_reader FROM rdsprov_admin;
