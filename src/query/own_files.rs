//! Files of the user's own as tables: `select … from 'records.ndjson'`. The engine reads them by their suffix (csv, json,
//! ndjson, parquet); what it does not know of, `.ndjson`, is taught here.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::{GetExt, Result};
use datafusion::datasource::file_format::json::JsonFormatFactory;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::prelude::SessionContext;

use crate::error::{Context, ErrorKind};

/// The session with a table for every file that a statement names by its path, where the lake has none of that name.
pub(super) fn enable(context: SessionContext) -> crate::error::Result<SessionContext> {
    let registered = context.state_ref().write().register_file_format(Arc::new(Ndjson::default()), false);
    registered.or_error(ErrorKind::Internal, || "the SQL engine does not start".to_owned())?;
    Ok(context.enable_url_table())
}

/// One JSON object a line, as the engine's own `json` is.
#[derive(Debug, Default)]
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
