//! The explanations of all codes: `rdsprov explain CODE` and `docs/messages.md`.

use std::fmt::Write as _;

use crate::error_code::ErrorCode;
use crate::name::nearest;
use crate::plan::{Hazard, NoteCode, RefusalCode};

/// A code of any kind. Codes of different kinds can have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// The code of a refusal.
    Refusal(RefusalCode),
    /// The code of a note.
    Note(NoteCode),
    /// A hazard.
    Hazard(Hazard),
    /// The code of an error.
    Error(ErrorCode),
}

/// The heading of each kind in `docs/messages.md`, and what the kind is.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "refusal",
        "Refusals",
        "A plan with a refusal is not applied and changes nothing.\nA plan prints it as `refused[code] application: …`; `Refusal.code` in Python has it.",
    ),
    (
        "note",
        "Notes",
        "A note is a fact that a plan reports and that does not stop it.\nA plan prints it as `note[code]: …`; `Note.code` in Python has it.",
    ),
    (
        "hazard",
        "Hazards",
        "A hazard is an effect of a step that can break something for its users.\n`--allow HAZARD` allows it.",
    ),
    (
        "error",
        "Errors",
        "An error ends a command.\nThe command prints it as `error[code]: …`; an exception in Python has it as `code`.",
    ),
];

/// The section of `docs/runbook.md` for a code that ends a job.
const RUNBOOK: &[(&str, &str)] = &[
    ("approval-missing", "The plan is not approved"),
    ("audit-file-locked", "The ledger is full"),
    ("audit-file-unwritable", "The ledger is full"),
    ("authentication-failed", "The administrator cannot log in"),
    ("blue-green-in-progress", "A blue/green deployment is in progress"),
    ("cannot-connect", "The server does not respond"),
    ("hazards-not-allowed", "The plan is not approved"),
    ("ledger-damaged", "The ledger is full"),
    ("lock-timeout", "Another run holds the lock"),
    ("plan-refused", "The plan is refused"),
    ("plan-stale", "The plan is stale"),
    ("secret-access-denied", "Wrong region or account"),
    ("secret-in-other-region", "Wrong region or account"),
    ("secret-not-found", "Wrong region or account"),
    ("server-is-read-only", "The server is a reader"),
    ("server-not-responding", "The server does not respond"),
];

impl Code {
    /// Returns all codes of all kinds, sorted by kind and name.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut codes: Vec<Self> = RefusalCode::all()
            .map(Self::Refusal)
            .chain(NoteCode::all().map(Self::Note))
            .chain(Hazard::all().map(Self::Hazard))
            .chain(ErrorCode::all().map(Self::Error))
            .collect();
        let kind = |code: &Self| KINDS.iter().position(|(kind, ..)| *kind == code.kind());
        codes.sort_by_key(|code| (kind(code), code.name()));
        codes
    }

    /// Returns the kind: `refusal`, `note`, `hazard` or `error`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Refusal(_) => "refusal",
            Self::Note(_) => "note",
            Self::Hazard(_) => "hazard",
            Self::Error(_) => "error",
        }
    }

    /// Returns the name: `plan-stale`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refusal(code) => code.name(),
            Self::Note(code) => code.name(),
            Self::Hazard(hazard) => hazard.name(),
            Self::Error(code) => code.name(),
        }
    }

    /// Returns what the code means, why, and what to do, in Markdown.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Refusal(code) => code.explanation(),
            Self::Note(code) => code.explanation(),
            Self::Hazard(hazard) => hazard.explanation(),
            Self::Error(code) => code.explanation(),
        }
    }

    /// Returns the title of the section of `docs/runbook.md` that says how to go on.
    #[must_use]
    pub fn runbook_section(self) -> Option<&'static str> {
        let (_, title) = RUNBOOK.iter().find(|(name, _)| *name == self.name())?;
        Some(title)
    }

    /// Returns the first sentence of the explanation.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.explanation().lines().next().unwrap_or_default()
    }

    /// Returns all codes of a name. Hyphens and underscores are equal.
    ///
    /// # Errors
    /// [`UnknownCode`] with the most similar name.
    ///
    /// ```
    /// use rdsprov_core::explain::Code;
    /// let codes = Code::find("plan_stale").unwrap();
    /// assert!(codes[0].summary().starts_with("The plan that was approved or saved"));
    /// let error = Code::find("plan-stal").unwrap_err();
    /// assert_eq!(error.nearest.as_deref(), Some("plan-stale"));
    /// ```
    pub fn find(name: &str) -> Result<Vec<Self>, UnknownCode> {
        let wanted = name.trim().to_ascii_lowercase().replace('_', "-");
        let all = Self::all();
        let same = |code: &Self| code.name().replace('_', "-") == wanted;
        let found: Vec<Self> = all.iter().copied().filter(same).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let nearest = nearest(&wanted, all.iter().map(|code| code.name())).map(str::to_owned);
        Err(UnknownCode { name: name.to_owned(), nearest })
    }
}

/// No code has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("code `{name}` does not exist")]
pub struct UnknownCode {
    /// The name.
    pub name: String,
    /// The most similar name.
    pub nearest: Option<String>,
}

/// Returns the text of `docs/messages.md`: one section for each code, sorted by kind and name.
#[must_use]
pub fn reference() -> String {
    let mut text = "# Messages\n\n\
        For users: the codes in the messages of rdsprov, what each means, and what to do.\n\
        `rdsprov explain CODE` prints the same text.\n\
        `cargo xtask messages` generates this page from `crates/rdsprov-core/src/explanations`.\n\n\
        <!-- not executed on this page: each command is for the situation of its message -->\n"
        .to_owned();
    for (kind, heading, about) in KINDS {
        let _ = write!(text, "\n## {heading}\n\n{about}\n");
        for code in Code::all().into_iter().filter(|code| code.kind() == *kind) {
            let _ = write!(text, "\n### {}\n\n{}", code.name(), code.explanation());
            if let Some(title) = code.runbook_section() {
                let anchor = title.to_lowercase().replace(' ', "-").replace('/', "");
                let _ = writeln!(text, "\nRunbook: [{title}](runbook.md#{anchor}).");
            }
        }
    }
    text
}
