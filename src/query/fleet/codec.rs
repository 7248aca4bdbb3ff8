//! The bytes by which a scan of shards travels from a session to a worker: a header of JSON that says what the engine's
//! own encoding leaves out, and then that encoding.

use std::sync::Arc;

use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::proto_decode::PhysicalExprDecodeCtx;
use datafusion::physical_expr_common::physical_expr::proto_encode::PhysicalExprEncodeCtx;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;
use parquet::arrow::arrow_reader::RowSelector;
use serde::{Deserialize, Serialize};

use super::leaf::Leaf;
use crate::query::lake_location::LakeLocation;
use crate::query::old_columns::OldColumns;
use crate::query::overlay::{IsNewest, View};
use crate::query::plan_limits::FOOTER_GUESS_BYTES;
use crate::query::read_ahead::ReadAhead;
use crate::query::shard_reader::ShardReaderFactory;
use crate::query::snapshot::Snapshot;
use crate::table::TableKind;

/// Encodes and decodes scans of shards.
#[derive(Debug)]
pub(in crate::query) struct ScanCodec {
    side: Side,
}

/// The user of a codec.
#[derive(Debug)]
pub(in crate::query) enum Side {
    /// A session that sends parts of a plan.
    Session,
    /// A session that finds out whether a plan could be sent. Parts that stay here do not matter.
    Trial,
    /// A worker.
    Worker {
        /// The lake that it reads.
        location: Arc<LakeLocation>,
        /// The shards that it has read for the statement.
        snapshot: Arc<Snapshot>,
        /// The overlays as the statement sees them.
        views: Vec<Arc<View>>,
    },
}

/// The members of a scan that the engine's encoding leaves out.
#[derive(Debug, Serialize, Deserialize)]
struct ScanHeader {
    table: Option<String>,
    has_filter: bool,
    looked_up: Option<Vec<String>>,
    reads_ahead: bool,
    /// The shards of all groups.
    shards: Vec<SentShard>,
}

/// The version of a shard that the statement reads.
#[derive(Debug, Serialize, Deserialize)]
struct SentShard {
    /// Its path within the lake.
    path: String,
    size: u64,
    modified_us: i64,
    e_tag: Option<String>,
    version: Option<String>,
    /// The rows that count, if not all do: numbers of rows, negative where they are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rows: Vec<i64>,
}

impl SentShard {
    fn new(file: &PartitionedFile, root: &ObjectPath) -> Result<SentShard> {
        let shard = &file.object_meta;
        let number = |rows: &RowSelector| {
            let count = i64::try_from(rows.row_count).unwrap_or(i64::MAX);
            if rows.skip { -count } else { count }
        };
        let rows = file.extension::<ParquetRowSelection>();
        let parts = shard.location.prefix_match(root);
        let parts = parts.ok_or_else(|| internal_datafusion_err!("{} is not in the lake", shard.location))?;
        Ok(SentShard {
            path: parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"),
            size: shard.size,
            modified_us: shard.last_modified.timestamp_micros(),
            e_tag: shard.e_tag.clone(),
            version: shard.version.clone(),
            rows: rows.map(|rows| rows.selection().iter().map(number).collect()).unwrap_or_default(),
        })
    }

    /// Returns the file of a scan with what the engine's encoding left out of it.
    fn complete(mut self, file: PartitionedFile, root: &ObjectPath) -> Result<PartitionedFile> {
        let rows: Vec<RowSelector> = std::mem::take(&mut self.rows).into_iter().map(selector).collect();
        let mut file = file.with_metadata_size_hint(FOOTER_GUESS_BYTES);
        file.object_meta = self.found_in(root)?;
        Ok(match rows.is_empty() {
            true => file,
            false => file.with_extension(ParquetRowSelection::new(rows.into())),
        })
    }

    fn found_in(self, root: &ObjectPath) -> Result<ObjectMeta> {
        let path = if root.is_root() { self.path } else { format!("{root}/{}", self.path) };
        let location = ObjectPath::parse(path).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let modified = std::time::UNIX_EPOCH
            + std::time::Duration::from_micros(u64::try_from(self.modified_us).unwrap_or_default());
        Ok(ObjectMeta {
            location,
            last_modified: modified.into(),
            size: self.size,
            e_tag: self.e_tag,
            version: self.version,
        })
    }
}

fn selector(rows: i64) -> RowSelector {
    RowSelector { row_count: usize::try_from(rows.unsigned_abs()).unwrap_or(usize::MAX), skip: rows < 0 }
}

impl ScanCodec {
    pub(in crate::query) fn new(side: Side) -> ScanCodec {
        ScanCodec { side }
    }

    fn encode_scan(
        &self,
        scan: &Arc<dyn ExecutionPlan>,
        readers: &ShardReaderFactory,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Vec<u8>> {
        let mut scan = scan_of(scan)?.clone();
        // The worker puts its own here. This one every machine knows.
        scan.object_store_url = ObjectStoreUrl::local_filesystem();
        let root = &readers.location.root;
        let shards = scan.file_groups.iter().flat_map(|group| group.iter());
        let header = ScanHeader {
            table: readers.kind.map(|table| table.as_str().to_owned()),
            has_filter: readers.has_filter,
            looked_up: readers.looked_up.as_ref().map(|columns| columns.iter().cloned().collect()),
            reads_ahead: readers.ahead.is_some(),
            shards: shards.map(|shard| SentShard::new(shard, root)).collect::<Result<_>>()?,
        };
        let header = serde_json::to_vec(&header).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let scan =
            physical_plan_to_bytes_with_proto_converter(DataSourceExec::from_data_source(scan), self, converter)?;
        Ok([&(header.len() as u64).to_le_bytes()[..], &header, &scan].concat())
    }

    fn decode_scan(
        &self,
        bytes: &[u8],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Side::Worker { location, snapshot, .. } = &self.side else {
            return internal_err!("only a worker decodes scans");
        };
        let cut = || internal_datafusion_err!("a scan was cut off");
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (header, scan) = rest.split_at_checked(length).ok_or_else(cut)?;
        let header: ScanHeader =
            serde_json::from_slice(header).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let scan = physical_plan_from_bytes_with_proto_converter(scan, context, self, converter)?;
        let scan = scan_of(&scan)?.clone();
        let mut shards = header.shards.into_iter();
        let mut complete = |file: PartitionedFile| shards.next().ok_or_else(cut)?.complete(file, &location.root);
        let groups = scan.file_groups.iter().map(|group| {
            let files = group.files().iter().cloned().map(&mut complete).collect::<Result<_>>()?;
            Ok(FileGroup::new(files))
        });
        let groups: Vec<FileGroup> = groups.collect::<Result<_>>()?;
        let table = |name: &str| {
            let known = TableKind::ALL.into_iter().find(|table| table.as_str() == name);
            known.ok_or_else(|| internal_datafusion_err!("there is no table {name}"))
        };
        let readers = Arc::new(ShardReaderFactory {
            kind: header.table.as_deref().map(table).transpose()?,
            location: LakeLocation::clone(location),
            snapshot: Arc::clone(snapshot),
            footers: context.runtime_env().cache_manager.get_file_metadata_cache(),
            has_filter: header.has_filter,
            looked_up: header.looked_up.map(|columns| Arc::new(columns.into_iter().collect())),
            ahead: if header.reads_ahead { ReadAhead::of(&groups) } else { None },
            expects_versions: true,
        });
        let source: &ParquetSource = scan
            .file_source()
            .downcast_ref()
            .ok_or_else(|| internal_datafusion_err!("a scan of shards that are not Parquet"))?;
        let source = source.clone().with_parquet_file_reader_factory(Arc::clone(&readers) as _);
        let mut scan = FileScanConfigBuilder::from(scan)
            .with_source(Arc::new(source))
            .with_file_groups(readers.mark(groups))
            .with_expr_adapter(Some(Arc::new(OldColumns)))
            .build();
        scan.object_store_url = location.store_url.clone();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

fn scan_of(plan: &Arc<dyn ExecutionPlan>) -> Result<&FileScanConfig> {
    let source = plan.downcast_ref::<DataSourceExec>();
    let scan = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
    scan.ok_or_else(|| internal_datafusion_err!("{} is no scan of files", plan.name()))
}

impl PhysicalExtensionCodec for ScanCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.decode_scan(bytes, context, converter)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match (node.downcast_ref::<Leaf>(), &self.side) {
            (Some(Leaf { plan, readers: Some(readers) }), _) => {
                bytes.extend(self.encode_scan(plan, readers, converter)?);
                Ok(())
            }
            (Some(_), Side::Trial) => Ok(()),
            (Some(_), _) => internal_err!("a part that runs on this machine was sent"),
            (None, _) => internal_err!("{} cannot be sent", node.name()),
        }
    }

    fn try_encode_expr(
        &self,
        node: &Arc<dyn PhysicalExpr>,
        bytes: &mut Vec<u8>,
        _: &PhysicalExprEncodeCtx<'_>,
    ) -> Result<()> {
        match node.downcast_ref::<IsNewest>() {
            Some(condition) => {
                bytes.extend(condition.view().digest().into_bytes());
                Ok(())
            }
            None => internal_err!("{node} cannot be sent"),
        }
    }

    fn try_decode_expr(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn PhysicalExpr>],
        _: &PhysicalExprDecodeCtx<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let (Side::Worker { views, .. }, [name, source]) = (&self.side, inputs) else {
            return internal_err!("a condition of an overlay has two columns, and only a worker decodes it");
        };
        match views.iter().find(|view| view.digest().as_bytes() == bytes) {
            Some(view) => Ok(Arc::new(IsNewest::of(Arc::clone(name), Arc::clone(source), Arc::clone(view)))),
            None => internal_err!("the worker was not told of an overlay"),
        }
    }
}
