//! Resolves the paths of a crate to files, and finds what the rules forbid.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Module, Modules};

/// Why one file depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its code uses an item of the other file.
    Uses,
    /// It only re-exports an item of a module in it.
    Reexports,
}

/// The dependencies of the files of a crate.
#[derive(Debug, Default)]
pub struct Graph {
    pub files: BTreeSet<String>,
    /// The dependencies between files, each with the paths that cause it.
    pub edges: BTreeMap<(String, String, Reason), BTreeSet<String>>,
    /// The paths of other crates that each file uses, such as `std::fs::read`.
    pub external: BTreeSet<(String, String)>,
}

/// What a path names.
enum Target {
    File(String),
    External(String),
    /// A local variable, a generic parameter, or a name of the prelude.
    Unknown,
}

/// The maximum number of re-exports between a path and the item that it names.
const MAX_REEXPORTS: usize = 10;

impl Graph {
    /// Resolves every import and every path of the modules.
    pub fn new(modules: &Modules) -> Self {
        let mut graph = Self::default();
        for (at, module) in modules {
            graph.files.insert(module.file.clone());
            for import in &module.imports {
                let target = resolve(modules, at, &import.path, true, MAX_REEXPORTS);
                let is_below = |file: &String| {
                    modules.iter().any(|(path, other)| {
                        other.file == *file && path.len() > at.len() && path.starts_with(at)
                    })
                };
                let reason = match &target {
                    Target::File(file) if import.is_reexport && is_below(file) => Reason::Reexports,
                    _ => Reason::Uses,
                };
                graph.add(module, reason, &import.path, target);
            }
            // The name of a module alone is not an expression: it is a local variable.
            let is_module = |path: &[String]| match path {
                [name] => modules.contains_key(&child(at, name)),
                _ => false,
            };
            for path in module.paths.iter().filter(|path| !is_module(path)) {
                let target = resolve(modules, at, path, false, MAX_REEXPORTS);
                graph.add(module, Reason::Uses, path, target);
            }
        }
        graph
    }

    fn add(&mut self, module: &Module, reason: Reason, path: &[String], target: Target) {
        let from = module.file.clone();
        match target {
            Target::File(file) if file != from => {
                let paths = self.edges.entry((from, file, reason)).or_default();
                paths.insert(path.join("::"));
            }
            Target::External(name) => drop(self.external.insert((from, name))),
            Target::File(_) | Target::Unknown => {}
        }
    }

    /// Returns each cycle between files, with the paths that cause it.
    pub fn cycles(&self) -> Vec<String> {
        let mut used_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (from, to, reason) in self.edges.keys() {
            if *reason == Reason::Uses {
                used_by.entry(from).or_default().push(to);
            }
        }
        let mut reachable: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for file in &self.files {
            let mut open = vec![file.as_str()];
            let seen = reachable.entry(file).or_default();
            while let Some(next) = open.pop() {
                let found = used_by.get(next).into_iter().flatten();
                open.extend(found.copied().filter(|to| seen.insert(to)));
            }
        }
        let mut groups: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
        for file in &self.files {
            let file = file.as_str();
            if reachable[file].contains(file) {
                let in_cycle = |other: &&&str| reachable[**other].contains(file);
                groups.insert(reachable[file].iter().filter(in_cycle).copied().collect());
            }
        }
        let describe = |group: BTreeSet<&str>| {
            let inside = |(from, to, reason): &(String, String, Reason)| {
                *reason == Reason::Uses
                    && group.contains(from.as_str())
                    && group.contains(to.as_str())
            };
            let edges = self.edges.iter().filter(|(edge, _)| inside(edge));
            let edges: Vec<String> = edges.map(|(edge, paths)| described(edge, paths)).collect();
            format!("cycle of {} files:\n  {}", group.len(), edges.join("\n  "))
        };
        groups.into_iter().map(describe).collect()
    }

    /// Returns each violation of the layers: a file without a layer or with several, an entry
    /// without a file, a dependency on a higher layer, and a forbidden path of another crate.
    pub fn violations(&self, layers: &[Layer]) -> Vec<String> {
        let mut violations = Vec::new();
        let mut layer_of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut used_entries = BTreeSet::new();
        for file in &self.files {
            let mut entries = Vec::new();
            for (number, layer) in layers.iter().enumerate() {
                let matching = layer.modules.iter().filter(|entry| entry_contains(entry, file));
                entries.extend(matching.map(|entry| (number, entry)));
            }
            match entries[..] {
                [] => violations.push(format!("{file} has no layer")),
                [(number, _)] => drop(layer_of.insert(file, number)),
                _ => violations.push(format!("{file} has more than one layer")),
            }
            used_entries.extend(entries.iter().map(|(_, entry)| entry.as_str()));
        }
        for entry in layers.iter().flat_map(|layer| &layer.modules) {
            if !used_entries.contains(entry.as_str()) {
                violations.push(format!("the layer entry {entry} matches no file"));
            }
        }
        for (edge, paths) in &self.edges {
            let (from, to, _) = edge;
            if let (Some(from), Some(to)) = (layer_of.get(from.as_str()), layer_of.get(to.as_str()))
                && to > from
            {
                let (from, to) = (&layers[*from].name, &layers[*to].name);
                violations.push(format!("{from} depends on {to}: {}", described(edge, paths)));
            }
        }
        for (file, path) in &self.external {
            let Some(number) = layer_of.get(file.as_str()) else { continue };
            let mut forbidden = layers[*number..].iter().flat_map(|layer| &layer.forbidden);
            if forbidden.any(|forbidden| forbids(forbidden, path)) {
                violations.push(format!("{file} ({}) must not use {path}", layers[*number].name));
            }
        }
        violations
    }
}

/// One layer: a layer depends only on itself and on the layers before it.
#[derive(Debug)]
pub struct Layer {
    pub name: String,
    /// Files (`name.rs`) and directories (`plan/`).
    pub modules: Vec<String>,
    /// Paths of other crates that the layer, and the layers before it, must not use; `aws_*` means
    /// every crate whose name starts with `aws_`.
    pub forbidden: Vec<String>,
}

fn entry_contains(entry: &str, file: &str) -> bool {
    if entry.ends_with('/') { file.starts_with(entry) } else { file == entry }
}

fn forbids(forbidden: &str, path: &str) -> bool {
    match forbidden.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path.strip_prefix(forbidden).is_some_and(|r| r.is_empty() || r.starts_with("::")),
    }
}

fn described((from, to, _): &(String, String, Reason), paths: &BTreeSet<String>) -> String {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    format!("{from} -> {to} ({})", paths.join(", "))
}

/// Resolves a path in the module `at`. The first segment of an import can be the name of a crate
/// that is not mentioned anywhere else.
fn resolve(
    modules: &Modules,
    at: &[String],
    path: &[String],
    is_import: bool,
    reexports: usize,
) -> Target {
    let mut module = at.to_vec();
    let mut rest = path;
    let mut is_relative = false;
    while let [first, others @ ..] = rest {
        match first.as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => drop(module.pop()),
            "" => return Target::External(others.join("::")),
            _ => break,
        }
        is_relative = true;
        rest = others;
    }
    let is_known = rest.first().is_some_and(|first| is_in_scope(modules, &module, first));
    if !is_relative && !is_known {
        // A name that stands alone is a local variable or a name of the prelude.
        let is_external = is_import || rest.len() > 1;
        return if is_external { Target::External(path.join("::")) } else { Target::Unknown };
    }
    walk(modules, module, rest, reexports)
}

fn child(module: &[String], name: &str) -> Vec<String> {
    let mut path = module.to_vec();
    path.push(name.to_owned());
    path
}

fn is_in_scope(modules: &Modules, module: &[String], name: &str) -> bool {
    modules.contains_key(&child(module, name))
        || modules.get(module).is_some_and(|content| {
            content.items.contains(name)
                || content.imports.iter().any(|import| import.name.as_deref() == Some(name))
                || globs(modules, module, content)
                    .any(|target| modules[&target].items.contains(name))
        })
}

/// Returns the modules of this crate whose content a module imports with `*`.
fn globs<'a>(
    modules: &'a Modules,
    at: &'a [String],
    module: &'a Module,
) -> impl Iterator<Item = Vec<String>> + 'a {
    module.imports.iter().filter(|import| import.is_glob).filter_map(move |import| {
        let mut target = match import.path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => at.to_vec(),
            Some("super") => at[..at.len().saturating_sub(1)].to_vec(),
            _ => return None,
        };
        target.extend(import.path[1..].iter().cloned());
        modules.contains_key(&target).then_some(target)
    })
}

/// Follows the segments of a path from a module to the file that defines the item.
fn walk(modules: &Modules, mut module: Vec<String>, rest: &[String], reexports: usize) -> Target {
    for (number, segment) in rest.iter().enumerate() {
        let Some(content) = modules.get(&module) else { return Target::Unknown };
        let next = child(&module, segment);
        if modules.contains_key(&next) {
            module = next;
            continue;
        }
        let import =
            content.imports.iter().find(|import| import.name.as_deref() == Some(segment.as_str()));
        if let Some(import) = import
            && reexports > 0
            && !content.items.contains(segment)
        {
            let mut path = import.path.clone();
            path.extend_from_slice(&rest[number + 1..]);
            return resolve(modules, &module, &path, true, reexports - 1);
        }
        let glob = globs(modules, &module, content).find(|target| {
            !content.items.contains(segment) && modules[target].items.contains(segment)
        });
        return match glob {
            Some(target) => Target::File(modules[&target].file.clone()),
            None => Target::File(content.file.clone()),
        };
    }
    match modules.get(&module) {
        Some(content) => Target::File(content.file.clone()),
        None => Target::Unknown,
    }
}
