//! The shapes that a member of a document or of a version may take, and the column values that each becomes.
//!
//! A documented shape is no quirk (a license as text or `{type}`, a repository as text or object, a person as text or
//! object, a list of system names as one text). A value read from any other shape is one.

use std::borrow::Cow;

use super::read::{Reader, read_from};
use crate::npm::QuirkCode;
use crate::npm::json::{Kind, RawString};
use crate::npm::person::Person;

/// The three columns of a repository.
#[derive(Debug, Default)]
pub(super) struct Repository<'v> {
    pub(super) kind: Option<Cow<'v, str>>,
    pub(super) url: Option<Cow<'v, str>>,
    pub(super) directory: Option<Cow<'v, str>>,
}

/// The three columns of a person.
#[derive(Debug, Default)]
pub(super) struct PersonColumns<'v> {
    pub(super) name: Option<Cow<'v, str>>,
    pub(super) email: Option<Cow<'v, str>>,
    pub(super) url: Option<Cow<'v, str>>,
}

impl Reader<'_> {
    /// Reads one license text from the members `license`, `licenses` and `licence`: from the first that has one.
    pub(super) fn license<'v>(
        &mut self,
        license: Option<&'v str>,
        licenses: Option<&'v str>,
        licence: Option<&'v str>,
    ) -> Option<Cow<'v, str>> {
        if let Some(text) = self.one_license("license", license) {
            return Some(text);
        }
        if let Some(text) = self.one_license("licenses", licenses) {
            return Some(text);
        }
        let text = self.one_license("licence", licence)?;
        self.note("licence", QuirkCode::ReadFromOtherMember, licence.unwrap_or_default());
        Some(text)
    }

    /// Reads the license of a text, of `{type}`, or of a list of either: `(A OR B)`, as npm asks to write it.
    fn one_license<'v>(&mut self, field: &str, raw: Option<&'v str>) -> Option<Cow<'v, str>> {
        let raw = raw?;
        if Kind::of(raw) != Kind::Array {
            let text = self.license_item(field, raw);
            if text.is_none() && Kind::of(raw) != Kind::Null {
                self.note(field, QuirkCode::NotAString, raw);
            }
            return text;
        }
        let mut texts = Vec::new();
        for item in Self::items(raw) {
            match self.license_item(field, item) {
                Some(text) => texts.push(text),
                None => self.note(field, QuirkCode::ItemDropped, item),
            }
        }
        match texts.len() {
            0 => None,
            1 => texts.pop(),
            _ => {
                self.note(field, QuirkCode::ReadFromList, raw);
                Some(Cow::Owned(format!("({})", texts.join(" OR "))))
            }
        }
    }

    fn license_item<'v>(&mut self, field: &str, raw: &'v str) -> Option<Cow<'v, str>> {
        match Kind::of(raw) {
            Kind::String => Some(self.unescape(field, RawString::of(raw))),
            Kind::Object => {
                let [kind] = self.pick(field, Some(raw), ["type"]);
                let kind = kind.filter(|kind| Kind::of(kind) == Kind::String)?;
                Some(self.unescape(field, RawString::of(kind)))
            }
            _ => None,
        }
    }

    /// Reads text, or the first text of a list.
    pub(super) fn text_or_first<'v>(&mut self, field: &str, raw: Option<&'v str>) -> Option<Cow<'v, str>> {
        let list = raw?;
        if Kind::of(list) != Kind::Array {
            return self.text(field, raw);
        }
        self.note(field, QuirkCode::ReadFromList, list);
        let first = Self::items(list).into_iter().find(|item| Kind::of(item) == Kind::String)?;
        Some(self.unescape(field, RawString::of(first)))
    }

    /// Reads the repository of an object, of a text (its URL), or of the first of a list of either.
    pub(super) fn repository<'v>(&mut self, field: &str, raw: Option<&'v str>) -> Repository<'v> {
        let Some(raw) = raw else { return Repository::default() };
        match Kind::of(raw) {
            Kind::Null => Repository::default(),
            Kind::String => Repository { url: self.text(field, Some(raw)), ..Repository::default() },
            Kind::Array => {
                self.note(field, QuirkCode::ReadFromList, raw);
                let mut items = Self::items(raw).into_iter();
                self.repository(field, items.find(|item| matches!(Kind::of(item), Kind::String | Kind::Object)))
            }
            _ => {
                let [kind, url, directory] = self.pick(field, Some(raw), ["type", "url", "directory"]);
                Repository {
                    kind: self.member_text(field, "type", kind),
                    url: self.member_text(field, "url", url),
                    directory: self.member_text(field, "directory", directory),
                }
            }
        }
    }

    /// Reads the address of a bug tracker: from `{url}`, or from a text that is no e-mail address.
    pub(super) fn bugs_url<'v>(&mut self, raw: Option<&'v str>) -> Option<Cow<'v, str>> {
        match Kind::of(raw?) {
            Kind::String => {
                let text = self.text("bugs", raw)?;
                if text.contains('@') && !text.contains("://") {
                    self.note("bugs", QuirkCode::NotAUrl, raw.unwrap_or_default());
                    return None;
                }
                Some(text)
            }
            _ => {
                let [url] = self.pick("bugs", raw, ["url"]);
                self.text("bugs.url", url)
            }
        }
    }

    /// Reads the address of a funding page: from a text, from `{url}`, or from the first of a list of either. All are
    /// documented.
    pub(super) fn funding_url<'v>(&mut self, raw: Option<&'v str>) -> Option<Cow<'v, str>> {
        match Kind::of(raw?) {
            Kind::String => self.text("funding", raw),
            Kind::Array => {
                let mut first = None;
                for item in Self::items(raw?) {
                    match Kind::of(item) {
                        Kind::String | Kind::Object if first.is_none() => first = self.funding_url(Some(item)),
                        Kind::String | Kind::Object => {}
                        _ => self.note("funding", QuirkCode::ItemDropped, item),
                    }
                }
                first
            }
            _ => {
                let [url] = self.pick("funding", raw, ["url"]);
                self.text("funding.url", url)
            }
        }
    }

    /// Reads a person from an object, from a line `Name <email> (url)`, or from the first of a list of either.
    pub(super) fn person<'v>(&mut self, field: &str, raw: Option<&'v str>) -> PersonColumns<'v> {
        let Some(raw) = raw else { return PersonColumns::default() };
        match Kind::of(raw) {
            Kind::Null => PersonColumns::default(),
            Kind::String => self.text(field, Some(raw)).map(person_of_line).unwrap_or_default(),
            Kind::Array => {
                self.note(field, QuirkCode::ReadFromList, raw);
                let mut items = Self::items(raw).into_iter();
                self.person(field, items.find(|item| matches!(Kind::of(item), Kind::String | Kind::Object)))
            }
            _ => {
                let [name, email, url] = self.pick(field, Some(raw), ["name", "email", "url"]);
                PersonColumns {
                    name: self.member_text(field, "name", name),
                    email: self.member_text(field, "email", email),
                    url: self.member_text(field, "url", url),
                }
            }
        }
    }

    /// Calls `each` with each person of a list of `{name, email, url}`. It also reads lines `Name <email> (url)`, and a
    /// person without a list.
    pub(super) fn people<'v>(&mut self, field: &str, raw: Option<&'v str>, mut each: impl FnMut(PersonColumns<'v>)) {
        let Some(raw) = raw else { return };
        let items = match Kind::of(raw) {
            Kind::Null => return,
            Kind::Array => Self::items(raw),
            Kind::Object => {
                self.note(field, QuirkCode::ReadFromObject, raw);
                vec![raw]
            }
            Kind::String => vec![raw],
            _ => return self.note(field, QuirkCode::NotAList, raw),
        };
        for item in items {
            match Kind::of(item) {
                Kind::Object => {}
                Kind::String => self.note(field, QuirkCode::ReadFromString, item),
                _ => {
                    self.note(field, QuirkCode::ItemDropped, item);
                    continue;
                }
            }
            each(self.person(field, Some(item)));
        }
    }

    /// Reads the text of a member of `field`. It builds the path only for a value that is no plain text.
    fn member_text<'v>(&mut self, field: &str, member: &str, raw: Option<&'v str>) -> Option<Cow<'v, str>> {
        let string = RawString::of(raw.filter(|raw| Kind::of(raw) == Kind::String).unwrap_or_default());
        if raw.is_some() && !string.inner.is_empty() && !string.escaped && !self.has_control_characters {
            return Some(Cow::Borrowed(string.inner));
        }
        self.text(&format!("{field}.{member}"), raw)
    }

    /// Reads keywords from a list, with the lists within it flattened, or from one text that commas, else white space,
    /// divide.
    pub(super) fn keywords<'v>(&mut self, raw: Option<&'v str>) -> Option<Vec<Cow<'v, str>>> {
        let raw = raw?;
        match Kind::of(raw) {
            Kind::Null => None,
            Kind::Array => {
                let mut words = Vec::new();
                self.flatten_keywords(raw, &mut words);
                Some(words)
            }
            Kind::String => {
                self.note("keywords", QuirkCode::ReadFromString, raw);
                let text = self.text("keywords", Some(raw))?;
                let divides = if text.contains(',') { |c| c == ',' } else { char::is_whitespace };
                let words = text.split(divides).map(str::trim).filter(|word| !word.is_empty());
                Some(words.map(|word| Cow::Owned(word.to_owned())).collect())
            }
            _ => {
                self.note("keywords", QuirkCode::NotAList, raw);
                None
            }
        }
    }

    fn flatten_keywords<'v>(&mut self, list: &'v str, words: &mut Vec<Cow<'v, str>>) {
        for item in Self::items(list) {
            match Kind::of(item) {
                Kind::String => words.push(self.unescape("keywords", RawString::of(item))),
                // The depth of a document is bounded, so this recursion is too.
                Kind::Array => {
                    self.note("keywords", QuirkCode::ReadFromList, item);
                    self.flatten_keywords(item, words);
                }
                _ => self.note("keywords", QuirkCode::ItemDropped, item),
            }
        }
    }
}

fn person_of_line(line: Cow<'_, str>) -> PersonColumns<'_> {
    match line {
        Cow::Borrowed(line) => {
            let person = Person::parse(line);
            PersonColumns {
                name: person.name.map(Cow::Borrowed),
                email: person.email.map(Cow::Borrowed),
                url: person.url.map(Cow::Borrowed),
            }
        }
        Cow::Owned(line) => {
            let person = Person::parse(&line);
            let own = |part: Option<&str>| part.map(|part| Cow::Owned(part.to_owned()));
            PersonColumns { name: own(person.name), email: own(person.email), url: own(person.url) }
        }
    }
}

/// Returns the quirk of a value of the wrong kind that still has rows.
pub(super) fn read_from_raw(raw: &str) -> QuirkCode {
    read_from(Kind::of(raw))
}
