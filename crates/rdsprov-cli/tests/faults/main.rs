//! Faults during runs: of the connection, of the server, of the program, and of other sessions that
//! change the same objects. After each of them, the server and the records say the same, and the next
//! run converges.
//!
//! By default a small, fixed part of the faults is tried. `RDSPROV_FAULTS` is the share of them that is
//! tried instead: each one with 1, and every tenth with 10. `RDSPROV_FAULTS_OPERATION` selects the
//! operations, and `RDSPROV_FAULTS_POINT` a single fault.

#![allow(clippy::unwrap_used, reason = "a test")]

mod cuts;
#[path = "../live/fixture.rs"]
#[allow(dead_code, reason = "the test `live` uses the rest")]
mod fixture;
mod ledger;
mod lost_answers;
mod operation;
mod other_sessions;
mod program;
mod server;
mod site;
mod state;
mod tried;
