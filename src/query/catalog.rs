//! The tables and views of a lake by their SQL names, with a schema for each origin. Not here: reading the lake.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{FieldRef, Schema};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;

use crate::lake::{LakeInfo, Layout, OriginAge, OriginInfo};
use crate::table::TableKind;

use super::arrays::array_table;
use super::attached::AttachedLake;
use super::events::EventsTable;
use super::lake_location::LakeLocation;
use super::lake_table::LakeTable;
use super::named::{NamedQueries, plan_view};
use super::overlay::OriginOverlay;
use super::shard_bounds::SORT_COLUMN;
use super::shard_table::ShardTable;

/// The engine's name for the lake as a whole: `lake.npm.versions` is the longest name of a table.
pub(super) const CATALOG: &str = "lake";

/// A table that a statement can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// The origin it belongs to: its schema in SQL.
    pub origin: String,
    /// Its name within the origin.
    pub name: &'static str,
    /// Whether its bare name means this one, because its origin is the lake's default.
    pub is_default: bool,
    /// The meaning of one row.
    pub grain: &'static str,
}

/// All origins of a lake.
#[derive(Debug)]
pub(super) struct LakeCatalog {
    origins: Vec<Arc<OriginSchema>>,
    default_origin: String,
    views: Arc<Views>,
}

/// The tables and views of one origin.
#[derive(Debug)]
pub(super) struct OriginSchema {
    name: String,
    /// Its folder within its lake; its name, unless the lake is attached.
    folder: String,
    registry_url: String,
    /// Its shards that earlier versions wrote.
    age: OriginAge,
    location: LakeLocation,
    overlay: Arc<OriginOverlay>,
    views: Arc<Views>,
}

/// The views, which are the same for every origin, and their planner.
struct Views {
    queries: Arc<NamedQueries>,
    planner: OnceLock<Planner>,
}

/// Returns the state of the session that plans a view; `None` once the session has ended.
pub(super) type Planner = Box<dyn Fn() -> Option<SessionState> + Send + Sync>;

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Views").field(&self.queries.views().count()).finish()
    }
}

impl LakeCatalog {
    /// Makes the catalog of a lake's origins and those of attached lakes with their locations. `ages` lists the old
    /// partitions of the lake's own origins.
    pub(super) fn new(
        location: &LakeLocation,
        info: &LakeInfo,
        ages: &BTreeMap<String, OriginAge>,
        attached: &[(LakeLocation, &AttachedLake)],
        queries: &Arc<NamedQueries>,
    ) -> Self {
        let views = Arc::new(Views { queries: Arc::clone(queries), planner: OnceLock::new() });
        let schema =
            |location: &LakeLocation, name: String, folder: &str, origin: &OriginInfo, ages: &BTreeMap<_, _>| {
                Arc::new(OriginSchema {
                    name,
                    folder: folder.to_owned(),
                    registry_url: origin.registry_url.clone(),
                    age: ages.get(folder).cloned().unwrap_or_default(),
                    location: location.clone(),
                    overlay: Arc::new(OriginOverlay::new(location.clone(), Layout::origin(folder))),
                    views: Arc::clone(&views),
                })
            };
        let own = info.origins.iter().map(|(name, origin)| schema(location, name.clone(), name, origin, ages));
        let others =
            attached.iter().flat_map(|(location, lake)| lake.schemas().map(move |each| (location, lake, each)));
        let others =
            others.map(|(location, lake, (name, folder, origin))| schema(location, name, folder, origin, &lake.ages));
        let origins = own.chain(others).collect();
        LakeCatalog { origins, default_origin: info.default_origin.clone(), views }
    }

    /// Sets the planner of the views. Until then there are no views. Later calls change nothing.
    pub(super) fn plan_views_by(&self, planner: Planner) {
        self.views.planner.get_or_init(|| planner);
    }

    /// Returns the named queries. Their views are tables here.
    pub(super) fn queries(&self) -> &NamedQueries {
        &self.views.queries
    }

    /// Returns the overlay of an origin of the lake itself.
    #[cfg(feature = "distributed")]
    pub(super) fn overlay(&self, origin: &str) -> Option<&Arc<OriginOverlay>> {
        self.origins.iter().find(|known| known.name == origin).map(|known| &known.overlay)
    }

    /// Returns a table of an origin, for one statement.
    pub(super) fn table(&self, origin: &str, kind: TableKind) -> Option<Arc<dyn TableProvider>> {
        self.origin(origin).map(|origin| origin.shards(kind) as Arc<dyn TableProvider>)
    }

    /// Returns the names of the origins in alphabetical order.
    pub(super) fn origin_names(&self) -> impl Iterator<Item = &str> {
        self.origins.iter().map(|origin| origin.name.as_str())
    }

    pub(super) fn default_origin(&self) -> &str {
        &self.default_origin
    }

    /// Returns every table, the default origin's first.
    pub(super) fn tables(&self) -> Vec<TableInfo> {
        let (default, others): (Vec<&str>, Vec<&str>) =
            self.origin_names().partition(|origin| *origin == self.default_origin);
        let tables_of = |origin: &str| {
            let info = |table: LakeTable| TableInfo {
                origin: origin.to_owned(),
                name: table.as_str(),
                is_default: origin == self.default_origin,
                grain: table.grain(),
            };
            LakeTable::all().map(info).collect::<Vec<_>>()
        };
        default.into_iter().chain(others).flat_map(tables_of).collect()
    }

    /// Returns the table that `reference` names, if the lake has it.
    pub(super) fn find(&self, reference: &TableReference) -> Option<LakeTable> {
        if self.has_place_of(reference) { LakeTable::parse(reference.table()) } else { None }
    }

    /// Returns whether `reference` names a view.
    pub(super) fn is_view(&self, reference: &TableReference) -> bool {
        self.has_place_of(reference) && self.queries().view(reference.table()).is_some()
    }

    fn has_place_of(&self, reference: &TableReference) -> bool {
        let origin = reference.schema().unwrap_or(&self.default_origin);
        self.origin(origin).is_some() && reference.catalog().is_none_or(|catalog| catalog == CATALOG)
    }

    pub(super) fn origin(&self, name: &str) -> Option<&Arc<OriginSchema>> {
        let exact = self.origins.iter().find(|origin| origin.name == name);
        exact.or_else(|| self.origins.iter().find(|origin| origin.name.eq_ignore_ascii_case(name)))
    }
}

impl CatalogProvider for LakeCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.origin_names().map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.origin(name).map(|origin| Arc::clone(origin) as Arc<dyn SchemaProvider>)
    }
}

impl OriginSchema {
    /// Makes a new provider each time, so a statement lists a table's folder once and the next one lists it again.
    fn shards(&self, kind: TableKind) -> Arc<ShardTable> {
        let mut folder = self.location.root.clone();
        folder.extend(Layout::origin(&self.folder).table(kind).split('/'));
        let age = self.age.of_table(kind);
        let mut schema = LakeTable::Shards(kind).schema();
        if age.earlier > 0 || self.overlay.is_earlier(kind) {
            // An old shard may lack any column except its sort column.
            let as_old = |field: &FieldRef| field.as_ref().clone().with_nullable(field.name() != SORT_COLUMN);
            schema = Arc::new(Schema::new(schema.fields().iter().map(as_old).collect::<Vec<_>>()));
        }
        let named = self.age.named_of_table(kind);
        let overlay = Arc::clone(&self.overlay);
        Arc::new(ShardTable::new(self.location.clone(), folder, kind, schema, age, named, overlay))
    }
}

#[async_trait]
impl SchemaProvider for OriginSchema {
    fn table_names(&self) -> Vec<String> {
        let views = self.views.queries.views().map(|view| view.name.clone());
        LakeTable::all().map(|table| table.as_str().to_owned()).chain(views).collect()
    }

    /// Plans a view when a statement names it, so the other views cost nothing.
    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match LakeTable::parse(name) {
            Some(LakeTable::Shards(kind)) => return Ok(Some(self.shards(kind))),
            Some(LakeTable::Array(table)) => {
                let schema = |table| LakeTable::Array(table).schema();
                return Ok(Some(array_table(table, schema, &self.location, Layout::origin(&self.folder))));
            }
            Some(LakeTable::Events) => {
                let layout = Layout::origin(&self.folder);
                return Ok(Some(Arc::new(EventsTable::new(self.location.clone(), layout, LakeTable::Events.schema()))));
            }
            None => {}
        }
        let Some(view) = self.views.queries.view(name) else { return Ok(None) };
        let Some(state) = self.views.planner.get().and_then(|planner| planner()) else { return Ok(None) };
        Ok(Some(Arc::new(plan_view(state, view, &self.name, &self.registry_url).await?)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        let view = self.views.queries.view(name).map(|_| TableType::View);
        Ok(LakeTable::parse(name).map(|_| TableType::Base).or(view))
    }

    fn table_exist(&self, name: &str) -> bool {
        LakeTable::parse(name).is_some() || self.views.queries.view(name).is_some()
    }
}
