application_databases = {
  date   = { database_name = "a", username = "a", valid_until = "2027-01-31" }
  local  = { database_name = "b", username = "b", valid_until = "2027-01-31T00:00:00" }
  number = { database_name = "c", username = "c", valid_until = 2027 }
  one    = { database_name = "d", username = "d", valid_until = "2027-01-31T00:00:00Z" }
  other  = { database_name = "e", username = "d", valid_until = "2028-01-31T00:00:00Z" }
}
