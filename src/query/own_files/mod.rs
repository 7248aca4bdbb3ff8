//! Makes the user's own files tables: `select … from 'records.ndjson'`, `from read_csv('x.csv', all_text => true)`.
//! JSON and CSV are read here; the engine reads Parquet.
//!
//! The types of the columns come from the whole file, so a file is read twice. No value changes on the way: what has no
//! type that holds it as it is written becomes text, or JSON text.

mod csv_records;
mod csv_table;
mod find;
mod json_column;
mod json_records;
mod json_shape;
mod json_table;
mod parquet_files;
mod request;
mod source;
mod table;
mod typed;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{DynamicFileCatalog, TableProvider, UrlTableFactory};
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionContext;

use crate::error::Error;
use crate::store::blocking;
use request::{Form, Request};
use table::OwnTable;

pub(super) use request::replace_calls;

/// Lets a statement name a file by its path as a table, if the lake has no table of that name.
pub(super) fn enable(context: SessionContext) -> SessionContext {
    let session_id = context.session_id();
    let files = Arc::new(OwnFiles { engine: DynamicListTableFactory::default() });
    let catalogs = Arc::clone(context.state_ref().read().catalog_list());
    let catalogs = DynamicFileCatalog::new(catalogs, Arc::clone(&files) as Arc<dyn UrlTableFactory>);
    let builder: SessionStateBuilder = context.into_state_builder();
    let state = builder.with_session_id(session_id).with_catalog_list(Arc::new(catalogs)).build();
    let context = SessionContext::from(state);
    files.engine.session_store().with_state(context.state_weak_ref());
    context
}

/// Makes tables of files.
#[derive(Debug)]
struct OwnFiles {
    /// The engine's own tables, for Parquet.
    engine: DynamicListTableFactory,
}

#[async_trait]
impl UrlTableFactory for OwnFiles {
    async fn try_new(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        let request = Request::of_table(name);
        let path = request.path.clone();
        let planned = |error: Error| DataFusionError::External(Box::new(error));
        let Some(state) = self.state() else { return Ok(None) };
        let Some(found) = find::find(&request).map_err(planned)? else { return Ok(None) };
        if found.form != Form::Parquet {
            let table = OwnTable::learn(found, request, &state).await.map_err(planned)?;
            return Ok(Some(Arc::new(table)));
        }
        let found = Arc::new(found);
        let checked = Arc::clone(&found);
        blocking("a reader of a file", move || parquet_files::check(&checked)).await.map_err(planned)?;
        let cause = match self.engine.try_new(&path).await {
            Ok(Some(table)) => return Ok(Some(table)),
            Ok(None) => "the engine found no table in it".into(),
            Err(error) => Box::<dyn std::error::Error + Send + Sync>::from(error),
        };
        let explain = move || Err::<Option<_>, _>(parquet_files::explain(&path, &found, cause));
        blocking("a reader of a file", explain).await.map_err(planned)
    }
}

impl OwnFiles {
    fn state(&self) -> Option<SessionState> {
        let session = self.engine.session_store().get_session().upgrade()?;
        let state = session.read();
        state.as_any().downcast_ref::<SessionState>().cloned()
    }
}

/// Returns the path of a user's file of no bytes by the name of its table; `None` for any other table.
pub(super) fn empty_file(table: &str) -> Option<String> {
    let request = Request::of_table(table);
    let found = find::find(&request).ok().flatten()?;
    let is_empty = |path: &std::path::PathBuf| path.metadata().is_ok_and(|metadata| metadata.len() == 0);
    found.paths.iter().all(is_empty).then_some(request.path)
}
