//! The named queries of a session: the built-in ones and the user's own.

use std::collections::BTreeSet;

use datafusion::sql::resolve::resolve_table_references;

use super::built_in::BUILT_IN;
use super::view_plan::statement_of;
use super::{NamedQuery, QueryKind, binding};
use crate::error::{Error, Result};
use crate::query::lake_table::LakeTable;
use crate::query::nearest::nearest;
use crate::query::statement;

/// Named queries, views first, each kind by name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedQueries {
    queries: Vec<NamedQuery>,
}

impl Default for NamedQueries {
    /// Returns the built-in queries.
    fn default() -> Self {
        let read = |(kind, name, sql): &(QueryKind, &str, &str)| NamedQuery::parse(name, *kind, sql).ok();
        NamedQueries { queries: BUILT_IN.iter().filter_map(read).collect() }
    }
}

impl NamedQueries {
    /// Adds the user's own queries.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for a taken name, invalid SQL, SQL that would change something,
    /// parameters that are used and not declared or the other way round, and views that read themselves.
    pub fn add(&mut self, own: Vec<NamedQuery>) -> Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        for query in own {
            let what = format!("the {} {}", query.kind.as_str(), query.name);
            if LakeTable::parse(&query.name).is_some() {
                return Err(Error::input(format!("{what} has the name of a table")).hint("give its file another name"));
            }
            if let Some(other) = self.get(&query.name) {
                let message = format!("{what} has the name of another {}", other.kind.as_str());
                return Err(Error::input(message).hint("give its file another name"));
            }
            check(&query).map_err(|error| error.doing(format!("reading {what}")))?;
            self.queries.push(query);
        }
        self.queries.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        self.views().try_for_each(|view| self.check_not_its_own_source(view))
    }

    /// Returns all queries, views first, each kind by name.
    pub fn all(&self) -> &[NamedQuery] {
        &self.queries
    }

    /// Returns the views, by name.
    pub fn views(&self) -> impl Iterator<Item = &NamedQuery> {
        self.queries.iter().filter(|query| query.kind == QueryKind::View)
    }

    /// Returns the view of that name, in any case.
    pub fn view(&self, name: &str) -> Option<&NamedQuery> {
        self.get(name).filter(|query| query.kind == QueryKind::View)
    }

    /// Finds the view or report of that name.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for an unknown name; the hint has the nearest name and the list.
    pub fn find(&self, name: &str) -> Result<&NamedQuery> {
        self.get(name).ok_or_else(|| {
            let names = |kind: QueryKind| -> Vec<&str> {
                self.queries.iter().filter(|query| query.kind == kind).map(|query| query.name.as_str()).collect()
            };
            let meant = nearest(name, self.queries.iter().map(|query| query.name.as_str()));
            let meant = meant.map(|near| format!("did you mean {near}?\n")).unwrap_or_default();
            Error::input(format!("there is no view or report {name:?}")).hint(format!(
                "{meant}views: {}\nreports: {}",
                names(QueryKind::View).join(", "),
                names(QueryKind::Report).join(", ")
            ))
        })
    }

    fn get(&self, name: &str) -> Option<&NamedQuery> {
        self.queries.iter().find(|query| query.name.eq_ignore_ascii_case(name))
    }

    /// Fails for a view that reads itself, directly or through others, because it cannot be planned.
    fn check_not_its_own_source(&self, view: &NamedQuery) -> Result<()> {
        let mut pending = vec![view];
        let mut seen = BTreeSet::new();
        while let Some(next) = pending.pop() {
            for source in self.sources(next) {
                if source.name == view.name {
                    return Err(Error::input(format!("the view {} reads itself, by {}", view.name, next.name))
                        .hint("name a table, or another view, in one of them"));
                }
                if seen.insert(source.name.as_str()) {
                    pending.push(source);
                }
            }
        }
        Ok(())
    }

    /// Returns the views that a view names.
    fn sources(&self, view: &NamedQuery) -> Vec<&NamedQuery> {
        let references = statement_of(&view.sql, "").ok().and_then(|statement| {
            let (references, _) = resolve_table_references(&statement, true).ok()?;
            Some(references)
        });
        references.unwrap_or_default().iter().filter_map(|reference| self.view(reference.table())).collect()
    }
}

/// Checks that a user's query is one statement that only reads, with the parameters that it declares.
fn check(query: &NamedQuery) -> Result<()> {
    match query.kind {
        QueryKind::View => statement_of(&query.sql, "").map(drop),
        QueryKind::Report => match binding::undeclared(&statement::parse(&query.sql)?, &query.parameters) {
            Some(error) => Err(error),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn own(kind: QueryKind, name: &str, sql: &str) -> NamedQuery {
        NamedQuery::parse(name, kind, &format!("-- One row is: x\n{sql}")).unwrap()
    }

    fn refusal(own: Vec<NamedQuery>) -> String {
        NamedQueries::default().add(own).unwrap_err().message().to_owned()
    }

    #[test]
    fn every_built_in_query_is_whole_sorted_and_said_to_be_so() {
        let queries = NamedQueries::default();
        assert_eq!(queries.all().len(), BUILT_IN.len(), "a built-in file has no good header");
        assert_eq!(queries.views().count(), 29);
        assert!(queries.all().is_sorted_by_key(|query| (query.kind, &query.name)));
        for query in queries.all() {
            check(query).unwrap();
            let is_whole = !query.reads.is_empty() && !query.columns.is_empty();
            assert!(is_whole && query.example.starts_with("all-docs query"), "{}", query.name);
            assert!(query.example.contains(&query.name), "{}: {}", query.name, query.example);
            assert!(query.key.iter().all(|key| query.columns.contains(key)), "{}", query.name);
            assert!(query.parameters.iter().all(|parameter| !parameter.doc.is_empty()), "{}", query.name);
            queries.check_not_its_own_source(query).unwrap();
        }
        let mut folder: Vec<String> = Vec::new();
        for kind in [QueryKind::View, QueryKind::Report] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries").join(kind.folder());
            let mut files: Vec<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            folder.extend(files);
        }
        let names: Vec<String> = queries.all().iter().map(|query| format!("{}.sql", query.name)).collect();
        assert_eq!(names, folder, "the list and the folder");
    }

    #[test]
    fn a_name_that_is_not_there_lists_those_that_are() {
        let error = NamedQueries::default().find("depended_upn").unwrap_err();
        assert_eq!(error.message(), "there is no view or report \"depended_upn\"");
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("did you mean depended_upon?") && hint.contains("most_starred"), "{hint}");
    }

    #[test]
    fn queries_of_a_user_must_follow_the_rules() {
        for (query, expected) in [
            (own(QueryKind::View, "versions", "select 1"), "the name of a table"),
            (own(QueryKind::View, "by_user", "select 1"), "the name of another view"),
            (own(QueryKind::View, "mine", "selekt 1"), "not SQL"),
            (own(QueryKind::View, "mine", "select $x"), "no value for $x"),
            (own(QueryKind::Report, "mine", "select $x"), "no value for $x"),
            (own(QueryKind::Report, "mine", "-- Parameter: x number\nselect 1"), "no parameter \"x\""),
            (own(QueryKind::Report, "mine", "drop table packages"), "only read"),
            (own(QueryKind::View, "mine", "select * from mine"), "reads itself"),
        ] {
            let message = refusal(vec![query]);
            assert!(message.contains(expected), "{message}");
        }
        let message = refusal(vec![
            own(QueryKind::View, "one", "select * from two"),
            own(QueryKind::View, "two", "select * from (select * from by_user) join one on true"),
        ]);
        assert!(message.contains("reads itself"), "{message}");
        let mut queries = NamedQueries::default();
        let mine = own(QueryKind::View, "mine", "with mine as (select 1) select * from mine, by_user");
        queries.add(vec![mine, own(QueryKind::Report, "asked", "-- Parameter: x number\nselect $x")]).unwrap();
        assert!(queries.view("MINE").is_some() && queries.view("asked").is_none());
    }
}
