//! What the ledger of a run says about roles and databases.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The records of one ledger.
pub struct Ledger(pub Vec<Value>);

impl Ledger {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn steps(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(|record| record["event"] == "step" || record["event"] == "recovered")
    }

    /// Returns the objects that a change concerns according to a record.
    fn objects(record: &Value) -> BTreeSet<String> {
        let names = ["role", "database"].into_iter();
        names.filter_map(|key| Some(format!("{key} {}", record[key].as_str()?))).collect()
    }

    /// Returns the objects that were changed, or may have been, according to the records.
    pub fn mentioned(&self) -> BTreeSet<String> {
        let is_change = |record: &&Value| {
            let text = |key: &str| record[key].as_str().unwrap_or_default();
            matches!(text("status"), "success" | "unknown")
                || text("found") == "done"
                || text("reason").contains("remains")
        };
        self.steps().filter(is_change).flat_map(Self::objects).collect()
    }

    /// Returns the objects of all steps that are announced.
    pub fn announced(&self) -> BTreeSet<String> {
        let transactions = self.0.iter().filter_map(|record| record["transactions"].as_array());
        let steps = transactions.flatten().filter_map(|one| one["steps"].as_array()).flatten();
        steps.flat_map(Self::objects).collect()
    }

    /// Returns the changes that were committed according to the records: each with its objects.
    pub fn committed(&self) -> Vec<(String, BTreeSet<String>)> {
        let is_committed = |record: &&Value| record["status"] == "success";
        let steps = self.steps().filter(is_committed);
        steps.map(|one| (one["summary"].to_string(), Self::objects(one))).collect()
    }

    /// Returns the number of records of this event with a value.
    pub fn count(&self, event: &str, key: &str, value: &str) -> usize {
        let counts = |record: &&Value| record["event"] == event && record[key] == value;
        self.0.iter().filter(counts).count()
    }

    /// Returns whether the last run has recorded its end.
    pub fn has_ended(&self) -> bool {
        self.0.last().is_some_and(|record| record["event"] == "outcome")
    }
}
