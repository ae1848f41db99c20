//! The audit table of one database.

use serde::{Deserialize, Serialize};

/// The audit table of a database, as the catalogs show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTable {
    /// Whether its schema exists.
    pub has_schema: bool,
    /// Whether a relation of its name exists in the schema.
    pub exists: bool,
    /// What differs from the documented definition, in words: `schema rdsprov_audit belongs to role shop`.
    pub defects: Vec<String>,
}
