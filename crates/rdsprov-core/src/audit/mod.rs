//! Records: who was given what, when, in which build.

mod csv;
mod record;
#[cfg(feature = "postgres")]
mod trail;

pub use self::csv::{AuditError, CsvWriter, to_csv};
pub use record::{Record, Status};
#[cfg(feature = "postgres")]
pub use trail::Trail;
