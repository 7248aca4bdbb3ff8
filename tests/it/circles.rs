//! Inside a module, the uses between its files go one way: no file uses, directly or through others, a file that uses
//! it.
//!
//! The parent of a file may use it and be used by it: `mod.rs` holds the shared code of its files, and puts them
//! together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::layering::{module_names, sources};

/// Known circles that are still to be broken, by their files.
const KNOWN_CIRCLES: [&[&str]; 0] = [];

/// The path of a module below the crate: `["store", "local"]`.
type ModulePath = Vec<String>;

/// The files of one top module, by their module paths, and the names in each one's code.
#[derive(Default)]
struct Files {
    /// The parts of every path in a file's code that begins with `crate`, `super`, `self` or the name of a child
    /// module.
    named: BTreeMap<ModulePath, BTreeSet<Vec<String>>>,
    /// The imports of each file: the name, and the path behind it.
    imported: BTreeMap<ModulePath, BTreeMap<String, Vec<String>>>,
}

impl Files {
    fn add(&mut self, module: ModulePath, code: &str) {
        let (uses, rest) = split_uses(code);
        let named = self.named.entry(module.clone()).or_default();
        named.extend(inline_paths(&rest));
        let imported = self.imported.entry(module).or_default();
        for (name, path) in uses {
            named.insert(path.clone());
            imported.insert(name, path);
        }
    }

    /// Returns the file that an absolute path leads to, following re-exports; `None` where it leaves the module.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<ModulePath> {
        let mut parts = path.iter();
        let mut at: ModulePath = match path.first()?.as_str() {
            "crate" => {
                parts.next();
                Vec::new()
            }
            "self" => {
                parts.next();
                from.to_vec()
            }
            _ => from.to_vec(),
        };
        for part in parts {
            if part == "super" {
                at.pop()?;
                continue;
            }
            let mut child = at.clone();
            child.push(part.clone());
            if self.named.contains_key(&child) {
                at = child;
                continue;
            }
            let behind = self.imported.get(&at).and_then(|names| names.get(part));
            return match behind.filter(|behind| depth > 0 && *behind != path) {
                Some(behind) => self.resolve(&at, behind, depth - 1).or(Some(at)),
                None => self.named.contains_key(&at).then_some(at),
            };
        }
        self.named.contains_key(&at).then_some(at)
    }

    /// Returns the other files that each file uses, without its parents.
    fn uses(&self) -> BTreeMap<ModulePath, BTreeSet<ModulePath>> {
        let targets = |(from, paths): (&ModulePath, &BTreeSet<Vec<String>>)| {
            let used = paths.iter().filter_map(|path| {
                // A path that begins with anything but a child belongs to another crate, or to the file itself.
                let mut child = from.clone();
                child.extend(path.first().cloned());
                let is_ours = matches!(path.first().map(String::as_str), Some("crate" | "self" | "super"))
                    || self.named.contains_key(&child);
                is_ours.then(|| self.resolve(from, path, 8)).flatten()
            });
            (from.clone(), used.filter(|used| !from.starts_with(used)).collect())
        };
        self.named.iter().map(targets).collect()
    }

    /// Returns the groups of files that use each other, each in the order of its names.
    fn circles(&self) -> Vec<Vec<String>> {
        let uses = self.uses();
        let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
            uses.keys().map(|from| (from, reached_from(from, &uses))).collect();
        let mut groups: BTreeSet<Vec<String>> = BTreeSet::new();
        for (from, others) in &reached {
            let group: Vec<String> = others
                .iter()
                .filter(|other| reached.get(*other).is_some_and(|back| back.contains(from)))
                .map(|other| other.join("::"))
                .collect();
            if group.len() > 1 {
                groups.insert(group);
            }
        }
        groups.into_iter().collect()
    }
}

fn reached_from<'a>(
    from: &'a ModulePath,
    uses: &'a BTreeMap<ModulePath, BTreeSet<ModulePath>>,
) -> BTreeSet<&'a ModulePath> {
    let mut reached = BTreeSet::new();
    let mut pending: Vec<&ModulePath> = uses[from].iter().collect();
    while let Some(next) = pending.pop() {
        if reached.insert(next) {
            pending.extend(uses.get(next).into_iter().flatten());
        }
    }
    reached
}

/// Returns the imports of a file, each with its local name, and the code without them.
fn split_uses(code: &str) -> (Vec<(String, Vec<String>)>, String) {
    let (mut imports, mut rest, mut is_use, mut statement) = (Vec::new(), String::new(), false, String::new());
    for line in code.lines() {
        let start = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let start = start.trim_start_matches("pub ");
        is_use |= start.starts_with("use ");
        if is_use {
            statement.push_str(start.strip_prefix("use ").unwrap_or(start));
            if line.trim_end().ends_with(';') {
                expand(&[], statement.trim_end_matches(';'), &mut imports);
                (is_use, statement) = (false, String::new());
            }
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    (imports, rest)
}

/// Expands `a::{b, c::d as e}` into its paths.
fn expand(prefix: &[String], tree: &str, imports: &mut Vec<(String, Vec<String>)>) {
    let tree = tree.trim();
    if let Some((head, list)) = tree.split_once('{') {
        let mut path = prefix.to_vec();
        path.extend(head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
        let (mut depth, mut from) = (0, 0);
        let list = list.strip_suffix('}').unwrap_or(list);
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&path, &list[from..at], imports);
                    from = at + 1;
                }
                _ => {}
            }
        }
        return expand(&path, &list[from..], imports);
    }
    let (tree, alias) = tree.split_once(" as ").map_or((tree, None), |(tree, alias)| (tree, Some(alias.trim())));
    let mut path = prefix.to_vec();
    path.extend(tree.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
    // `use a::{self, B}`
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(name) = alias.map(str::to_owned).or_else(|| path.last().cloned())
        && !tree.is_empty()
    {
        imports.push((name, path));
    }
}

/// Returns the paths of two and more parts in the code itself.
fn inline_paths(code: &str) -> BTreeSet<Vec<String>> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = code.split(|letter: char| !is_word(letter)).filter(|word| word.contains("::"));
    words.map(|word| word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()).collect()
}

/// Returns the module path of a file below `src`.
fn module_path(file: &Path) -> ModulePath {
    let mut path: ModulePath =
        file.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

fn circles_of(files: impl IntoIterator<Item = (PathBuf, String)>) -> Vec<Vec<String>> {
    let mut found = Files::default();
    for (path, code) in files {
        found.add(module_path(&path), &code);
    }
    found.circles()
}

#[test]
fn the_uses_between_the_files_of_a_module_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut circles = Vec::new();
    for module in module_names() {
        let files = sources(&module).into_iter();
        let below = files.map(|(path, code)| (path.strip_prefix(&root).expect("below src").to_owned(), code));
        circles.extend(circles_of(below));
    }
    let known: Vec<Vec<String>> =
        KNOWN_CIRCLES.iter().map(|circle| circle.iter().map(|&file| file.to_owned()).collect()).collect();
    assert_eq!(circles, known, "files that use each other");
}

#[test]
fn a_circle_is_found_through_imports_paths_and_re_exports() {
    let circles =
        |files: &[(&str, &str)]| circles_of(files.iter().map(|(path, code)| (PathBuf::from(path), (*code).to_owned())));
    let two = vec![vec!["m::a".to_owned(), "m::b".to_owned()]];
    let a = ("m/a.rs", "use super::b::B;");
    assert_eq!(circles(&[a, ("m/b.rs", "pub(super) use super::{\n    a::{self, A as X},\n};")]), two);
    let parent = ("m/mod.rs", "mod a;\nmod b;\npub use a::A;\nfn f() { b::f() }\nstruct Own;");
    assert_eq!(circles(&[parent, a, ("m/b.rs", "fn f() { crate::m::a::f(); }")]), two);
    assert_eq!(circles(&[parent, a, ("m/b.rs", "use super::A;")]), two);
    assert_eq!(
        circles(&[parent, a, ("m/b.rs", "use super::Own;\nuse super::c;\nuse other::a;")]),
        Vec::<Vec<String>>::new()
    );
    let deep = [("m/b/mod.rs", "mod c;\nuse c::C;"), ("m/b/c.rs", "use super::super::a::A;")];
    let three = vec![vec!["m::a".to_owned(), "m::b".to_owned(), "m::b::c".to_owned()]];
    assert_eq!(circles(&[a, deep[0], deep[1]]), three);
}
