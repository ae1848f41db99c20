-- Granted by the administrator, who may take it back.
SET SESSION AUTHORIZATION platform_admin;
CREATE ROLE auditors;
GRANT auditors TO shop_reader;
