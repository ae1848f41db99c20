-- The administrator granted it and can revoke it.
SET SESSION AUTHORIZATION platform_admin;
CREATE ROLE auditors;
GRANT auditors TO shop_reader;
