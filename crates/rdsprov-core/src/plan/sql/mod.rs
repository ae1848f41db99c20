//! Every statement that changes a server. No other module writes SQL that changes
//! roles, databases or privileges.

mod audit_row;
mod audit_table;
mod database;
mod grant;
mod handed_over;
mod hidden_password;
mod identity;
mod manual_fix;
mod ownership;
mod probe;
mod role;
mod script;
mod session;
mod statement;

pub use audit_row::AuditRow;
#[cfg(feature = "postgres")]
pub(crate) use audit_table::expected_columns;
pub use database::*;
pub use grant::*;
pub use handed_over::{
    HandedOver, Transfer, assert_handed_over, begin_handing_over, limit_check_of_code,
};
pub use hidden_password::HidingKey;
#[cfg(feature = "postgres")]
pub use hidden_password::choose_keys;
#[cfg(feature = "postgres")]
pub use identity::exchanged;
pub use identity::{CHANGED_SINCE_PLAN, Moment};
pub use manual_fix::*;
pub use ownership::*;
pub use probe::probe;
pub use role::*;
pub use script::Line;
pub use session::{BEGIN_SESSION, SESSION_SETTINGS, SessionSetting, session_settings};
pub(in crate::plan) use statement::ScriptVariables;
pub use statement::{SlotError, Slots, Statement};

#[cfg(test)]
mod tests;
