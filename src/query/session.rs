//! A session: plans and runs statements on a lake. Not here: the tables (`catalog`), the output formats (`write`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::SessionContext;
use futures::FutureExt;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{LakeInfo, OriginAge};
use crate::store::Store;

use super::arrays::note_on_absence;
use super::attached::{AttachedLake, check_names};
use super::catalog::{CATALOG, LakeCatalog, TableInfo};
use super::describe;
use super::failure::{ReadTables, failure, is_outdated};
#[cfg(feature = "distributed")]
use super::fleet::{self, Workers};
use super::functions;
use super::lake_location::LakeLocation;
use super::lake_table::{ColumnInfo, LakeTable};
use super::mistake::Mistakes;
use super::named::{BoundSql, NamedQueries, QueryKind, Selection, ViewColumn, quoted, select_from_view};
use super::optimizer;
use super::overlay::Overlays;
use super::own_files;
use super::plan_limits::{DOCUMENT_BATCH_ROWS, session_config};
use super::query_stream::{Begun, MAX_PLANS, QueryStream, note_outdated};
use super::reads::reads_of;
use super::snapshot::Snapshot;
use super::statement;

/// The options of a session: its share of the machine, and what its statements can name.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Bytes that sorts, joins and groupings may hold. An operator that needs more uses temporary files, or fails if it
    /// cannot. 4 GB by default: enough to group all versions of npm, and little enough for a laptop. Rows that are only
    /// passed through do not count, because they are never held.
    pub memory_limit_bytes: usize,
    /// The folder for temporary files; the system's if `None`.
    pub spill_folder: Option<PathBuf>,
    /// How many parts of a statement run at once; by default the number of cores.
    pub threads: usize,
    /// The views that statements can name, and the reports.
    pub queries: Arc<NamedQueries>,
    /// Whether statements can read this machine's files by their paths: `select * from 'records.ndjson'`. Off by
    /// default, because statements may come from somebody who must not read them.
    pub reads_own_files: bool,
    /// Other lakes whose tables statements can also name.
    pub attached: Vec<AttachedLake>,
    /// The machines that help with statements; none by default.
    #[cfg(feature = "distributed")]
    pub fleet: Option<super::Fleet>,
    /// The tables that earlier versions of the tool wrote, by origin; none by default. Columns of such tables may be
    /// null that otherwise are not, and notes say so.
    pub ages: BTreeMap<String, OriginAge>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let queries = Arc::new(NamedQueries::default());
        SessionOptions {
            memory_limit_bytes: 4 << 30,
            spill_folder: None,
            threads,
            queries,
            reads_own_files: false,
            attached: Vec::new(),
            #[cfg(feature = "distributed")]
            fleet: None,
            ages: BTreeMap::new(),
        }
    }
}

/// Runs statements on a lake. Statements of one session may run at the same time. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    catalog: Arc<LakeCatalog>,
    /// The lake itself, and the workers that read it too.
    #[cfg(feature = "distributed")]
    location: LakeLocation,
    #[cfg(feature = "distributed")]
    workers: Option<Arc<Workers>>,
}

/// A planned statement, ready to run.
struct Planned {
    state: SessionState,
    logical: LogicalPlan,
    physical: Arc<dyn ExecutionPlan>,
    reads: ReadTables,
    notes: Vec<String>,
}

impl Session {
    /// Opens a session on a lake. It reads nothing: a session lists a table's folder when a statement names the table, and
    /// opens a shard when a statement needs it.
    ///
    /// Fails with [`ErrorKind::Input`] for two origins of the same name, and with [`ErrorKind::Internal`] if the engine
    /// cannot start.
    pub fn open(lake: &Store, info: &LakeInfo, options: &SessionOptions) -> Result<Session> {
        Session::open_at(LakeLocation::of(lake)?, info, options)
    }

    /// The same with the lake's location.
    pub(super) fn open_at(location: LakeLocation, info: &LakeInfo, options: &SessionOptions) -> Result<Session> {
        let attached =
            options.attached.iter().map(|lake| LakeLocation::of(&lake.store).map(|location| (location, lake)));
        let attached: Vec<(LakeLocation, &AttachedLake)> = attached.collect::<Result<_>>()?;
        check_names(info, &options.attached)?;

        let no_engine = || "the SQL engine does not start".to_owned();
        let mut runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(options.memory_limit_bytes)));
        if let Some(folder) = &options.spill_folder {
            runtime = runtime.with_temp_file_path(folder);
        }
        let runtime = runtime.build_arc().or_error(ErrorKind::Internal, no_engine)?;
        for location in attached.iter().map(|(location, _)| location).chain([&location]) {
            runtime.register_object_store(location.store_url.as_ref(), Arc::clone(&location.store));
        }

        let threads = options.threads.max(1);
        // The plan for one thread cannot be divided.
        #[cfg(feature = "distributed")]
        let threads = if options.fleet.is_some() { threads.max(2) } else { threads };
        let config = session_config(threads).with_default_catalog_and_schema(CATALOG, &info.default_origin);
        let builder = SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(runtime);
        let builder = optimizer::with_rules(builder);
        #[cfg(feature = "distributed")]
        let workers = options.fleet.clone().map(Workers::new);
        #[cfg(feature = "distributed")]
        let builder = match &workers {
            Some(workers) => fleet::enable(builder, workers, &location).or_error(ErrorKind::Internal, no_engine)?,
            None => builder,
        };
        let state = builder.build();
        let mut context = SessionContext::new_with_state(state);
        datafusion_functions_json::register_all(&mut context).or_error(ErrorKind::Internal, no_engine)?;
        let catalog = Arc::new(LakeCatalog::new(&location, info, &options.ages, &attached, &options.queries));
        context.register_catalog(CATALOG, Arc::clone(&catalog) as _);
        functions::register(&context, &catalog);
        if options.reads_own_files {
            context = own_files::enable(context);
        }
        let state = context.state_weak_ref();
        catalog.plan_views_by(Box::new(move || state.upgrade().map(|state| state.read().clone())));
        Ok(Session {
            context,
            catalog,
            #[cfg(feature = "distributed")]
            location,
            #[cfg(feature = "distributed")]
            workers,
        })
    }

    /// Runs one statement. Nothing is computed until the stream is read, and then only as fast as it is read.
    ///
    /// Fails with [`ErrorKind::Input`] for an error in the statement, and with [`ErrorKind::Lake`] if the lake cannot
    /// be listed.
    pub async fn query(&self, sql: &str) -> Result<QueryStream> {
        self.query_bound(&BoundSql::new(sql)).await
    }

    /// Runs one statement with values for its parameters, as [`Session::query`] does.
    pub async fn query_bound(&self, statement: &BoundSql) -> Result<QueryStream> {
        #[cfg(feature = "distributed")]
        self.workers.iter().for_each(|workers| workers.hope());
        let (session, statement) = (self.clone(), statement.clone());
        let begin = move || {
            let (session, statement) = (session.clone(), statement.clone());
            async move { session.begin(&statement).await }.boxed()
        };
        QueryStream::begin(Box::new(begin)).await
    }

    async fn begin(&self, statement: &BoundSql) -> Result<Begun> {
        let Planned { state, physical, reads, notes, .. } = self.plan(statement).await?;
        let batches = execute_stream(physical, state.task_ctx()).map_err(|error| failure(error, &reads))?;
        Ok(Begun { batches, reads, notes })
    }

    /// Returns how one statement would run: the logical plan, an empty line, the physical plan. It does not run it.
    ///
    /// Fails as [`Session::query`] does.
    pub async fn explain(&self, sql: &str) -> Result<String> {
        self.explain_bound(&BoundSql::new(sql)).await
    }

    /// Returns how one statement would run with values for its parameters, as [`Session::explain`] does.
    pub async fn explain_bound(&self, statement: &BoundSql) -> Result<String> {
        let planned = self.plan(statement).await?;
        let physical = displayable(planned.physical.as_ref()).indent(false).to_string();
        #[cfg(feature = "distributed")]
        let physical = fleet::stages(&planned.physical).unwrap_or(physical);
        Ok(format!("{}\n\n{physical}", planned.logical.display_indent()))
    }

    /// Returns what a worker needs of a session: the state, the tables, and the lake.
    #[cfg(feature = "distributed")]
    pub(super) fn parts(&self) -> (SessionState, &Arc<LakeCatalog>, &LakeLocation) {
        (self.context.state(), &self.catalog, &self.location)
    }

    /// Returns the views and reports.
    pub fn queries(&self) -> &NamedQueries {
        self.catalog.queries()
    }

    /// Makes the statement that returns `selection` of a view.
    ///
    /// Fails with [`ErrorKind::Input`] for a name of no view, and for a key that cannot be compared with the view's.
    pub async fn select_from_view(&self, name: &str, selection: &Selection) -> Result<BoundSql> {
        let view = self.queries().find(name)?;
        if view.kind != QueryKind::View {
            return Err(Error::input(format!("{name} is a report, which no key selects from"))
                .hint("a report takes parameters: --param name=value; all-docs views lists them"));
        }
        let relation = quoted(&view.name);
        let planned = self.plan(&BoundSql::new(format!("select * from {relation}"))).await?;
        let columns: Vec<ViewColumn> =
            planned.physical.schema().fields().iter().map(|field| ViewColumn::of(field)).collect();
        select_from_view(view, &relation, &columns, selection)
    }

    /// Returns every table that a statement can name, the default origin's first.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.catalog.tables()
    }

    /// Returns the columns of a table by its name within an origin; `None` if there is no such table.
    pub fn describe(&self, table: &str) -> Option<Vec<ColumnInfo>> {
        LakeTable::parse(table).map(LakeTable::columns)
    }

    /// Plans a statement, again if a shard is replaced or removed meanwhile.
    async fn plan(&self, bound: &BoundSql) -> Result<Planned> {
        let mut plans = 1;
        loop {
            match self.plan_once(bound).await {
                Err(error) if is_outdated(&error) && plans < MAX_PLANS => note_outdated(&error, plans),
                planned => return planned,
            }
            plans += 1;
        }
    }

    async fn plan_once(&self, bound: &BoundSql) -> Result<Planned> {
        let statement = statement::parse_bound(bound)?;
        let mut state = self.context.state();
        state.config_mut().set_extension(Arc::new(Snapshot::default()));
        state.config_mut().set_extension(Arc::new(Overlays::default()));
        let mistakes = Mistakes { catalog: &self.catalog };
        let explain = |error, references: &[TableReference]| mistakes.explain(error, references);
        let described = describe::described(&statement);
        let mut plan = statement::plan(&state, &bound.sql, statement, explain).await?;
        if let Some(query) = described {
            let with_descriptions = describe::with_descriptions(&state, plan, query).await;
            plan = with_descriptions.map_err(|error| mistakes.explain(error, &[]))?;
        }
        let optimized = state.optimize(&plan);
        #[cfg(feature = "distributed")]
        let optimized = match optimized {
            Err(_) if self.workers.is_some() => fleet::optimize_on_one(&mut state, &plan),
            optimized => optimized,
        };
        let logical = optimized.map_err(|error| mistakes.explain(error, &[]))?;
        let mut reads = reads_of(&logical);
        state.config_mut().set_extension(Arc::new(std::mem::take(&mut reads.first_rows)));
        if reads.documents {
            *state.config_mut() = state.config().clone().with_batch_size(DOCUMENT_BATCH_ROWS);
        }
        let physical = state.query_planner().create_physical_plan(&logical, &state).await;
        let physical = physical.map_err(|error| failure(error, &reads.tables))?;
        #[cfg(feature = "distributed")]
        if let Some(workers) = &self.workers {
            let told = fleet::tell_workers(&mut state, workers, &self.location, reads.documents);
            told.map_err(|error| failure(error, &reads.tables))?;
        }
        // Only now is it known which arrays there are.
        reads.notes.extend(reads.arrays.iter().filter_map(|provider| note_on_absence(provider.as_ref())));
        reads.notes.sort_unstable();
        reads.notes.dedup();
        Ok(Planned { state, logical, physical, reads: reads.tables, notes: reads.notes })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}
