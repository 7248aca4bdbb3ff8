//! Stands in for the columns of `table/` until that room is built. To be deleted with its first merge.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::lake::TableKind;

/// The columns of a table.
pub(super) fn schema(kind: TableKind) -> SchemaRef {
    let columns = match kind {
        TableKind::Docs => "name! rev! rev_generation:u32",
        TableKind::Packuments => "name! rev representation! size_bytes:u64 json bytes:bin",
        TableKind::Packages => {
            "name! scope rev latest description license homepage repository_type repository_url repository_directory bugs_url author_name author_email author_url keywords:list readme_filename created_at:time modified_at:time unpublished_at:time version_count:u32 maintainer_count:u32 star_count:u32 deprecated has_install_script:bool security_holding:bool"
        }
        TableKind::Versions => {
            "name! version! version_index:u32 is_latest:bool major:u64 minor:u64 patch:u64 prerelease build published_at:time published_by trusted_publisher license deprecated description main module_type types has_install_script:bool has_shrinkwrap:bool engines_node engines_npm os:list cpu:list libc:list bin:bin_list tarball_url shasum integrity file_count:u64 unpacked_size_bytes:u64 signature_keyids:list provenance_predicate_type git_head npm_version node_version fields:list"
        }
        TableKind::Dependencies => "name! version! is_latest:bool kind! dependency! requirement optional:bool",
        TableKind::DistTags => "name! tag! version",
        TableKind::Maintainers => "name! maintainer email",
        TableKind::Scripts => "name! version! is_latest:bool script! command",
        TableKind::Stars => "name! user!",
        TableKind::Unpublished => "name! version! published_at:time",
        TableKind::Outcomes => {
            "name! outcome! http_status:u16 rev etag last_modified attempts:u32 fetched_at:time detail"
        }
        TableKind::Quirks => "name! version field! code! sample",
    };
    let text_list = || DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let fields = columns.split(' ').map(|column| {
        let (column, nullable) = column.strip_suffix('!').map_or((column, true), |column| (column, false));
        let (name, kind) = column.split_once(':').unwrap_or((column, ""));
        let data_type = match kind {
            "u16" => DataType::Int32,
            "u32" => DataType::Int64,
            "u64" => DataType::Int64,
            "bool" => DataType::Boolean,
            "bin" => DataType::Binary,
            "list" => text_list(),
            "time" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "bin_list" => {
                let members = vec![Field::new("name", DataType::Utf8, false), Field::new("path", DataType::Utf8, true)];
                DataType::List(Arc::new(Field::new("item", DataType::Struct(members.into()), true)))
            }
            _ => DataType::Utf8,
        };
        Field::new(name, data_type, nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
