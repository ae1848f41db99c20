application_databases = {
  shop = {
    database_name = "\u0073hop"
    username      = "shop_\U00000075ser"
    secret        = "a\\b/\"c\"/$${d}/%%{e}/$f/100%"
  }
  tmpl = {
    database_name = "t${"m"}pl"
    username      = "${"tmpl_user"}"
  }
}
