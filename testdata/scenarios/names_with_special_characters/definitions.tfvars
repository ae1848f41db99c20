application_databases = {
  one   = { database_name = "it's \"shop\" [x] name=", username = "Ada Lovelace", schemas = ["public", "Übung-1"] }
  two   = { database_name = "it's \"shop\" [x] name=", username = "'; DROP TABLE x; --", access_level = "reader", schemas = ["Übung-1"] }
  three = { database_name = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddü", username = "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuü" }
}
