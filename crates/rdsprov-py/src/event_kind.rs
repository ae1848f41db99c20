//! What an event reports.

use serde::Serialize;

/// The kinds of events, as `rdsprov.EventKind` has them.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    StepsBegin,
    WaitingForLock,
    WaitingForServer,
    WaitingForLogin,
    WaitingForStatement,
    Notice,
}

impl EventKind {
    pub const ALL: [Self; 6] = [
        Self::StepsBegin,
        Self::WaitingForLock,
        Self::WaitingForServer,
        Self::WaitingForLogin,
        Self::WaitingForStatement,
        Self::Notice,
    ];
}
