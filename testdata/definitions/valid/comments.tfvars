# one kind
// another kind
/* and a third,
   over two lines */
application_databases = { # after a brace
  shop = { // after a brace
    /* before a key */ database_name = "shop" /* after a value */
    username /* before the sign */ = "shop_user" # after a value
    # username = "commented_out"
  }
  /*
  old = {
    database_name = "old"
    username      = "old_user"
  }
  */
  # older = { database_name = "older", username = "older_user" }
}
