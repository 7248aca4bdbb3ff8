//! The shapes that only members of a version take: deprecation, engines, system names, commands, and the lists that old
//! documents have in place of a map of dependencies.

use std::borrow::Cow;

use super::read::{Entry, Reader, is_truthy};
use super::shapes::read_from_raw;
use crate::npm::QuirkCode;
use crate::npm::json::{Kind, RawString};

impl Reader<'_> {
    /// Reads the deprecation message. JavaScript's truth decides: `true` and other values without a text become the
    /// empty text, `false` and `""` become `None`. So a version is deprecated if and only if this has a value.
    pub(super) fn deprecated<'v>(&mut self, raw: Option<&'v str>) -> Option<Cow<'v, str>> {
        let raw = raw?;
        if !is_truthy(raw) {
            return None;
        }
        if Kind::of(raw) != Kind::String {
            self.note("deprecated", read_from_raw(raw), raw);
            return Some(Cow::Borrowed(""));
        }
        self.text("deprecated", Some(raw))
    }

    /// Reads the ranges of node and npm from an `engines` object, or from a text or list such as `["node >= 0.8"]`.
    pub(super) fn engines<'v>(&mut self, raw: Option<&'v str>) -> [Option<Cow<'v, str>>; 2] {
        let Some(raw) = raw else { return [None, None] };
        match Kind::of(raw) {
            Kind::Null => [None, None],
            Kind::Object => {
                let [node, npm] = self.pick("engines", Some(raw), ["node", "npm"]);
                [self.text("engines.node", node), self.text("engines.npm", npm)]
            }
            Kind::String | Kind::Array => {
                self.note("engines", read_from_raw(raw), raw);
                let items = if Kind::of(raw) == Kind::Array { Self::items(raw) } else { vec![raw] };
                let [mut node, mut npm] = [None, None];
                for item in items {
                    let [more_node, more_npm] = self.engines_item(item);
                    node = node.or(more_node);
                    npm = npm.or(more_npm);
                }
                [node, npm]
            }
            _ => {
                self.note("engines", QuirkCode::NotAnObject, raw);
                [None, None]
            }
        }
    }

    /// Reads one item of a list of engines: `"node >= 0.8"` or `{"node": ">= 0.8"}`.
    fn engines_item<'v>(&mut self, raw: &'v str) -> [Option<Cow<'v, str>>; 2] {
        match Kind::of(raw) {
            Kind::Object => {
                let [node, npm] = self.pick("engines", Some(raw), ["node", "npm"]);
                [self.text("engines.node", node), self.text("engines.npm", npm)]
            }
            Kind::String => {
                let text = self.unescape("engines", RawString::of(raw)).trim().to_owned();
                let word_end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
                let (word, range) = text.split_at(word_end);
                let range = Some(Cow::Owned(range.trim().to_owned()));
                match word {
                    "node" => [range, None],
                    "npm" => [None, range],
                    _ => [None, None],
                }
            }
            _ => {
                self.note("engines", QuirkCode::ItemDropped, raw);
                [None, None]
            }
        }
    }

    /// Reads a list of texts, or one text as a list of one. Returns `None` for null, and leaves out items that are no
    /// text.
    pub(super) fn text_list<'v>(&mut self, field: &str, raw: Option<&'v str>) -> Option<Vec<Cow<'v, str>>> {
        let raw = raw?;
        match Kind::of(raw) {
            Kind::Null => None,
            Kind::String => Some(vec![self.unescape(field, RawString::of(raw))]),
            Kind::Array => {
                let mut texts = Vec::new();
                for item in Self::items(raw) {
                    match Kind::of(item) {
                        Kind::String => texts.push(self.unescape(field, RawString::of(item))),
                        _ => self.note(field, QuirkCode::ItemDropped, item),
                    }
                }
                Some(texts)
            }
            _ => {
                self.note(field, QuirkCode::NotAList, raw);
                None
            }
        }
    }

    /// Reads the commands of a version: from a map, from one path (the command has the package's name, without scope),
    /// or from a list of paths (each command has its file's name).
    pub(super) fn commands<'v>(&mut self, raw: Option<&'v str>) -> Option<Vec<(Cow<'v, str>, Cow<'v, str>)>> {
        let raw = raw?;
        match Kind::of(raw) {
            Kind::Null => None,
            Kind::Object => {
                let entries = self.entries("bin", Some(raw))?;
                let mut commands = Vec::with_capacity(entries.len());
                for entry in entries {
                    match entry.string() {
                        Some(path) => commands.push((entry.key, self.unescape("bin", path))),
                        None => self.note("bin", QuirkCode::ItemDropped, entry.raw),
                    }
                }
                Some(commands)
            }
            Kind::String => {
                let path = self.unescape("bin", RawString::of(raw));
                let name = self.name.rsplit('/').next().unwrap_or(self.name).to_owned();
                Some(vec![(Cow::Owned(name), path)])
            }
            Kind::Array => {
                self.note("bin", QuirkCode::ReadFromList, raw);
                let paths = self.text_list("bin", Some(raw))?;
                let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
                Some(paths.into_iter().map(|path| (Cow::Owned(name(&path)), path)).collect())
            }
            _ => {
                self.note("bin", QuirkCode::NotAnObject, raw);
                None
            }
        }
    }

    /// Returns the entries of a map of dependencies, or of a list (`["a@1", "b >= 2"]`) or text in its place. The
    /// second part is the requirement, where there is one.
    pub(super) fn dependency_list(&mut self, field: &str, raw: &str) -> Vec<(String, Option<String>)> {
        let mut edges = Vec::new();
        match Kind::of(raw) {
            Kind::Null => {}
            Kind::Array => {
                self.note(field, QuirkCode::ReadFromList, raw);
                for item in Self::items(raw) {
                    match Kind::of(item) {
                        Kind::String => edges.extend(split_dependency(&self.unescape(field, RawString::of(item)))),
                        _ => self.note(field, QuirkCode::ItemDropped, item),
                    }
                }
            }
            Kind::String => {
                let text = self.unescape(field, RawString::of(raw));
                if text.trim().is_empty() {
                    self.note(field, QuirkCode::NotAnObject, raw);
                } else {
                    self.note(field, QuirkCode::ReadFromString, raw);
                    let divides = |c: char| c == ',' || c.is_whitespace();
                    edges.extend(text.split(divides).filter_map(split_dependency));
                }
            }
            _ => self.note(field, QuirkCode::NotAnObject, raw),
        }
        let mut firsts = hashbrown::HashSet::new();
        edges.retain(|(dependency, _)| firsts.insert(dependency.clone()));
        edges
    }

    /// Returns the names of bundled dependencies: the items of a list, all of `dependencies` for `true`, or the keys of
    /// a map.
    pub(super) fn bundled(&mut self, field: &str, raw: &str, dependencies: &[Entry<'_>]) -> Vec<String> {
        match Kind::of(raw) {
            Kind::Null => Vec::new(),
            Kind::Boolean if raw == "true" => dependencies.iter().map(|entry| entry.key.to_string()).collect(),
            Kind::Boolean => Vec::new(),
            Kind::Object => {
                self.note(field, QuirkCode::ReadFromObject, raw);
                let entries = self.entries(field, Some(raw)).unwrap_or_default();
                entries.into_iter().map(|entry| entry.key.into_owned()).collect()
            }
            Kind::String | Kind::Array => {
                let names = self.text_list(field, Some(raw)).unwrap_or_default();
                names.into_iter().map(Cow::into_owned).collect()
            }
            Kind::Number => {
                self.note(field, QuirkCode::NotAList, raw);
                Vec::new()
            }
        }
    }
}

/// Splits `name@range`, `name range` or `name>=range` into its two parts. Returns `None` if there is no name.
fn split_dependency(spec: &str) -> Option<(String, Option<String>)> {
    let spec = spec.trim();
    // The `@` of a scope does not separate name and range.
    let from = usize::from(spec.starts_with('@'));
    let divides = |c: char| matches!(c, '@' | '<' | '>' | '=') || c.is_whitespace();
    let name_end = spec.get(from..)?.find(divides).map_or(spec.len(), |at| at + from);
    let (name, range) = spec.split_at(name_end);
    if name.len() <= from {
        return None;
    }
    let range = range.trim();
    let range = range.strip_prefix('@').unwrap_or(range).trim();
    Some((name.to_owned(), (!range.is_empty()).then(|| range.to_owned())))
}
