//! The specification of a table: its columns with their encoding hints, its schema version, and the facts by which it
//! is verified and planned. Not here: the list of the tables (`table`), and Arrow schemas (`schema`).

/// The type of a column's values.
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

/// The encoding of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnEncoding {
    /// The writer's default for the type.
    Usual,
    /// Whole documents: their bytes determine where pages end.
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
    /// The type of its values.
    pub column_type: ColumnType,
    /// Whether it may be null.
    pub nullable: bool,
    /// Its description, in one sentence.
    pub doc: &'static str,
    /// Its unit.
    pub unit: Option<&'static str>,
    /// Whether its values hardly ever repeat: a dictionary would be larger than the values.
    pub is_unique: bool,
    /// Whether the least and the greatest value of a page are stored. They are useless where any page has nearly the
    /// same: for texts in a table that is sorted by another column. Finding them compares each value twice. A column
    /// that is mostly null keeps them, because they count the nulls.
    pub has_statistics: bool,
    /// Whether it has a Bloom filter: queries look it up by value, and the table is not sorted by it. `name` needs
    /// none: shards are sorted by it, and statistics tell where a name can be.
    pub has_filter: bool,
    /// The encoding of its values.
    pub encoding: ColumnEncoding,
}

impl ColumnSpec {
    /// Makes a column that has a value in every row.
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

    /// Makes a column that may be null.
    pub(super) const fn optional(name: &'static str, column_type: ColumnType, doc: &'static str) -> Self {
        ColumnSpec { nullable: true, ..ColumnSpec::required(name, column_type, doc) }
    }

    /// Sets the unit.
    pub(super) const fn in_unit(self, unit: &'static str) -> Self {
        ColumnSpec { unit: Some(unit), ..self }
    }

    /// Turns the dictionary off.
    pub(super) const fn unique(self) -> Self {
        ColumnSpec { is_unique: true, ..self }
    }

    /// Turns off the least and the greatest value of a page.
    pub(super) const fn without_statistics(self) -> Self {
        ColumnSpec { has_statistics: false, ..self }
    }

    /// Turns the Bloom filter on.
    pub(super) const fn filtered(self) -> Self {
        ColumnSpec { has_filter: true, ..self }
    }

    /// Sets the encoding.
    pub(super) const fn encoded_as(self, encoding: ColumnEncoding) -> Self {
        ColumnSpec { encoding, ..self }
    }
}

/// The owner of a table's rows. Verification checks the rows against it.
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

/// The specification of a table.
#[derive(Debug, Clone, Copy)]
pub struct TableSpec {
    /// Grows by one with each change of a column's name, type, nullability or place. The first is 1.
    pub schema_version: u32,
    /// The columns in their order. The first is `name`, by which rows are sorted.
    pub columns: &'static [ColumnSpec],
    /// The owner of a row.
    pub rows_of: RowsOf,
    /// The mean size of a row group in rows, and of `packuments` in bytes of documents: small enough that a lookup by name
    /// reads little and an update encodes little, large enough that dictionaries pay.
    pub group_size: u64,
    /// The rough number of bytes that a row takes in a shard, measured in a real lake. Only ratios between tables
    /// matter.
    pub stored_bytes_per_row: u64,
}

impl TableSpec {
    /// Makes the specification of a table whose rows are short and belong to packages.
    pub(super) const fn new(schema_version: u32, columns: &'static [ColumnSpec]) -> Self {
        TableSpec { schema_version, columns, rows_of: RowsOf::Package, group_size: 16_384, stored_bytes_per_row: 20 }
    }
}
