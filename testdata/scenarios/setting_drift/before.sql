ALTER ROLE shop_owner IN DATABASE shop SET work_mem = '1MB';
ALTER ROLE shop_owner IN DATABASE shop SET statement_timeout = '1s';
ALTER ROLE shop_owner IN DATABASE shop RESET timezone;
