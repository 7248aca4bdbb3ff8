//! The macro that makes every list of the tables from one list (`table`).

/// Makes [`TableKind`](super::TableKind) and the builders of the tables that documents become, `DocumentRows`.
///
/// A table is `Kind = module::Builder, "what one row is"`. The module has the table's name in SQL, and `TABLE`, its
/// [`TableSpec`](super::spec::TableSpec). The groups name the source of a table's rows; `quirks` is written while the
/// others are read.
macro_rules! tables {
    (
        listing { $listing:ident = $listing_module:ident::$listing_builder:ident, $listing_grain:literal }
        documents { $($document:ident = $module:ident::$builder:ident, $grain:literal;)+ }
        quirks { $quirks:ident = $quirks_module:ident::$quirks_builder:ident, $quirks_grain:literal }
        answers { $answers:ident = $answers_module:ident::$answers_builder:ident, $answers_grain:literal }
    ) => {
        /// One table: a folder of shards under its origin. In the order of the documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum TableKind {
            #[doc = $listing_grain]
            $listing,
            $(#[doc = $grain] $document,)+
            #[doc = $quirks_grain]
            $quirks,
            #[doc = $answers_grain]
            $answers,
        }

        impl TableKind {
            /// Every table, in the order of the documentation.
            pub const ALL: [TableKind; TableKind::OF_DOCUMENTS.len() + 2] = [
                TableKind::$listing,
                $(TableKind::$document,)+
                TableKind::$quirks,
                TableKind::$answers,
            ];

            /// The tables that are a function of the documents: all but `docs` and `outcomes`.
            pub const OF_DOCUMENTS: [TableKind; [$($grain),+].len() + 1] =
                [$(TableKind::$document,)+ TableKind::$quirks];

            /// Returns the tables that hold the answers to requests for documents: all but `docs`.
            pub fn of_answers() -> impl Iterator<Item = TableKind> {
                TableKind::OF_DOCUMENTS.into_iter().chain([TableKind::$answers])
            }

            /// Returns every table, in the order in which they take new shards. The tables that the next ingest
            /// compares by are last: `outcomes`, then `docs`.
            pub fn in_order_of_promotion() -> impl Iterator<Item = TableKind> {
                TableKind::of_answers().chain([TableKind::$listing])
            }

            /// Returns the table's name in SQL, which is its folder too.
            pub fn as_str(self) -> &'static str {
                match self {
                    TableKind::$listing => stringify!($listing_module),
                    $(TableKind::$document => stringify!($module),)+
                    TableKind::$quirks => stringify!($quirks_module),
                    TableKind::$answers => stringify!($answers_module),
                }
            }

            /// Returns the grain: the meaning of one row.
            pub fn grain(self) -> &'static str {
                match self {
                    TableKind::$listing => $listing_grain,
                    $(TableKind::$document => $grain,)+
                    TableKind::$quirks => $quirks_grain,
                    TableKind::$answers => $answers_grain,
                }
            }

            /// Returns the specification in the table's own file.
            pub fn spec(self) -> &'static spec::TableSpec {
                match self {
                    TableKind::$listing => &$listing_module::TABLE,
                    $(TableKind::$document => &$module::TABLE,)+
                    TableKind::$quirks => &$quirks_module::TABLE,
                    TableKind::$answers => &$answers_module::TABLE,
                }
            }
        }

        pub use $listing_module::$listing_builder;
        pub use $answers_module::$answers_builder;

        /// The builders of the tables that documents become.
        #[derive(Debug, Default)]
        struct DocumentRows {
            $($module: $module::$builder,)+
            $quirks_module: $quirks_module::$quirks_builder,
        }

        impl DocumentRows {
            /// Returns about how many bytes the rows since the last batch take.
            fn buffered_bytes(&self) -> usize {
                self.$quirks_module.buffered_bytes() $(+ self.$module.buffered_bytes())+
            }

            /// Adds the rows since the last call to `batches`, one batch for each table that has some.
            fn take_batches(
                &mut self,
                batches: &mut Vec<(TableKind, arrow::array::RecordBatch)>,
            ) -> crate::error::Result<()> {
                $(if self.$module.rows() > 0 {
                    batches.push((TableKind::$document, self.$module.take_batch()?));
                })+
                if self.$quirks_module.rows() > 0 {
                    batches.push((TableKind::$quirks, self.$quirks_module.take_batch()?));
                }
                Ok(())
            }

            /// Passes the members of a document to the tables that need nothing else.
            fn push_document(&mut self, document: &hooks::DocumentMembers<'_>) {
                $(hooks::DocumentTable::push_document(
                    &mut self.$module,
                    &mut document.reader(None, &mut self.$quirks_module),
                    document,
                );)+
            }

            /// Passes the members of a version to the tables that need nothing else.
            fn push_version<'t>(
                &mut self,
                document: &hooks::DocumentMembers<'t>,
                version: &mut hooks::VersionMembers<'_, 't>,
            ) {
                $(hooks::DocumentTable::push_version(
                    &mut self.$module,
                    &mut document.reader(Some(version.facts.version), &mut self.$quirks_module),
                    version,
                );)+
            }

            /// Tells the tables that all rows so far belong to `package` or to those before it.
            fn end_package(&mut self, package: &str) {
                $(hooks::DocumentTable::end_package(&mut self.$module, package);)+
            }
        }
    };
}
