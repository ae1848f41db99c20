//! Queries with parameters whose types are known, so that the server answers each in one round trip:
//! otherwise it would be asked for the types first.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

/// A parameter of a query, with its type.
pub(crate) trait Parameter: ToSql + Sync {
    /// Returns the type of the parameter in the query.
    fn data_type(&self) -> Type;

    /// Returns the value for the driver.
    fn value(&self) -> &(dyn ToSql + Sync);
}

macro_rules! parameters {
    ($($rust:ty => $sql:ident),+ $(,)?) => {
        $(impl Parameter for $rust {
            fn data_type(&self) -> Type {
                Type::$sql
            }

            fn value(&self) -> &(dyn ToSql + Sync) {
                self
            }
        })+
    };
}

parameters! {
    bool => BOOL,
    i32 => INT4,
    Option<i32> => INT4,
    i64 => INT8,
    Option<u32> => OID,
    &[u32] => OID_ARRAY,
    Vec<u32> => OID_ARRAY,
    Vec<i64> => INT8_ARRAY,
    &str => TEXT,
    Option<&str> => TEXT,
    &[&str] => TEXT_ARRAY,
    Vec<&str> => TEXT_ARRAY,
    &Vec<&str> => TEXT_ARRAY,
    Option<Vec<&str>> => TEXT_ARRAY,
}

/// Executes a query that returns one row.
pub(crate) async fn query_one(
    client: &Client,
    query: &str,
    parameters: &[&dyn Parameter],
) -> Result<Row, Error> {
    let parameters: Vec<_> = parameters.iter().map(|one| (one.value(), one.data_type())).collect();
    client.query_typed_one(query, &parameters).await
}
