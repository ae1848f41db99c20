//! Compares the comments of an export with the plan of its definitions.

use std::collections::BTreeSet;
use std::path::Path;

use rdsprov_core::definitions::Definitions;
use rdsprov_core::desired::Desired;
use rdsprov_core::plan::{Action, Plan};
use rdsprov_core::secret_id::{SecretId, Templates};
use rdsprov_core::text::visible;

use crate::provision::password;

/// Returns what the comments announce and the plan does not contain, and the reverse.
pub fn differences(export: &str, plan: &Plan) -> Vec<String> {
    let comments = || export.lines().filter_map(|line| line.trim_start().strip_prefix("# "));
    let mut announced: Vec<&str> =
        comments().filter_map(|line| line.strip_prefix("plan: ")).collect();
    // An export does not know the passwords.
    let steps = plan
        .steps()
        .filter(|step| !matches!(step.action, Action::Adopt | Action::SetPassword))
        .map(|step| visible(&step.summary));
    let mut steps: Vec<String> = steps.collect();
    // A summary can be the beginning of another one.
    steps.sort_by_key(|summary| std::cmp::Reverse(summary.len()));
    let mut found = Vec::new();
    for summary in steps {
        match announced.iter().position(|line| line.contains(&*summary)) {
            Some(at) => drop(announced.remove(at)),
            None => found.push(format!("not announced: {summary}")),
        }
    }
    // What the administrator may do is known only after probes that write.
    let possible: BTreeSet<&str> = comments()
        .filter_map(|line| line.strip_prefix("may be ")?.split_inclusive(']').next())
        .collect();
    if possible.is_empty() {
        found.extend(announced.iter().map(|line| format!("announced, and not planned: {line}")));
    }
    let refused: BTreeSet<String> =
        comments().filter(|line| line.starts_with("refused[")).map(str::to_owned).collect();
    let refusals: BTreeSet<String> = plan
        .refusals
        .iter()
        .map(|one| visible(&format!("refused[{}]: {}", one.code(), one.message())))
        .collect();
    let is_possible =
        |one: &String| one.split_inclusive(']').next().is_some_and(|code| possible.contains(code));
    let missing = refusals.difference(&refused).filter(|one| !is_possible(one));
    found.extend(missing.map(|refusal| format!("not announced: {refusal}")));
    let wrong = refused.difference(&refusals);
    found.extend(wrong.map(|refusal| format!("announced, and not refused: {refusal}")));
    found
}

/// Writes the secret of each role of definitions.
pub fn write_secrets(definitions: &Definitions, secrets: &Path) -> std::io::Result<()> {
    let desired = Desired::new(definitions, "dev", &Templates::default(), None);
    let desired = desired.map_err(std::io::Error::other)?;
    for (name, role) in &desired.roles {
        let Some(SecretId(id)) = role.secret() else { continue };
        let path = secrets.join(format!("{id}.json"));
        std::fs::create_dir_all(path.parent().unwrap_or(secrets))?;
        let secret = serde_json::json!({"password": password(name.as_str())});
        std::fs::write(path, secret.to_string())?;
    }
    Ok(())
}
