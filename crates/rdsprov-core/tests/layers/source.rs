//! Reads the source files of a crate: the modules in them, their `use` declarations, and the
//! paths in their code.
//!
//! Code under `#[cfg(test)]` is left out. Calls of methods have no path, so they are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A name that a `use` declaration brings into a module.
#[derive(Debug, Clone)]
pub struct Import {
    /// The name in the module; `None` for `*` and `_`.
    pub name: Option<String>,
    /// The path as written. An absolute path starts with an empty segment.
    pub path: Vec<String>,
    pub is_glob: bool,
    /// Whether other modules can use the name: `pub use` or `pub(crate) use`.
    pub is_reexport: bool,
}

/// A module: a whole file, or an inline module in a file.
#[derive(Debug, Default)]
pub struct Module {
    /// The file, relative to the directory of the crate's root.
    pub file: String,
    pub imports: Vec<Import>,
    /// The paths in the code of the module, each with at least one segment.
    pub paths: BTreeSet<Vec<String>>,
    /// The names of the items that the module defines.
    pub items: BTreeSet<String>,
}

/// The modules of a crate, by their path from the root.
pub type Modules = BTreeMap<Vec<String>, Module>;

/// Parses the files of a crate, given as relative paths with their texts.
pub fn parse(files: &[(String, String)]) -> Modules {
    let mut modules = Modules::new();
    let mut test_modules = BTreeSet::new();
    let has_library = files.iter().any(|(file, _)| file == "lib.rs");
    for (file, text) in files {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut reader = Reader {
            file: file.clone(),
            path: module_path(file, has_library),
            modules: &mut modules,
            test_modules: &mut test_modules,
        };
        reader.module().file.clone_from(file);
        reader.visit_file(&parsed);
    }
    modules.retain(|path, _| !test_modules.iter().any(|test| path.starts_with(test)));
    modules
}

/// Returns the Rust files below a directory, as relative paths with their texts.
pub fn files(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((relative, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Returns the path of the module that a file contains. A `main.rs` next to a `lib.rs` is the root
/// of another crate, which has no other files.
fn module_path(file: &str, has_library: bool) -> Vec<String> {
    match file {
        "main.rs" if has_library => return vec![file.to_owned()],
        "main.rs" | "lib.rs" => return Vec::new(),
        _ => {}
    }
    let path = file.trim_end_matches(".rs");
    path.strip_suffix("/mod").unwrap_or(path).split('/').map(str::to_owned).collect()
}

struct Reader<'a> {
    file: String,
    path: Vec<String>,
    modules: &'a mut Modules,
    test_modules: &'a mut BTreeSet<Vec<String>>,
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        self.modules.entry(self.path.clone()).or_default()
    }

    fn add_path(&mut self, path: Vec<String>) {
        if path.first().is_some_and(|first| first != "Self") {
            self.module().paths.insert(path);
        }
    }

    fn add_imports(&mut self, tree: &syn::UseTree, prefix: &[String], is_reexport: bool) {
        let joined = |name: &str| {
            let mut path = prefix.to_vec();
            path.push(name.to_owned());
            path
        };
        let import = |name: Option<String>, path: Vec<String>, is_glob| {
            let name = name.filter(|name| name != "_");
            let (name, path) = match path.split_last() {
                // `use path::{self}` imports the last segment of the path.
                Some((last, rest)) if last == "self" && !rest.is_empty() => {
                    let name = name.filter(|name| name != "self").or_else(|| rest.last().cloned());
                    (name, rest.to_vec())
                }
                _ => (name, path),
            };
            Import { name, path, is_glob, is_reexport }
        };
        match tree {
            syn::UseTree::Path(part) => {
                self.add_imports(&part.tree, &joined(&part.ident.to_string()), is_reexport);
            }
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.add_imports(item, prefix, is_reexport);
                }
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                let import = import(Some(name.clone()), joined(&name), false);
                self.module().imports.push(import);
            }
            syn::UseTree::Rename(rename) => {
                let path = joined(&rename.ident.to_string());
                let import = import(Some(rename.rename.to_string()), path, false);
                self.module().imports.push(import);
            }
            syn::UseTree::Glob(_) => {
                let import = import(None, prefix.to_vec(), true);
                self.module().imports.push(import);
            }
        }
    }

    /// Adds the paths in tokens that are not parsed: the input of a macro, or an attribute. A
    /// string in an attribute can also be a path, as in `#[serde(with = "stored::refusals")]`.
    fn add_tokens(&mut self, tokens: TokenStream, is_attribute: bool) {
        let mut path: Vec<String> = Vec::new();
        // What stands between the last segment of `path` and the current token.
        let mut separator = String::new();
        let mut is_member = false;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if separator != "::" {
                        self.end_path(&mut path, is_member);
                        is_member = separator.ends_with('.') && !separator.ends_with("..");
                    }
                    path.push(ident.to_string());
                    separator.clear();
                    continue;
                }
                TokenTree::Punct(punct) => {
                    separator.push(punct.as_char());
                    continue;
                }
                TokenTree::Group(group) => {
                    self.end_path(&mut path, is_member);
                    self.add_tokens(group.stream(), is_attribute);
                }
                TokenTree::Literal(literal) => {
                    self.end_path(&mut path, is_member);
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if is_attribute
                        && text.contains("::")
                        && let Ok(written) = syn::parse_str::<syn::Path>(text)
                    {
                        self.visit_path(&written);
                    }
                }
            }
            separator.clear();
            is_member = false;
        }
        self.end_path(&mut path, is_member);
    }

    fn end_path(&mut self, path: &mut Vec<String>, is_member: bool) {
        let path = std::mem::take(path);
        if !is_member {
            self.add_path(path);
        }
    }
}

/// Returns whether an item is compiled for tests only.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_for_tests(attributes(item)) {
            if let syn::Item::Mod(module) = item {
                let mut path = self.path.clone();
                path.push(module.ident.to_string());
                self.test_modules.insert(path);
            }
            return;
        }
        let name = match item {
            syn::Item::Const(item) => Some(&item.ident),
            syn::Item::Enum(item) => Some(&item.ident),
            syn::Item::Fn(item) => Some(&item.sig.ident),
            syn::Item::Macro(item) => item.ident.as_ref(),
            syn::Item::Static(item) => Some(&item.ident),
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Trait(item) => Some(&item.ident),
            syn::Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.module().items.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let Some((_, items)) = &item.content else { return };
        self.path.push(item.ident.to_string());
        self.module().file = self.file.clone();
        for item in items {
            self.visit_item(item);
        }
        self.path.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let prefix: &[String] =
            if item.leading_colon.is_some() { &[String::new()] } else { Default::default() };
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.add_imports(&item.tree, prefix, is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let absolute = path.leading_colon.map(|_| String::new());
        let segments = path.segments.iter().map(|segment| segment.ident.to_string());
        self.add_path(absolute.into_iter().chain(segments).collect());
        visit::visit_path(self, path);
    }

    // `pub(super)` is not a use of the parent.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone(), true);
        }
    }
}
