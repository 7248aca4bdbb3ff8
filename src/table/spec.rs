//! What a table's file says of it: its columns with their encoding hints, its schema version, and the facts by which
//! it is verified and planned. Not here: the list of the tables (`table`), and Arrow schemas (`schema`).

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Bytes,
    /// A whole number of 64 bits.
    Number,
    /// A whole number of 32 bits.
    SmallNumber,
    /// true or false.
    Boolean,
    /// Microseconds since 1970, UTC.
    Time,
    /// A list of texts, none of them null.
    TextList,
    /// A list of name and path, none of them null.
    CommandList,
}

/// How the values of a column are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnEncoding {
    /// As the writer encodes a type.
    Usual,
    /// Texts that share their beginnings with the one before.
    SharedPrefixes,
    /// Numbers as packed differences, without compression: they are smaller than what zstd makes of whole numbers.
    PackedDifferences,
    /// Whole documents: pages end by their bytes.
    Documents,
}

/// A column: its name, type, nullability and description, and how it is encoded.
///
/// A change of name, type, nullability or place is a new schema version of its table. A column that a later version
/// adds is optional: it is null in the rows of an older lake.
#[derive(Debug, Clone, Copy)]
pub struct ColumnSpec {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub column_type: ColumnType,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it says, in one sentence.
    pub doc: &'static str,
    /// What it is measured in.
    pub unit: Option<&'static str>,
    /// Whether its values hardly ever repeat: a dictionary of them is larger than they are.
    pub is_unique: bool,
    /// Whether the least and the greatest value of a page are stored. They say nothing where any page has nearly the
    /// same: of texts in a table that is sorted by another column. To find them, each value is compared twice. A column
    /// that is mostly null keeps them, as they count the nulls.
    pub has_statistics: bool,
    /// Whether it has a Bloom filter: it is asked for by value, and the table is not sorted by it. `name` needs none, since
    /// shards are sorted by it and statistics say where a name can be.
    pub has_filter: bool,
    /// How its values are encoded.
    pub encoding: ColumnEncoding,
}

impl ColumnSpec {
    /// A column that has a value in every row.
    pub(super) const fn required(name: &'static str, column_type: ColumnType, doc: &'static str) -> Self {
        ColumnSpec {
            name,
            column_type,
            nullable: false,
            doc,
            unit: None,
            is_unique: false,
            has_statistics: true,
            has_filter: false,
            encoding: ColumnEncoding::Usual,
        }
    }

    /// A column that may be null.
    pub(super) const fn optional(name: &'static str, column_type: ColumnType, doc: &'static str) -> Self {
        ColumnSpec { nullable: true, ..ColumnSpec::required(name, column_type, doc) }
    }

    /// The same, measured in `unit`.
    pub(super) const fn in_unit(self, unit: &'static str) -> Self {
        ColumnSpec { unit: Some(unit), ..self }
    }

    /// The same without a dictionary.
    pub(super) const fn unique(self) -> Self {
        ColumnSpec { is_unique: true, ..self }
    }

    /// The same without the least and the greatest value of a page.
    pub(super) const fn without_statistics(self) -> Self {
        ColumnSpec { has_statistics: false, ..self }
    }

    /// The same with a Bloom filter.
    pub(super) const fn filtered(self) -> Self {
        ColumnSpec { has_filter: true, ..self }
    }

    /// The same, encoded otherwise than usual.
    pub(super) const fn encoded_as(self, encoding: ColumnEncoding) -> Self {
        ColumnSpec { encoding, ..self }
    }
}

/// What the rows of a table belong to. Verification holds them against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsOf {
    /// A name: it has one row at most.
    Name,
    /// A document: its name has a row in `packuments`.
    Document,
    /// A package: its name has a row in `packages`.
    Package,
    /// A version of a package: the column `version` names a row of `versions`.
    Version,
}

/// What is to be known of a table.
#[derive(Debug, Clone, Copy)]
pub struct TableSpec {
    /// Grows by one with each change of a column's name, type, nullability or place. The first is 1.
    pub schema_version: u32,
    /// In their order. The first is `name`, by which rows are sorted.
    pub columns: &'static [ColumnSpec],
    /// What a row belongs to.
    pub rows_of: RowsOf,
    /// Rows in a row group: few enough that a lookup by name reads little, and enough that dictionaries pay.
    pub group_rows: usize,
    /// Bytes that a row takes in a shard, roughly, as measured in a real lake. Only ratios between tables matter.
    pub stored_bytes_per_row: u64,
}

impl TableSpec {
    /// A table whose rows are short and belong to packages.
    pub(super) const fn new(schema_version: u32, columns: &'static [ColumnSpec]) -> Self {
        TableSpec { schema_version, columns, rows_of: RowsOf::Package, group_rows: 65_536, stored_bytes_per_row: 20 }
    }
}
