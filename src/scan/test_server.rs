//! An `_all_docs` in memory for this module's tests. It holds names and responds to queries as CouchDB does,
//! independent of the code under test. Its habits can be made bad.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use super::PageSource;
use crate::error::{Error, Result};
use crate::npm::{DocRow, Page, PageQuery};

/// An edit between two pages.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Publish(String),
    Delete(String),
}

/// The differences of a server from npm's reported behaviour.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habits {
    /// Also gives the name that is the end.
    pub(super) has_inclusive_end: bool,
    /// Sorts `B` between `a` and `c`.
    pub(super) folds_case: bool,
    pub(super) ignores_start: bool,
    pub(super) ignores_end: bool,
    /// Gives every row of a page twice.
    pub(super) stutters: bool,
    /// The most rows in a page, whatever the query says.
    pub(super) most_rows: Option<u32>,
    /// Rows without an id at the end of each page.
    pub(super) unusable_rows: u64,
}

#[derive(Debug, Default)]
pub(super) struct TestServer {
    habits: Habits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    docs: BTreeMap<String, u32>,
    edits: VecDeque<Edit>,
    queries: Vec<PageQuery>,
}

impl TestServer {
    pub(super) fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let docs = names.into_iter().map(|name| (name.into(), 1)).collect();
        TestServer { habits: Habits::default(), state: Mutex::new(State { docs, ..State::default() }) }
    }

    pub(super) fn with_habits(mut self, habits: Habits) -> Self {
        self.habits = habits;
        self
    }

    /// Makes one edit after each page.
    pub(super) fn with_edits(self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.state.lock().unwrap().edits.extend(edits);
        self
    }

    pub(super) fn queries(&self) -> Vec<PageQuery> {
        self.state.lock().unwrap().queries.clone()
    }

    /// Returns the present names, by bytes.
    pub(super) fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().docs.keys().cloned().collect()
    }

    fn sort_key(&self, name: &str) -> (String, String) {
        (if self.habits.folds_case { name.to_lowercase() } else { String::new() }, name.to_owned())
    }

    fn answer(&self, query: &PageQuery) -> Result<Page> {
        if !(1..=10_000).contains(&query.limit) {
            return Err(Error::input("Bad Request"));
        }
        let mut state = self.state.lock().unwrap();
        state.queries.push(query.clone());
        let start = query.start.as_deref().filter(|_| !self.habits.ignores_start).map(|start| self.sort_key(start));
        let end = query.end.as_deref().filter(|_| !self.habits.ignores_end).map(|end| self.sort_key(end));
        let mut sorted: Vec<_> = state.docs.iter().map(|(name, rev)| (self.sort_key(name), *rev)).collect();
        sorted.sort();
        let offset = sorted.iter().filter(|(key, _)| start.as_ref().is_some_and(|start| key < start)).count();
        let is_wanted = |key: &(String, String)| match &end {
            Some(end) => key < end || (self.habits.has_inclusive_end && key == end),
            None => true,
        };
        let wanted = sorted.iter().skip(offset).filter(|(key, _)| is_wanted(key));
        let times = if self.habits.stutters { 2 } else { 1 };
        let rows = wanted.flat_map(|((_, name), rev)| (0..times).map(move |time| (name, *rev + time)));
        let most_rows = self.habits.most_rows.map_or(query.limit, |most| most.min(query.limit));
        let room = u64::from(most_rows).saturating_sub(self.habits.unusable_rows) as usize;
        let rows = rows.take(room).map(|(name, rev)| DocRow::new(name.as_str(), &format!("{rev}-x"))).collect();
        let page = Page {
            total_rows: Some(state.docs.len() as u64),
            offset: Some(offset as u64),
            rows,
            unusable_rows: self.habits.unusable_rows,
        };
        match state.edits.pop_front() {
            Some(Edit::Publish(name)) => *state.docs.entry(name).or_default() += 1,
            Some(Edit::Delete(name)) => drop(state.docs.remove(&name)),
            None => {}
        }
        Ok(page)
    }
}

impl PageSource for TestServer {
    async fn page(&self, query: &PageQuery) -> Result<Page> {
        // Yields, so that pages of several ranges take turns.
        tokio::task::yield_now().await;
        self.answer(query)
    }
}
