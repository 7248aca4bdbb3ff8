//! Makes the user's own files tables: `select … from 'records.ndjson'`. The engine reads them by their suffix (csv,
//! json, ndjson, parquet). It does not know `.ndjson`, so this module adds it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::{GetExt, Result};
use datafusion::datasource::file_format::json::JsonFormatFactory;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::prelude::SessionContext;

use crate::error::{Context, ErrorKind};

/// Lets a statement name a file by its path as a table, if the lake has no table of that name.
pub(super) fn enable(context: SessionContext) -> crate::error::Result<SessionContext> {
    let registered =
        context.state_ref().write().register_file_format(Arc::new(Ndjson { json: JsonFormatFactory::new() }), false);
    registered.or_error(ErrorKind::Internal, || "the SQL engine does not start".to_owned())?;
    Ok(context.enable_url_table())
}

/// One JSON object a line, like the engine's own `json`.
#[derive(Debug)]
struct Ndjson {
    json: JsonFormatFactory,
}

impl FileFormatFactory for Ndjson {
    fn create(&self, state: &dyn Session, options: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        self.json.create(state, options)
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        FileFormatFactory::default(&self.json)
    }
}

impl GetExt for Ndjson {
    fn get_ext(&self) -> String {
        "ndjson".to_owned()
    }
}
