ALTER ROLE shop_owner VALID UNTIL '-infinity';
