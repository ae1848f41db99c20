ALTER ROLE shop_owner RENAME TO shop_owner_old;
